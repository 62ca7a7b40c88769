//! Deployments: rollouts as kubectl sees them, and a pod that is moved under one.

use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use serde_json::{Value, json};

use super::support::{Record, Scene, by_hand, owner, pods, push_actor, relabel, uid, wait_for};

const HASH: &str = "pod-template-hash";

/// A deployment of pods that wait to be ended.
fn deployment(image: &str, replicas: u32) -> Value {
    json!({
        "metadata": { "name": "d" },
        "spec": {
            "replicas": replicas,
            "selector": { "matchLabels": { "app": "d" } },
            "template": {
                "metadata": { "labels": { "app": "d" } },
                "spec": {
                    "terminationGracePeriodSeconds": 1,
                    "containers": [{ "name": "main", "image": image, "args": ["wait"] }],
                },
            },
        },
    })
}

async fn rolled_out(scene: &Scene) {
    scene
        .kubectl(&["rollout", "status", "deployment/d", "--timeout=50s"])
        .await;
}

async fn read(scene: &Scene) -> Value {
    json!(scene.api::<Deployment>().get("d").await.expect("is there"))
}

async fn sets(scene: &Scene) -> Vec<Value> {
    let sets = scene.api::<ReplicaSet>().list(&ListParams::default()).await;
    let sets = sets.expect("are listed").items;
    sets.into_iter().map(|set| json!(set)).collect()
}

fn reason<'a>(deployment: &'a Value, kind: &str) -> &'a str {
    let conditions = deployment["status"]["conditions"].as_array();
    let condition = conditions
        .into_iter()
        .flatten()
        .find(|one| one["type"] == kind);
    condition.map_or("", |one| one["reason"].as_str().unwrap_or_default())
}

#[tokio::test]
async fn a_deployment_rolls_out_back_and_to_any_size() {
    let scene = Scene::new("deploy-rolls").await;
    let image = push_actor(&scene.world, "deploy-rolls").await;
    scene.create::<Deployment>(deployment(&image, 1)).await;
    rolled_out(&scene).await;
    let set = sets(&scene).await.pop().expect("has one");
    let pod = pods(&scene).await.pop().expect("has one");
    assert_eq!(owner(&set), read(&scene).await["metadata"]["uid"].as_str());
    assert_eq!(owner(&pod), set["metadata"]["uid"].as_str());
    let hash = &set["metadata"]["labels"][HASH];
    assert!(hash.is_string());
    assert_eq!(pod["metadata"]["labels"], json!({ "app": "d", HASH: hash }));

    let record = Record::of(&scene).await;
    let other = push_actor(&scene.world, "deploy-rolls-other").await;
    scene
        .kubectl(&["set", "image", "deployment/d", &format!("main={other}")])
        .await;
    rolled_out(&scene).await;
    assert_eq!(sets(&scene).await.len(), 2);
    wait_for("the old pod's end", async || {
        (record.went().len() == 1).then_some(())
    })
    .await;
    assert_eq!(record.came().len(), 1);
    let revision = "deployment.kubernetes.io/revision";
    assert_eq!(read(&scene).await["metadata"]["annotations"][revision], "2");

    scene.kubectl(&["rollout", "undo", "deployment/d"]).await;
    rolled_out(&scene).await;
    let now = read(&scene).await;
    assert_eq!(now["metadata"]["annotations"][revision], "3");
    assert_eq!(reason(&now, "Progressing"), "NewReplicaSetAvailable");
    assert_eq!(reason(&now, "Available"), "MinimumReplicasAvailable");
    let sets_now = sets(&scene).await;
    assert_eq!(sets_now.len(), 2, "the old one is used again");

    scene
        .kubectl(&["scale", "deployment/d", "--replicas=3"])
        .await;
    rolled_out(&scene).await;
    scene
        .kubectl(&["scale", "deployment/d", "--replicas=0"])
        .await;
    rolled_out(&scene).await;
    wait_for("the end of all pods", async || {
        pods(&scene).await.is_empty().then_some(())
    })
    .await;
    let out = scene
        .kubectl(&["get", "deployment/d", "--no-headers"])
        .await;
    assert!(out.contains("0/0"), "{out}");
}

/// As measured on the real controllers (facts.md, Owners).
#[tokio::test]
async fn a_pod_of_a_deployment_is_replaced_by_one_made_by_hand() {
    let scene = Scene::new("deploy-moves").await;
    let image = push_actor(&scene.world, "deploy-moves").await;
    scene.create::<Deployment>(deployment(&image, 2)).await;
    rolled_out(&scene).await;
    let [source, stays] = <[Value; 2]>::try_from(pods(&scene).await).expect("has two");
    let before = read(&scene).await;
    let record = Record::of(&scene).await;
    let shadow = by_hand("shadow", "node-b", &image, json!({ "app": "shadow" }));
    scene.create::<Pod>(shadow).await;
    scene.ready("shadow").await;
    let name = source["metadata"]["name"].as_str().expect("has a name");
    let cost = json!({ "controller.kubernetes.io/pod-deletion-cost": "-1000" });
    relabel(&scene, name, json!({ "annotations": cost })).await;
    let labels = source["metadata"]["labels"].clone();
    relabel(&scene, "shadow", json!({ "labels": labels })).await;
    wait_for("the source's end", async || {
        (record.went() == [name]).then_some(())
    })
    .await;
    assert_eq!(record.came(), ["shadow"]);
    let left = pods(&scene).await;
    assert_eq!(left.len(), 2);
    assert!(left.iter().any(|pod| uid(pod) == uid(&stays)));
    assert!(left.iter().all(|pod| owner(pod) == owner(&source)));
    rolled_out(&scene).await;
    let after = read(&scene).await;
    assert_eq!(
        after["metadata"]["generation"],
        before["metadata"]["generation"]
    );
    assert_eq!(sets(&scene).await.len(), 1);
}

#[tokio::test]
async fn a_paused_one_waits_and_recreate_ends_the_old_first() {
    let scene = Scene::new("deploy-recreates").await;
    let image = push_actor(&scene.world, "deploy-recreates").await;
    let mut recreating = deployment(&image, 1);
    recreating["spec"]["strategy"] = json!({ "type": "Recreate" });
    scene.create::<Deployment>(recreating).await;
    rolled_out(&scene).await;
    let old = pods(&scene).await.pop().expect("has one");
    let record = Record::of(&scene).await;
    scene.kubectl(&["rollout", "pause", "deployment/d"]).await;
    let other = push_actor(&scene.world, "deploy-recreates-other").await;
    scene
        .kubectl(&["set", "image", "deployment/d", &format!("main={other}")])
        .await;
    wait_for("the pause to be noticed", async || {
        let now = read(&scene).await;
        let seen = now["status"]["observedGeneration"] == now["metadata"]["generation"];
        (seen && reason(&now, "Progressing") == "DeploymentPaused").then_some(())
    })
    .await;
    assert_eq!(sets(&scene).await.len(), 1);
    assert!(record.order().is_empty());
    scene.kubectl(&["rollout", "resume", "deployment/d"]).await;
    rolled_out(&scene).await;
    let new = pods(&scene).await.pop().expect("has one");
    let name = |pod: &Value| {
        pod["metadata"]["name"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    };
    assert_eq!(
        record.order(),
        [format!("-{}", name(&old)), format!("+{}", name(&new))]
    );
}
