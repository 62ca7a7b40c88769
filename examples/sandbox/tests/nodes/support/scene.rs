//! A namespace of the shared sandbox, and what tests do in one.

use std::fmt::Debug;
use std::path::PathBuf;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Event, Namespace, Pod};
use kube::api::{DeleteParams, ListParams, LogParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::{World, wait_for, world};

/// One test's part of the sandbox.
pub(crate) struct Scene {
    pub(crate) world: Arc<World>,
    pub(crate) client: Client,
    pub(crate) namespace: String,
}

impl Scene {
    /// A namespace of that name in the shared sandbox.
    pub(crate) async fn new(namespace: &str) -> Self {
        // Starting the sandbox blocks; no other task of this test waits for it.
        Self::in_world(world(), namespace).await
    }

    /// A namespace of that name in a sandbox.
    pub(crate) async fn in_world(world: Arc<World>, namespace: &str) -> Self {
        let kubeconfig = Kubeconfig::read_from(world.text("kubeconfig")).expect("a kubeconfig");
        let mut config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
            .await
            .expect("a configuration");
        config.default_retry = false;
        let client = Client::try_from(config).expect("a client");
        let scene = Self {
            world,
            client,
            namespace: namespace.to_owned(),
        };
        let object = json!({ "metadata": { "name": namespace } });
        let object: Namespace = serde_json::from_value(object).expect("is a namespace");
        Api::all(scene.client.clone())
            .create(&PostParams::default(), &object)
            .await
            .expect("the namespace is new");
        scene
    }

    /// The API of a kind in the namespace.
    pub(crate) fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// Creates an object in the namespace.
    pub(crate) async fn create<K>(&self, object: Value) -> K
    where
        K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>
            + Clone
            + Debug
            + DeserializeOwned
            + serde::Serialize,
    {
        let object: K = serde_json::from_value(object).expect("is such an object");
        self.api()
            .create(&PostParams::default(), &object)
            .await
            .expect("is accepted")
    }

    /// Waits until the pod is as wanted.
    pub(crate) async fn pod_when(&self, name: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let pods = self.api::<Pod>();
        let mut last = Value::Null;
        let found = wait_for_pod(&pods, name, &wanted, &mut last).await;
        found.unwrap_or_else(|| panic!("pod {name} is not as wanted: {last:#}"))
    }

    /// Waits until the pod is ready.
    pub(crate) async fn ready(&self, name: &str) -> Value {
        self.pod_when(name, |pod| condition(pod, "Ready")).await
    }

    /// Waits until the pod is in that phase.
    pub(crate) async fn phase(&self, name: &str, phase: &str) -> Value {
        self.pod_when(name, |pod| pod["status"]["phase"] == phase)
            .await
    }

    /// Deletes a pod and waits until it is gone.
    pub(crate) async fn delete(&self, name: &str) {
        let pods = self.api::<Pod>();
        pods.delete(name, &DeleteParams::default())
            .await
            .expect("is deleted");
        wait_for("the pod's end", async || {
            pods.get_opt(name)
                .await
                .expect("answers")
                .is_none()
                .then_some(())
        })
        .await;
    }

    /// Waits until this is the log of the pod's container: a pod without a probe is ready when its process
    /// has started, whatever that has come to.
    pub(crate) async fn says(&self, name: &str, text: &str) {
        let what = format!("{text:?} in the log of {name}");
        wait_for(&what, async || {
            let log = self.log(name, &LogParams::default()).await;
            (log == text).then_some(())
        })
        .await;
    }

    /// The log of the pod's container.
    pub(crate) async fn log(&self, name: &str, parameters: &LogParams) -> String {
        self.api::<Pod>()
            .logs(name, parameters)
            .await
            .expect("has a log")
    }

    /// The reasons of the events about an object, in their order.
    pub(crate) async fn reasons(&self, name: &str) -> Vec<String> {
        let of = ListParams::default().fields(&format!("involvedObject.name={name}"));
        let mut events = self
            .api::<Event>()
            .list(&of)
            .await
            .expect("are listed")
            .items;
        events.sort_by_key(|event| event.metadata.name.clone());
        events
            .into_iter()
            .filter_map(|event| event.reason)
            .collect()
    }

    /// Waits for an event of that reason about an object, and gives its words.
    pub(crate) async fn event(&self, name: &str, reason: &str) -> String {
        let of = ListParams::default().fields(&format!("involvedObject.name={name}"));
        wait_for(&format!("{reason} of {name}"), async || {
            let events = self.api::<Event>().list(&of).await.expect("are listed");
            let mut events = events.into_iter();
            events
                .find(|event| event.reason.as_deref() == Some(reason))?
                .message
        })
        .await
    }

    /// Calls the kubelet by way of the API server: status and body.
    pub(crate) async fn kubelet(&self, method: &str, node: &str, path: &str) -> (u16, String) {
        let kubeconfig = std::fs::read_to_string(self.world.text("kubeconfig")).expect("is there");
        let token = kubeconfig
            .lines()
            .find_map(|line| line.trim().strip_prefix("token: "))
            .expect("the administrator has a token");
        let method = method.parse().expect("is a method");
        let url = format!(
            "{}/api/v1/nodes/{node}/proxy{path}",
            self.world.text("apiServer")
        );
        let answer = World::http()
            .request(method, url)
            .bearer_auth(token)
            .send()
            .await
            .expect("answers");
        let status = answer.status().as_u16();
        (status, answer.text().await.expect("is text"))
    }

    /// The checkpoint call.
    pub(crate) async fn checkpoint(&self, node: &str, pod: &str, container: &str) -> (u16, String) {
        let path = format!("/checkpoint/{}/{pod}/{container}", self.namespace);
        self.kubelet("POST", node, &path).await
    }

    /// A path of a node as a path of this machine.
    pub(crate) fn on_node(&self, node: &str, path: &str) -> PathBuf {
        PathBuf::from(self.world.text("dir"))
            .join("nodes")
            .join(node)
            .join(path.trim_start_matches('/'))
    }

    /// A pod with the reference worker, which consumes `queue`.
    pub(crate) fn worker(&self, name: &str, node: &str, queue: &str, image: &str) -> Value {
        let mut worker = pod(name, node, image, &[]);
        let container = &mut worker["spec"]["containers"][0];
        container["name"] = json!("worker");
        container["env"] = json!([
            { "name": "AMQP_URL", "value": self.world.text("brokerUrl") },
            { "name": "QUEUE", "value": queue },
        ]);
        container["readinessProbe"] =
            json!({ "httpGet": { "path": "/readyz", "port": 8080 }, "periodSeconds": 1 });
        worker
    }

    /// What a worker says of its state.
    pub(crate) async fn state(&self, pod: &Value) -> Value {
        let ip = pod["status"]["podIP"].as_str().expect("has an address");
        let answer = World::http()
            .get(format!("http://{ip}:8080/state"))
            .send()
            .await
            .expect("the worker answers");
        answer.json().await.expect("is JSON")
    }

    /// Waits until a worker has applied that many messages.
    pub(crate) async fn applied(&self, pod: &Value, count: u64) -> Value {
        wait_for(&format!("{count} messages"), async || {
            let state = self.state(pod).await;
            (state["count"] == count).then_some(state)
        })
        .await
    }
}

async fn wait_for_pod(
    pods: &Api<Pod>,
    name: &str,
    wanted: &impl Fn(&Value) -> bool,
    last: &mut Value,
) -> Option<Value> {
    let deadline = tokio::time::Instant::now() + super::DEADLINE;
    while tokio::time::Instant::now() < deadline {
        if let Some(pod) = pods.get_opt(name).await.expect("answers") {
            *last = json!(pod);
            if wanted(last) {
                return Some(last.clone());
            }
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    None
}

/// A pod with one container of the actor's image, or of another one.
pub(crate) fn pod(name: &str, node: &str, image: &str, actions: &[&str]) -> Value {
    json!({
        "metadata": { "name": name },
        "spec": {
            "nodeName": node,
            "terminationGracePeriodSeconds": 1,
            "containers": [{ "name": "main", "image": image, "args": actions }],
        },
    })
}

/// The status of the pod's first container.
pub(crate) fn container(pod: &Value) -> &Value {
    &pod["status"]["containerStatuses"][0]
}

/// Why the first container waits.
pub(crate) fn reason(pod: &Value) -> &str {
    container(pod)["state"]["waiting"]["reason"]
        .as_str()
        .unwrap_or_default()
}

/// What is said about that.
pub(crate) fn message(pod: &Value) -> &str {
    container(pod)["state"]["waiting"]["message"]
        .as_str()
        .unwrap_or_default()
}

/// Whether the first container waits for that reason.
pub(crate) fn waiting(wanted: &str) -> impl Fn(&Value) -> bool {
    move |pod| reason(pod) == wanted
}

pub(crate) fn condition(pod: &Value, kind: &str) -> bool {
    let conditions = pod["status"]["conditions"].as_array().into_iter().flatten();
    conditions
        .into_iter()
        .any(|condition| condition["type"] == kind && condition["status"] == "True")
}
