//! Persistent volumes: who gets which, who waits for whom, and what survives.

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim, Pod};
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::{Value, json};

use super::support::{
    Scene, condition, message, pack_checkpoint, pod, push_actor, reason, wait_for, waiting,
};

fn claim(name: &str, class: Option<&str>, mode: &str) -> Value {
    json!({
        "metadata": { "name": name },
        "spec": {
            "storageClassName": class,
            "accessModes": [mode],
            "resources": { "requests": { "storage": "1Gi" } },
        },
    })
}

/// Mounts the claim at `/data`.
fn with_claim(mut pod: Value, claim: &str) -> Value {
    pod["spec"]["volumes"] =
        json!([{ "name": "data", "persistentVolumeClaim": { "claimName": claim } }]);
    pod["spec"]["containers"][0]["volumeMounts"] =
        json!([{ "name": "data", "mountPath": "/data" }]);
    pod
}

async fn bound(scene: &Scene, name: &str) -> PersistentVolumeClaim {
    let claims = scene.api::<PersistentVolumeClaim>();
    wait_for("the binding", async || {
        let claim = claims.get(name).await.expect("is there");
        let phase = claim
            .status
            .as_ref()
            .and_then(|status| status.phase.clone());
        (phase.as_deref() == Some("Bound")).then_some(claim)
    })
    .await
}

fn volume_of(claim: &PersistentVolumeClaim) -> String {
    let spec = claim.spec.clone().expect("has a spec");
    spec.volume_name.expect("names its volume")
}

/// Why the scheduler has put the pod nowhere.
async fn unscheduled(scene: &Scene, name: &str) -> String {
    let pod = scene.pod_when(name, |pod| {
        let mut conditions = pod["status"]["conditions"].as_array().into_iter().flatten();
        conditions.any(|one| one["type"] == "PodScheduled" && one["status"] == "False")
    });
    let pod = pod.await;
    let mut conditions = pod["status"]["conditions"].as_array().into_iter().flatten();
    let scheduled = conditions.find(|one| one["type"] == "PodScheduled");
    scheduled.expect("was looked for")["message"].to_string()
}

#[tokio::test]
async fn what_one_pod_writes_another_reads_on_the_other_node() {
    let scene = Scene::new("claim-contents").await;
    let image = push_actor(&scene.world, "claim-contents").await;
    scene
        .create::<PersistentVolumeClaim>(claim("data", None, "ReadWriteOnce"))
        .await;
    let bound = bound(&scene, "data").await;
    let spec = bound.spec.clone().expect("has a spec");
    assert_eq!(spec.storage_class_name.as_deref(), Some("standard"));
    let volumes = Api::<PersistentVolume>::all(scene.client.clone());
    let volume = volumes.get(&volume_of(&bound)).await.expect("is there");

    let actions = ["write", "/data/file", "hello"];
    let mut writer = with_claim(pod("writer", "node-a", &image, &actions), "data");
    writer["spec"]["restartPolicy"] = json!("Never");
    scene.create::<Pod>(writer).await;
    scene.phase("writer", "Succeeded").await;
    // A pod that is over holds nothing, though it is still there.
    let reader = with_claim(
        pod("reader", "node-b", &image, &["cat", "/data/file", "wait"]),
        "data",
    );
    scene.create::<Pod>(reader).await;
    scene.ready("reader").await;
    scene.says("reader", "hello\n").await;

    let directory = std::path::Path::new(&scene.world.text("dir"))
        .join("volumes")
        .join(volume.metadata.name.as_deref().expect("has a name"));
    assert!(directory.join("file").is_file());
    let claims = scene.api::<PersistentVolumeClaim>();
    claims
        .delete("data", &DeleteParams::default())
        .await
        .expect("is deleted");
    scene.delete("reader").await;
    // The writer's object is there as well, and its node would start it again for all the
    // protection knows.
    let held = claims.get("data").await.expect("is in use");
    assert!(held.metadata.deletion_timestamp.is_some());
    scene.delete("writer").await;
    wait_for("the end of the claim", async || {
        claims
            .get_opt("data")
            .await
            .expect("answers")
            .is_none()
            .then_some(())
    })
    .await;
    wait_for("the end of the volume", async || {
        volumes
            .get_opt(&volume_of(&bound))
            .await
            .expect("answers")
            .is_none()
            .then_some(())
    })
    .await;
    assert!(!directory.exists(), "the data goes with its claim");
}

