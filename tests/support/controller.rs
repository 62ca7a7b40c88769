//! A real `ms2m controller`, and resources for it to carry out.

use serde_json::{Value, json};
use tokio::sync::OnceCell;

use super::cli::{Running, start};
use super::{App, DEADLINE, World, eventually};

static INSTALLED: OnceCell<()> = OnceCell::const_new();

/// Installs the CRD that `ms2m crd` prints, once.
pub(crate) async fn install_crd(world: &World) {
    INSTALLED
        .get_or_init(|| async {
            let crd = start(world, &["crd"], &[]).outcome().await.expect_code(0);
            world.kubectl_with(&["apply", "-f", "-"], &crd.stdout).await;
            let crd = "crd/statefulmigrations.migration.ms2m.io";
            world
                .kubectl(&["wait", "--for=condition=Established", "--timeout=30s", crd])
                .await;
        })
        .await;
}

/// A controller for one namespace, whose lease is there too.
pub(crate) struct Controller {
    pub(crate) running: Running,
    /// Where it listens.
    pub(crate) address: String,
}

impl Controller {
    /// Starts one for the namespace of an application; it leads or stands by afterwards.
    pub(crate) async fn start(app: &App, more: &[&str]) -> Self {
        Self::start_as(app, more, &[]).await
    }

    /// The same with something in its environment, as another kubeconfig.
    pub(crate) async fn start_as(app: &App, more: &[&str], environment: &[(&str, &str)]) -> Self {
        let namespace = app.namespace.as_str();
        let own = [
            "controller",
            "-n",
            namespace,
            "--lease-namespace",
            namespace,
        ];
        let arguments = [
            &own[..],
            &["--listen", "127.0.0.1:0", "--log-format", "json"],
            more,
        ]
        .concat();
        let running = start(app.world, &arguments, environment);
        running.says("the controller listens").await;
        let said = running.stderr();
        let address = said
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok())
            .find_map(|line| line["address"].as_str().map(str::to_owned));
        Self {
            running,
            address: address.expect("it says where"),
        }
    }

    /// Waits until it leads.
    pub(crate) async fn leads(&self) {
        self.running.says("\"stage\":\"Leads\"").await;
    }

    /// What it answers to a path, with the status.
    pub(crate) async fn get(&self, path: &str) -> (u16, String) {
        let url = format!("http://{}{path}", self.address);
        let answer = reqwest::get(url).await.expect("it answers");
        let status = answer.status().as_u16();
        (status, answer.text().await.expect("it answers"))
    }

    /// The value of a metric, with its labels as they are written.
    pub(crate) async fn metric(&self, name: &str) -> f64 {
        let (_, text) = self.get("/metrics").await;
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        let value = line.unwrap_or_else(|| panic!("no {name} in:\n{text}"));
        value.trim().parse().expect("a number")
    }
}

impl App {
    /// A resource that asks for this application to be moved; the broker's credentials are in a
    /// Secret of the name `broker`.
    pub(crate) fn resource(&self, name: &str) -> Value {
        let places = &self.world.places;
        let broker = ms2m::broker::BrokerUrl::parse(&places.broker_url).expect("a broker URL");
        let mut resource = json!({
            "apiVersion": "migration.ms2m.io/v1alpha1",
            "kind": "StatefulMigration",
            "metadata": {"name": name, "namespace": self.namespace},
            "spec": {
                "sourcePod": self.pod,
                "targetNode": self.to,
                "checkpointImageRepository": format!("{}/checkpoints", places.registry),
                "messageQueueConfig": {
                    "queueName": self.queue,
                    "brokerUrl": broker.public(),
                    "exchangeName": self.exchange,
                    "routingKey": self.routing_key,
                    "credentials": {
                        "username": {"secretKeyRef": {"name": "broker", "key": "username"}},
                        "password": {"secretKeyRef": {"name": "broker", "key": "password"}},
                    },
                },
                "transfer": {"image": places.transfer_image, "plainHTTP": self.world.plain_http},
            },
        });
        if !places.management_url.is_empty() {
            let mut url = url::Url::parse(&places.management_url).expect("a URL");
            let _ = url.set_username("");
            let _ = url.set_password(None);
            resource["spec"]["messageQueueConfig"]["managementUrl"] = json!(url.as_str());
        }
        resource
    }

    /// Makes the Secret that [`App::resource`] names.
    pub(crate) async fn make_secret(&self) {
        let broker =
            ms2m::broker::BrokerUrl::parse(&self.world.places.broker_url).expect("a broker URL");
        self.apply(&json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "broker"},
            "stringData": {"username": broker.user(), "password": broker.password()},
        }))
        .await;
    }

    /// The resource as it is now.
    pub(crate) async fn migration(&self, name: &str) -> Option<Value> {
        let arguments = ["get", "sm", name, "-n", &self.namespace, "-o", "json"];
        let text = self.world.try_kubectl(&arguments, "").await.ok()?;
        serde_json::from_str(&text).ok()
    }

    /// Waits until a resource has ended, and gives it.
    pub(crate) async fn await_end(&self, name: &str) -> Value {
        let until = tokio::time::Instant::now() + DEADLINE;
        loop {
            let now = self.migration(name).await.unwrap_or_default();
            let phase = now["status"]["phase"].as_str().unwrap_or_default();
            if ["Completed", "Failed"].contains(&phase) {
                return now;
            }
            assert!(
                tokio::time::Instant::now() < until,
                "it does not come to an end: {now:#}"
            );
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    }

    /// Waits until a resource is as `is` says, and gives it.
    pub(crate) async fn await_migration(
        &self,
        name: &str,
        what: &str,
        is: impl Fn(&Value) -> bool,
    ) -> Value {
        eventually(what, async || {
            self.migration(name).await.filter(|found| is(found))
        })
        .await
    }
}

/// A condition of a resource: its status, reason and message.
pub(crate) fn condition(found: &Value, kind: &str) -> (String, String, String) {
    let conditions = found["status"]["conditions"].as_array();
    let condition = conditions
        .into_iter()
        .flatten()
        .find(|condition| condition["type"] == kind);
    let text = |name: &str| {
        condition
            .and_then(|it| it[name].as_str())
            .unwrap_or_default()
            .to_owned()
    };
    (text("status"), text("reason"), text("message"))
}
