//! The decisions of the StatefulSet controller, one trap at a time.

use k8s_openapi::api::apps::v1::ControllerRevision;
use serde_json::{Value, json};

use super::*;

const OLD: &str = "st-old";
const NEW: &str = "st-new";

fn set(spec: Value) -> StatefulSet {
    let mut object = json!({
        "metadata": { "name": "st", "namespace": "ns", "uid": "u" },
        "spec": { "selector": { "matchLabels": { "a": "b" } }, "template": {}, "replicas": 3 },
    });
    for (field, value) in spec.as_object().into_iter().flatten() {
        object["spec"][field] = value.clone();
    }
    serde_json::from_value(object).expect("is a set")
}

fn revision(name: &str) -> ControllerRevision {
    let data = json!({ "spec": { "template": {
        "metadata": { "labels": { "of": name } }, "spec": { "containers": [] },
    } } });
    serde_json::from_value(json!({ "metadata": { "name": name }, "data": data, "revision": 1 }))
        .expect("is a revision")
}

fn pod(ordinal: i32, revision: &str, phase: &str, ready: bool) -> Pod {
    let name = format!("st-{ordinal}");
    let ready = if ready { "True" } else { "False" };
    serde_json::from_value(json!({
        "metadata": { "name": name, "labels": {
            "controller-revision-hash": revision,
            "statefulset.kubernetes.io/pod-name": name,
        } },
        "status": { "phase": phase, "conditions": [
            { "type": "Ready", "status": ready, "lastTransitionTime": Timestamp::now().to_string() },
        ] },
    }))
    .expect("is a pod")
}

fn ready(ordinal: i32) -> Pod {
    pod(ordinal, NEW, "Running", true)
}

fn terminating(mut pod: Pod) -> Pod {
    let time = k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(Timestamp::now());
    pod.metadata.deletion_timestamp = Some(time);
    pod
}

fn planned(set: &StatefulSet, pods: &[Pod]) -> Plan {
    let history = History::of_two(revision(OLD), revision(NEW));
    plan(&View {
        set,
        history: &history,
        pods,
        claims: &[],
        now: Timestamp::now(),
    })
}

/// All steps in words.
fn steps(set: &StatefulSet, pods: &[Pod]) -> Vec<String> {
    let plan = planned(set, pods);
    let steps = [plan.members, plan.surplus, plan.updates].concat();
    let word = |step: &Step| match step {
        Step::Create(pod) => format!("create {} of {}", pod.name_any(), members::revision(pod)),
        Step::Delete(pod) => format!("delete {}", pod.name_any()),
        Step::Claims(pod) => format!("claims {}", pod.name_any()),
        Step::Owners(pod) => format!("owners {}", pod.name_any()),
        Step::Correct(pod) => format!("correct {}", pod.name_any()),
    };
    steps.iter().map(word).collect()
}

#[test]
fn an_ordered_set_makes_one_pod_at_a_time() {
    let set = set(json!({}));
    assert_eq!(steps(&set, &[]), ["create st-0 of st-new"]);
    assert!(steps(&set, &[pod(0, NEW, "Running", false)]).is_empty());
    assert_eq!(steps(&set, &[ready(0)]), ["create st-1 of st-new"]);
    assert_eq!(
        steps(&set, &[ready(0), ready(2)]),
        ["create st-1 of st-new"]
    );
    assert!(
        steps(&set, &[terminating(ready(0))]).is_empty(),
        "its name is taken"
    );
}

#[test]
fn a_parallel_set_makes_all_at_once() {
    let set = set(json!({ "podManagementPolicy": "Parallel", "ordinals": { "start": 5 } }));
    let pods = [pod(6, NEW, "Pending", false)];
    assert_eq!(
        steps(&set, &pods),
        ["create st-5 of st-new", "create st-7 of st-new"]
    );
}

