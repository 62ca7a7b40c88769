//! What the documents speak of: a sandbox with the images of this version in its registry, and for each
//! document `worker-0` with its queue, and whatever has to have happened before a command.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use serde_json::{Value, json};

use crate::blocks::Command;
use crate::cases::{Before, Case, End, When};
use crate::names::in_this_world;
use crate::shell::{Ended, Shell};
use crate::support::cli::{Running, start};
use crate::support::inside::Inside;
use crate::support::{App, Options, Owner, World, eventually, image};

const NODES: [&str; 3] = ["node-a", "node-b", "node-c"];

/// What a document's world is.
pub(crate) struct Scene {
    pub(crate) world: &'static World,
    document: String,
    app: App,
    /// The broker inside the cluster, once there is one.
    inside: tokio::sync::OnceCell<Inside>,
    migrations: Mutex<Migrations>,
}

/// Those that were seen so far, and the latest.
#[derive(Default)]
struct Migrations {
    seen: BTreeSet<String>,
    latest: Option<String>,
}

/// A sandbox of its own, since a control queue is named after the pod alone.
pub(crate) async fn sandbox() -> &'static World {
    let world = tokio::task::spawn_blocking(|| World::sandbox(&NODES));
    let world: &'static World = Box::leak(Box::new(world.await.expect("the sandbox starts")));
    for name in ["ms2m", "ms2m-transfer"] {
        image::of(world, name, env!("CARGO_PKG_VERSION")).await;
    }
    world
}

impl Scene {
    /// As it is at the beginning of a document.
    pub(crate) async fn open(world: &'static World, document: &str) -> Self {
        let (namespace, exchange, queue, key) = match document {
            "docs/operator.md" => ("shop", "events", "orders", "orders.#"),
            "docs/developer.md" => ("default", "events", "orders.in", "orders.#"),
            "examples/worker/README.md" => ("default", "orders", "orders.in", "orders.#"),
            _ => ("default", "events", "orders", "orders.new"),
        };
        let app = App {
            world,
            pod: "worker-0".to_owned(),
            target: "worker-0-shadow".to_owned(),
            namespace: namespace.to_owned(),
            exchange: exchange.to_owned(),
            queue: queue.to_owned(),
            routing_key: key.to_owned(),
            from: "node-a".to_owned(),
            to: "node-b".to_owned(),
            owner: Owner::Nobody,
            workload: "worker-0".to_owned(),
        };
        let scene = Self {
            world,
            document: document.to_owned(),
            app,
            inside: tokio::sync::OnceCell::new(),
            migrations: Mutex::default(),
        };
        if scene.is_guide() {
            world.kubectl(&["create", "namespace", namespace]).await;
            scene.inside().await;
        }
        scene
    }

    /// Whether it is the one that says itself where broker and registry are.
    fn is_guide(&self) -> bool {
        self.document == "docs/operator.md"
    }

    /// What the person's shell has set before the first command.
    pub(crate) fn environment(&self) -> Vec<(&'static str, String)> {
        let places = &self.world.places;
        let mut environment = vec![
            ("KUBECONFIG", places.kubeconfig.display().to_string()),
            ("MS2M_SANDBOX_CONTROL_URL", places.control_url.clone()),
            // The sandbox's registry has no TLS.
            ("MS2M_REGISTRY_PLAIN_HTTP", "true".to_owned()),
        ];
        if !self.is_guide() {
            environment.extend(self.app.environment());
            let repository = format!("{}/checkpoints", places.registry);
            environment.push(("MS2M_REPOSITORY", repository));
        }
        environment
    }

    /// Gives the person `rabbitmqctl` as it is on the broker's machine: for the sandbox's broker.
    pub(crate) fn furnish(&self, home: &Path) {
        use std::os::unix::fs::PermissionsExt as _;
        let broker = self.world.places.dir.join("broker");
        let id = std::fs::read_to_string(broker.join("pid")).expect("the broker has a pid file");
        let environment = std::fs::read_to_string(format!("/proc/{}/environ", id.trim()));
        let environment = environment.expect("the broker runs");
        let wanted = |it: &&str| {
            ["HOME=", "RABBITMQ_NODENAME=", "ERL_"]
                .iter()
                .any(|name| it.starts_with(name))
        };
        let words = environment.split('\0').filter(wanted);
        let words = words.map(|it| shlex::try_quote(it).expect("no NUL is left").into_owned());
        let words: Vec<String> = words.collect();
        // Debian's own one on the path becomes another user first.
        let program = "/usr/lib/rabbitmq/bin/rabbitmqctl";
        let text = format!("#!/bin/sh\nexec env {} {program} \"$@\"\n", words.join(" "));
        let path = home.join("bin/rabbitmqctl");
        std::fs::write(&path, text).expect("it can be written");
        let mode = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(&path, mode).expect("it can be run");
    }

