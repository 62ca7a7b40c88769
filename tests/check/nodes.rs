//! What nodes lack, in a sandbox of their own: it is seen in every check of a cluster.

use serde_json::json;

use crate::shown::{Shown, apply, check, check_cluster};
use crate::support::{App, Options, World, eventually};

/// A sandbox whose nodes may be spoilt.
fn own_world() -> &'static World {
    let nodes = ["node-a", "node-b", "node-c=containerd"];
    Box::leak(Box::new(World::sandbox(&nodes)))
}

/// Sets a node up, and waits until it tells so, if that is something that it tells.
async fn set_up(world: &World, node: &str, setup: serde_json::Value) {
    let told = ["runtimeVersion", "kernelVersion", "architecture"]
        .into_iter()
        .find_map(|it| setup[it].as_str())
        .map(str::to_owned);
    world
        .order("/node", json!({"node": node, "setup": setup}))
        .await;
    let Some(told) = told.filter(|it| !it.is_empty()) else {
        return;
    };
    eventually("the node tells it", async || {
        let info = world
            .kubectl(&["get", "node", node, "-o", "jsonpath={.status.nodeInfo}"])
            .await;
        info.contains(&told).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kubelets_runtimes_and_kernels() {
    if !World::get().is_sandbox() {
        return;
    }
    let world = own_world();
    let app = App::start_in(world, "nodes", &Options::default()).await;
    let sound = check(&app, &[]).await;
    assert_eq!(sound.failed(), Vec::<&str>::new(), "{:#}", sound.document);
    sound
        .expect("Nodes", "kernel", "pass")
        .expect("Nodes", "CPU", "skipped")
        .expect("Pod", "the digest of its image is known", "pass");

    gate_is_off(world, &app).await;
    api_server_may_not(world, &app).await;
    versions(world, &app).await;
    features(world, &app).await;
    let other = check(&app, &["--to", "node-c"]).await;
    other.expect("Nodes", "same container runtime", "fail");
    other.expect("Nodes", "same architecture", "pass");
    architecture(world, &app).await;
    digest(world).await;
    taints(world, &app).await;
    not_ready(world, &app).await;
    app.end().await;
}

async fn gate_is_off(world: &World, app: &App) {
    set_up(world, "node-a", json!({"containerCheckpoint": false})).await;
    let shown = check(app, &[]).await;
    shown
        .expect("Nodes", "ContainerCheckpoint", "fail")
        .expect("Nodes", "checkpoint call", "fail");
    let remedy = shown.remedies("Nodes", "ContainerCheckpoint").join("\n");
    assert!(remedy.contains("ContainerCheckpoint: true"), "{remedy}");
    // What the remedy does on a node.
    set_up(world, "node-a", json!({"containerCheckpoint": true})).await;
    let shown = check(app, &[]).await;
    shown
        .expect("Nodes", "ContainerCheckpoint", "pass")
        .expect("Nodes", "checkpoint call", "pass");
}

async fn api_server_may_not(world: &World, app: &App) {
    set_up(world, "node-a", json!({"apiServerIsAdmin": false})).await;
    let shown = check(app, &[]).await;
    shown
        .expect("Nodes", "ContainerCheckpoint", "pass")
        .expect("Nodes", "checkpoint call", "fail");
    for remedy in shown.remedies("Nodes", "checkpoint call") {
        apply(world, &remedy).await;
    }
    let shown = check_cluster(world, "default", &[]).await;
    shown.expect("Node node-a", "checkpoint call", "pass");
    set_up(world, "node-a", json!({"apiServerIsAdmin": true})).await;
}

async fn versions(world: &World, app: &App) {
    const BOTH: &str = "its runtime takes and restores checkpoints";
    const TAKES: &str = "the source node's runtime takes checkpoints";
    let runtime = |version: &str| json!({"runtimeVersion": version});
    set_up(world, "node-a", runtime("cri-o://1.24.0")).await;
    check(app, &[]).await.expect("Nodes", TAKES, "fail");
    set_up(world, "node-a", runtime("cri-o://1.36.3")).await;
    set_up(world, "node-b", runtime("cri-o://1.24.0")).await;
    let shown = check(app, &[]).await;
    shown
        .expect("Nodes", "restores them", "fail")
        .expect("Nodes", TAKES, "pass");
    let cluster = check_cluster(world, "default", &[]).await;
    cluster.expect("Node node-b", BOTH, "fail");
    let migrate = app.migrate(&["--dry-run"]).await.expect_code(3);
    let words = "cri-o://1.24.0 on node node-b does not do for a migration";
    assert!(migrate.stderr.contains(words), "{migrate:?}");
    set_up(world, "node-b", runtime("cri-o://1.37.0")).await;
    check(app, &[])
        .await
        .expect("Nodes", "restores them", "warn");
    set_up(world, "node-b", runtime("")).await;
    set_up(world, "node-b", json!({"kernelVersion": "4.19.0"})).await;
    let shown = check(app, &[]).await;
    shown.expect("Nodes", "kernel", "warn");
    shown.expect("Nodes", "restores them", "pass");
    set_up(world, "node-b", json!({"kernelVersion": ""})).await;
    let shown = check_cluster(world, "default", &[]).await;
    shown.expect("Node node-b", BOTH, "pass");
}

async fn features(world: &World, app: &App) {
    let label = async |node: &str, feature: &str| {
        let label = format!("feature.node.kubernetes.io/cpu-cpuid.{feature}=true");
        world.kubectl(&["label", "node", node, &label]).await;
    };
    label("node-a", "AVX2").await;
    label("node-a", "AVX512F").await;
    label("node-b", "AVX2").await;
    check(app, &[]).await.expect("Nodes", "CPU", "warn");
    label("node-b", "AVX512F").await;
    check(app, &[]).await.expect("Nodes", "CPU", "pass");
}

async fn taints(world: &World, app: &App) {
    world
        .kubectl(&["taint", "node", "node-b", "gpu=yes:NoSchedule"])
        .await;
    check(app, &[]).await.expect("Nodes", "tolerations", "fail");
    world
        .kubectl(&["taint", "node", "node-b", "gpu=yes:NoSchedule-"])
        .await;
    check(app, &[]).await.expect("Nodes", "tolerations", "pass");
}

/// Whether a node is ready, as the check of the cluster sees it.
async fn ready(world: &World, node: &str, ready: bool) -> Shown {
    let order = json!({"node": node, "ready": ready});
    world.order("/node", order).await;
    let group = format!("Node {node}");
    eventually("the node's condition is seen", async || {
        let shown = check_cluster(world, "default", &[]).await;
        let passed = shown.check(&group, "it is ready")["outcome"] == "pass";
        (passed == ready).then_some(shown)
    })
    .await
}

async fn not_ready(world: &World, app: &App) {
    const TWO: &str = "there are two nodes between which a pod can be moved";
    // Another runtime is all that is left.
    ready(world, "node-b", false)
        .await
        .expect("Node node-b", "it is ready", "fail")
        .expect("Nodes", TWO, "fail");
    check(app, &[])
        .await
        .expect("Nodes", "its node is ready", "pass")
        .expect("Nodes", "the target node is another one", "fail")
        .expect("Nodes", "same architecture", "skipped");
    ready(world, "node-b", true)
        .await
        .expect("Nodes", TWO, "pass");
    ready(world, "node-a", false).await;
    check(app, &[])
        .await
        .expect("Nodes", "its node is ready", "fail")
        .expect("Nodes", "the target node is another one", "skipped");
    ready(world, "node-a", true).await;
    check(app, &[])
        .await
        .expect("Nodes", "its node is ready", "pass");
}

async fn architecture(world: &World, app: &App) {
    const SAME: &str = "both nodes have the same architecture";
    let sound = check(app, &[]).await;
    sound.expect("Nodes", SAME, "pass");
    set_up(world, "node-b", json!({"architecture": "riscv64"})).await;
    check(app, &[]).await.expect("Nodes", SAME, "fail");
    set_up(world, "node-b", json!({"architecture": ""})).await;
    eventually("node-b tells the truth again", async || {
        let shown = check(app, &[]).await;
        (shown.check("Nodes", SAME)["outcome"] == "pass").then_some(())
    })
    .await;
}

/// An image that was loaded on the source node by hand has no digest. The migration pulls it by tag, as
/// the check says.
async fn digest(world: &'static World) {
    const KNOWN: &str = "the digest of its image is known";
    set_up(world, "node-a", json!({"imageDigests": false})).await;
    let app = App::start_in(world, "loaded", &Options::default()).await;
    let shown = check(&app, &[]).await;
    shown
        .expect("Pod", KNOWN, "warn")
        .expect("Nodes", "has the image", "skipped");
    let why = shown.check("Nodes", "has the image")["meaning"][0].clone();
    assert_eq!(why, "its digest is not known");
    let record = app.publish(20).await;
    let moved = app.migrate(&[]).await.expect_code(0);
    let words = shown.check("Pod", KNOWN)["meaning"][0].clone();
    let words = words.as_str().expect("a text");
    assert!(moved.stderr.contains(words), "{words}: {moved:?}");
    app.assert_exact(&record, &app.target).await;
    set_up(world, "node-a", json!({"imageDigests": true})).await;
    app.end().await;
}
