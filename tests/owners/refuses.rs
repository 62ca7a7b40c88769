//! Owners that stand against a migration, and what of a pod stays behind.

use serde_json::{Value, json};

use crate::scene::Set;
use crate::support::{App, Options, eventually};

/// A worker whose pod has that controller.
async fn owned_by(name: &str, owner: Value) -> App {
    let world = crate::support::World::get();
    let app = App::named(world, name, &Options::default());
    app.declare(ms2m_worker::producer::ExchangeType::Topic)
        .await;
    world
        .kubectl(&["create", "namespace", &app.namespace])
        .await;
    app.apply(&owner).await;
    let kind = owner["kind"].as_str().expect("a kind");
    let name = owner["metadata"]["name"].as_str().expect("a name");
    let arguments = ["get", kind, name, "-n", &app.namespace, "-o", "json"];
    let made: Value = serde_json::from_str(&world.kubectl(&arguments).await).expect("JSON");
    let mut pod = app.manifest(&Options::default());
    pod["metadata"]["ownerReferences"] = json!([{
        "apiVersion": made["apiVersion"], "kind": kind, "name": name,
        "uid": made["metadata"]["uid"], "controller": true,
    }]);
    app.apply(&pod).await;
    eventually("the worker consumes its queue", async || {
        app.report(&app.pod).await.filter(|report| report.consuming)
    })
    .await;
    app
}

fn workload(kind: &str, version: &str) -> Value {
    let template = json!({
        "metadata": {"labels": {"app": "other"}},
        "spec": {"containers": [{"name": "a", "image": "registry.invalid/none:1"}]},
    });
    json!({
        "apiVersion": version, "kind": kind, "metadata": {"name": "owner"},
        "spec": {"selector": {"matchLabels": {"app": "other"}}, "template": template},
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_of_a_daemon_set() {
    let app = owned_by("daemon", workload("DaemonSet", "apps/v1")).await;
    let outcome = app.migrate(&["--orphan"]).await.expect_code(3);
    assert!(
        outcome.stderr.contains("belongs to DaemonSet owner"),
        "{outcome:?}"
    );
    assert!(
        outcome.stderr.contains("run it as a StatefulSet"),
        "{outcome:?}"
    );
    app.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_of_an_owner_that_nobody_knows_takes_a_word() {
    let owner = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "owner"}});
    let app = owned_by("custom", owner).await;
    let outcome = app.migrate(&[]).await.expect_code(3);
    assert!(outcome.stderr.contains("--orphan"), "{outcome:?}");
    let record = app.publish(20).await;
    app.migrate(&["--orphan"]).await.expect_code(0);
    app.assert_exact(&record, &app.target).await;
    app.end().await;
}

/// What does not travel is said, and refused where that was asked for.
#[tokio::test(flavor = "multi_thread")]
async fn what_stays_behind_is_said() {
    let world = crate::support::World::get();
    let app = App::named(world, "stays-behind", &Options::default());
    app.declare(ms2m_worker::producer::ExchangeType::Topic)
        .await;
    world
        .kubectl(&["create", "namespace", &app.namespace])
        .await;
    let mut pod = app.manifest(&Options::default());
    let spec = &mut pod["spec"];
    spec["volumes"] = json!([{"name": "scratch", "emptyDir": {}}]);
    spec["containers"][0]["volumeMounts"] = json!([{"name": "scratch", "mountPath": "/scratch"}]);
    spec["containers"][0]["livenessProbe"] = json!({
        "httpGet": {"path": "/readyz", "port": 8080}, "periodSeconds": 1, "failureThreshold": 5,
    });
    app.apply(&pod).await;
    app.await_ready(&app.pod).await;
    eventually("the worker consumes its queue", async || {
        app.report(&app.pod).await.filter(|report| report.consuming)
    })
    .await;
    let outcome = app.migrate(&["--strict"]).await.expect_code(3);
    assert!(
        outcome
            .stderr
            .contains("contents of volume scratch (emptyDir)"),
        "{outcome:?}"
    );
    assert!(
        outcome.stderr.contains("nothing was changed"),
        "{outcome:?}"
    );
    let record = app.publish(20).await;
    let outcome = app.migrate(&[]).await.expect_code(0);
    for words in ["contents of volume scratch", "gives up after 5 s"] {
        assert!(outcome.stderr.contains(words), "{words}: {outcome:?}");
    }
    app.assert_exact(&record, &app.target).await;
    app.end().await;
}

/// A budget that is exhausted, and rules of the pod that forbid the target node.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_cluster_s_rules_forbid() {
    let world = crate::support::World::get();
    let label = format!("only-here-{}", std::process::id());
    let node = world.source_node.clone();
    let arguments = [
        "label",
        "node",
        &node,
        &format!("{label}=yes"),
        "--overwrite",
    ];
    world.kubectl(&arguments).await;
    let set = Set::start("rules", 1, |set| {
        set["spec"]["template"]["spec"]["nodeSelector"] = json!({(label.as_str()): "yes"});
    })
    .await;
    let app = &set.pods[0];
    let outcome = app.migrate(&["--to", &app.to]).await.expect_code(3);
    let words = format!("its node selector asks for {label}=yes");
    assert!(outcome.stderr.contains(&words), "{outcome:?}");
    let other = [
        "label",
        "node",
        &app.to,
        &format!("{label}=yes"),
        "--overwrite",
    ];
    world.kubectl(&other).await;
    app.apply(&json!({
        "apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "always"},
        "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "worker"}}},
    }))
    .await;
    eventually("the budget is counted", async || {
        let budget = set.get("pdb", "always").await?;
        (budget["status"]["currentHealthy"] == 1).then_some(())
    })
    .await;
    let outcome = app.migrate(&["--to", &app.to]).await.expect_code(3);
    assert!(
        outcome
            .stderr
            .contains("PodDisruptionBudget always allows no pod to be missing"),
        "{outcome:?}"
    );
    let shadow = ["--to", &app.to, "--strategy", "shadow-pod", "--dry-run"];
    app.migrate(&shadow).await.expect_code(0);
    set.end().await;
}
