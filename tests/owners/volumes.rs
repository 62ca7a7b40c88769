//! Claims: let go by the source before the target mounts them, and refused where they cannot follow.

use serde_json::{Value, json};

use crate::scene::Set;
use crate::support::Recorder;

/// The worker with a claim of its own, mounted where it could keep files.
fn with_claim(class: &'static str, mode: &'static str) -> impl FnOnce(&mut Value) {
    move |set: &mut Value| {
        set["spec"]["template"]["spec"]["containers"][0]["volumeMounts"] =
            json!([{"name": "data", "mountPath": "/data"}]);
        set["spec"]["volumeClaimTemplates"] = json!([{
            "metadata": {"name": "data"},
            "spec": {
                "accessModes": [mode],
                "storageClassName": class,
                "resources": {"requests": {"storage": "1Mi"}},
            },
        }]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_of_one_node_goes_along_sequentially() {
    let mut set = Set::start("claim", 1, with_claim("standard", "ReadWriteOnce")).await;
    set.produce(20.0).await;
    let app = &set.pods[0];
    let claim = format!("data-{}", app.pod);
    let before = set.get("pvc", &claim).await.expect("the claim");
    let to = set.elsewhere(app).await;
    let recorder = Recorder::start(set.world, &set.namespace).await;
    app.migrate(&["--to", &to]).await.expect_code(0);
    let recording = recorder.stop().await;
    let lives = recording.named(&app.pod);
    let (old, new) = (&lives[0], &lives[1]);
    assert!(
        old.gone.is_some_and(|gone| gone <= new.seen),
        "the source let go first:\n{recording}"
    );
    let after = set.get("pvc", &claim).await.expect("the claim");
    assert_eq!(after["metadata"]["uid"], before["metadata"]["uid"]);
    let pod = set.get("pod", &app.pod).await.expect("the pod");
    let volumes = pod["spec"]["volumes"].as_array().expect("volumes");
    let mounted = volumes
        .iter()
        .any(|it| it["persistentVolumeClaim"]["claimName"] == claim.as_str());
    assert!(mounted, "{pod}");
    set.all_exact().await;
    set.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn claims_that_cannot_follow_are_refused() {
    let set = Set::start("stays", 1, with_claim("local", "ReadWriteOnce")).await;
    let app = &set.pods[0];
    let before = (set.seen().await, set.spec().await);
    let to = set.elsewhere(app).await;
    let outcome = app.migrate(&["--to", &to]).await.expect_code(3);
    let words = format!("claim data-{} cannot be mounted on node {to}", app.pod);
    assert!(outcome.stderr.contains(&words), "{outcome:?}");
    let outcome = app
        .migrate(&["--to", &to, "--strategy", "shadow-pod"])
        .await;
    assert!(
        outcome
            .stderr
            .contains("can be mounted on one node at a time"),
        "{outcome:?}"
    );
    let retention =
        json!({"spec": {"persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Delete"}}});
    let patch = retention.to_string();
    let arguments = [
        "patch",
        "statefulset",
        &set.name,
        "-n",
        &set.namespace,
        "-p",
        &patch,
    ];
    set.world.kubectl(&arguments).await;
    let refused = crate::support::eventually("its controller has seen the change", async || {
        let outcome = app.migrate(&["--to", &to]).await.expect_code(3);
        (!outcome.stderr.contains("has just been changed")).then_some(outcome)
    })
    .await;
    assert!(
        refused.stderr.contains("deletes its pods' claims"),
        "{refused:?}"
    );
    assert_eq!(set.seen().await, before.0, "nothing was touched");
    set.end().await;
}
