//! A real `ms2m controller`, and resources for it to carry out.

use std::io::BufRead as _;

use serde_json::{Value, json};
use tokio::sync::OnceCell;

use super::api::Api;
use super::cli::{Running, start};
use super::{App, DEADLINE, World, eventually};

/// Whether the applications of this test binary are moved by a controller: the same tests as for the
/// command line, by the other front.
pub(crate) const VIA_CONTROLLER: bool =
    matches!(env!("CARGO_CRATE_NAME").as_bytes(), b"via_controller");

/// What `ms2m migrate` is told besides so that a controller does it, which is started if need be.
pub(crate) async fn arguments(app: &App) -> Vec<String> {
    of_all().await;
    app.make_secret().await;
    ["--via-controller", "--broker-credentials", "broker"]
        .map(str::to_owned)
        .to_vec()
}

/// A controller for all namespaces, with the rights that are exported for it and no others.
async fn of_all() {
    static ONE: OnceCell<Shared> = OnceCell::const_new();
    ONE.get_or_init(|| async {
        let world = World::get();
        install_crd(world).await;
        Shared::start(world).await
    })
    .await;
}

/// Ends when this process does, however that ends: its standard input is closed then.
struct Shared {
    /// Its standard input stays open as long as this process.
    _shell: std::process::Child,
}

impl Shared {
    async fn start(world: &World) -> Self {
        give_rights(world).await;
        let kubeconfig = kubeconfig_of(world, "sa/ms2m-system/ms2m-controller");
        let script = r#""$@" & child=$!; cat > /dev/null; kill "$child"; wait "$child""#;
        let mut shell = std::process::Command::new("sh")
            .args(["-c", script, "sh"])
            .arg(super::world::binary("ms2m"))
            .args(["controller", "--max-at-once", "50", "--max-per-node", "50"])
            .args([
                "--listen",
                "127.0.0.1:0",
                "--lease-namespace",
                "ms2m-system",
            ])
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("KUBECONFIG", kubeconfig.path())
            .stdin(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .expect("a shell starts");
        let stderr = shell.stderr.take().expect("it was piped");
        let (leads, led) = tokio::sync::oneshot::channel();
        // A thread, and no task: a runtime ends with the test that it belongs to.
        std::thread::spawn(move || {
            let _kept = kubeconfig;
            let mut leads = Some(leads);
            for line in std::io::BufReader::new(stderr)
                .lines()
                .map_while(Result::ok)
            {
                if line.contains("stage=Leads")
                    && let Some(leads) = leads.take()
                {
                    let _ = leads.send(());
                }
                if std::env::var_os("MS2M_TEST_TELL").is_some() {
                    tell(&line);
                }
            }
        });
        let led = tokio::time::timeout(DEADLINE, led).await;
        led.expect("it leads in time").expect("it leads");
        Self { _shell: shell }
    }
}

/// Namespace, service account, roles and bindings of the exported manifest.
pub(crate) async fn give_rights(world: &World) {
    let exported = include_str!("../../examples/manifests/controller.yaml");
    for document in serde_yaml::Deserializer::from_str(exported) {
        let object: Value = serde::Deserialize::deserialize(document).expect("it is YAML");
        let kind = object["kind"].as_str().unwrap_or_default();
        if ["Namespace", "ServiceAccount"].contains(&kind) || kind.contains("Role") {
            let text = object.to_string();
            world.kubectl_with(&["apply", "-f", "-"], &text).await;
        }
    }
}

/// Gives every user what is exported for a controller.
async fn give_rights_to_all(world: &World) {
    static GIVEN: OnceCell<()> = OnceCell::const_new();
    GIVEN
        .get_or_init(|| async {
            give_rights(world).await;
            for role in ["ms2m-controller", "ms2m-controller-nodes"] {
                let binding = json!({
                    "apiVersion": "rbac.authorization.k8s.io/v1",
                    "kind": "ClusterRoleBinding",
                    "metadata": {"name": format!("all-{role}")},
                    "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
                    "subjects": [{
                        "apiGroup": "rbac.authorization.k8s.io",
                        "kind": "Group",
                        "name": "system:authenticated",
                    }],
                });
                let text = binding.to_string();
                world.kubectl_with(&["apply", "-f", "-"], &text).await;
            }
        })
        .await;
}

/// The requests of a user: verb, resource, path and status.
pub(crate) async fn requests_of(api: &Api, user: &str) -> Vec<Value> {
    let path = format!("/sandbox/requests?user={user}");
    let report = api.get(&path).await.expect("there is a log");
    report["log"].as_array().cloned().unwrap_or_default()
}

/// A kubeconfig of whoever has this token.
pub(crate) fn kubeconfig_of(world: &World, token: &str) -> tempfile::NamedTempFile {
    let text = std::fs::read_to_string(&world.places.kubeconfig).expect("a kubeconfig");
    let mut config: Value = serde_yaml::from_str(&text).expect("it is YAML");
    config["users"][0]["user"] = json!({"token": token});
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    std::fs::write(file.path(), config.to_string()).expect("it is written");
    file
}

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
///
/// It has a user of its own, by whose name its requests are known, with the rights that are exported
/// for a controller and no others.
pub(crate) struct Controller {
    pub(crate) running: Running,
    _kubeconfig: tempfile::NamedTempFile,
    /// Where it listens.
    pub(crate) address: String,
}

impl Controller {
    /// Starts one for the namespace of an application; it leads or stands by afterwards.
    pub(crate) async fn start(app: &App, more: &[&str]) -> Self {
        give_rights_to_all(app.world).await;
        let kubeconfig = kubeconfig_of(app.world, &format!("user/{}", app.namespace));
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
        let path = kubeconfig.path().display().to_string();
        // As in a pod.
        let environment = [("KUBECONFIG", path.as_str()), ms2m::install::ALLOCATOR];
        let running = start(app.world, &arguments, &environment);
        running.says("the controller listens").await;
        let said = running.stderr();
        let address = said
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok())
            .find_map(|line| line["address"].as_str().map(str::to_owned));
        Self {
            running,
            _kubeconfig: kubeconfig,
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
        self.seen_migration(&Api::of(self.world).await, name).await
    }

    async fn seen_migration(&self, api: &Api, name: &str) -> Option<Value> {
        let group = "/apis/migration.ms2m.io/v1alpha1";
        let path = format!(
            "{group}/namespaces/{}/statefulmigrations/{name}",
            self.namespace
        );
        api.get(&path).await
    }

    /// Waits until a resource has ended, and gives it.
    pub(crate) async fn await_end(&self, name: &str) -> Value {
        self.await_migration(name, "it comes to an end", |found| {
            let phase = found["status"]["phase"].as_str().unwrap_or_default();
            ["Completed", "Failed"].contains(&phase)
        })
        .await
    }

    /// Waits until a resource is as `is` says, and gives it.
    pub(crate) async fn await_migration(
        &self,
        name: &str,
        what: &str,
        is: impl Fn(&Value) -> bool,
    ) -> Value {
        let api = Api::of(self.world).await;
        eventually(what, async || {
            let found = self.seen_migration(&api, name).await;
            found.filter(|found| is(found))
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

#[allow(clippy::print_stderr, reason = "MS2M_TEST_TELL asks for what was said")]
fn tell(line: &str) {
    eprintln!("{line}");
}
