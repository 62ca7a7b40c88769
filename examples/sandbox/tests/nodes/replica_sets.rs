//! What a ReplicaSet does with pods that come to match it or cease to, and which of too many goes.

use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use super::support::{
    Record, Scene, World, by_hand, condition, container, end, owner, pods, push_actor, relabel,
    uid, wait_for,
};

const COST: &str = "controller.kubernetes.io/pod-deletion-cost";

/// A set of pods that wait to be ended.
fn set(image: &str, replicas: u32) -> Value {
    json!({
        "metadata": { "name": "rs" },
        "spec": {
            "replicas": replicas,
            "selector": { "matchLabels": { "app": "rs" } },
            "template": {
                "metadata": { "labels": { "app": "rs" } },
                "spec": {
                    "terminationGracePeriodSeconds": 1,
                    "containers": [{ "name": "main", "image": image, "args": ["wait"] }],
                },
            },
        },
    })
}

fn name(pod: &Value) -> &str {
    pod["metadata"]["name"].as_str().unwrap_or_default()
}

/// The set's status once it is as wanted and says so of its latest spec.
async fn status_when(scene: &Scene, wanted: impl Fn(&Value) -> bool) -> Value {
    wait_for("the set's status", async || {
        let set = json!(scene.api::<ReplicaSet>().get("rs").await.expect("is there"));
        let current = set["status"]["observedGeneration"] == set["metadata"]["generation"];
        Some(set["status"].clone()).filter(|status| current && wanted(status))
    })
    .await
}

/// A set of one whose pod is ready, and that pod.
async fn one_pod(scene: &Scene, image: &str) -> Value {
    scene.create::<ReplicaSet>(set(image, 1)).await;
    status_when(scene, |status| status["readyReplicas"] == 1).await;
    pods(scene).await.pop().expect("has one")
}

async fn scene(name: &str) -> (Scene, String) {
    let scene = Scene::new(name).await;
    let world: &World = &scene.world;
    let image = push_actor(world, name).await;
    (scene, image)
}

/// As measured on the real controller (facts.md, Owners).
#[tokio::test]
async fn a_set_adopts_a_pod_and_gives_up_the_cheaper_one() {
    let (scene, image) = scene("replicas-adopt").await;
    let source = one_pod(&scene, &image).await;
    let record = Record::of(&scene).await;
    let shadow = by_hand("shadow", "node-b", &image, json!({ "app": "shadow" }));
    scene.create::<Pod>(shadow).await;
    let shadow = scene.ready("shadow").await;
    let cost = json!({ "annotations": { COST: "-100" } });
    relabel(&scene, name(&source), cost).await;
    relabel(&scene, "shadow", json!({ "labels": { "app": "rs" } })).await;
    wait_for("the source's end", async || {
        (record.went() == [name(&source)]).then_some(())
    })
    .await;
    status_when(&scene, |status| status["readyReplicas"] == 1).await;
    let left = pods(&scene).await;
    assert_eq!(left.len(), 1);
    assert_eq!(uid(&left[0]), uid(&shadow));
    assert!(owner(&left[0]).is_some(), "is adopted");
    assert_eq!(container(&left[0])["restartCount"], 0);
    assert_eq!(record.came(), ["shadow"], "no third pod was ever made");
}

#[tokio::test]
async fn a_pod_that_is_not_ready_goes_however_dear_it_is() {
    let (scene, image) = scene("replicas-unready").await;
    let source = one_pod(&scene, &image).await;
    let record = Record::of(&scene).await;
    let mut shadow = by_hand("shadow", "node-b", &image, json!({ "app": "rs" }));
    shadow["metadata"]["annotations"] = json!({ COST: "100" });
    shadow["spec"]["containers"][0]["readinessProbe"] =
        json!({ "tcpSocket": { "port": 9 }, "periodSeconds": 1 });
    scene.create::<Pod>(shadow).await;
    wait_for("the end of one", async || {
        (record.went().len() == 1).then_some(())
    })
    .await;
    assert_eq!(record.went(), ["shadow"]);
    assert_eq!(uid(&pods(&scene).await[0]), uid(&source));
}

