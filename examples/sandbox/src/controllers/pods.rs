//! What a pod's status says, and pods made of templates, as all controllers of pods see them.
//! Pure.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Pod, PodCondition, PodTemplateSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::ObjectMeta;

pub(super) fn phase(pod: &Pod) -> &str {
    let status = pod.status.as_ref();
    status
        .and_then(|status| status.phase.as_deref())
        .unwrap_or("Pending")
}

/// Whether it has ended, in whichever way.
pub(super) fn is_finished(pod: &Pod) -> bool {
    matches!(phase(pod), "Succeeded" | "Failed")
}

pub(super) fn is_terminating(pod: &Pod) -> bool {
    pod.metadata.deletion_timestamp.is_some()
}

/// Whether it counts as one that runs or will run.
pub(super) fn is_active(pod: &Pod) -> bool {
    !is_finished(pod) && !is_terminating(pod)
}

fn ready_condition(pod: &Pod) -> Option<&PodCondition> {
    let conditions = pod.status.as_ref()?.conditions.as_ref()?;
    conditions
        .iter()
        .find(|condition| condition.type_ == "Ready" && condition.status == "True")
}

pub(super) fn is_ready(pod: &Pod) -> bool {
    ready_condition(pod).is_some()
}

/// When it became ready.
pub(super) fn ready_since(pod: &Pod) -> Option<Timestamp> {
    Some(ready_condition(pod)?.last_transition_time.as_ref()?.0)
}

/// How long until a ready pod has been so for `min_ready` seconds; nothing for one that is not
/// ready.
pub(super) fn available_in(pod: &Pod, min_ready: i32, now: Timestamp) -> Option<Duration> {
    if min_ready == 0 {
        return is_ready(pod).then_some(Duration::ZERO);
    }
    let due = ready_since(pod)? + SignedDuration::from_secs(min_ready.into());
    Some(Duration::try_from(due.duration_since(now)).unwrap_or_default())
}

pub(super) fn is_available(pod: &Pod, min_ready: i32, now: Timestamp) -> bool {
    available_in(pod, min_ready, now) == Some(Duration::ZERO)
}

/// A new pod of a template. It has no name yet.
pub(super) fn from_template(
    template: &PodTemplateSpec,
    owner: Option<OwnerReference>,
    prefix: &str,
) -> Pod {
    let meta = template.metadata.clone().unwrap_or_default();
    Pod {
        metadata: ObjectMeta {
            generate_name: Some(format!("{prefix}-")),
            labels: meta.labels,
            annotations: meta.annotations,
            finalizers: meta.finalizers,
            owner_references: owner.map(|owner| vec![owner]),
            ..ObjectMeta::default()
        },
        spec: template.spec.clone(),
        status: None,
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_pod_is_available_once_it_has_been_ready_long_enough() {
        // Times in objects are whole seconds.
        let now = Timestamp::UNIX_EPOCH + SignedDuration::from_secs(60);
        let since = Time(now - SignedDuration::from_secs(3));
        let pod: Pod = serde_json::from_value(json!({ "status": { "conditions": [
            { "type": "Ready", "status": "True", "lastTransitionTime": since },
        ] } }))
        .expect("is a pod");
        assert!(is_available(&pod, 0, now) && is_available(&pod, 3, now));
        assert!(!is_available(&pod, 5, now));
        assert_eq!(available_in(&pod, 5, now).map(|due| due.as_secs()), Some(2));
        assert_eq!(available_in(&Pod::default(), 0, now), None);
    }
}
