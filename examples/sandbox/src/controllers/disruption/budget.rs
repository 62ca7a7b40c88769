//! What a disruption budget allows at a moment. Pure.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::policy::v1::{
    PodDisruptionBudget, PodDisruptionBudgetSpec, PodDisruptionBudgetStatus,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::ResourceExt as _;

/// How long an eviction may be on its way before the pod counts again.
const DELETION_LIMIT: i64 = 120;

/// How many pods the owners of the budget's pods want, by the owners' uids; or why that cannot
/// be told.
pub(super) type Scales = Result<BTreeMap<String, i32>, String>;

/// The budget's status for its pods as they are.
pub(super) fn status(
    budget: &PodDisruptionBudget,
    pods: &[&Pod],
    scales: &Scales,
    now: Timestamp,
) -> PodDisruptionBudgetStatus {
    let spec = budget.spec.clone().unwrap_or_default();
    let old = budget.status.clone().unwrap_or_default();
    let (expected, desired) = match expected(&spec, pods, scales) {
        Ok(numbers) => numbers,
        Err(why) => {
            let failed = condition(budget, "False", "SyncFailed", &why, now);
            return PodDisruptionBudgetStatus {
                conditions: Some(vec![failed]),
                disruptions_allowed: Some(0),
                observed_generation: budget.metadata.generation,
                ..old
            };
        }
    };
    let mut disrupted = old.disrupted_pods.unwrap_or_default();
    disrupted.retain(|name, since| {
        let there = pods
            .iter()
            .any(|pod| pod.name_any() == *name && pod.metadata.deletion_timestamp.is_none());
        there && now.duration_since(since.0).as_secs() < DELETION_LIMIT
    });
    let healthy = pods.iter().filter(|pod| {
        pod.metadata.deletion_timestamp.is_none()
            && !disrupted.contains_key(&pod.name_any())
            && is_ready(pod)
    });
    let healthy = count(healthy.count());
    let allowed = if expected > 0 {
        (healthy - desired).max(0)
    } else {
        0
    };
    let (met, reason) = if allowed > 0 {
        ("True", "SufficientPods")
    } else {
        ("False", "InsufficientPods")
    };
    PodDisruptionBudgetStatus {
        conditions: Some(vec![condition(budget, met, reason, "", now)]),
        current_healthy: Some(healthy),
        desired_healthy: Some(desired),
        disrupted_pods: (!disrupted.is_empty()).then_some(disrupted),
        disruptions_allowed: Some(allowed),
        expected_pods: Some(expected),
        observed_generation: budget.metadata.generation,
    }
}

/// How many pods there should be, and how many of them have to be healthy.
fn expected(
    spec: &PodDisruptionBudgetSpec,
    pods: &[&Pod],
    scales: &Scales,
) -> Result<(i32, i32), String> {
    let wanted = || scales.clone().map(|scales| scales.values().sum::<i32>());
    if let Some(unavailable) = &spec.max_unavailable {
        let expected = wanted()?;
        return Ok((expected, (expected - of(unavailable, expected)?).max(0)));
    }
    match &spec.min_available {
        // A number needs no owner.
        Some(IntOrString::Int(least)) => Ok((count(pods.len()), *least)),
        Some(share) => {
            let expected = wanted()?;
            Ok((expected, of(share, expected)?))
        }
        None => Ok((count(pods.len()), 0)),
    }
}

/// A number, or a share of the whole, rounded up.
fn of(value: &IntOrString, whole: i32) -> Result<i32, String> {
    match value {
        IntOrString::Int(number) => Ok(*number),
        IntOrString::String(text) => {
            let share = text
                .strip_suffix('%')
                .and_then(|share| share.parse::<i32>().ok());
            let share = share.ok_or_else(|| format!("invalid value for IntOrString: {text:?}"))?;
            Ok((share * whole + 99).div_euclid(100))
        }
    }
}

