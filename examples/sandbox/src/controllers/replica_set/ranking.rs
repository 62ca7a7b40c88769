//! Which of a ReplicaSet's pods go first when there are too many. Pure.

use std::cmp::{Ordering, Reverse};
use std::collections::HashMap;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;

use crate::controllers::pods;

const COST: &str = "controller.kubernetes.io/pod-deletion-cost";

/// The pods in the order in which they go. `related` are the active pods of all ReplicaSets of
/// the same owner: where there are more of them, one is missed less.
pub(super) fn ranked(mut pods: Vec<Pod>, related: &[Pod], now: Timestamp) -> Vec<Pod> {
    let mut on_node = HashMap::<String, usize>::new();
    for pod in related {
        *on_node.entry(node(pod).to_owned()).or_default() += 1;
    }
    pods.sort_by(|one, other| {
        let crowd = |pod: &Pod| Reverse(on_node.get(node(pod)).copied().unwrap_or(0));
        compare(one, other, crowd, now)
    });
    pods
}

fn compare(
    one: &Pod,
    other: &Pod,
    crowd: impl Fn(&Pod) -> Reverse<usize>,
    now: Timestamp,
) -> Ordering {
    let start = |pod: &Pod| {
        let assigned = !node(pod).is_empty();
        let stage = match pods::phase(pod) {
            "Pending" => 0,
            "Unknown" => 1,
            _ => 2,
        };
        (assigned, stage, pods::is_ready(pod), cost(pod), crowd(pod))
    };
    let ready_age = |pod: &Pod| pods::ready_since(pod).map(|since| magnitude(since, now));
    let age = |pod: &Pod| {
        let created = pod.metadata.creation_timestamp.as_ref();
        created.map(|created| magnitude(created.0, now))
    };
    start(one)
        .cmp(&start(other))
        .then_with(|| ready_age(one).cmp(&ready_age(other)))
        .then_with(|| Reverse(restarts(one)).cmp(&Reverse(restarts(other))))
        .then_with(|| age(one).cmp(&age(other)))
        // Of about the same age: either, but always the same.
        .then_with(|| one.uid().cmp(&other.uid()))
}

fn node(pod: &Pod) -> &str {
    let spec = pod.spec.as_ref();
    spec.and_then(|spec| spec.node_name.as_deref())
        .unwrap_or_default()
}

/// What somebody said that it would cost to lose the pod; nonsense costs nothing.
fn cost(pod: &Pod) -> i32 {
    let cost = pod.annotations().get(COST);
    cost.and_then(|cost| cost.parse().ok()).unwrap_or(0)
}

fn restarts(pod: &Pod) -> i32 {
    let containers = pod
        .status
        .as_ref()
        .and_then(|status| status.container_statuses.as_ref());
    let counts = containers.into_iter().flatten();
    counts
        .map(|container| container.restart_count)
        .max()
        .unwrap_or(0)
}

/// Ages are told apart only by their order of magnitude, so that not always the newest goes.
fn magnitude(since: Timestamp, now: Timestamp) -> i64 {
    let age = now.duration_since(since).as_nanos();
    u128::try_from(age)
        .ok()
        .and_then(u128::checked_ilog2)
        .map_or(-1, i64::from)
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
    use serde_json::{Value, json};

    use super::*;

    fn pod(name: &str, change: impl FnOnce(&mut Value)) -> Pod {
        let now = Time(Timestamp::now() - SignedDuration::from_secs(100));
        let mut pod = json!({
            "metadata": { "name": name, "uid": name, "creationTimestamp": now },
            "spec": { "nodeName": "n", "containers": [] },
            "status": { "phase": "Running", "conditions": [
                { "type": "Ready", "status": "True", "lastTransitionTime": now },
            ] },
        });
        change(&mut pod);
        serde_json::from_value(pod).expect("is a pod")
    }

    fn first(one: Pod, other: Pod, related: &[Pod]) -> String {
        let pods = ranked(vec![one, other], related, Timestamp::now());
        pods[0].name_any()
    }

    #[test]
    fn the_least_missed_goes_first() {
        let plain = || pod("a", |_| ());
        type Change = fn(&mut Value);
        let cases: [(&str, Change); 7] = [
            ("unassigned", |pod| pod["spec"]["nodeName"] = Value::Null),
            ("pending", |pod| pod["status"]["phase"] = json!("Pending")),
            ("not ready", |pod| pod["status"]["conditions"] = json!([])),
            ("cheap", |pod| {
                pod["metadata"]["annotations"] = json!({ COST: "-1" });
            }),
            ("ready for a shorter time", |pod| {
                let now = Time(Timestamp::now() - SignedDuration::from_secs(2));
                pod["status"]["conditions"][0]["lastTransitionTime"] = json!(now);
            }),
            ("restarted", |pod| {
                pod["status"]["containerStatuses"] = json!([
                    { "name": "c", "image": "", "imageID": "", "ready": true, "restartCount": 1 },
                ]);
            }),
            ("new", |pod| {
                pod["metadata"]["creationTimestamp"] =
                    json!(Time(Timestamp::now() - SignedDuration::from_secs(2)));
            }),
        ];
        for (why, change) in cases {
            assert_eq!(first(plain(), pod("b", change), &[]), "b", "{why}");
        }
    }

    #[test]
    fn the_cost_counts_less_than_readiness() {
        let dear = pod("dear", |pod| {
            pod["metadata"]["annotations"] = json!({ COST: "100" });
            pod["status"]["conditions"] = json!([]);
        });
        assert_eq!(first(dear, pod("plain", |_| ()), &[]), "dear");
        let nonsense = pod("b", |pod| {
            pod["metadata"]["annotations"] = json!({ COST: "-x" })
        });
        assert_eq!(first(nonsense, pod("a", |_| ()), &[]), "a");
    }

    #[test]
    fn where_there_are_more_one_is_missed_less() {
        let lonely = pod("a", |pod| pod["spec"]["nodeName"] = json!("m"));
        let related = [pod("b", |_| ()), pod("c", |_| ())];
        assert_eq!(first(lonely, pod("b", |_| ()), &related), "b");
    }
}