#[tokio::test]
async fn a_pod_that_goes_or_ends_is_replaced_at_once() {
    let (scene, image) = scene("replicas-replace").await;
    let source = one_pod(&scene, &image).await;
    let record = Record::of(&scene).await;
    // One that does not match any more is let go, and runs on.
    relabel(
        &scene,
        name(&source),
        json!({ "labels": { "app": "mine" } }),
    )
    .await;
    let released = scene
        .pod_when(name(&source), |pod| owner(pod).is_none())
        .await;
    assert!(condition(&released, "Ready"));
    wait_for("another pod", async || {
        (record.came().len() == 1).then_some(())
    })
    .await;
    // It is taken back when it matches again, and the other one, not ready yet or for a shorter
    // time, goes.
    let cost = json!({ "labels": { "app": "rs" }, "annotations": { COST: "1" } });
    relabel(&scene, name(&source), cost).await;
    wait_for("the other's end", async || {
        (record.went().len() == 1).then_some(())
    })
    .await;
    assert_eq!(record.went(), record.came());
    // Deleted ones are replaced while they are still ending.
    end(&scene, &source).await;
    wait_for("a third pod", async || {
        (record.came().len() == 2).then_some(())
    })
    .await;
    let status = status_when(&scene, |status| status["readyReplicas"] == 1).await;
    assert_eq!(status["replicas"], 1);
}

#[tokio::test]
async fn finished_pods_do_not_count() {
    let (scene, image) = scene("replicas-finished").await;
    let mut failed = by_hand("failed", "node-a", &image, json!({ "app": "rs" }));
    failed["spec"]["containers"][0]["args"] = json!(["exit", "3"]);
    scene.create::<Pod>(failed).await;
    scene.phase("failed", "Failed").await;
    let source = one_pod_beside(&scene, &image).await;
    assert_ne!(name(&source), "failed");
    assert_eq!(owner(&scene.phase("failed", "Failed").await), None);
    // Scaled by kubectl, and to nothing.
    scene.kubectl(&["scale", "rs/rs", "--replicas=3"]).await;
    status_when(&scene, |status| status["readyReplicas"] == 3).await;
    scene.kubectl(&["scale", "rs/rs", "--replicas=0"]).await;
    status_when(&scene, |status| status["replicas"] == 0).await;
    wait_for("the end of all but the failed one", async || {
        (pods(&scene).await.len() == 1).then_some(())
    })
    .await;
    let patch = Patch::Merge(json!({ "spec": { "selector": { "matchLabels": { "a": "b" } } } }));
    scene
        .api::<ReplicaSet>()
        .patch("rs", &PatchParams::default(), &patch)
        .await
        .expect_err("a selector stays as it is");
}

async fn one_pod_beside(scene: &Scene, image: &str) -> Value {
    scene.create::<ReplicaSet>(set(image, 1)).await;
    status_when(scene, |status| status["readyReplicas"] == 1).await;
    let pods = pods(scene).await;
    pods.into_iter()
        .find(|pod| owner(pod).is_some())
        .expect("has one")
}

#[tokio::test]
async fn orphans_are_adopted_by_a_set_made_again() {
    let (scene, image) = scene("replicas-orphans").await;
    let source = one_pod(&scene, &image).await;
    let record = Record::of(&scene).await;
    scene
        .kubectl(&["delete", "rs/rs", "--cascade=orphan"])
        .await;
    assert_eq!(owner(&scene.ready(name(&source)).await), None);
    scene.create::<ReplicaSet>(set(&image, 1)).await;
    status_when(&scene, |status| status["readyReplicas"] == 1).await;
    assert!(owner(&scene.ready(name(&source)).await).is_some());
    assert!(record.came().is_empty() && record.went().is_empty());
}
