//! An application to migrate: a worker pod in a namespace of its own, its queue, its producers,
//! and the audit of what survives.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use ms2m_worker::audit::{self, Source, Verdict};
use ms2m_worker::producer::{self, ExchangeType, Record, Topology};
use ms2m_worker::worker::Report;
use serde_json::json;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::api::Api;
use super::cli::{Outcome, Running, start};
use super::controller::{self, VIA_CONTROLLER};
use super::{DEADLINE, World, eventually};

/// What the application is like.
#[derive(Clone)]
pub(crate) struct Options {
    /// Extra environment of the worker's container.
    pub(crate) environment: Vec<(&'static str, String)>,
    pub(crate) exchange_type: ExchangeType,
    /// Whether the pod names queue, exchange and key in its annotations.
    pub(crate) annotated: bool,
    /// Labels of the pod besides `app`.
    pub(crate) labels: serde_json::Value,
    /// The nodes that it is moved from and to, if not those of the world.
    pub(crate) nodes: Option<(String, String)>,
    /// Who owns the pod.
    pub(crate) owner: Owner,
    /// The pod's `hostAliases`.
    pub(crate) hosts: serde_json::Value,
    /// Annotations of the pod besides those.
    pub(crate) annotations: serde_json::Value,
}

/// Who owns the pod of an application.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Owner {
    #[default]
    Nobody,
    /// A StatefulSet of one pod.
    StatefulSet,
    /// A ReplicaSet of one pod, whose name is known once it is there.
    ReplicaSet,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            environment: Vec::new(),
            exchange_type: ExchangeType::Topic,
            annotated: false,
            labels: json!({}),
            nodes: None,
            owner: Owner::Nobody,
            hosts: json!([]),
            annotations: json!({}),
        }
    }
}

/// A worker pod on the source node, with its queue. Its name is unique, since a control queue is
/// named after the pod alone.
pub(crate) struct App {
    pub(crate) world: &'static World,
    pub(crate) pod: String,
    /// Name of the target pod.
    pub(crate) target: String,
    pub(crate) namespace: String,
    pub(crate) exchange: String,
    pub(crate) queue: String,
    pub(crate) routing_key: String,
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) owner: Owner,
    /// Name of the owner.
    pub(crate) workload: String,
}

/// Publishers at work.
pub(crate) struct Producers {
    stop: CancellationToken,
    run: JoinHandle<Result<Record, producer::Error>>,
}

impl Producers {
    /// Stops them, and gives the record of what was confirmed.
    pub(crate) async fn stop(self) -> Record {
        self.stop.cancel();
        self.run
            .await
            .expect("the producers do not panic")
            .expect("the producers publish")
    }
}

static COUNT: AtomicU32 = AtomicU32::new(0);

impl App {
    /// Names for everything, and nothing else yet.
    pub(crate) fn named(world: &'static World, name: &str, options: &Options) -> Self {
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let namespace = format!("ms2m-{name}-{}-{number}", std::process::id());
        let workload = format!("worker-{}-{number}", std::process::id());
        let pod = match options.owner {
            Owner::StatefulSet => format!("{workload}-0"),
            Owner::Nobody | Owner::ReplicaSet => workload.clone(),
        };
        let (from, to) = options
            .nodes
            .clone()
            .unwrap_or_else(|| (world.source_node.clone(), world.target_node.clone()));
        Self {
            world,
            target: match options.owner {
                // Whichever way it moves, it ends with its own name.
                Owner::StatefulSet => pod.clone(),
                Owner::Nobody | Owner::ReplicaSet => format!("{pod}-shadow"),
            },
            pod,
            owner: options.owner,
            workload,
            exchange: format!("{namespace}.events"),
            queue: format!("{namespace}.orders"),
            routing_key: "orders.new".to_owned(),
            namespace,
            from,
            to,
        }
    }

    /// Declares exchange and queue.
    pub(crate) async fn declare(&self, exchange_type: ExchangeType) {
        let topology = Topology {
            amqp_url: self.world.places.broker_url.clone(),
            exchange: self.exchange.clone(),
            exchange_type,
            queue: self.queue.clone(),
            routing_key: self.routing_key.clone(),
            quorum: false,
        };
        producer::declare(&topology)
            .await
            .expect("exchange and queue are declared");
    }

    /// Declares the queue, makes the pod, and waits until it consumes.
    pub(crate) async fn start(name: &str, options: &Options) -> Self {
        Self::start_in(World::get(), name, options).await
    }

    /// The same in a world of one's own.
    pub(crate) async fn start_in(world: &'static World, name: &str, options: &Options) -> Self {
        let app = Self::named(world, name, options);
        let namespace =
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": app.namespace}});
        let api = Api::of(world).await;
        api.post("/api/v1/namespaces", &namespace).await;
        app.run_it(options).await
    }