#[tokio::test]
async fn a_volume_for_one_node_is_waited_for() {
    let scene = Scene::new("multi-attach").await;
    let image = push_actor(&scene.world, "multi-attach").await;
    scene
        .create::<PersistentVolumeClaim>(claim("data", None, "ReadWriteOnce"))
        .await;
    let volume = volume_of(&bound(&scene, "data").await);
    let user = |name: &str, node: &str| with_claim(pod(name, node, &image, &["wait"]), "data");
    scene.create::<Pod>(user("first", "node-a")).await;
    scene.ready("first").await;
    scene.create::<Pod>(user("beside", "node-a")).await;
    scene.ready("beside").await;

    scene.create::<Pod>(user("elsewhere", "node-b")).await;
    let refused = scene.event("elsewhere", "FailedAttachVolume").await;
    let expected = format!(
        "Multi-Attach error for volume {volume:?} Volume is already used by pod(s) beside, first"
    );
    assert_eq!(refused, expected);
    scene.delete("first").await;
    let waits = scene
        .pod_when("elsewhere", waiting("ContainerCreating"))
        .await;
    assert!(!condition(&waits, "PodReadyToStartContainers"), "{waits:#}");
    scene.delete("beside").await;
    scene.ready("elsewhere").await;
}

#[tokio::test]
async fn a_local_volume_keeps_its_pods_on_its_node() {
    let scene = Scene::new("local-volume").await;
    let image = push_actor(&scene.world, "local-volume").await;
    scene
        .create::<PersistentVolumeClaim>(claim("data", Some("local"), "ReadWriteOnce"))
        .await;
    let words = scene.event("data", "WaitForFirstConsumer").await;
    assert_eq!(
        words,
        "waiting for first consumer to be created before binding"
    );
    let selected = |name: &str, node: &str| {
        let mut pod = with_claim(
            pod(name, "", &image, &["write", "/data/x", "y", "wait"]),
            "data",
        );
        pod["spec"]["nodeName"] = Value::Null;
        pod["spec"]["nodeSelector"] = json!({ "kubernetes.io/hostname": node });
        pod
    };
    scene.create::<Pod>(selected("first", "node-b")).await;
    let first = scene.ready("first").await;
    assert_eq!(first["spec"]["nodeName"], "node-b");
    let volume = volume_of(&bound(&scene, "data").await);
    let file = scene.on_node("node-b", &format!("/var/lib/local-volumes/{volume}/x"));
    assert!(file.is_file(), "it lies on the node");
    scene.delete("first").await;

    scene.create::<Pod>(selected("second", "node-a")).await;
    let words = unscheduled(&scene, "second").await;
    for part in [
        "0/3 nodes",
        "1 node(s) didn't match PersistentVolume's node affinity",
    ] {
        assert!(words.contains(part), "{words}");
    }
    // Whoever goes round the scheduler gets no further.
    scene
        .create::<Pod>(with_claim(
            pod("third", "node-a", &image, &["wait"]),
            "data",
        ))
        .await;
    let words = scene.event("third", "FailedMount").await;
    assert!(words.ends_with("no matching NodeSelectorTerms"), "{words}");
}

#[tokio::test]
async fn a_pod_waits_for_its_claim() {
    let scene = Scene::new("unbound").await;
    let image = push_actor(&scene.world, "unbound").await;
    let mut user = with_claim(pod("user", "", &image, &["wait"]), "data");
    user["spec"]["nodeName"] = Value::Null;
    scene.create::<Pod>(user).await;
    let words = unscheduled(&scene, "user").await;
    assert!(
        words.contains("persistentvolumeclaim \\\"data\\\" not found"),
        "{words}"
    );
    scene
        .create::<PersistentVolumeClaim>(claim("data", Some("nobodys"), "ReadWriteOnce"))
        .await;
    let words = wait_for("the other reason", async || {
        let words = unscheduled(&scene, "user").await;
        (!words.contains("not found")).then_some(words)
    })
    .await;
    assert_eq!(
        words,
        "\"0/3 nodes are available: pod has unbound immediate PersistentVolumeClaims.\""
    );
    // A volume that somebody makes for it is what it waits for.
    let volume: PersistentVolume = serde_json::from_value(json!({
        "metadata": { "name": "by-hand" },
        "spec": {
            "capacity": { "storage": "2Gi" }, "accessModes": ["ReadWriteOnce"],
            "storageClassName": "nobodys", "hostPath": { "path": "/srv/by-hand" },
        },
    }))
    .expect("is a volume");
    let volumes = Api::<PersistentVolume>::all(scene.client.clone());
    volumes
        .create(&Default::default(), &volume)
        .await
        .expect("is accepted");
    scene.ready("user").await;
    assert_eq!(volume_of(&bound(&scene, "data").await), "by-hand");
}

#[tokio::test]
async fn a_claim_for_one_pod_is_for_one_pod() {
    let scene = Scene::new("one-pod").await;
    let image = push_actor(&scene.world, "one-pod").await;
    scene
        .create::<PersistentVolumeClaim>(claim("data", None, "ReadWriteOncePod"))
        .await;
    bound(&scene, "data").await;
    let user = |name: &str, node: Value| {
        let mut user = with_claim(pod(name, "", &image, &["wait"]), "data");
        user["spec"]["nodeName"] = node;
        user
    };
    scene.create::<Pod>(user("first", json!("node-a"))).await;
    scene.ready("first").await;
    scene.create::<Pod>(user("second", Value::Null)).await;
    let words = unscheduled(&scene, "second").await;
    assert!(words.contains("ReadWriteOncePod access mode"), "{words}");
    scene.create::<Pod>(user("third", json!("node-a"))).await;
    let words = scene.event("third", "FailedMount").await;
    assert!(
        words.ends_with("is already in use by another pod"),
        "{words}"
    );
}