#[test]
fn a_ready_pod_counts_only_after_min_ready_seconds() {
    let set = set(json!({ "minReadySeconds": 5 }));
    assert!(steps(&set, &[ready(0)]).is_empty());
    let again = planned(&set, &[ready(0)])
        .look_again
        .map(|due| due.as_secs());
    assert!(matches!(again, Some(3..=5)), "{again:?}");
}

#[test]
fn surplus_pods_go_from_the_highest() {
    let one = set(json!({ "replicas": 1 }));
    assert_eq!(
        steps(&one, &[ready(0), ready(1), ready(2)]),
        ["delete st-2"]
    );
    assert!(steps(&one, &[ready(0), ready(1), terminating(ready(2))]).is_empty());
    // One that is not ready goes only if it is the first such.
    let pods = [
        ready(0),
        pod(1, NEW, "Running", false),
        pod(2, NEW, "Running", false),
    ];
    assert!(steps(&one, &pods).is_empty());
    assert_eq!(
        steps(&one, &[ready(0), pod(2, NEW, "Running", false)]),
        ["delete st-2"]
    );
    let parallel = set(json!({ "replicas": 1, "podManagementPolicy": "Parallel" }));
    assert_eq!(steps(&parallel, &pods), ["delete st-2", "delete st-1"]);
}

#[test]
fn a_set_scaled_to_zero_takes_what_it_adopts() {
    let none = set(json!({ "replicas": 0 }));
    assert_eq!(steps(&none, &[ready(0)]), ["delete st-0"]);
}

#[test]
fn a_pod_of_another_revision_is_deleted() {
    let rolling = set(json!({ "updateStrategy": { "type": "RollingUpdate" } }));
    let pods = [ready(0), pod(1, OLD, "Running", true), ready(2)];
    assert_eq!(steps(&rolling, &pods), ["delete st-1"]);
    let unlabelled = [ready(0), pod(1, "", "Running", true), ready(2)];
    assert_eq!(steps(&rolling, &unlabelled), ["delete st-1"]);
    let on_delete = set(json!({ "updateStrategy": { "type": "OnDelete" } }));
    assert!(steps(&on_delete, &pods).is_empty());
}

#[test]
fn below_the_partition_pods_stay_and_come_back_as_they_were() {
    let set = set(json!({
        "updateStrategy": { "type": "RollingUpdate", "rollingUpdate": { "partition": 2 } },
    }));
    let pods = [
        ready(0),
        pod(1, OLD, "Running", true),
        pod(2, OLD, "Running", true),
    ];
    assert_eq!(steps(&set, &pods), ["delete st-2"]);
    assert_eq!(
        steps(&set, &[pod(1, OLD, "Running", true)]),
        ["create st-0 of st-old"]
    );
    let both = [pod(0, OLD, "Running", true), pod(1, OLD, "Running", true)];
    assert_eq!(steps(&set, &both), ["create st-2 of st-new"]);
}

#[test]
fn an_update_waits_for_the_pod_above() {
    let set = set(json!({ "podManagementPolicy": "Parallel" }));
    let pods = [
        pod(0, OLD, "Running", true),
        pod(1, OLD, "Running", true),
        pod(2, NEW, "Running", false),
    ];
    assert!(steps(&set, &pods).is_empty());
    let broken = [
        pod(0, OLD, "Running", true),
        pod(1, OLD, "Running", false),
        ready(2),
    ];
    assert_eq!(
        steps(&set, &broken),
        ["delete st-1"],
        "a broken one of the old may go"
    );
}

#[test]
fn what_has_ended_is_made_anew() {
    let set = set(json!({ "replicas": 1 }));
    for phase in ["Failed", "Succeeded"] {
        assert_eq!(steps(&set, &[pod(0, NEW, phase, false)]), ["delete st-0"]);
    }
}

#[test]
fn an_adopted_pod_gets_its_identity() {
    let set = set(json!({ "replicas": 1 }));
    let mut bare = ready(0);
    bare.labels_mut()
        .remove("statefulset.kubernetes.io/pod-name");
    assert_eq!(steps(&set, &[bare]), ["correct st-0"]);
}