    /// The same in the namespace of another one.
    pub(crate) async fn start_beside(other: &Self, options: &Options) -> Self {
        let mut app = Self::named(other.world, "beside", options);
        app.namespace.clone_from(&other.namespace);
        app.run_it(options).await
    }

    /// Declares the queue, makes the pod, and waits until it consumes.
    pub(crate) async fn run_it(self, options: &Options) -> Self {
        let app = self;
        app.declare(options.exchange_type).await;
        app.apply(&app.manifest(options)).await;
        app.await_ready(&app.pod).await;
        eventually("the worker consumes its queue", async || {
            app.report(&app.pod).await.filter(|report| report.consuming)
        })
        .await;
        app
    }

    /// Applies a manifest with kubectl.
    pub(crate) async fn apply(&self, manifest: &serde_json::Value) {
        let arguments = ["apply", "-n", &self.namespace, "-f", "-"];
        self.world
            .kubectl_with(&arguments, &manifest.to_string())
            .await;
    }

    /// The pod, or its owner with the pod as a template.
    pub(crate) fn manifest(&self, options: &Options) -> serde_json::Value {
        let pod = self.pod_manifest(options);
        let kind = match options.owner {
            Owner::Nobody => return pod,
            Owner::StatefulSet => "StatefulSet",
            Owner::ReplicaSet => "ReplicaSet",
        };
        let labels = pod["metadata"]["labels"].clone();
        let mut workload = json!({
            "apiVersion": "apps/v1",
            "kind": kind,
            "metadata": {"name": self.workload, "labels": {"team": "orders"}},
            "spec": {
                "replicas": 1,
                "selector": {"matchLabels": {"app": "worker"}},
                "template": {
                    "metadata": {"labels": labels, "annotations": pod["metadata"]["annotations"]},
                    "spec": pod["spec"],
                },
            },
        });
        if options.owner == Owner::StatefulSet {
            workload["spec"]["serviceName"] = json!(self.workload);
        }
        workload
    }