#[tokio::test]
async fn a_restore_needs_the_claim_and_the_claim_the_sources_end() {
    let scene = Scene::new("claim-restore").await;
    scene.world.declare("claim-restore").await;
    scene
        .create::<PersistentVolumeClaim>(claim("data", None, "ReadWriteOnce"))
        .await;
    let image = scene.world.text("workerImage");
    let source = scene.worker("source", "node-a", "claim-restore", &image);
    scene.create::<Pod>(with_claim(source, "data")).await;
    let source = scene.ready("source").await;
    scene.world.publish("claim-restore", "p0", 1).await;
    scene.applied(&source, 1).await;
    let checkpoint = pack_checkpoint(&scene, "node-a", "source", "worker", "first").await;

    let target = |name: &str| {
        let mut target = scene.worker(name, "node-b", "claim-restore", &checkpoint);
        target["spec"]["restartPolicy"] = json!("Never");
        target["spec"]["initContainers"] = json!([{
            "name": "base", "image": image, "command": ["/ms2m-worker", "--version"],
        }]);
        target
    };
    scene.create::<Pod>(target("without")).await;
    let refused = scene
        .pod_when("without", |pod| message(pod).contains("bind mounts"))
        .await;
    assert_eq!(reason(&refused), "CreateContainerError");
    assert!(message(&refused).ends_with("expects following bind mounts defined (/data)"));
    scene.delete("without").await;

    scene
        .create::<Pod>(with_claim(target("target"), "data"))
        .await;
    let words = scene.event("target", "FailedAttachVolume").await;
    assert!(
        words.ends_with("Volume is already used by pod(s) source"),
        "{words}"
    );
    scene.delete("source").await;
    let target = scene.ready("target").await;
    let state = scene.state(&target).await;
    assert_eq!(
        (&state["count"], &state["restores"]),
        (&json!(1), &json!(1))
    );
}

#[tokio::test]
async fn an_attachment_fails_as_ordered() {
    let scene = Scene::new("attach-fault").await;
    let image = push_actor(&scene.world, "attach-fault").await;
    scene
        .create::<PersistentVolumeClaim>(claim("data", None, "ReadWriteOnce"))
        .await;
    let volume = volume_of(&bound(&scene, "data").await);
    let order = json!({ "on": "attach", "pod": "^attach-fault/", "error": "the disk is stuck" });
    scene.world.order("/kubelet", order).await;
    let user = with_claim(pod("user", "node-b", &image, &["wait"]), "data");
    scene.create::<Pod>(user).await;
    let said = scene.event("user", "FailedAttachVolume").await;
    let words = format!("AttachVolume.Attach failed for volume {volume:?} : the disk is stuck");
    assert_eq!(said, words);
    scene.ready("user").await;
}

/// A node that lost its power has let go of nothing: who replaces its pod waits, unless somebody
/// vouches that it is off.
#[tokio::test]
async fn a_dead_node_keeps_its_volumes() {
    let arguments = ["--nodes", "node-a,node-b"];
    let world = std::sync::Arc::new(super::support::World::start(&arguments));
    let scene = Scene::in_world(world, "dead-node").await;
    let image = push_actor(&scene.world, "dead-node").await;
    scene
        .create::<PersistentVolumeClaim>(claim("data", None, "ReadWriteOnce"))
        .await;
    let user = |name: &str, node: &str| with_claim(pod(name, node, &image, &["wait"]), "data");
    scene.create::<Pod>(user("first", "node-a")).await;
    scene.ready("first").await;
    scene
        .world
        .order("/node", json!({ "node": "node-a", "running": false }))
        .await;
    let at_once = DeleteParams::default().grace_period(0);
    scene
        .api::<Pod>()
        .delete("first", &at_once)
        .await
        .expect("is deleted");
    scene.create::<Pod>(user("second", "node-b")).await;
    let words = scene.event("second", "FailedAttachVolume").await;
    assert!(
        words.contains("already exclusively attached to one node"),
        "{words}"
    );
    let taint = json!({ "spec": { "taints": [
        { "key": "node.kubernetes.io/out-of-service", "value": "nodeshutdown", "effect": "NoExecute" },
    ] } });
    let nodes = Api::<k8s_openapi::api::core::v1::Node>::all(scene.client.clone());
    let patch = Patch::Strategic(taint);
    nodes
        .patch("node-a", &PatchParams::default(), &patch)
        .await
        .expect("is patched");
    scene.ready("second").await;
}
