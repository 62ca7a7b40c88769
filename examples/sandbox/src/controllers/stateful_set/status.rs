//! The status of a StatefulSet. Pure.

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{StatefulSet, StatefulSetStatus};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;

use super::history::History;
use super::members;
use crate::controllers::pods;

/// What the set's pods amount to. `deleted` of the current revision were just deleted for an
/// update.
pub(super) fn of(
    set: &StatefulSet,
    history: &History,
    pods: &[Pod],
    deleted: i32,
    now: Timestamp,
) -> StatefulSetStatus {
    let spec = set.spec.clone();
    let min_ready = spec.min_ready_seconds.unwrap_or(0);
    let ready = |pod: &&Pod| is_running_and_ready(pod);
    let available = |pod: &&Pod| pods::is_available(pod, min_ready, now);
    let of_revision = |name: &str| {
        let alive = pods.iter().filter(|pod| !pods::is_terminating(pod));
        count(alive.filter(|pod| members::revision(pod) == name))
    };
    let (current, update) = (history.current.name_any(), history.update.name_any());
    let mut status = StatefulSetStatus {
        observed_generation: set.metadata.generation,
        replicas: count(pods.iter()),
        ready_replicas: Some(count(pods.iter().filter(ready))),
        available_replicas: Some(count(pods.iter().filter(ready).filter(available))),
        current_replicas: Some(of_revision(&current) - deleted),
        updated_replicas: Some(of_revision(&update)),
        current_revision: Some(current),
        update_revision: Some(update),
        collision_count: Some(history.collisions),
        conditions: set.status.clone().and_then(|status| status.conditions),
    };
    let rolls = spec
        .update_strategy
        .and_then(|strategy| strategy.type_)
        .is_none_or(|kind| kind == "RollingUpdate");
    let all = Some(status.replicas);
    if rolls && status.updated_replicas == all && status.ready_replicas == all {
        status.current_replicas = status.updated_replicas;
        status.current_revision = status.update_revision.clone();
    }
    status
}

/// Whether a pod runs and is ready.
pub(super) fn is_running_and_ready(pod: &Pod) -> bool {
    pods::phase(pod) == "Running" && pods::is_ready(pod)
}

fn count<'a>(pods: impl Iterator<Item = &'a Pod>) -> i32 {
    i32::try_from(pods.count()).unwrap_or(i32::MAX)
}
