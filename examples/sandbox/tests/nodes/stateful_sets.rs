//! The traps that a StatefulSet has for whoever touches its pods, each of them sprung.

use k8s_openapi::api::apps::v1::{ControllerRevision, StatefulSet};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use kube::ResourceExt as _;
use kube::api::{ListParams, Patch, PatchParams};
use serde_json::{Value, json};

use super::support::{
    Record, Scene, by_hand, condition, container, end, owner, pods, push_actor, relabel, uid,
    wait_for,
};

const REVISION: &str = "controller-revision-hash";

/// A set of pods that wait to be ended.
fn set(image: &str, replicas: u32) -> Value {
    json!({
        "metadata": { "name": "st" },
        "spec": {
            "serviceName": "svc",
            "replicas": replicas,
            "selector": { "matchLabels": { "app": "st" } },
            "template": {
                "metadata": { "labels": { "app": "st" } },
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
        .kubectl(&["rollout", "status", "statefulset/st", "--timeout=50s"])
        .await;
}

async fn status(scene: &Scene) -> Value {
    let set = scene.api::<StatefulSet>().get("st").await;
    json!(set.expect("is there").status)
}

async fn status_when(scene: &Scene, wanted: impl Fn(&Value) -> bool) -> Value {
    wait_for("the set's status", async || {
        Some(status(scene).await).filter(|status| wanted(status))
    })
    .await
}

#[tokio::test]
async fn a_set_keeps_its_pods_and_kubectl_understands_it() {
    let scene = Scene::new("set-keeps").await;
    let image = push_actor(&scene.world, "set-keeps").await;
    let record = Record::of(&scene).await;
    scene.create::<StatefulSet>(set(&image, 2)).await;
    rolled_out(&scene).await;
    assert_eq!(record.came(), ["st-0", "st-1"], "one after the other");
    let first = scene.ready("st-1").await;
    let labels = &first["metadata"]["labels"];
    let status = status(&scene).await;
    assert_eq!(labels[REVISION], status["currentRevision"]);
    assert_eq!(labels["statefulset.kubernetes.io/pod-name"], "st-1");
    assert_eq!(labels["apps.kubernetes.io/pod-index"], "1");
    assert_eq!(
        (&first["spec"]["hostname"], &first["spec"]["subdomain"]),
        (&json!("st-1"), &json!("svc"))
    );
    for field in [
        "replicas",
        "readyReplicas",
        "availableReplicas",
        "currentReplicas",
        "updatedReplicas",
    ] {
        assert_eq!(status[field], 2, "{field}");
    }
    assert_eq!(status["observedGeneration"], 1);
    // A pod that is deleted comes back at once, whoever deleted it.
    end(&scene, &first).await;
    scene
        .pod_when("st-1", |pod| {
            uid(pod) != uid(&first) && condition(pod, "Ready")
        })
        .await;
    // Scaled down it loses the highest, and every pod when there are to be none.
    scene
        .kubectl(&["scale", "statefulset/st", "--replicas=0"])
        .await;
    wait_for("the end of all pods", async || {
        (record.went().len() == 3).then_some(())
    })
    .await;
    assert_eq!(record.went(), ["st-1", "st-1", "st-0"]);
}

#[tokio::test]
async fn a_template_rolls_out_from_the_highest_and_back() {
    let scene = Scene::new("set-rolls").await;
    let image = push_actor(&scene.world, "set-rolls").await;
    scene.create::<StatefulSet>(set(&image, 2)).await;
    rolled_out(&scene).await;
    let before = status(&scene).await;
    let record = Record::of(&scene).await;
    let sets = scene.api::<StatefulSet>();
    let change = async |template: Value| {
        let patch = json!({ "spec": { "template": { "metadata": { "annotations": template } } } });
        sets.patch("st", &PatchParams::default(), &Patch::Merge(patch))
            .await
            .expect("the template may change");
        rolled_out(&scene).await;
    };
    change(json!({ "changed": "yes" })).await;
    let after = status(&scene).await;
    assert_ne!(after["currentRevision"], before["currentRevision"]);
    assert_eq!(after["currentRevision"], after["updateRevision"]);
    assert_eq!(record.came(), ["st-1", "st-0"]);
    // The old template is the old revision again, with a new number.
    change(json!({ "changed": null })).await;
    assert_eq!(
        status(&scene).await["currentRevision"],
        before["currentRevision"]
    );
    let revisions = scene.api::<ControllerRevision>();
    let revisions = revisions
        .list(&ListParams::default())
        .await
        .expect("are listed");
    let mut numbers: Vec<_> = revisions.iter().filter_map(|one| one.revision).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, [2, 3]);
}

/// As measured on the real controllers (facts.md, Owners).
#[tokio::test]
async fn a_set_made_again_adopts_its_pods_and_the_one_made_by_hand() {
    let scene = Scene::new("set-adopts").await;
    let image = push_actor(&scene.world, "set-adopts").await;
    scene.create::<StatefulSet>(set(&image, 3)).await;
    rolled_out(&scene).await;
    let revision = status(&scene).await["currentRevision"].clone();
    let before = pods(&scene).await;
    let record = Record::of(&scene).await;
    scene
        .kubectl(&["delete", "statefulset/st", "--cascade=orphan"])
        .await;
    for pod in pods(&scene).await {
        assert_eq!(owner(&pod), None);
        assert!(condition(&pod, "Ready"), "nobody has touched it");
    }
    let revisions = scene.api::<ControllerRevision>();
    let kept = revisions
        .list(&ListParams::default())
        .await
        .expect("are listed");
    assert_eq!(kept.items.len(), 1);
    assert!(kept.items[0].owner_references().is_empty());

    let elsewhere = ["node-a", "node-b"]
        .into_iter()
        .find(|node| before[1]["spec"]["nodeName"] != *node)
        .expect("it is on one of them at most");
    scene.delete("st-1").await;
    // Another image, as a checkpoint's is.
    let other = push_actor(&scene.world, "set-adopts-other").await;
    let labels = before[1]["metadata"]["labels"].clone();
    let moved = by_hand("st-1", elsewhere, &other, labels);
    scene.create::<Pod>(moved).await;
    let moved = scene.ready("st-1").await;
    let made = scene.create::<StatefulSet>(set(&image, 3)).await;
    rolled_out(&scene).await;
    let status = status_when(&scene, |status| status["readyReplicas"] == 3).await;
    assert_eq!(status["currentRevision"], revision);
    assert_eq!(status["updatedReplicas"], 3);
    let after = pods(&scene).await;
    for (pod, was) in after.iter().zip([&before[0], &moved, &before[2]]) {
        assert_eq!(owner(pod), made.metadata.uid.as_deref(), "is adopted");
        assert_eq!(uid(pod), uid(was), "is the same one");
        assert_eq!(container(pod)["restartCount"], 0);
    }
    assert_eq!(record.came(), ["st-1"], "only the one made by hand");
    assert_eq!(record.went(), ["st-1"]);
}

#[tokio::test]
async fn an_adopted_pod_of_a_wrong_revision_is_replaced() {
    let scene = Scene::new("set-replaces").await;
    let image = push_actor(&scene.world, "set-replaces").await;
    for (labels, name) in [
        (json!({ "app": "st" }), "st-0"),
        (json!({ "app": "st", REVISION: "st-wrong" }), "st-0"),
    ] {
        scene
            .create::<Pod>(by_hand(name, "node-a", &image, labels))
            .await;
        let mine = scene.ready(name).await;
        let made = scene.create::<StatefulSet>(set(&image, 1)).await;
        let theirs = scene
            .pod_when(name, |pod| {
                uid(pod) != uid(&mine) && condition(pod, "Ready")
            })
            .await;
        assert_eq!(owner(&theirs), made.metadata.uid.as_deref());
        let revision = &status(&scene).await["updateRevision"];
        assert_eq!(theirs["metadata"]["labels"][REVISION], *revision);
        scene.kubectl(&["delete", "statefulset/st"]).await;
        wait_for("the pod goes with its set", async || {
            pods(&scene).await.is_empty().then_some(())
        })
        .await;
    }
}

/// A target is never restarted: when its process ends, its owner makes a fresh and empty one.
#[tokio::test]
async fn an_adopted_pod_that_has_ended_is_made_anew() {
    let scene = Scene::new("set-ended").await;
    let image = push_actor(&scene.world, "set-ended").await;
    scene.create::<StatefulSet>(set(&image, 1)).await;
    rolled_out(&scene).await;
    let first = scene.ready("st-0").await;
    scene
        .kubectl(&["delete", "statefulset/st", "--cascade=orphan"])
        .await;
    scene.delete("st-0").await;
    let labels = first["metadata"]["labels"].clone();
    let mut ended = by_hand("st-0", "node-a", &image, labels);
    ended["spec"]["containers"][0]["args"] = json!(["exit", "0"]);
    scene.create::<Pod>(ended).await;
    let ended = scene.phase("st-0", "Succeeded").await;
    scene.create::<StatefulSet>(set(&image, 1)).await;
    let fresh = scene
        .pod_when("st-0", |pod| {
            uid(pod) != uid(&ended) && condition(pod, "Ready")
        })
        .await;
    assert_eq!(fresh["spec"]["restartPolicy"], "Always");
    // Deleted in the foreground, a set is gone only after its pods.
    scene
        .kubectl(&["delete", "statefulset/st", "--cascade=foreground"])
        .await;
    assert!(pods(&scene).await.is_empty());
}

#[tokio::test]
async fn a_set_of_none_adopts_a_pod_and_deletes_it() {
    let scene = Scene::new("set-of-none").await;
    let image = push_actor(&scene.world, "set-of-none").await;
    scene.create::<StatefulSet>(set(&image, 0)).await;
    let status = status_when(&scene, |status| status["updateRevision"].is_string()).await;
    let mut labels = json!({ REVISION: status["updateRevision"] });
    let pods = scene.api::<Pod>();
    scene
        .create::<Pod>(by_hand("st-0", "node-a", &image, labels.clone()))
        .await;
    scene.ready("st-0").await;
    labels["app"] = json!("st");
    relabel(&scene, "st-0", json!({ "labels": labels })).await;
    wait_for("the pod's end", async || {
        pods.get_opt("st-0")
            .await
            .expect("answers")
            .is_none()
            .then_some(())
    })
    .await;
    let reasons = wait_for("the event", async || {
        Some(scene.reasons("st").await).filter(|reasons| !reasons.is_empty())
    })
    .await;
    assert_eq!(reasons, ["SuccessfulDelete"]);
}

#[tokio::test]
async fn a_name_that_is_taken_holds_a_set_up() {
    let scene = Scene::new("set-waits").await;
    let image = push_actor(&scene.world, "set-waits").await;
    scene
        .create::<Pod>(by_hand("st-0", "node-a", &image, json!({ "app": "other" })))
        .await;
    let foreign = scene.ready("st-0").await;
    scene.create::<StatefulSet>(set(&image, 1)).await;
    let status = status_when(&scene, |status| status["observedGeneration"] == 1).await;
    assert_eq!(status["replicas"], 0, "the pod is none of its own");
    assert_eq!(uid(&scene.ready("st-0").await), uid(&foreign));
    end(&scene, &foreign).await;
    // Nobody tells the set of a pod that is not its own: it tries again by itself.
    rolled_out(&scene).await;
    // A pod that does not match any more is let go, and its name is taken again.
    relabel(&scene, "st-0", json!({ "labels": { "app": "other" } })).await;
    let released = scene.pod_when("st-0", |pod| owner(pod).is_none()).await;
    end(&scene, &released).await;
    scene
        .pod_when("st-0", |pod| {
            uid(pod) != uid(&released) && owner(pod).is_some()
        })
        .await;
}

#[tokio::test]
async fn claims_are_made_kept_and_missed() {
    let scene = Scene::new("set-claims").await;
    let image = push_actor(&scene.world, "set-claims").await;
    let mut with_claims = set(&image, 1);
    with_claims["spec"]["volumeClaimTemplates"] = json!([{
        "metadata": { "name": "data" },
        "spec": { "accessModes": ["ReadWriteOnce"], "resources": { "requests": { "storage": "1Mi" } } },
    }]);
    with_claims["spec"]["persistentVolumeClaimRetentionPolicy"] =
        json!({ "whenDeleted": "Delete" });
    let made = scene.create::<StatefulSet>(with_claims.clone()).await;
    let pod = scene.pod_when("st-0", |_| true).await;
    let volume = &pod["spec"]["volumes"][0];
    assert_eq!(volume["name"], "data");
    assert_eq!(volume["persistentVolumeClaim"]["claimName"], "data-st-0");
    let claims = scene.api::<PersistentVolumeClaim>();
    let claim = claims
        .get("data-st-0")
        .await
        .expect("is made before its pod");
    assert_eq!(claim.labels().get("app").map(String::as_str), Some("st"));
    let owned = wait_for("the claim's owner", async || {
        let claim = claims.get("data-st-0").await.expect("is there");
        claim.owner_references().first().cloned()
    })
    .await;
    assert_eq!(
        Some(owned.uid),
        made.metadata.uid,
        "it would go with its set"
    );

    // A pod that was made without its claim cannot be corrected, and is not replaced either.
    scene
        .kubectl(&["delete", "statefulset/st", "--cascade=orphan"])
        .await;
    assert!(
        claims
            .get("data-st-0")
            .await
            .expect("is orphaned")
            .owner_references()
            .is_empty()
    );
    scene.delete("st-0").await;
    let labels = pod["metadata"]["labels"].clone();
    scene
        .create::<Pod>(by_hand("st-0", "node-a", &image, labels))
        .await;
    let bare = scene.ready("st-0").await;
    let again = scene.create::<StatefulSet>(with_claims).await;
    wait_for("the complaint", async || {
        let reasons = scene.reasons("st").await;
        reasons
            .iter()
            .any(|reason| reason == "FailedUpdate")
            .then_some(())
    })
    .await;
    assert_eq!(uid(&scene.ready("st-0").await), uid(&bare));
    // A claim that had to be made anew is the set's a moment later than the complaint.
    let owned = wait_for("the claim's new owner", async || {
        let claim = claims.get_opt("data-st-0").await.expect("answers")?;
        let owner = claim.owner_references().first().cloned()?;
        (Some(owner.uid) == again.metadata.uid).then_some(claim.metadata.uid)
    })
    .await;
    scene.kubectl(&["delete", "statefulset/st"]).await;
    // This claim: a set that goes while its controller is at it may leave a new one behind, which
    // has no owner, as with the real controller.
    wait_for("the claim goes with its set", async || {
        let there = claims.get_opt("data-st-0").await.expect("answers");
        there
            .is_none_or(|claim| claim.metadata.uid != owned)
            .then_some(())
    })
    .await;
}