fn condition(
    budget: &PodDisruptionBudget,
    met: &str,
    reason: &str,
    message: &str,
    now: Timestamp,
) -> Condition {
    let old = budget
        .status
        .iter()
        .flat_map(|status| status.conditions.iter().flatten());
    let old = old
        .into_iter()
        .find(|old| old.type_ == "DisruptionAllowed" && old.status == met);
    Condition {
        type_: "DisruptionAllowed".to_owned(),
        status: met.to_owned(),
        reason: reason.to_owned(),
        message: message.to_owned(),
        observed_generation: budget.metadata.generation,
        last_transition_time: old.map_or(Time(now), |old| old.last_transition_time.clone()),
    }
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod
        .status
        .iter()
        .flat_map(|status| status.conditions.iter().flatten());
    conditions
        .into_iter()
        .any(|one| one.type_ == "Ready" && one.status == "True")
}

fn count(number: usize) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn budget(spec: Value, status: Value) -> PodDisruptionBudget {
        serde_json::from_value(
            json!({ "metadata": { "generation": 3 }, "spec": spec, "status": status }),
        )
        .expect("is a budget")
    }

    fn pod(name: &str, ready: bool, deleted: bool) -> Pod {
        let at = deleted.then_some("2026-01-01T00:00:00Z");
        let ready = if ready { "True" } else { "False" };
        serde_json::from_value(json!({
            "metadata": { "name": name, "deletionTimestamp": at },
            "status": { "conditions": [{ "type": "Ready", "status": ready }] },
        }))
        .expect("is a pod")
    }

    /// Expected, desired, healthy, allowed.
    fn numbers(status: &PodDisruptionBudgetStatus) -> [Option<i32>; 4] {
        [
            status.expected_pods,
            status.desired_healthy,
            status.current_healthy,
            status.disruptions_allowed,
        ]
    }

    #[test]
    fn healthy_pods_above_the_minimum_may_go() {
        let pods = [
            pod("a", true, false),
            pod("b", true, false),
            pod("c", false, false),
            pod("d", true, true),
        ];
        let pods: Vec<_> = pods.iter().collect();
        let owners = Ok(BTreeMap::from([("owner".to_owned(), 3)]));
        for (spec, expected) in [
            (json!({ "minAvailable": 1 }), [4, 1, 2, 1]),
            (json!({ "minAvailable": 2 }), [4, 2, 2, 0]),
            (json!({ "minAvailable": "50%" }), [3, 2, 2, 0]),
            (json!({ "maxUnavailable": 1 }), [3, 2, 2, 0]),
            (json!({ "maxUnavailable": 2 }), [3, 1, 2, 1]),
            (json!({ "maxUnavailable": "50%" }), [3, 1, 2, 1]),
            (json!({ "maxUnavailable": 9 }), [3, 0, 2, 2]),
        ] {
            let status = status(
                &budget(spec.clone(), json!({})),
                &pods,
                &owners,
                Timestamp::UNIX_EPOCH,
            );
            assert_eq!(numbers(&status), expected.map(Some), "{spec}");
            assert_eq!(status.observed_generation, Some(3));
        }
    }

    #[test]
    fn a_pod_that_is_being_evicted_does_not_count_for_two_minutes() {
        let old = json!({ "disruptedPods": { "a": "1970-01-01T00:00:00Z", "gone": "1970-01-01T00:00:00Z" } });
        let budget = budget(json!({ "minAvailable": 1 }), old);
        let pods = [pod("a", true, false), pod("b", true, false)];
        let pods: Vec<_> = pods.iter().collect();
        let at = |seconds| {
            let now = Timestamp::from_second(seconds).expect("is a time");
            status(&budget, &pods, &Ok(BTreeMap::new()), now)
        };
        assert_eq!(numbers(&at(119)), [2, 1, 1, 0].map(Some));
        let kept = at(119).disrupted_pods.expect("has one");
        assert_eq!(kept.keys().collect::<Vec<_>>(), ["a"]);
        assert_eq!(numbers(&at(120)), [2, 1, 2, 1].map(Some));
    }

    #[test]
    fn pods_of_an_owner_without_a_scale_are_not_let_go() {
        let ready = pod("a", true, false);
        let scales = Err("found no scale".to_owned());
        let spec = json!({ "maxUnavailable": 1 });
        let failed = status(
            &budget(spec, json!({})),
            &[&ready],
            &scales,
            Timestamp::UNIX_EPOCH,
        );
        assert_eq!(failed.disruptions_allowed, Some(0));
        assert_eq!(failed.conditions.expect("has one")[0].reason, "SyncFailed");
    }
}
