//! The status of a ReplicaSet. Pure.

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{ReplicaSet, ReplicaSetCondition, ReplicaSetStatus};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt as _;

use crate::controllers::pods;

const FAILURE: &str = "ReplicaFailure";

/// Why pods could not be made or deleted.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    pub(super) reason: &'static str,
    pub(super) message: String,
}

/// What the set's active pods amount to.
pub(super) fn of(
    set: &ReplicaSet,
    pods: &[Pod],
    failure: Option<&Failure>,
    now: Timestamp,
) -> ReplicaSetStatus {
    let min_ready = set.spec.min_ready_seconds.unwrap_or(0);
    let template = set.spec.template.clone().unwrap_or_default();
    let labels = template
        .metadata
        .and_then(|meta| meta.labels)
        .unwrap_or_default();
    let labelled = |pod: &&Pod| {
        let of_pod = pod.labels();
        labels
            .iter()
            .all(|(key, value)| of_pod.get(key) == Some(value))
    };
    let available = |pod: &&Pod| pods::is_available(pod, min_ready, now);
    ReplicaSetStatus {
        replicas: count(pods.iter()),
        fully_labeled_replicas: Some(count(pods.iter().filter(labelled))),
        ready_replicas: Some(count(pods.iter().filter(|pod| pods::is_ready(pod)))),
        available_replicas: Some(count(pods.iter().filter(available))),
        observed_generation: set.metadata.generation,
        conditions: conditions(set, failure, now),
        terminating_replicas: None,
    }
}

fn conditions(
    set: &ReplicaSet,
    failure: Option<&Failure>,
    now: Timestamp,
) -> Option<Vec<ReplicaSetCondition>> {
    let before = set.status.clone().and_then(|status| status.conditions);
    let mut after = before.unwrap_or_default();
    match failure {
        None => after.retain(|condition| condition.type_.as_deref() != Some(FAILURE)),
        Some(failure)
            if !after
                .iter()
                .any(|condition| condition.type_.as_deref() == Some(FAILURE)) =>
        {
            after.push(ReplicaSetCondition {
                type_: Some(FAILURE.to_owned()),
                status: Some("True".to_owned()),
                reason: Some(failure.reason.to_owned()),
                message: Some(failure.message.clone()),
                last_transition_time: Some(Time(now)),
            });
        }
        Some(_) => {}
    }
    (!after.is_empty()).then_some(after)
}

fn count<'a>(pods: impl Iterator<Item = &'a Pod>) -> i32 {
    i32::try_from(pods.count()).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_failure_is_said_and_forgotten() {
        let mut set: ReplicaSet = serde_json::from_value(json!({
            "spec": { "selector": {}, "template": { "metadata": { "labels": { "a": "b" } } } },
        }))
        .expect("is a set");
        let pod: Pod = serde_json::from_value(json!({
            "metadata": { "labels": { "a": "b", "c": "d" } },
            "status": { "conditions": [{ "type": "Ready", "status": "True" }] },
        }))
        .expect("is a pod");
        let failure = Failure {
            reason: "FailedCreate",
            message: "no".to_owned(),
        };
        let now = Timestamp::now();
        let status = of(&set, &[pod, Pod::default()], Some(&failure), now);
        assert_eq!(
            (
                status.replicas,
                status.fully_labeled_replicas,
                status.available_replicas
            ),
            (2, Some(1), Some(1))
        );
        assert!(status.conditions.is_some());
        set.status = Some(status);
        assert_eq!(of(&set, &[], None, now).conditions, None);
    }
}