    /// The migration that the document speaks of: the latest.
    pub(crate) async fn migration(&self) -> String {
        self.look().await;
        let migrations = self
            .migrations
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        migrations.latest.clone().expect("there was a migration")
    }

    /// Sees whether there is another migration.
    async fn look(&self) {
        let namespace = ["-n", &self.app.namespace];
        let records = ["get", "configmaps", "-l", "migration.ms2m.io/role=journal"];
        let records = [&records[..], &["-o", "name"], &namespace].concat();
        let records = self.world.kubectl(&records).await;
        let resources = [&["get", "sm", "-o", "name"][..], &namespace].concat();
        // There are none where the CRD is not.
        let resources = self.world.try_kubectl(&resources, "").await;
        let names = records.lines().filter_map(|it| it.split_once("/ms2m-"));
        let resources = resources.unwrap_or_default();
        let names = names.chain(resources.lines().filter_map(|it| it.split_once('/')));
        let mut migrations = self
            .migrations
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        for (_, name) in names {
            if migrations.seen.insert(name.to_owned()) {
                migrations.latest = Some(name.to_owned());
            }
        }
    }

    /// The worker's address.
    pub(crate) async fn address(&self) -> String {
        self.kubectl("get pod worker-0 -o jsonpath={.status.podIP}")
            .await
    }

    async fn kubectl(&self, arguments: &str) -> String {
        let arguments: Vec<&str> = arguments.split(' ').collect();
        let namespace = ["-n", &self.app.namespace];
        self.world
            .kubectl(&[&arguments[..], &namespace].concat())
            .await
    }

    /// The broker inside the cluster, which is on no node that is drained.
    async fn inside(&self) -> &Inside {
        let made = async || {
            self.kubectl("cordon node-a node-b").await;
            let inside = Inside::start_in(self.world, "messaging".to_owned()).await;
            self.kubectl("uncordon node-a node-b").await;
            inside
        };
        self.inside.get_or_init(made).await
    }

    fn ms2m(&self, arguments: &[&str]) -> Running {
        let mut environment = self.environment();
        if self.is_guide() {
            // As its reader has exported by then.
            let repository = format!("{}/checkpoints", self.world.places.registry);
            let broker = "amqp://ms2m:PASSWORD@rabbit.messaging.svc".to_owned();
            environment.extend([("MS2M_BROKER_URL", broker), ("MS2M_REPOSITORY", repository)]);
        }
        let environment: Vec<(&str, &str)> = environment
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        let namespace = ["-n", &self.app.namespace];
        start(self.world, &[arguments, &namespace].concat(), &environment)
    }

    /// A new `worker-0` on `node-a` and an empty queue, whatever was there before.
    async fn worker(&self, options: &Options, secret: Option<Value>) {
        self.kubectl("uncordon node-a node-b").await;
        let delete = "delete pod worker-0 worker-0-shadow loner --ignore-not-found";
        self.kubectl(delete).await;
        self.app.declare(options.exchange_type).await;
        self.purge().await;
        let Some(secret) = secret else {
            return self.apply_worker(self.app.manifest(options)).await;
        };
        self.app.apply(&secret).await;
        let mut pod = self.app.manifest(options);
        let key = json!({"secretKeyRef": {"name": "broker", "key": "url"}});
        pod["spec"]["containers"][0]["env"][0] = json!({"name": "AMQP_URL", "valueFrom": key});
        self.apply_worker(pod).await;
    }

    async fn apply_worker(&self, pod: Value) {
        self.app.apply(&pod).await;
        self.app.await_ready("worker-0").await;
    }

