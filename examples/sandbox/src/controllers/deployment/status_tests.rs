//! What is said of rollouts.

use serde_json::json;

use super::*;

fn deployment(status: &DeploymentStatus, spec: serde_json::Value) -> Deployment {
    let mut object = json!({
        "metadata": { "name": "d", "generation": 1 },
        "spec": { "replicas": 1, "progressDeadlineSeconds": 600, "selector": {}, "template": {} },
        "status": status,
    });
    for (field, value) in spec.as_object().into_iter().flatten() {
        object["spec"][field] = value.clone();
    }
    serde_json::from_value(object).expect("is a deployment")
}

fn set(name: &str, size: i32, available: i32) -> ReplicaSet {
    serde_json::from_value(json!({
        "metadata": { "name": name },
        "spec": { "replicas": size, "selector": {} },
        "status": { "replicas": size, "readyReplicas": available, "availableReplicas": available },
    }))
    .expect("is a set")
}

fn reasons(status: &DeploymentStatus) -> Vec<&str> {
    let conditions = status.conditions.iter().flatten();
    conditions.filter_map(|one| one.reason.as_deref()).collect()
}

#[test]
fn a_rollout_progresses_until_it_is_complete() {
    // Times in objects are whole seconds.
    let now = Timestamp::UNIX_EPOCH;
    let none = DeploymentStatus::default();
    let step = |before: &DeploymentStatus, new: &ReplicaSet, old: &[ReplicaSet], made: Made| {
        let deployment = deployment(before, json!({}));
        of(&deployment, Some(new), old, 0, &made, now)
    };
    let first = step(&none, &set("n", 1, 0), &[], Made::Created);
    assert_eq!(
        reasons(&first),
        ["MinimumReplicasUnavailable", "NewReplicaSetCreated"]
    );
    let done = step(&first, &set("n", 1, 1), &[], Made::Nothing);
    assert_eq!(
        reasons(&done),
        ["MinimumReplicasAvailable", "NewReplicaSetAvailable"]
    );
    assert_eq!(
        step(&done, &set("n", 1, 1), &[], Made::Nothing),
        done,
        "nothing new to say"
    );
    // A pod that fails later does not undo the rollout.
    let broken = step(&done, &set("n", 1, 0), &[], Made::Nothing);
    assert_eq!(
        reasons(&broken),
        ["MinimumReplicasUnavailable", "NewReplicaSetAvailable"]
    );
    let next = step(&done, &set("m", 1, 0), &[set("n", 1, 1)], Made::Nothing);
    assert_eq!(next.updated_replicas, Some(1));
    assert_eq!(next.unavailable_replicas, Some(1));
}

#[test]
fn a_rollout_that_stands_still_is_late_and_a_paused_one_is_not() {
    // Times in objects are whole seconds.
    let now = Timestamp::UNIX_EPOCH;
    let before = of(
        &deployment(&DeploymentStatus::default(), json!({})),
        Some(&set("n", 1, 0)),
        &[],
        0,
        &Made::Nothing,
        now,
    );
    let later = now + SignedDuration::from_secs(601);
    let at = |spec: serde_json::Value| {
        let deployment = deployment(&before, spec);
        of(
            &deployment,
            Some(&set("n", 1, 0)),
            &[],
            0,
            &Made::Nothing,
            later,
        )
    };
    assert!(reasons(&at(json!({}))).contains(&"ProgressDeadlineExceeded"));
    assert!(reasons(&at(json!({ "paused": true }))).contains(&"DeploymentPaused"));
    let due = look_again(&deployment(&before, json!({})), &before, now);
    assert_eq!(due.map(|due| due.as_secs()), Some(600));
}
