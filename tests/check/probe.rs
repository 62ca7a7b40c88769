//! What only the nodes' own files tell (`--probe`), in a sandbox whose nodes may be spoilt: each check
//! in a case in which it fails, and green again after its remedy, run as it is printed.

use serde_json::{Value, json};

use crate::shown::{Shown, apply, arguments, check, check_cluster};
use crate::support::cli::start;
use crate::support::{App, Options, World, eventually};

const LOOKED: &str = "a pod can look at its files";
const SOURCE: &str = "Probe of node node-a";
const RUNC: &str = "/etc/criu/runc.conf";
const CRIO: &str = "/etc/crio/crio.conf.d/10-criu.conf";
const CONTAINERD: &str = "/etc/containerd/config.toml";

/// Files of a node, `null` for one that is to go.
async fn files(world: &World, node: &str, files: Value) {
    let setup = json!({"node": node, "setup": {"files": files}});
    world.order("/node", setup).await;
}

/// Runs what a remedy says is to be typed on `node`, in a directory that stands for the node's root, and
/// takes the files that come of it to that node.
async fn mend(world: &World, node: &str, before: &[(&str, &str)], remedies: &[String]) {
    let root = tempfile::tempdir().expect("a directory");
    for (path, text) in before {
        let path = root.path().join(path.trim_start_matches('/'));
        std::fs::create_dir_all(path.parent().expect("below the root")).expect("it is made");
        std::fs::write(path, text).expect("it is written");
    }
    std::fs::create_dir_all(root.path().join("etc/crio/crio.conf.d")).expect("it is made");
    for remedy in remedies {
        let (place, command) = remedy.split_once(": ").expect("where, and what");
        assert_eq!(place, format!("on node {node}"));
        let etc = format!("{}/etc/", root.path().display());
        let command = command
            .replace("/etc/", &etc)
            .replace("systemctl restart", "true");
        apply(world, &command).await;
    }
    let listed = std::process::Command::new("find")
        .args([".", "-type", "f"])
        .current_dir(root.path())
        .output()
        .expect("find is everywhere");
    let mut mended = serde_json::Map::new();
    for path in String::from_utf8_lossy(&listed.stdout).lines() {
        let text = std::fs::read_to_string(root.path().join(path)).expect("it is there");
        mended.insert(path.trim_start_matches('.').to_owned(), json!(text));
    }
    files(world, node, Value::Object(mended)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn criu_its_options_and_the_switches() {
    if !World::get().is_sandbox() {
        return;
    }
    let nodes = ["node-a", "node-b", "node-c=containerd"];
    let world: &'static World = Box::leak(Box::new(World::sandbox(&nodes)));
    let app = App::start_in(world, "probe", &Options::default()).await;
    let sound = check(&app, &["--probe"]).await;
    assert_eq!(sound.failed(), Vec::<&str>::new(), "{:#}", sound.document);
    for node in [SOURCE, "Probe of node node-b"] {
        sound
            .expect(node, "CRIU is installed", "pass")
            .expect(node, "CRIU's version will do (4.2.1)", "pass")
            .expect(node, "tcp-close in /etc/criu/runc.conf", "pass")
            .expect(node, "skip-in-flight", "pass")
            .expect(node, "enable_criu_support", "pass");
        let room = sound.check(node, "there is room");
        assert_ne!(room["outcome"], "skipped", "{room}");
    }
    sound.expect("Probe of both", "same low-level runtime (runc)", "pass");
    options(&app).await;
    programs(&app).await;
    switches(&app).await;
    low_level(&app).await;
    containerd(world).await;
    app.end().await;
}

async fn options(app: &App) {
    let world = app.world;
    files(world, "node-a", json!({RUNC: null})).await;
    let shown = check(app, &["--probe"]).await;
    assert_eq!(shown.code, Some(3));
    shown
        .expect(SOURCE, "tcp-close", "fail")
        .expect(SOURCE, "skip-in-flight", "warn")
        .expect("Probe of node node-b", "tcp-close", "pass");
    // That is what a migration meets.
    let moved = app.migrate(&[]).await.expect_code(4);
    assert!(
        moved.stderr.contains("ms2m explain open-connection"),
        "{moved:?}"
    );
    let remedies = [
        shown.remedies(SOURCE, "tcp-close"),
        shown.remedies(SOURCE, "skip-in-flight"),
    ];
    mend(world, "node-a", &[], &remedies.concat()).await;
    check(app, &["--probe"])
        .await
        .expect(SOURCE, "tcp-close", "pass")
        .expect(SOURCE, "skip-in-flight", "pass");
}

async fn programs(app: &App) {
    let world = app.world;
    files(world, "node-a", json!({"/usr/sbin/criu": null})).await;
    check(app, &["--probe"])
        .await
        .expect(SOURCE, "CRIU is installed", "fail")
        .expect(SOURCE, "CRIU's version", "skipped");
    let old = "\0x\x003.10\0Version: %s\n\0";
    files(world, "node-a", json!({"/usr/sbin/criu": old})).await;
    check(app, &["--probe"])
        .await
        .expect(SOURCE, "CRIU is installed", "pass")
        .expect(SOURCE, "CRIU's version", "fail");
    let new = "\0x\x004.2.1\0Version: %s\n\0";
    files(world, "node-a", json!({"/usr/sbin/criu": new})).await;
}

async fn switches(app: &App) {
    const CRIO_SWITCH: &str = "CRI-O is switched to checkpoints";
    let off = "[crio.runtime]\ndefault_runtime = \"runc\"\nenable_criu_support = false\n";
    files(app.world, "node-a", json!({CRIO: off})).await;
    let shown = check(app, &["--probe"]).await;
    shown.expect(SOURCE, CRIO_SWITCH, "fail");
    let remedies = shown.remedies(SOURCE, CRIO_SWITCH);
    mend(app.world, "node-a", &[(CRIO, off)], &remedies).await;
    check(app, &["--probe"])
        .await
        .expect(SOURCE, CRIO_SWITCH, "pass");
}

async fn low_level(app: &App) {
    const SAME: &str = "same low-level runtime";
    const LIBRARY: &str = "libcriu.so.2";
    let world = app.world;
    let of = |low: &str| {
        format!("[crio.runtime]\ndefault_runtime = '{low}'\nenable_criu_support = true\n")
    };
    files(world, "node-b", json!({CRIO: of("crun")})).await;
    let shown = check(app, &["--probe"]).await;
    shown
        .expect("Probe of both", SAME, "fail")
        // crun goes to runc's file where it has none of its own.
        .expect(
            "Probe of node node-b",
            "tcp-close in /etc/criu/runc.conf",
            "pass",
        )
        .expect("Probe of node node-b", LIBRARY, "warn");
    files(world, "node-b", json!({"/usr/lib/libcriu.so.2": ""})).await;
    check(app, &["--probe"])
        .await
        .expect("Probe of node node-b", LIBRARY, "pass");
    files(world, "node-b", json!({CRIO: of("runc")})).await;
    check(app, &["--probe"])
        .await
        .expect("Probe of both", SAME, "pass");
}

/// A whole cluster, and the switch of another runtime.
async fn containerd(world: &World) {
    const SWITCH: &str = "containerd is switched to checkpoints";
    const NODE: &str = "Probe of node node-c";
    let shown = probe_cluster(world, "default").await;
    shown
        .expect("Probe of node node-a", "CRIU is installed", "pass")
        .expect(NODE, SWITCH, "pass");
    let off = "[plugins.'io.containerd.cri.v1.runtime']\nenable_criu = false\n";
    files(world, "node-c", json!({CONTAINERD: off})).await;
    let shown = probe_cluster(world, "default").await;
    shown.expect(NODE, SWITCH, "fail");
    let remedy = shown.remedies(NODE, SWITCH).join("\n");
    assert!(remedy.contains("`enable_criu = true`"), "{remedy}");
    let on = off.replace("false", "true");
    files(world, "node-c", json!({CONTAINERD: on})).await;
    let shown = probe_cluster(world, "default").await;
    shown.expect(NODE, SWITCH, "pass");
}

/// The check of a cluster with `--probe`; no pod of it is left.
async fn probe_cluster(world: &World, namespace: &str) -> Shown {
    let plain = world.plain_http.to_string();
    let repository = format!("{}/checkpoints", world.places.registry);
    let environment = [
        ("MS2M_REPOSITORY", repository.as_str()),
        ("MS2M_TRANSFER_IMAGE", world.places.transfer_image.as_str()),
        ("MS2M_REGISTRY_PLAIN_HTTP", plain.as_str()),
    ];
    let words = ["check", "--probe", "-n", namespace, "-o", "json"];
    let outcome = start(world, &words, &environment).outcome().await;
    assert_eq!(left(world, namespace).await, "");
    Shown::of(&outcome)
}

async fn left(world: &World, namespace: &str) -> String {
    let label = "migration.ms2m.io/role=probe";
    world
        .kubectl(&["get", "pods", "-n", namespace, "-l", label, "-o", "name"])
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_that_takes_no_such_pod() {
    let world = World::get();
    let namespace = format!("check-probe-{}", std::process::id());
    world.kubectl(&["create", "namespace", &namespace]).await;
    let label = "pod-security.kubernetes.io/enforce=baseline";
    world
        .kubectl(&["label", "namespace", &namespace, label])
        .await;
    let node = format!("Probe of node {}", world.source_node);
    let shown = probe_cluster(world, &namespace).await;
    shown.expect(&node, LOOKED, "fail");
    assert_eq!(shown.code, Some(3));
    apply(world, &shown.remedies(&node, LOOKED)[0]).await;
    let shown = probe_cluster(world, &namespace).await;
    shown.expect(&node, "CRIU is installed", "pass");
    // Without an image there is nothing that could look, and that is no failure.
    let words = ["check", "--probe", "-n", &namespace, "-o", "json"];
    let outcome = start(world, &words, &[]).outcome().await;
    Shown::of(&outcome).expect("Probe", "a pod can look at the nodes' files", "skipped");
    // Nobody looks unless he is asked to, and it is said that he could.
    let shown = check_cluster(world, &namespace, &[]).await;
    assert!(!shown.document.to_string().contains("Probe of"));
    world
        .kubectl(&["delete", "namespace", &namespace, "--wait=false"])
        .await;
}

/// Ctrl-C leaves nothing behind.
#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_probe_removes_its_pods() {
    let app = App::start("stopped", &Options::default()).await;
    if !app.world.is_sandbox() {
        app.end().await;
        return;
    }
    let slow = json!({
        "on": "start", "delayMs": 20_000, "pod": format!("^{}/ms2m-probe-", app.namespace), "times": 2,
    });
    app.world.order("/kubelet", slow).await;
    let mut arguments = arguments(&app);
    arguments.push("--probe".to_owned());
    let run = app.start_ms2m(&arguments);
    eventually("a pod is there", async || {
        let pods = left(app.world, &app.namespace).await;
        (!pods.is_empty()).then_some(())
    })
    .await;
    run.signal("INT").await;
    let outcome = run.outcome().await.expect_code(130);
    assert!(outcome.stderr.contains("are removed"), "{outcome:?}");
    assert!(outcome.stdout.is_empty(), "{outcome:?}");
    assert_eq!(left(app.world, &app.namespace).await, "");
    app.end().await;
}
