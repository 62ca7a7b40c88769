//! Where a secret of the process's memory and the broker's password are to be found after a migration:
//! in the running pod, and nowhere else. Disks of the nodes, the registry's storage, what the API
//! server tells, and all that ms2m has said.
//!
//! A registry frees what is deleted when it collects its garbage, so that is done before its storage is
//! read: what somebody can still ask for stays then, and would be found.
//!
//! One place is left out, and has to be: the image store of the node that restored. A runtime keeps
//! the image of a container as long as there is the container, and nothing outside of the runtime
//! may take it away.

#[path = "../support/mod.rs"]
mod support;

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::json;
use support::cli::start;
use support::controller::{Controller, install_crd};
use support::{App, DEADLINE, Options, World};

/// In the process's memory alone: the first bytes of what `STATE_BYTES` makes a worker hold, which
/// no compressor makes smaller. They are worked out here a second time, so that they are in no file
/// of this test either.
fn of_the_memory() -> Vec<u8> {
    let mut word = 0x2545_F491_4F6C_DD1D_u64;
    let mut bytes = Vec::new();
    for _ in 0..16 {
        word ^= word << 13;
        word ^= word >> 7;
        word ^= word << 17;
        bytes.extend_from_slice(&word.to_le_bytes());
    }
    bytes
}

const USER: &str = "mover";
const PASSWORD: &str = "planted-7f3d1c-password";

/// Not a multiple of anything, and more than one piece of the upload.
const STATE_BYTES: &str = "6291456";

async fn application(name: &str) -> App {
    let options = Options {
        environment: vec![("STATE_BYTES", STATE_BYTES.to_owned())],
        ..Options::default()
    };
    // One of its own: what is found there is of this migration.
    let world: &'static World = Box::leak(Box::new(World::sandbox(&["node-a", "node-b"])));
    let app = App::start_in(world, name, &options).await;
    make_user(app.world).await;
    app
}

/// A user of the broker that nobody but ms2m uses.
async fn make_user(world: &World) {
    let broker = ms2m::broker::BrokerUrl::parse(&world.places.broker_url).expect("a broker URL");
    let base = world.places.management_url.trim_end_matches('/');
    let vhost: String = url::form_urlencoded::byte_serialize(broker.vhost().as_bytes()).collect();
    for (path, body) in [
        (
            format!("users/{USER}"),
            json!({"password": PASSWORD, "tags": "monitoring"}),
        ),
        (
            format!("permissions/{vhost}/{USER}"),
            json!({"configure": ".*", "write": ".*", "read": ".*"}),
        ),
    ] {
        let answer = reqwest::Client::new()
            .put(format!("{base}/api/{path}"))
            .basic_auth(broker.user(), Some(broker.password()))
            .json(&body)
            .send()
            .await
            .expect("the management API answers");
        assert!(answer.status().is_success(), "{path}: {answer:?}");
    }
}

/// The broker's URL with the planted password.
fn broker_url(world: &World) -> String {
    let mut url = url::Url::parse(&world.places.broker_url).expect("a URL");
    url.set_username(USER).expect("it has a host");
    url.set_password(Some(PASSWORD)).expect("it has a host");
    url.into()
}

fn migrate(app: &App, more: &[&str]) -> support::cli::Running {
    let mut arguments = app.migrate_arguments();
    // One of its own, that the registry's faults are ordered for.
    let at = arguments.iter().position(|it| it == "--repository");
    let repository = format!("{}/{}", app.world.places.registry, app.namespace);
    arguments[at.expect("it is usual") + 1] = repository;
    arguments.extend(more.iter().map(|it| (*it).to_owned()));
    // All there is to say.
    arguments.push("-vv".to_owned());
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let url = broker_url(app.world);
    let management = &app.world.places.management_url;
    let environment = [
        ("MS2M_BROKER_URL", url.as_str()),
        ("MS2M_MANAGEMENT_URL", management.as_str()),
    ];
    start(app.world, &arguments, &environment)
}

