//! A broker inside the cluster: a Service with two pods that pass connections on to the world's
//! RabbitMQ. The sandbox has neither a cluster DNS nor anybody who forwards to a Service's address,
//! so clients in pods find the Service's name among their `hostAliases`.

use std::sync::atomic::{AtomicU32, Ordering};

use ms2m::broker::BrokerUrl;
use ms2m_sandbox::image::{PackOptions, client, pack, push};
use oci_client::secrets::RegistryAuth;
use serde_json::{Value, json};
use url::Url;

use super::world::{World, binary};

/// The broker's namespace and name.
pub(crate) struct Inside {
    pub(crate) world: &'static World,
    pub(crate) namespace: String,
    /// As a client in the cluster writes it, with user and password.
    pub(crate) url: String,
    /// How a pod finds it.
    pub(crate) hosts: Value,
}

/// The port that the Service's port for AMQP stands for: another one, under a name.
const AMQP: u16 = 5673;
const MANAGEMENT: u16 = 15673;

static COUNT: AtomicU32 = AtomicU32::new(0);

impl Inside {
    pub(crate) async fn start(world: &'static World) -> Self {
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        Self::start_in(world, format!("messaging-{}-{number}", std::process::id())).await
    }

    /// The same in a namespace of this name.
    pub(crate) async fn start_in(world: &'static World, namespace: String) -> Self {
        world.kubectl(&["create", "namespace", &namespace]).await;
        let image = of_actor(world).await;
        let broker = Url::parse(&world.places.broker_url).expect("a URL");
        let management = Url::parse(&world.places.management_url).expect("a URL");
        let pods = ["rabbit-0", "rabbit-1"];
        let mut objects: Vec<Value> = pods
            .iter()
            .map(|name| pod(name, &image, &address(&broker), &address(&management)))
            .collect();
        objects.push(service());
        let list = json!({"apiVersion": "v1", "kind": "List", "items": objects}).to_string();
        let apply = ["apply", "-n", &namespace, "-f", "-"];
        world.kubectl_with(&apply, &list).await;
        let ready = "--for=condition=Ready";
        let mut wait = vec!["wait", "-n", &namespace, ready, "--timeout=60s"];
        wait.extend(["pod/rabbit-0", "pod/rabbit-1"]);
        world.kubectl(&wait).await;
        let ip = ["get", "pod", "rabbit-0", "-n", &namespace, "-o"];
        let ip = [&ip[..], &["jsonpath={.status.podIP}"]].concat();
        let ip = world.kubectl(&ip).await;
        let host = format!("rabbit.{namespace}.svc");
        let own = BrokerUrl::parse(&world.places.broker_url).expect("a broker URL");
        let url = world.places.broker_url.replacen(
            &format!("@{}:{}", own.host(), own.port()),
            &format!("@{host}"),
            1,
        );
        Self {
            world,
            hosts: json!([{"ip": ip, "hostnames": [host]}]),
            namespace,
            url,
        }
    }

    /// Ends the connections that are forwarded now, in mid-stream, and answers how many they were.
    pub(crate) async fn cut(&self) -> u64 {
        let path = format!("/namespaces/{}/pods/.*/portforward", self.namespace);
        let order = json!({"match": {"path": path}}).to_string();
        let cut = ["create", "--raw", "/sandbox/cut", "-f", "-"];
        let answer = self.world.kubectl_with(&cut, &order).await;
        let answer: Value = serde_json::from_str(&answer).expect("JSON");
        answer["cut"].as_u64().expect("a number")
    }

    pub(crate) async fn end(self) {
        let delete = ["delete", "namespace", &self.namespace, "--wait=false"];
        self.world.kubectl(&delete).await;
    }
}

fn address(url: &Url) -> String {
    let host = url.host_str().expect("a host");
    format!("{host}:{}", url.port().expect("a port"))
}

fn pod(name: &str, image: &str, broker: &str, management: &str) -> Value {
    let listen = |port: u16, to: &str| ["relay".to_owned(), port.to_string(), to.to_owned()];
    // Clients in pods come to the Service's own port, since nobody translates it for them.
    let relays = [
        listen(5672, broker),
        listen(AMQP, broker),
        listen(MANAGEMENT, management),
    ];
    let args: Vec<String> = relays
        .into_iter()
        .flatten()
        .chain(["wait".to_owned()])
        .collect();
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": "rabbit"}},
        "spec": {"containers": [{
            "name": "rabbit", "image": image, "args": args,
            "ports": [{"name": "amqp", "containerPort": AMQP}],
            "readinessProbe": {"tcpSocket": {"port": MANAGEMENT}, "periodSeconds": 1},
        }]},
    })
}

fn service() -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "rabbit"},
        "spec": {"selector": {"app": "rabbit"}, "ports": [
            {"name": "amqp", "port": 5672, "targetPort": "amqp"},
            {"name": "management", "port": 15672, "targetPort": MANAGEMENT},
        ]},
    })
}

/// The image of the sandbox's program for such parts.
async fn of_actor(world: &World) -> String {
    let registry = world.places.registry.clone();
    let reference = format!("{registry}/actor:dev");
    let options = PackOptions {
        binary: binary("ms2m-sandbox-actor"),
        entrypoint: "/actor".to_owned(),
        reference: reference.clone(),
        user: "65532:65532".to_owned(),
        files: Vec::new(),
    };
    let image = tokio::task::spawn_blocking(move || pack(&options))
        .await
        .expect("packing does not panic")
        .expect("it is packed");
    let client = client(&[registry]);
    push(&client, &image, &reference, &RegistryAuth::Anonymous)
        .await
        .expect("it is pushed");
    reference
}