    /// The path of the broker's queues at its management API.
    fn queues(&self) -> String {
        let url = ms2m::broker::BrokerUrl::parse(&self.world.places.broker_url).expect("a URL");
        let vhost = url::form_urlencoded::byte_serialize(url.vhost().as_bytes());
        format!("queues/{}", vhost.collect::<String>())
    }

    /// Whether a message waits in the queue. Of a list the broker counts at once, of one queue seldom.
    async fn waits(&self) -> bool {
        let path = format!(
            "{}?disable_stats=true&enable_queue_totals=true",
            self.queues()
        );
        let queues = self.world.management(&path).await;
        let queue = queues.as_array().into_iter().flatten();
        let mut queue = queue.filter(|it| it["name"] == self.app.queue.as_str());
        queue.any(|it| it["messages"].as_u64() > Some(0))
    }

    async fn purge(&self) {
        let url = ms2m::broker::BrokerUrl::parse(&self.world.places.broker_url).expect("a URL");
        let base = self.world.places.management_url.trim_end_matches('/');
        let answer = reqwest::Client::new()
            .delete(format!(
                "{base}/api/{}/{}/contents",
                self.queues(),
                self.app.queue
            ))
            .basic_auth(url.user(), Some(url.password()))
            .send()
            .await
            .expect("the management API answers");
        assert!(answer.status().is_success(), "{answer:?}");
    }

    /// Puts something there.
    async fn set(&self, shell: &mut Shell, before: Before) {
        let annotated = Options {
            annotated: true,
            ..Options::default()
        };
        match before {
            Before::Worker => self.worker(&annotated, None).await,
            Before::BareWorker => self.worker(&Options::default(), None).await,
            Before::Busy => self.busy().await,
            Before::Undiscovered => self.undiscovered(shell).await,
            Before::Unfinished => {
                self.busy().await;
                let migrate = self.ms2m(&["migrate", "worker-0", "--to", "node-b"]);
                migrate.says("gate closed").await;
                migrate.signal("KILL").await;
                migrate.outcome().await;
            }
            Before::UnderWay => self.under_way().await,
            Before::Ended => {
                let name = self.migration().await;
                self.ms2m(&["watch", &name]).outcome().await.expect_code(0);
            }
            Before::Controller => self.controller().await,
            Before::Labelled => {
                let name = self.migration().await;
                self.kubectl(&format!("label sm {name} team=orders")).await;
            }
            Before::Loner => {
                let image = &self.world.places.worker_image;
                let on = r#"--overrides={"spec":{"nodeName":"node-a"}}"#;
                self.kubectl(&format!("run loner --image={image} {on}"))
                    .await;
            }
            Before::NoRight => self.api_server_is_admin(false).await,
            Before::NoTcpClose => self.criu_is_told("").await,
            Before::HostAliases => self.host_aliases().await,
            Before::Manifest => {
                let copy = "cp examples/manifests/migration.yaml migrations.yaml";
                expect(&shell.run(copy).await, 0, copy);
            }
            Before::Evaluated => {
                let once = "ms2m-evaluate run --out evaluation --repetitions 1 --rates 20 \
                    --configurations pod";
                expect(&shell.run(once).await, 0, once);
            }
        }
    }

    /// Takes back what later commands are not to find.
    async fn undo(&self, shell: &mut Shell, before: Before) {
        match before {
            // In the guide it is the next command that mends it.
            Before::NoRight if !self.is_guide() => self.api_server_is_admin(true).await,
            Before::NoTcpClose => self.criu_is_told("tcp-close\nskip-in-flight\n").await,
            Before::Undiscovered => {
                for (name, value) in self.app.environment() {
                    let export = format!("export {name}='{value}'");
                    expect(&shell.run(&export).await, 0, &export);
                }
            }
            _ => {}
        }
    }

    async fn busy(&self) {
        let options = Options {
            environment: vec![("PROCESSING_TIME", "50ms".to_owned())],
            annotated: true,
            ..Options::default()
        };
        self.worker(&options, None).await;
        self.app.publish(60).await;
    }

