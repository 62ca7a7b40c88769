//! The status of a Deployment: counts, whether it is available and how its rollout goes. Pure.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::apps::v1::{Deployment, DeploymentCondition, DeploymentStatus, ReplicaSet};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt as _;

use super::rollout::Limits;
use super::sets::available;

/// What became of the set of the newest template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Made {
    /// It was there, or is not wanted yet.
    Nothing,
    /// It was just made.
    Created,
    /// It could not be made.
    Failed(String),
}

/// What the Deployment's sets amount to.
pub(super) fn of(
    deployment: &Deployment,
    new: Option<&ReplicaSet>,
    others: &[ReplicaSet],
    collisions: i32,
    made: &Made,
    now: Timestamp,
) -> DeploymentStatus {
    let count = |field: fn(&ReplicaSet) -> i32| {
        let all = new.into_iter().chain(others);
        all.map(field).sum::<i32>()
    };
    let total = count(|set| set.spec.replicas.unwrap_or(1));
    let serving = count(available);
    let old = deployment.status.clone().unwrap_or_default();
    let mut status = DeploymentStatus {
        observed_generation: deployment.metadata.generation,
        replicas: Some(count(actual)),
        updated_replicas: Some(new.map_or(0, actual)),
        ready_replicas: Some(count(ready)),
        available_replicas: Some(serving),
        unavailable_replicas: Some((total - serving).max(0)),
        collision_count: (collisions > 0).then_some(collisions),
        conditions: old.conditions,
        terminating_replicas: None,
    };
    let enough = serving >= Limits::of(deployment).minimum();
    let available = if enough {
        (
            "True",
            "MinimumReplicasAvailable",
            "Deployment has minimum availability.",
        )
    } else {
        (
            "False",
            "MinimumReplicasUnavailable",
            "Deployment does not have minimum availability.",
        )
    };
    put(&mut status, "Available", available, now);
    let progress = progress(deployment, new, &status, made, now);
    if let Some((condition, reason, message)) = &progress {
        put(
            &mut status,
            "Progressing",
            (condition, reason, message),
            now,
        );
    }
    status
}

fn actual(set: &ReplicaSet) -> i32 {
    set.status.as_ref().map_or(0, |status| status.replicas)
}

fn ready(set: &ReplicaSet) -> i32 {
    let status = set.status.as_ref();
    status.and_then(|status| status.ready_replicas).unwrap_or(0)
}

fn progressing(status: &DeploymentStatus) -> Option<&DeploymentCondition> {
    let conditions = status.conditions.as_ref()?;
    conditions
        .iter()
        .find(|condition| condition.type_.as_deref() == Some("Progressing"))
}

/// Status, reason and message of how the rollout goes; nothing if that is as it was.
fn progress(
    deployment: &Deployment,
    new: Option<&ReplicaSet>,
    status: &DeploymentStatus,
    made: &Made,
    now: Timestamp,
) -> Option<(&'static str, &'static str, String)> {
    let deadline = deployment.spec.progress_deadline_seconds?;
    let before = progressing(status);
    let reason = before.and_then(|condition| condition.reason.as_deref());
    if deployment.spec.paused == Some(true) {
        let paused = (
            "Unknown",
            "DeploymentPaused",
            "Deployment is paused".to_owned(),
        );
        return (reason != Some(paused.1)).then_some(paused);
    }
    if reason == Some("DeploymentPaused") {
        return Some((
            "Unknown",
            "DeploymentResumed",
            "Deployment is resumed".to_owned(),
        ));
    }
    let set = new.map(|set| format!("{:?}", set.name_any()));
    match made {
        Made::Nothing => {}
        Made::Failed(why) => return Some(("False", "FailedCreate", why.clone())),
        Made::Created => {
            let message = format!("Created new replica set {}", set.unwrap_or_default());
            return Some(("True", "NewReplicaSetCreated", message));
        }
    }
    // What is complete stays so, whatever becomes of its pods, until its template changes.
    if reason == Some("NewReplicaSetAvailable") && status.replicas == status.updated_replicas {
        return None;
    }
    let name = set.map_or_else(
        || format!("Deployment {:?}", deployment.name_any()),
        |set| format!("ReplicaSet {set}"),
    );
    if is_complete(deployment, status) {
        let message = format!("{name} has successfully progressed.");
        return Some(("True", "NewReplicaSetAvailable", message));
    }
    if before.is_none() || has_progressed(deployment, status) {
        let message = format!("{name} is progressing.");
        return Some(("True", "ReplicaSetUpdated", message));
    }
    let late = due(status, deadline).is_some_and(|due| due <= now);
    if late && reason != Some("NewReplicaSetAvailable") {
        let message = format!("{name} has timed out progressing.");
        return Some(("False", "ProgressDeadlineExceeded", message));
    }
    None
}

