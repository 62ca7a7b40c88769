//! A workload whose pods each have a queue and a state of their own, and the producers that fill
//! them.

use std::collections::BTreeMap;

use ms2m_worker::producer::{ExchangeType, Record, Topology};
use serde_json::{Value, json};

use crate::support::app::Producers;
use crate::support::{App, Options, World, eventually};

/// A pod as a controller sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) uid: String,
    pub(crate) node: String,
    pub(crate) restarts: u64,
    pub(crate) controller: Option<String>,
    pub(crate) ready: bool,
}

/// A StatefulSet, with an application for each of its pods.
pub(crate) struct Set {
    pub(crate) world: &'static World,
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) pods: Vec<App>,
    producers: Vec<Producers>,
}

impl Set {
    /// A StatefulSet of so many pods on the source node; `change` may change its manifest.
    pub(crate) async fn start(
        name: &str,
        replicas: usize,
        change: impl FnOnce(&mut Value),
    ) -> Self {
        let world = World::get();
        let first = App::named(world, name, &Options::default());
        let (namespace, set) = (first.namespace.clone(), first.pod.clone());
        let manifest = manifest(&first, &set, replicas, change);
        let start = manifest["spec"]["ordinals"]["start"].as_u64().unwrap_or(0);
        let mut pods = Vec::new();
        for ordinal in (start..).take(replicas) {
            let mut app = App::named(world, name, &Options::default());
            app.namespace.clone_from(&namespace);
            app.exchange.clone_from(&first.exchange);
            app.pod = format!("{set}-{ordinal}");
            app.target = app.pod.clone();
            app.queue = format!("{namespace}.{}", app.pod);
            app.routing_key = app.pod.clone();
            declare(&app).await;
            pods.push(app);
        }
        world.kubectl(&["create", "namespace", &namespace]).await;
        let it = Self {
            world,
            namespace,
            name: set,
            pods,
            producers: Vec::new(),
        };
        it.apply(&service(&it.name)).await;
        it.apply(&manifest).await;
        it.await_pods().await;
        it.settle().await;
        it
    }

    /// A Deployment of one pod: several would share a queue.
    pub(crate) async fn start_deployment(name: &str) -> Self {
        let world = World::get();
        let mut app = App::named(world, name, &Options::default());
        declare(&app).await;
        let (namespace, name) = (app.namespace.clone(), app.pod.clone());
        world.kubectl(&["create", "namespace", &namespace]).await;
        let mut it = Self {
            world,
            namespace,
            name,
            pods: Vec::new(),
            producers: Vec::new(),
        };
        it.apply(&service(&it.name)).await;
        let pod = app.manifest(&Options::default());
        it.apply(&json!({
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": it.name},
            "spec": {
                "replicas": 1,
                "selector": {"matchLabels": {"app": "worker"}},
                "template": {"metadata": {"labels": {"app": "worker"}}, "spec": pod["spec"]},
            },
        }))
        .await;
        app.pod = eventually("the Deployment has its pod", async || {
            let seen = it.seen().await;
            let (name, seen) = seen.into_iter().next()?;
            seen.ready.then_some(name)
        })
        .await;
        app.target = format!("{}-shadow", app.pod);
        it.pods.push(app);
        it.await_pods().await;
        it
    }

    pub(crate) async fn apply(&self, manifest: &Value) {
        let arguments = ["apply", "-n", &self.namespace, "-f", "-"];
        let text = manifest.to_string();
        self.world.kubectl_with(&arguments, &text).await;
    }

    /// Waits until every pod serves its queue.
    async fn await_pods(&self) {
        for app in &self.pods {
            eventually("the pods of the set serve their queues", async || {
                let report = app.report(&app.pod).await?;
                report.consuming.then_some(())
            })
            .await;
        }
    }

    async fn settle(&self) {
        eventually("the set is as its controller wants it", async || {
            let set = self.get("statefulset", &self.name).await?;
            let wanted = set["spec"]["replicas"].as_u64();
            (set["status"]["readyReplicas"].as_u64() == wanted).then_some(())
        })
        .await;
    }

    /// Publishers for every pod, at `rate` messages a second for each.
    pub(crate) async fn produce(&mut self, rate: f64) {
        self.producers = self
            .pods
            .iter()
            .map(|app| app.produce(rate, None))
            .collect();
        for app in &self.pods {
            eventually("messages are applied", async || {
                let report = app.report(&app.pod).await?;
                (report.state.count >= 3).then_some(())
            })
            .await;
        }
    }

    /// An object of this namespace.
    pub(crate) async fn get(&self, kind: &str, name: &str) -> Option<Value> {
        let arguments = ["get", kind, name, "-n", &self.namespace, "-o", "json"];
        let text = self.world.try_kubectl(&arguments, "").await.ok()?;
        serde_json::from_str(&text).ok()
    }