/// What a registry of Debian's kind does at night: it frees the blobs that no manifest refers to.
/// One that somebody could still ask for is not among them.
async fn collect_garbage(world: &World) {
    let configuration = world.places.dir.join("registry/config.yml");
    let run = tokio::process::Command::new("docker-registry")
        .arg("garbage-collect")
        .arg(configuration)
        .env("OTEL_TRACES_EXPORTER", "none")
        .output()
        .await
        .expect("docker-registry runs");
    assert!(run.status.success(), "{run:?}");
}

/// Every file below `directory` that has one of the secrets in it.
fn files_with_a_secret(directory: &Path) -> Vec<PathBuf> {
    let needles = [of_the_memory(), PASSWORD.as_bytes().to_vec()];
    let finders: Vec<_> = needles.iter().map(memchr::memmem::Finder::new).collect();
    let mut found = Vec::new();
    let mut left = vec![directory.to_owned()];
    while let Some(path) = left.pop() {
        // What goes away meanwhile holds nothing any more.
        let Ok(metadata) = path.symlink_metadata() else {
            continue;
        };
        if metadata.is_dir() {
            let entries = std::fs::read_dir(&path).into_iter().flatten();
            left.extend(entries.map_while(Result::ok).map(|entry| entry.path()));
        } else if metadata.is_file()
            && let Ok(bytes) = std::fs::read(&path)
            && finders.iter().any(|finder| finder.find(&bytes).is_some())
        {
            found.push(path);
        }
    }
    found
}

/// Whether it is in the image store of a node.
fn is_in_image_store(path: &Path, node: &str) -> bool {
    let text = path.display().to_string();
    text.contains(&format!("/{node}/")) && text.contains("/images/")
}