/// Whether all pods are of the newest template, and available.
pub(super) fn is_complete(deployment: &Deployment, status: &DeploymentStatus) -> bool {
    let wanted = Some(deployment.spec.replicas.unwrap_or(1));
    status.updated_replicas == wanted
        && status.replicas == wanted
        && status.available_replicas == wanted
}

/// More is new, or ready, or available, or less is old, than was last said.
fn has_progressed(deployment: &Deployment, status: &DeploymentStatus) -> bool {
    let before = deployment.status.clone().unwrap_or_default();
    let updated = |status: &DeploymentStatus| status.updated_replicas.unwrap_or(0);
    let old = |status: &DeploymentStatus| status.replicas.unwrap_or(0) - updated(status);
    updated(status) > updated(&before)
        || old(status) < old(&before)
        || status.ready_replicas.unwrap_or(0) > before.ready_replicas.unwrap_or(0)
        || status.available_replicas.unwrap_or(0) > before.available_replicas.unwrap_or(0)
}

fn due(status: &DeploymentStatus, deadline: i32) -> Option<Timestamp> {
    let since = progressing(status)?.last_update_time.as_ref()?.0;
    Some(since + SignedDuration::from_secs(deadline.into()))
}

/// When a rollout that does not progress will be late.
pub(super) fn look_again(
    deployment: &Deployment,
    status: &DeploymentStatus,
    now: Timestamp,
) -> Option<Duration> {
    let deadline = deployment.spec.progress_deadline_seconds?;
    let reason = progressing(status)?.reason.as_deref();
    if is_complete(deployment, status) || reason == Some("ProgressDeadlineExceeded") {
        return None;
    }
    let due = due(status, deadline)?;
    Duration::try_from(due.duration_since(now)).ok()
}

fn put(
    status: &mut DeploymentStatus,
    kind: &str,
    (condition, reason, message): (&str, &str, &str),
    now: Timestamp,
) {
    let conditions = status.conditions.get_or_insert_default();
    let place = conditions
        .iter()
        .position(|one| one.type_.as_deref() == Some(kind));
    let before = place.map(|at| &conditions[at]);
    let same = before.is_some_and(|before| {
        before.status.as_deref() == Some(condition)
            && before.reason.as_deref() == Some(reason)
            && before.message.as_deref() == Some(message)
    });
    // Progress is said anew each time, everything else only when it changes.
    if same && reason != "ReplicaSetUpdated" {
        return;
    }
    let since = before
        .filter(|before| before.status.as_deref() == Some(condition))
        .and_then(|before| before.last_transition_time.clone());
    let now = DeploymentCondition {
        type_: Some(kind.to_owned()),
        status: Some(condition.to_owned()),
        reason: Some(reason.to_owned()),
        message: Some(message.to_owned()),
        last_update_time: Some(Time(now)),
        last_transition_time: since.or(Some(Time(now))),
    };
    match place {
        Some(at) => conditions[at] = now,
        None => conditions.push(now),
    }
}

#[cfg(test)]
#[path = "status_tests.rs"]
mod tests;