    /// All pods that carry the set's labels.
    pub(crate) async fn seen(&self) -> BTreeMap<String, Seen> {
        let arguments = [
            "get",
            "pods",
            "-n",
            &self.namespace,
            "-l",
            "app=worker",
            "-o",
            "json",
        ];
        let text = self.world.kubectl(&arguments).await;
        let list: Value = serde_json::from_str(&text).expect("JSON");
        let pods = list["items"].as_array().into_iter().flatten();
        pods.map(|pod| (text_of(&pod["metadata"]["name"]), seen(pod)))
            .collect()
    }

    /// A node that the pod can be moved to: nothing says where a set's pods begin.
    pub(crate) async fn elsewhere(&self, app: &App) -> String {
        let node = &self.seen().await[&app.pod].node;
        let to = if *node == app.to { &app.from } else { &app.to };
        to.clone()
    }

    /// Ends the producers, and audits every pod by the name that it has now.
    pub(crate) async fn all_exact(&mut self) {
        let mut records: Vec<Record> = Vec::new();
        for producers in self.producers.drain(..) {
            records.push(producers.stop().await);
        }
        for (app, record) in self.pods.iter().zip(&records) {
            app.assert_exact(record, &app.target).await;
        }
    }

    /// Everything of the set that somebody may have wanted: its metadata too, a finalizer above all.
    pub(crate) async fn as_made(&self) -> Value {
        let set = self.get("statefulset", &self.name).await;
        let set = set.expect("the set is there");
        let of = |name: &str| set["metadata"][name].clone();
        json!({
            "labels": of("labels"),
            "annotations": of("annotations"),
            "finalizers": of("finalizers"),
            "ownerReferences": of("ownerReferences"),
            "spec": set["spec"],
        })
    }

    /// The set as it was made: replicas, template and all.
    pub(crate) async fn spec(&self) -> Value {
        let set = self.get("statefulset", &self.name).await;
        set.expect("the set is there")["spec"].clone()
    }

    pub(crate) async fn end(self) {
        let arguments = ["delete", "namespace", &self.namespace, "--wait=false"];
        self.world.kubectl(&arguments).await;
    }
}

async fn declare(app: &App) {
    let topology = Topology {
        amqp_url: app.world.places.broker_url.clone(),
        exchange: app.exchange.clone(),
        exchange_type: ExchangeType::Topic,
        queue: app.queue.clone(),
        routing_key: app.routing_key.clone(),
        quorum: false,
    };
    ms2m_worker::producer::declare(&topology)
        .await
        .expect("exchange and queue are declared");
}

/// The worker's pod as a template: its queue is named after the pod.
fn manifest(app: &App, set: &str, replicas: usize, change: impl FnOnce(&mut Value)) -> Value {
    let mut pod = app.manifest(&Options::default());
    let container = &mut pod["spec"]["containers"][0];
    let field = json!({"fieldRef": {"fieldPath": "metadata.name"}});
    let queue = format!("{}.$(POD_NAME)", app.namespace);
    let broker = container["env"][0].clone();
    container["env"] = json!([
        broker,
        {"name": "POD_NAME", "valueFrom": field},
        {"name": "QUEUE", "value": queue},
    ]);
    // Where they start, and no rule that would keep them there.
    let preferred = json!([{"weight": 1, "preference": {"matchExpressions": [
        {"key": "kubernetes.io/hostname", "operator": "In", "values": [app.from]}
    ]}}]);
    pod["spec"]["affinity"] =
        json!({"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": preferred}});
    let _ = pod["spec"]
        .as_object_mut()
        .map(|spec| spec.remove("nodeSelector"));
    let mut manifest = json!({
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"name": set, "labels": {"team": "orders"}, "annotations": {"note": "kept"}},
        "spec": {
            "replicas": replicas,
            "serviceName": set,
            "selector": {"matchLabels": {"app": "worker"}},
            "template": {"metadata": {"labels": {"app": "worker"}}, "spec": pod["spec"]},
        },
    });
    change(&mut manifest);
    manifest
}

fn service(name: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {"clusterIP": "None", "selector": {"app": "worker"}, "ports": [{"port": 8080}]},
    })
}

fn seen(pod: &Value) -> Seen {
    let owners = pod["metadata"]["ownerReferences"].as_array();
    let controller = owners
        .into_iter()
        .flatten()
        .find(|owner| owner["controller"] == true)
        .map(|owner| format!("{}/{}", text_of(&owner["kind"]), text_of(&owner["name"])));
    let statuses = pod["status"]["containerStatuses"].as_array();
    let restarts = statuses
        .into_iter()
        .flatten()
        .filter_map(|status| status["restartCount"].as_u64())
        .sum();
    let conditions = pod["status"]["conditions"].as_array();
    Seen {
        uid: text_of(&pod["metadata"]["uid"]),
        node: text_of(&pod["spec"]["nodeName"]),
        restarts,
        controller,
        ready: conditions
            .into_iter()
            .flatten()
            .any(|it| it["type"] == "Ready" && it["status"] == "True"),
    }
}

fn text_of(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