    async fn undiscovered(&self, shell: &mut Shell) {
        let inside = self.inside().await;
        let options = Options {
            hosts: inside.hosts.clone(),
            ..Options::default()
        };
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "broker"},
            "stringData": {"url": inside.url},
        });
        self.worker(&options, Some(secret)).await;
        let unset = "unset MS2M_BROKER_URL MS2M_MANAGEMENT_URL";
        expect(&shell.run(unset).await, 0, unset);
    }

    async fn under_way(&self) {
        self.busy().await;
        let create = [
            "create",
            "worker-0",
            "--to",
            "node-b",
            "--broker-credentials",
            "mq",
        ];
        self.ms2m(&create).outcome().await.expect_code(0);
        let name = self.migration().await;
        eventually("the controller has begun", async || {
            let phase = format!("get sm {name} -o jsonpath={{.status.phase}}");
            (self.kubectl(&phase).await == "Checkpointing").then_some(())
        })
        .await;
    }

    async fn controller(&self) {
        let image = image::of(self.world, "ms2m", env!("CARGO_PKG_VERSION")).await;
        let install = ["install", "--image", &image, "--listen", "$(POD_IP):8080"];
        start(self.world, &install, &[])
            .outcome()
            .await
            .expect_code(0);
        let url = ms2m::broker::BrokerUrl::parse(&self.world.places.broker_url).expect("a URL");
        let mut secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "mq"}});
        secret["stringData"] = json!({"username": url.user(), "password": url.password()});
        self.app.apply(&secret).await;
    }

    async fn host_aliases(&self) {
        let hosts = &self.inside().await.hosts;
        let patch = json!({"spec": {"template": {"spec": {"hostAliases": hosts}}}}).to_string();
        let system = ["-n", "ms2m-system"];
        let name = [&["get", "deployments", "-o", "name"][..], &system].concat();
        let name = self.world.kubectl(&name).await;
        let patch = ["patch", name.trim(), "-p", &patch];
        self.world.kubectl(&[&patch[..], &system].concat()).await;
        let rolled = ["rollout", "status", name.trim(), "--timeout=60s"];
        self.world.kubectl(&[&rolled[..], &system].concat()).await;
    }

    async fn api_server_is_admin(&self, is: bool) {
        for node in NODES {
            let setup = json!({"node": node, "setup": {"apiServerIsAdmin": is}});
            self.world.order("/node", setup).await;
        }
    }

    async fn criu_is_told(&self, text: &str) {
        let setup = json!({"files": {"/etc/criu/runc.conf": text}});
        let order = json!({"node": "node-a", "setup": setup});
        self.world.order("/node", order).await;
    }

    /// Waits for a moment of a command.
    async fn moment(&self, shell: &Shell, when: When) {
        eventually(
            &format!("{when:?}; it has said {}", shell.said()),
            async || match when {
                When::Says(words) => shell.said().contains(words).then_some(()),
                When::Queued => self.waits().await.then_some(()),
            },
        )
        .await;
    }
}

#[track_caller]
fn expect(ended: &Ended, code: i32, what: &(impl Display + ?Sized)) {
    assert_eq!(ended.code, code, "{what}\n{}", ended.said);
}

#[allow(clippy::print_stderr, reason = "MS2M_TEST_TELL asks for what was said")]
fn tell(command: &Command, begun: Instant, ended: &Ended) {
    if std::env::var_os("MS2M_TEST_TELL").is_some() {
        let seconds = begun.elapsed().as_secs_f64();
        eprintln!(
            "{command}  [{seconds:.1}s, exit {}]\n{}",
            ended.code, ended.said
        );
    }
}

/// Runs a command with what has to be there before it, and sees how it ends.
pub(crate) async fn run(scene: &Scene, shell: &mut Shell, command: &Command, case: &Case) {
    let begun = Instant::now();
    for before in case.before {
        scene.set(shell, *before).await;
    }
    let text = in_this_world(scene, &command.text).await;
    let (ended, code) = match case.end {
        End::Code(code) => (shell.run(&text).await, code),
        End::Interrupted(moments, code) => {
            let group = shell.begin(&text).await;
            for when in moments {
                scene.moment(shell, *when).await;
                group.interrupt();
            }
            (shell.end().await, code)
        }
    };
    tell(command, begun, &ended);
    expect(&ended, code, command);
    let says = ended.said.contains(case.says);
    assert!(says, "{command}\n'{}' is not in\n{}", case.says, ended.said);
    for before in case.before {
        scene.undo(shell, *before).await;
    }
    scene.look().await;
}
