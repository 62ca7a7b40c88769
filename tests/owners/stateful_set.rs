//! StatefulSets: the one pod goes, no other is touched, and the set ends as it was, with the target
//! as its own.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::scene::{Seen, Set};
use crate::support::recording::{PodLife, Recording};
use crate::support::{Recorder, eventually};

/// Moves the pod at `index` with further arguments, and sees that the set has it and nothing else
/// has changed.
async fn move_one(set: &Set, index: usize, more: &[&str]) -> Value {
    let app = &set.pods[index];
    let (made, before) = (set.as_made().await, set.seen().await);
    let to = &set.elsewhere(app).await;
    let arguments = [&["--to", to.as_str()], more].concat();
    let recorder = Recorder::start(set.world, &set.namespace).await;
    let result = app.migrate(&arguments).await.expect_code(0).json();
    let recording = recorder.stop().await;
    nobody_else_came_or_went(&recording, &[&app.pod]);
    let after = set.seen().await;
    others_are_untouched(&before, &after, &[&app.pod]);
    let (old, new) = (&before[&app.pod], &after[&app.pod]);
    assert_ne!(old.uid, new.uid, "the pod is another one");
    assert_eq!(new.node, *to);
    assert_eq!(new.restarts, 0);
    assert_eq!(
        new.controller,
        Some(format!("StatefulSet/{}", set.name)),
        "the set has adopted it"
    );
    assert_eq!(set.as_made().await, made, "the set is as it was");
    nothing_is_kept(set).await;
    result
}

/// From before to after, no pod of the set but those moved came, went or restarted: not even for a
/// moment.
fn nobody_else_came_or_went(recording: &Recording, moved: &[&str]) {
    assert_eq!(recording.gaps, 0, "nothing escaped the recorder");
    let of_set = |life: &PodLife| life.last.has(&[("app", "worker")]);
    let mine = |life: &PodLife| {
        let name = life.last.name.trim_end_matches("-shadow");
        moved.contains(&name)
    };
    let strangers: Vec<_> = recording
        .created()
        .into_iter()
        .chain(recording.deleted())
        .filter(|life| of_set(life) && !mine(life))
        .map(|life| life.last.name)
        .collect();
    assert!(strangers.is_empty(), "{strangers:?}:\n{recording}");
    assert!(recording.restarts().is_empty(), "{recording}");
    for name in moved {
        let lives = recording.named(name);
        assert_eq!(
            lives.len(),
            2,
            "the old {name}, the new one, and no empty one:\n{recording}"
        );
    }
}

fn others_are_untouched(
    before: &BTreeMap<String, Seen>,
    after: &BTreeMap<String, Seen>,
    moved: &[&str],
) {
    let names = |pods: &BTreeMap<String, Seen>| pods.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(before), names(after), "the same pods are there");
    for (name, seen) in before {
        if !moved.contains(&name.as_str()) {
            assert_eq!(after[name], *seen, "{name} was not touched");
        }
    }
}

