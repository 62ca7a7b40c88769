//! What surrounds the pod and stands against its migration: its owner's strategy, a name that is taken,
//! a claim that cannot follow, a namespace that does not admit the target.

use serde_json::{Value, json};

use crate::shown::{Shown, apply, arguments, check};
use crate::support::{App, Options, Owner};

/// A direct transfer is not for a pod that goes before its copy runs.
#[tokio::test(flavor = "multi_thread")]
async fn a_way_of_the_checkpoint_that_the_strategy_forbids() {
    const SUITS: &str = "the way of the checkpoint suits the strategy";
    let options = Options {
        owner: Owner::StatefulSet,
        ..Options::default()
    };
    let app = App::start("way", &options).await;
    let shown = check(&app, &["--direct"]).await;
    shown.expect("Pod", SUITS, "fail");
    let remedies = shown.remedies("Pod", SUITS);
    assert!(
        remedies[0].ends_with("--strategy ShadowPod"),
        "{remedies:?}"
    );
    check(&app, &["--direct", "--strategy", "ShadowPod"])
        .await
        .expect("Pod", SUITS, "pass");
    assert!(remedies[1].ends_with("leave --direct out"), "{remedies:?}");
    check(&app, &[]).await.expect("Pod", SUITS, "pass");
    // There is no registry to keep it in.
    check(
        &app,
        &["--direct", "--strategy", "ShadowPod", "--keep-checkpoint"],
    )
    .await
    .expect("Pod", SUITS, "warn");
    app.end().await;
}

/// A worker that reaches nothing.
fn idle(app: &App, name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
        "spec": {
            "nodeSelector": {"kubernetes.io/hostname": app.to},
            "terminationGracePeriodSeconds": 1,
            "containers": [{"name": "worker", "image": app.world.places.worker_image, "env": [
                {"name": "AMQP_URL", "value": "amqp://127.0.0.1:1"}, {"name": "QUEUE", "value": "none"},
            ]}],
        },
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_is_taken() {
    const FREE: &str = "the target pod's name is free";
    let app = App::start("taken", &Options::default()).await;
    check(&app, &[]).await.expect("Pod", FREE, "pass");
    app.apply(&idle(&app, &app.target)).await;
    let shown = check(&app, &[]).await;
    shown.expect("Pod", FREE, "fail");
    let remedies = shown.remedies("Pod", FREE);
    let (_, command) = remedies[0].split_once(": ").expect("a command follows");
    apply(app.world, command).await;
    check(&app, &[]).await.expect("Pod", FREE, "pass");
    app.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_that_does_not_admit_the_target() {
    const ADMITS: &str = "admits the target pod";
    let app = App::start("level", &Options::default()).await;
    check(&app, &[]).await.expect("Namespace", ADMITS, "pass");
    // The pod is there already, and stays.
    let label = "pod-security.kubernetes.io/enforce=restricted";
    let words = ["label", "namespace", &app.namespace, label];
    app.world.kubectl(&words).await;
    let shown = check(&app, &[]).await;
    shown.expect("Namespace", ADMITS, "fail").expect(
        "Namespace",
        "admits the transfer's pod",
        "fail",
    );
    let meaning = |part: &str| shown.check("Namespace", part)["meaning"].to_string();
    // Of each pod what is wrong with it: this one mounts nothing of the node.
    assert!(meaning("the transfer's pod").contains("hostPath"));
    assert!(!meaning(ADMITS).contains("hostPath"));
    for remedy in shown.remedies("Namespace", ADMITS) {
        apply(app.world, &remedy).await;
    }
    check(&app, &[]).await.expect("Namespace", ADMITS, "pass");
    app.end().await;
}

/// A volume that two of the nodes reach, and a pod that mounts it.
fn on_two_nodes(app: &App, name: &str, nodes: [&str; 2]) -> Value {
    let volume = format!("{}-data", app.namespace);
    let terms = json!([{"matchExpressions": [
        {"key": "kubernetes.io/hostname", "operator": "In", "values": nodes}
    ]}]);
    let mut pod = idle(app, name);
    pod["spec"]["nodeSelector"]["kubernetes.io/hostname"] = json!(app.from);
    pod["spec"]["volumes"] =
        json!([{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}]);
    pod["spec"]["containers"][0]["volumeMounts"] = json!([{"name": "data", "mountPath": "/data"}]);
    let (modes, size) = (json!(["ReadWriteMany"]), json!({"storage": "1Mi"}));
    json!({"apiVersion": "v1", "kind": "List", "items": [
        {
            "apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": volume},
            "spec": {
                "accessModes": modes, "capacity": size, "storageClassName": "",
                "hostPath": {"path": format!("/data/{name}")},
                "nodeAffinity": {"required": {"nodeSelectorTerms": terms}},
            },
        },
        {
            "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "data"},
            "spec": {
                "accessModes": modes, "resources": {"requests": size}, "storageClassName": "",
                "volumeName": volume,
            },
        },
        pod,
    ]})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_that_cannot_follow() {
    const REACHES: &str = "the target node reaches its claims' volumes";
    let app = App::start("claim", &Options::default()).await;
    if !app.world.is_sandbox() {
        app.end().await;
        return;
    }
    let name = format!("{}-c", app.pod);
    app.apply(&on_two_nodes(&app, &name, ["node-a", "node-c"]))
        .await;
    app.await_ready(&name).await;
    let to = async |node: &str| {
        let mut arguments = arguments(&app);
        arguments[1].clone_from(&name);
        node.clone_into(&mut arguments[3]);
        Shown::of(&app.ms2m(&arguments).await)
    };
    let shown = to("node-b").await;
    shown.expect("Nodes", REACHES, "fail");
    let remedies = shown.remedies("Nodes", REACHES);
    assert!(
        remedies[0].starts_with("choose a node that reaches the volume"),
        "{remedies:?}"
    );
    to("node-c").await.expect("Nodes", REACHES, "pass");
    app.end().await;
}
