//! What nodes lack, in a sandbox of their own: it is seen in every check of a cluster.

use serde_json::json;

use crate::shown::{apply, check, check_cluster};
use crate::support::{App, Options, World, eventually};

/// A sandbox whose nodes may be spoilt.
fn own_world() -> &'static World {
    let nodes = ["node-a", "node-b", "node-c=containerd"];
    Box::leak(Box::new(World::sandbox(&nodes)))
}

/// Sets a node up, and waits until it tells so, if that is a version.
async fn set_up(world: &World, node: &str, setup: serde_json::Value) {
    let told = ["runtimeVersion", "kernelVersion"]
        .into_iter()
        .find_map(|it| setup[it].as_str())
        .map(str::to_owned);
    world
        .order("/node", json!({"node": node, "setup": setup}))
        .await;
    let Some(told) = told.filter(|it| !it.is_empty()) else {
        return;
    };
    eventually("the node tells its version", async || {
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
        .expect("Nodes", "CPU", "skipped");

    gate_is_off(world, &app).await;
    api_server_may_not(world, &app).await;
    versions(world, &app).await;
    features(world, &app).await;
    let other = check(&app, &["--to", "node-c"]).await;
    other.expect("Nodes", "same container runtime", "fail");
    other.expect("Nodes", "same architecture", "pass");
    taints(world, &app).await;
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
    let runtime = |version: &str| json!({"runtimeVersion": version});
    set_up(world, "node-b", runtime("cri-o://1.24.0")).await;
    let shown = check(app, &[]).await;
    shown.expect("Nodes", "restores them", "fail");
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
    shown.expect("Node node-b", "its runtime", "pass");
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
    let unready = json!({"node": "node-b", "ready": false});
    world.order("/node", unready).await;
    eventually("node-b is not ready", async || {
        let shown = check_cluster(world, "default", &[]).await;
        let check = shown.check("Node node-b", "it is ready");
        (check["outcome"] == "fail").then_some(())
    })
    .await;
    let shown = check(app, &[]).await;
    shown
        .expect("Nodes", "the target node is another one", "fail")
        .expect("Nodes", "same architecture", "skipped");
    let ready = json!({"node": "node-b", "ready": true});
    world.order("/node", ready).await;
}