/// Nothing is in what the API server tells, nor in `said`, nor on a disk but for what the
/// runtime of the node `restored` keeps.
async fn nothing_is_found(app: &App, said: &[&str], restored: Option<&str>) {
    for words in said {
        assert!(!words.contains(PASSWORD), "{words}");
    }
    let mut kinds = "pods,jobs,configmaps,events,leases,services,statefulsets,nodes".to_owned();
    if app.world.try_kubectl(&["get", "sm"], "").await.is_ok() {
        kinds.push_str(",statefulmigrations");
    }
    let told = app
        .world
        .kubectl(&["get", &kinds, "-A", "-o", "json"])
        .await;
    assert!(
        !told.contains(PASSWORD),
        "the API server tells the password"
    );
    collect_garbage(app.world).await;
    // The kubelet clears a pod's directory away when it has told that the pod is gone.
    let until = Instant::now() + DEADLINE;
    loop {
        let mut found = files_with_a_secret(&app.world.places.dir);
        found.retain(|path| !restored.is_some_and(|node| is_in_image_store(path, node)));
        if found.is_empty() {
            return;
        }
        assert!(Instant::now() < until, "a secret is in {found:?}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// What `ms2m support-bundle` collects of the latest migration, all of it as one text.
async fn support_bundle(app: &App) -> String {
    let file = tempfile::NamedTempFile::new().expect("a file");
    let path = file.path().to_str().expect("UTF-8");
    let arguments = [
        "support-bundle",
        &app.pod,
        "-n",
        &app.namespace,
        "--file",
        path,
    ];
    let url = broker_url(app.world);
    let management = app.world.places.management_url.as_str();
    let environment = [
        ("MS2M_BROKER_URL", url.as_str()),
        ("MS2M_MANAGEMENT_URL", management),
    ];
    let done = start(app.world, &arguments, &environment);
    done.outcome().await.expect_code(0);
    let bytes = std::fs::read(path).expect("it is there");
    let mut text = String::new();
    for entry in tar::Archive::new(flate2::read::GzDecoder::new(&bytes[..]))
        .entries()
        .expect("an archive")
    {
        let mut entry = entry.expect("an entry");
        let name = entry.path().expect("a name").display().to_string();
        text.push_str(&format!("== {name}\n"));
        entry.read_to_string(&mut text).expect("a text");
    }
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn after_success() {
    let app = application("secret-success").await;
    let outcome = migrate(&app, &[]).outcome().await.expect_code(0);
    let bundle = support_bundle(&app).await;
    for part in [
        "Not in it:\n- logs/transfer.log",
        "phase: Completed",
        "product: \"RabbitMQ",
        "consumers: 1",
        "kubeletVersion",
        "API server v1.",
        &format!("/pods/{}.yaml", app.target),
    ] {
        assert!(bundle.contains(part), "no {part} in:\n{bundle}");
    }
    // The worker has it in its environment.
    assert!(!bundle.contains(STATE_BYTES), "{bundle}");
    let said = [outcome.stdout.as_str(), &outcome.stderr, &bundle];
    nothing_is_found(&app, &said, Some(&app.to)).await;
    app.end().await;
}

/// It shows that a secret would be found, too.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_kept_on_request_is_found() {
    let app = application("secret-kept").await;
    let outcome = migrate(&app, &["--keep-checkpoint"]).outcome().await;
    outcome.expect_code(0);
    let found = files_with_a_secret(&app.world.places.dir);
    let count = |part: &str| {
        let has = |path: &&PathBuf| path.display().to_string().contains(part);
        found.iter().filter(has).count()
    };
    assert!(count("/checkpoints/") > 0, "no archive: {found:?}");
    assert!(count("/registry/") > 0, "no layer: {found:?}");
    app.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_restore_that_fails() {
    let app = application("secret-failure").await;
    let fault = json!({"node": app.to, "pod": format!("{}/{}", app.namespace, app.target), "on": "restore",
        "error": "criu failed: type RESTORE errno 0", "times": 100});
    app.world.order("/kubelet", fault).await;
    let outcome = migrate(&app, &[]).outcome().await.expect_code(4);
    let said = [outcome.stdout.as_str(), &outcome.stderr];
    nothing_is_found(&app, &said, Some(&app.to)).await;
    app.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_an_upload_that_fails() {
    let app = application("secret-upload").await;
    let fault = json!({"method": "PUT", "status": 507, "times": 1000, "path": app.namespace});
    app.world.order("/registry", fault).await;
    let outcome = migrate(&app, &[]).outcome().await;
    let outcome = outcome.expect_code(4);
    let said = [outcome.stdout.as_str(), &outcome.stderr];
    nothing_is_found(&app, &said, None).await;
    app.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_an_abort() {
    let app = application("secret-abort").await;
    // The registry keeps the transfer at work until it is stopped.
    let fault = json!({"method": "POST", "status": 429, "times": 1000, "path": app.namespace});
    app.world.order("/registry", fault).await;
    let running = migrate(&app, &[]);
    running.says("] Transferring").await;
    running.signal("INT").await;
    let outcome = running.outcome().await;
    let said = [outcome.stdout.as_str(), &outcome.stderr];
    nothing_is_found(&app, &said, None).await;
    app.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn in_the_cluster() {
    let app = application("secret-cluster").await;
    install_crd(app.world).await;
    app.make_secret().await;
    let secret = json!({"stringData": {"username": USER, "password": PASSWORD}}).to_string();
    app.world
        .kubectl(&[
            "-n",
            &app.namespace,
            "patch",
            "secret",
            "broker",
            "-p",
            &secret,
        ])
        .await;
    let controller = Controller::start(&app, &[]).await;
    controller.leads().await;
    let resource = app.resource("kept-quiet");
    app.world
        .kubectl_with(&["apply", "-f", "-"], &resource.to_string())
        .await;
    app.world
        .kubectl(&[
            "-n",
            &app.namespace,
            "wait",
            "--for=condition=Completed",
            "--timeout=60s",
            "sm/kept-quiet",
        ])
        .await;
    let (_, metrics) = controller.get("/metrics").await;
    let said = [controller.running.stderr(), metrics];
    let said = said.each_ref().map(String::as_str);
    nothing_is_found(&app, &said, Some(&app.to)).await;
    app.end().await;
}