/// The record of a migration stays; everything else goes.
async fn nothing_is_kept(set: &Set) {
    let arguments = [
        "get",
        "pods,jobs,configmaps",
        "-n",
        &set.namespace,
        "-o",
        "name",
    ];
    let names = set.world.kubectl(&arguments).await;
    let left: Vec<&str> = names
        .lines()
        .filter(|name| name.ends_with("-kept") || name.ends_with("-pull") || name.contains("job"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_middle_one_of_three_moves() {
    let mut set = Set::start("middle", 3, |_| {}).await;
    set.produce(30.0).await;
    let result = move_one(&set, 1, &[]).await;
    assert_eq!(result["strategy"], "Sequential");
    assert_eq!(result["targetPod"], result["sourcePod"]);
    assert!(
        result["absenceSeconds"].as_f64().unwrap_or(0.0) > 0.0,
        "{result}"
    );
    set.all_exact().await;
    set.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_ordinal_of_a_parallel_set_with_a_start_moves() {
    let mut set = Set::start("ordinals", 2, |set| {
        set["spec"]["podManagementPolicy"] = json!("Parallel");
        set["spec"]["ordinals"] = json!({"start": 5});
        set["spec"]["updateStrategy"] = json!({"type": "OnDelete"});
    })
    .await;
    set.produce(20.0).await;
    move_one(&set, 0, &[]).await;
    move_one(&set, 1, &[]).await;
    set.all_exact().await;
    set.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_single_one_moves_there_and_back() {
    let mut set = Set::start("single", 1, |set| {
        set["spec"]["updateStrategy"] =
            json!({"type": "RollingUpdate", "rollingUpdate": {"partition": 1}});
    })
    .await;
    set.produce(40.0).await;
    move_one(&set, 0, &[]).await;
    move_one(&set, 0, &[]).await;
    set.all_exact().await;
    set.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shadow_takes_over_the_identity() {
    let mut set = Set::start("shadow", 2, |_| {}).await;
    set.produce(40.0).await;
    let result = move_one(&set, 0, &["--strategy", "shadow-pod"]).await;
    assert_eq!(result["strategy"], "ShadowPod");
    assert_eq!(result["targetPod"], result["sourcePod"]);
    for pause in ["cutPauseSeconds", "handoffPauseSeconds"] {
        assert!(
            result[pause].as_f64().unwrap_or(0.0) > 0.0,
            "{pause}: {result}"
        );
    }
    set.all_exact().await;
    set.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn three_of_five_move_one_by_one_and_at_once() {
    let mut set = Set::start("five", 5, |_| {}).await;
    set.produce(10.0).await;
    let spec = set.spec().await;
    for index in [0, 2, 4] {
        move_one(&set, index, &[]).await;
    }
    let before = set.seen().await;
    let recorder = Recorder::start(set.world, &set.namespace).await;
    let moved: Vec<&str> = [0, 2, 4].map(|index| set.pods[index].pod.as_str()).to_vec();
    let moves = [0, 2, 4].map(|index| {
        let app = &set.pods[index];
        let set = &set;
        async move {
            let to = set.elsewhere(app).await;
            app.migrate(&["--to", &to]).await
        }
    });
    let outcomes = futures_util::future::join_all(moves).await;
    let recording = recorder.stop().await;
    for outcome in outcomes {
        outcome.expect_code(0);
    }
    nobody_else_came_or_went(&recording, &moved);
    let after = set.seen().await;
    others_are_untouched(&before, &after, &moved);
    for seen in after.values() {
        assert_eq!(seen.controller, Some(format!("StatefulSet/{}", set.name)));
    }
    assert_eq!(set.spec().await, spec);
    nothing_is_kept(&set).await;
    set.all_exact().await;
    set.end().await;
}

/// Pods 0 and 1 are of the older revision, pod 2 is of the newer one.
#[tokio::test(flavor = "multi_thread")]
async fn a_rollout_that_a_partition_holds_is_held_afterwards() {
    let mut set = Set::start("held", 3, |set| {
        set["spec"]["updateStrategy"] =
            json!({"type": "RollingUpdate", "rollingUpdate": {"partition": 2}});
    })
    .await;
    let patch = json!({"spec": {"template": {"metadata": {"annotations": {"release": "2"}}}}});
    let (namespace, patch) = (set.namespace.clone(), patch.to_string());
    let arguments = ["patch", "statefulset", &set.name, "-n", &namespace, "-p"];
    set.world
        .kubectl(&[&arguments[..], &[&patch]].concat())
        .await;
    let revisions = eventually("the last pod is of the newer revision", async || {
        let status = set.get("statefulset", &set.name).await?["status"].clone();
        let updated = status["updatedReplicas"] == 1 && status["readyReplicas"] == 3;
        let consumes = set.pods[2].report(&set.pods[2].pod).await?.consuming;
        (updated && consumes).then(|| revisions_of(&status))
    })
    .await;
    assert_ne!(revisions.0, revisions.1);
    set.produce(20.0).await;
    for index in [0, 2] {
        move_one(&set, index, &[]).await;
        let after = set.get("statefulset", &set.name).await.expect("there");
        assert_eq!(revisions_of(&after["status"]), revisions);
    }
    set.all_exact().await;
    // What the set still knows shows in what it makes.
    let one = set.pods[1].pod.clone();
    let before = set.seen().await[&one].uid.clone();
    let arguments = ["delete", "pod", &one, "-n", &namespace, "--wait=false"];
    set.world.kubectl(&arguments).await;
    let again = eventually("the set makes its pod again", async || {
        let pod = set.get("pod", &one).await?;
        (pod["metadata"]["uid"] != before.as_str()).then_some(pod)
    })
    .await;
    let label = &again["metadata"]["labels"]["controller-revision-hash"];
    assert_eq!(*label, revisions.0);
    assert_eq!(again["metadata"]["annotations"]["release"], Value::Null);
    set.end().await;
}

fn revisions_of(status: &Value) -> (Value, Value) {
    let revision = |name: &str| status[name].clone();
    (revision("currentRevision"), revision("updateRevision"))
}