    fn pod_manifest(&self, options: &Options) -> serde_json::Value {
        let places = &self.world.places;
        let broker = places
            .broker_url_in_pods
            .as_ref()
            .unwrap_or(&places.broker_url);
        let mut environment = vec![
            json!({"name": "AMQP_URL", "value": broker}),
            json!({"name": "QUEUE", "value": self.queue}),
        ];
        environment.extend(
            options
                .environment
                .iter()
                .map(|(name, value)| json!({"name": name, "value": value})),
        );
        let mut labels = options.labels.clone();
        labels["app"] = json!("worker");
        let mut annotations = options.annotations.clone();
        if options.annotated {
            annotations["migration.ms2m.io/queue"] = json!(self.queue);
            annotations["migration.ms2m.io/exchange"] = json!(self.exchange);
            annotations["migration.ms2m.io/routing-key"] = json!(self.routing_key);
        }
        json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": self.pod, "labels": labels, "annotations": annotations},
            "spec": {
                "nodeSelector": {"kubernetes.io/hostname": self.from},
                "hostAliases": options.hosts,
                "containers": [{
                    "name": "worker",
                    "image": places.worker_image,
                    "env": environment,
                    "ports": [{"containerPort": 8080}],
                    "readinessProbe": {
                        "httpGet": {"path": "/readyz", "port": 8080},
                        "periodSeconds": 1,
                    },
                }],
            },
        })
    }

    /// Waits until a pod is there, which a set makes a moment after it was made itself, and is ready.
    pub(crate) async fn await_ready(&self, pod: &str) {
        let path = format!("/api/v1/namespaces/{}/pods/{pod}", self.namespace);
        let api = Api::of(self.world).await;
        eventually("a pod that is ready", async || {
            let pod = api.get(&path).await?;
            let mut conditions = pod["status"]["conditions"].as_array()?.iter();
            let ready = conditions.find(|it| it["type"] == "Ready")?;
            (ready["status"] == "True").then_some(())
        })
        .await;
    }

    /// What a worker shows of itself, if it answers.
    pub(crate) async fn report(&self, pod: &str) -> Option<Report> {
        self.source(pod).await?.fetch().await.ok()
    }

    /// Where a worker's state is had from. Pods of the sandbox have addresses on this machine, so it takes
    /// no process for each look; on a cluster it is had through the API server, as from any workstation.
    async fn source(&self, pod: &str) -> Option<Source> {
        if !self.world.is_sandbox() {
            let kubeconfig = self.world.places.kubeconfig.display();
            let path = format!(
                "/api/v1/namespaces/{}/pods/{pod}:8080/proxy/state",
                self.namespace
            );
            return Some(Source::Command(format!(
                "kubectl --kubeconfig '{kubeconfig}' get --raw '{path}'"
            )));
        }
        let path = format!("/api/v1/namespaces/{}/pods/{pod}", self.namespace);
        let pod = Api::of(self.world).await.get(&path).await?;
        let address = pod["status"]["podIP"].as_str()?;
        Some(Source::Url(format!("http://{address}:8080/state")))
    }

    /// Publishes so many messages, and waits until they are confirmed.
    pub(crate) async fn publish(&self, count: u64) -> Record {
        let options = producer::Options {
            count: Some(count),
            ..self.producer(0.0, 1)
        };
        producer::run(&options, None, CancellationToken::new())
            .await
            .expect("the messages are published")
    }

    /// The same, going on from `before`.
    pub(crate) async fn publish_after(&self, count: u64, before: Record) -> Record {
        let options = producer::Options {
            count: Some(count),
            ..self.producer(0.0, 1)
        };
        producer::run(&options, Some(before), CancellationToken::new())
            .await
            .expect("the messages are published")
    }

    /// Sets publishers to work at `rate` messages a second together, going on from `before`.
    pub(crate) fn produce(&self, rate: f64, before: Option<Record>) -> Producers {
        let options = self.producer(rate, 3);
        let stop = CancellationToken::new();
        let token = stop.clone();
        let run = tokio::spawn(async move { producer::run(&options, before, token).await });
        Producers { stop, run }
    }

    /// The same past the producers' exchange: straight to the queue, by the default exchange.
    pub(crate) fn produce_past_the_gate(&self, rate: f64) -> Producers {
        let options = producer::Options {
            exchange: String::new(),
            routing_key: self.queue.clone(),
            prefix: "past".to_owned(),
            ..self.producer(rate, 2)
        };
        let stop = CancellationToken::new();
        let token = stop.clone();
        let run = tokio::spawn(async move { producer::run(&options, None, token).await });
        Producers { stop, run }
    }

    fn producer(&self, rate: f64, publishers: u16) -> producer::Options {
        producer::Options {
            amqp_url: self.world.places.broker_url.clone(),
            exchange: self.exchange.clone(),
            routing_key: self.routing_key.clone(),
            publishers,
            prefix: "p".to_owned(),
            rate,
            duration: None,
            count: None,
            window: 500,
        }
    }

    /// Arguments of `ms2m migrate` for this application.
    pub(crate) fn migrate_arguments(&self) -> Vec<String> {
        let world = self.world;
        let repository = format!("{}/checkpoints", world.places.registry);
        let mut arguments: Vec<String> = ["migrate", &self.pod, "--to", &self.to]
            .into_iter()
            .chain(["--namespace", &self.namespace, "--repository", &repository])
            .chain([
                "--queue",
                &self.queue,
                "--exchange",
                &self.exchange,
                "--routing-key",
                &self.routing_key,
            ])
            .chain([
                "--transfer-image",
                &world.places.transfer_image,
                "-o",
                "json",
            ])
            .map(str::to_owned)
            .collect();
        if world.plain_http {
            arguments.push("--registry-plain-http".to_owned());
        }
        arguments
    }

    /// What `ms2m` needs to know besides, as environment: it holds the broker's password.
    pub(crate) fn environment(&self) -> Vec<(&'static str, String)> {
        let places = &self.world.places;
        let mut environment = vec![("MS2M_BROKER_URL", places.broker_url.clone())];
        if !places.management_url.is_empty() {
            environment.push(("MS2M_MANAGEMENT_URL", places.management_url.clone()));
        }
        environment
    }

    /// Starts `ms2m` with these arguments and the environment of this application.
    pub(crate) fn start_ms2m(&self, arguments: &[String]) -> Running {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let environment = self.environment();
        let environment: Vec<(&str, &str)> = environment
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        start(self.world, &arguments, &environment)
    }

    /// Runs a command in this application's namespace to its end.
    pub(crate) async fn run(&self, words: &[&str]) -> Outcome {
        let words = [words, &["-n", &self.namespace]].concat();
        let arguments: Vec<String> = words.into_iter().map(str::to_owned).collect();
        self.ms2m(&arguments).await
    }

    /// Runs it to its end.
    pub(crate) async fn ms2m(&self, arguments: &[String]) -> Outcome {
        self.start_ms2m(arguments).outcome().await
    }

    /// Migrates with further arguments; a flag with a value takes the place of the usual one.
    pub(crate) async fn migrate(&self, more: &[&str]) -> Outcome {
        let mut arguments = self.migrate_arguments();
        if VIA_CONTROLLER {
            arguments.extend(controller::arguments(self).await);
        }
        let mut more = more.iter();
        while let Some(flag) = more.next() {
            match arguments.iter().position(|argument| argument == flag) {
                Some(at) => arguments[at + 1] = (*more.next().expect("its value")).to_owned(),
                None => arguments.push((*flag).to_owned()),
            }
        }
        self.ms2m(&arguments).await
    }

    /// The audit: everything that was confirmed is in the state of `pod`, exactly once and in
    /// order. Panics with the verdict otherwise.
    pub(crate) async fn assert_exact(&self, record: &Record, pod: &str) -> Report {
        let (verdict, report) = self.verdict(record, pod).await;
        assert!(
            verdict.exact,
            "the surviving state is not exact:\n{}",
            audit::table(&verdict)
        );
        assert!(verdict.confirmed > 0, "an audit of nothing proves nothing");
        report
    }

    /// What the audit finds.
    pub(crate) async fn verdict(&self, record: &Record, pod: &str) -> (Verdict, Report) {
        let wait = Duration::from_secs(180);
        let source = eventually("the surviving worker", async || self.source(pod).await).await;
        audit::audit(record, &source, wait, audit::Options::default())
            .await
            .expect("the surviving worker shows its state")
    }

    /// Everything of this application in the cluster, as names.
    pub(crate) async fn cluster_listing(&self) -> Vec<String> {
        let kinds = "pods,jobs,configmaps,leases,secrets,services";
        let text = self
            .world
            .kubectl(&["get", kinds, "-n", &self.namespace, "-o", "name"])
            .await;
        let mut names: Vec<String> = text.lines().map(str::to_owned).collect();
        names.sort();
        names
    }

    /// Queues, exchanges and bindings of this application at the broker.
    pub(crate) async fn broker_listing(&self) -> Vec<String> {
        let vhost = self.vhost();
        let mut found = Vec::new();
        for kind in ["queues", "exchanges"] {
            let list = self
                .world
                .management(&format!(
                    "{kind}/{vhost}?disable_stats=true&enable_queue_totals=true"
                ))
                .await;
            for item in list.as_array().into_iter().flatten() {
                let name = item["name"].as_str().unwrap_or_default();
                if self.owns(name) {
                    found.push(format!("{kind}/{name}"));
                }
            }
        }
        let bindings = self.world.management(&format!("bindings/{vhost}")).await;
        for item in bindings.as_array().into_iter().flatten() {
            let (from, to) = (
                item["source"].as_str().unwrap_or_default(),
                item["destination"].as_str().unwrap_or_default(),
            );
            if !from.is_empty() && self.owns(to) {
                let key = item["routing_key"].as_str().unwrap_or_default();
                found.push(format!("binding {from} -> {to} by {key}"));
            }
        }
        found.sort();
        found
    }

    /// The virtual host, as a segment of a path.
    fn vhost(&self) -> String {
        let url = &self.world.places.broker_url;
        let broker = ms2m::broker::BrokerUrl::parse(url).expect("a broker URL");
        url::form_urlencoded::byte_serialize(broker.vhost().as_bytes()).collect()
    }

    /// Takes away what this application has at the broker: with every queue that is left, each
    /// listing of the virtual host takes the broker longer.
    pub(crate) async fn clear_broker(&self) {
        let vhost = self.vhost();
        for found in self.broker_listing().await {
            if let Some((kind @ ("queues" | "exchanges"), name)) = found.split_once('/') {
                let path = format!("{kind}/{vhost}/{name}");
                self.world.delete_at_broker(&path).await;
            }
        }
    }

    /// Whether a queue or an exchange is this application's: one is named after its namespace, or
    /// after one of its pods. Another's number may begin with the digits of ours.
    fn owns(&self, name: &str) -> bool {
        let pod = self.pod.trim_end_matches("-shadow");
        let control = format!("ms2m.control.{pod}");
        name.starts_with(&format!("{}.", self.namespace))
            || name == control
            || name == format!("{control}-shadow")
    }

    /// Waits until the broker shows what it showed before.
    pub(crate) async fn await_broker(&self, before: &[String]) {
        let until = tokio::time::Instant::now() + DEADLINE;
        loop {
            let now = self.broker_listing().await;
            if now == before {
                return;
            }
            assert!(
                tokio::time::Instant::now() < until,
                "the broker is not as it was found:\nbefore {before:#?}\nnow {now:#?}"
            );
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Waits until the broker shows this application's consumer, which is up to 5 s late; until then `ms2m`
    /// warns.
    pub(crate) async fn await_consumer(&self) {
        eventually("the broker shows the consumer", async || {
            let consumers = self.world.management("consumers").await;
            let ours = |it: &serde_json::Value| it["queue"]["name"] == self.queue.as_str();
            consumers.as_array()?.iter().any(ours).then_some(())
        })
        .await;
    }

    /// Takes the namespace and what is at the broker away again.
    pub(crate) async fn end(self) {
        let namespace = format!("/api/v1/namespaces/{}", self.namespace);
        Api::of(self.world).await.delete(&namespace).await;
        self.clear_broker().await;
    }
}
