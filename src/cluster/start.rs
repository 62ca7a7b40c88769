//! How far a pod has come on its way to a running container, read from its status. Pure.
//!
//! Kubelets retry for ever what can never work, so 'still trying' has to be told from 'hopeless':
//! some reasons are final at once, others get a short grace.

use std::time::Duration;

use k8s_openapi::api::core::v1::{ContainerState, ContainerStateTerminated, ContainerStatus, Pod};

use super::remedy::is_final_for_restore;
use super::view::is_ready;

/// How long a pull may fail before it counts: the kubelet tries again after 10 s, and a registry
/// that hiccups once recovers by then.
const PULL_GRACE: Duration = Duration::from_secs(15);

/// How long a container may fail to be created or started for a reason not known to be final.
const CREATE_GRACE: Duration = Duration::from_secs(8);

/// How long the scheduler may find no place: it tries again as soon as anything changes.
const SCHEDULE_GRACE: Duration = Duration::from_secs(5);

/// Where a pod stands on its way to a running container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Start {
    /// On its way; the words say what it waits for.
    Starting(String),
    /// Something is wrong that may pass within the grace.
    Trouble {
        /// What is wrong, in the kubelet's or scheduler's own words.
        words: String,
        /// How long it may last.
        grace: Duration,
    },
    /// The container runs.
    Running {
        /// Whether the pod is ready.
        ready: bool,
    },
    /// It ended, or can never start.
    Ended(String),
}

/// Where `pod` stands; `container` is the one that counts, the first one if none is named.
pub(super) fn start_of(pod: &Pod, container: Option<&str>) -> Start {
    let main = main_status(pod, container);
    if pod.metadata.deletion_timestamp.is_some() {
        return Start::Ended("the pod is being deleted".to_owned());
    }
    if let Some(words) = ended_words(pod, main) {
        return Start::Ended(words);
    }
    let problem = main
        .into_iter()
        .chain(all_statuses(pod))
        .find_map(container_problem);
    if let Some(problem) = problem {
        return problem;
    }
    if main.and_then(state).is_some_and(|it| it.running.is_some()) {
        return Start::Running {
            ready: is_ready(pod),
        };
    }
    unscheduled(pod).unwrap_or_else(|| Start::Starting(waits_for(pod, main)))
}

/// Whether the kubelet has the pod's image, read from the pod that only pulls it.
pub(super) fn is_pulled(pod: &Pod) -> bool {
    let Some(main) = main_status(pod, None) else {
        return false;
    };
    let Some(state) = state(main) else {
        return !main.image_id.is_empty();
    };
    // The kubelet pulls first: each of these comes after it.
    let later = state.waiting.as_ref().and_then(|it| it.reason.as_deref());
    !main.image_id.is_empty()
        || state.running.is_some()
        || state.terminated.is_some()
        || main.restart_count > 0
        || matches!(
            later,
            Some(
                "CreateContainerError"
                    | "CreateContainerConfigError"
                    | "RunContainerError"
                    | "CrashLoopBackOff"
            )
        )
}

/// The status of the container that counts.
pub(super) fn main_status<'a>(
    pod: &'a Pod,
    container: Option<&str>,
) -> Option<&'a ContainerStatus> {
    let name = match container {
        Some(name) => name,
        None => &pod.spec.as_ref()?.containers.first()?.name,
    };
    let statuses = pod.status.as_ref()?.container_statuses.as_deref()?;
    statuses.iter().find(|it| it.name == name)
}

/// How a container ended.
pub(super) fn terminated_words(name: &str, end: &ContainerStateTerminated) -> String {
    let mut words = format!(
        "container {name} ended with exit code {}{}",
        end.exit_code,
        in_brackets(end.reason.as_deref())
    );
    if let Some(message) = end.message.as_deref().filter(|it| !it.trim().is_empty()) {
        words.push_str(": ");
        words.push_str(message.trim());
    }
    words
}

fn state(status: &ContainerStatus) -> Option<&ContainerState> {
    status.state.as_ref()
}

fn in_brackets(reason: Option<&str>) -> String {
    reason.map(|it| format!(" ({it})")).unwrap_or_default()
}

fn all_statuses(pod: &Pod) -> impl Iterator<Item = &ContainerStatus> {
    let status = pod.status.as_ref();
    let init = status.and_then(|it| it.init_container_statuses.as_deref());
    let main = status.and_then(|it| it.container_statuses.as_deref());
    init.into_iter().chain(main).flatten()
}

/// Words when the pod, or the container that counts, is over.
fn ended_words(pod: &Pod, main: Option<&ContainerStatus>) -> Option<String> {
    if let Some(main) = main {
        let last = main.last_state.as_ref();
        let end = state(main)
            .and_then(|it| it.terminated.as_ref())
            .or_else(|| last.and_then(|it| it.terminated.as_ref()));
        if let Some(end) = end {
            return Some(terminated_words(&main.name, end));
        }
    }
    let status = pod.status.as_ref()?;
    let phase = status.phase.as_deref()?;
    if phase != "Failed" && phase != "Succeeded" {
        return None;
    }
    let mut words = format!(
        "the pod {}{}",
        phase.to_lowercase(),
        in_brackets(status.reason.as_deref())
    );
    if let Some(message) = &status.message {
        words.push_str(": ");
        words.push_str(message);
    }
    Some(words)
}

/// What hinders a container from starting, if anything does.
fn container_problem(status: &ContainerStatus) -> Option<Start> {
    let waiting = state(status)?.waiting.as_ref()?;
    let reason = waiting.reason.as_deref()?;
    let message = waiting.message.as_deref().unwrap_or_default();
    let words = format!("container {}: {reason}: {message}", status.name);
    let words = words.trim_end_matches([':', ' ']).to_owned();
    let grace = match reason {
        "InvalidImageName" | "ErrImageNeverPull" | "StartError" | "CrashLoopBackOff" => {
            Duration::ZERO
        }
        "ErrImagePull"
        | "ImagePullBackOff"
        | "ImageInspectError"
        | "RegistryUnavailable"
        | "SignatureValidationFailed" => {
            if is_final_pull_error(message) {
                Duration::ZERO
            } else {
                PULL_GRACE
            }
        }
        "CreateContainerError"
        | "RunContainerError"
        | "CreateContainerConfigError"
        | "PreCreateHookError"
        | "PreStartHookError"
        | "PostStartHookError" => {
            if is_final_for_restore(message) {
                Duration::ZERO
            } else {
                CREATE_GRACE
            }
        }
        _ => return None,
    };
    if grace.is_zero() {
        return Some(Start::Ended(words));
    }
    Some(Start::Trouble { words, grace })
}

/// Whether a registry's answer will stay the same.
fn is_final_pull_error(message: &str) -> bool {
    let message = message.to_lowercase();
    [
        "not found",
        "manifest unknown",
        "server gave http response to https client",
        "name unknown",
        "unauthorized",
        "denied",
        "no basic auth credentials",
        "invalid reference",
        "no match for platform",
        "server gave http response to https client",
    ]
    .iter()
    .any(|part| message.contains(part))
}

/// The scheduler's words, when it finds no place.
fn unscheduled(pod: &Pod) -> Option<Start> {
    let conditions = pod.status.as_ref()?.conditions.as_ref()?;
    let condition = conditions.iter().find(|it| {
        it.type_ == "PodScheduled"
            && it.status == "False"
            && it.reason.as_deref() == Some("Unschedulable")
    })?;
    let message = condition.message.as_deref().unwrap_or("no node fits");
    Some(Start::Trouble {
        words: format!("the scheduler finds no place for the pod: {message}"),
        grace: SCHEDULE_GRACE,
    })
}

/// What a pod that is on its way waits for.
fn waits_for(pod: &Pod, main: Option<&ContainerStatus>) -> String {
    let bound = pod.spec.as_ref().is_some_and(|it| it.node_name.is_some());
    if !bound {
        return "waiting for the scheduler".to_owned();
    }
    let waiting = main.and_then(state).and_then(|it| it.waiting.as_ref());
    let reason = waiting.and_then(|it| it.reason.as_deref());
    reason.unwrap_or("waiting for the kubelet").to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn pod(status: Value) -> Pod {
        serde_json::from_value(json!({
            "metadata": {"name": "web-0-shadow"},
            "spec": {"nodeName": "node-b", "containers": [{"name": "main"}, {"name": "side"}]},
            "status": status
        }))
        .expect("a pod")
    }

    fn container(state: Value) -> Value {
        json!({"name": "main", "image": "i", "imageID": "", "ready": false, "restartCount": 0, "state": state})
    }

    fn waiting(reason: &str, message: &str) -> Start {
        let status = container(json!({"waiting": {"reason": reason, "message": message}}));
        start_of(
            &pod(json!({"phase": "Pending", "containerStatuses": [status]})),
            None,
        )
    }

    #[test]
    fn hopeless_is_told_from_still_trying() {
        assert_eq!(
            waiting("ContainerCreating", ""),
            Start::Starting("ContainerCreating".into())
        );
        assert_eq!(
            waiting("CreateContainerError", "image not known"),
            Start::Ended("container main: CreateContainerError: image not known".into())
        );
        assert!(matches!(
            waiting("CreateContainerError", "context deadline exceeded"),
            Start::Trouble {
                grace: CREATE_GRACE,
                ..
            }
        ));
        assert!(matches!(
            waiting("ErrImagePull", "dial tcp: i/o timeout"),
            Start::Trouble {
                grace: PULL_GRACE,
                ..
            }
        ));
        assert!(matches!(
            waiting("ErrImagePull", "manifest unknown: manifest unknown"),
            Start::Ended(_)
        ));
        assert_eq!(
            waiting("InvalidImageName", ""),
            Start::Ended("container main: InvalidImageName".into())
        );
    }

    #[test]
    fn a_failed_restore_on_containerd_ends_the_wait() {
        let end = json!({"exitCode": 128, "reason": "StartError", "message": "criu failed: type RESTORE errno 0"});
        let now = pod(
            json!({"phase": "Failed", "containerStatuses": [container(json!({"terminated": end}))]}),
        );
        assert_eq!(
            start_of(&now, None),
            Start::Ended("container main ended with exit code 128 (StartError): criu failed: type RESTORE errno 0".into())
        );
        let mut again = container(json!({"waiting": {"reason": "CrashLoopBackOff"}}));
        again["lastState"] = json!({"terminated": end});
        let again = pod(json!({"phase": "Running", "containerStatuses": [again]}));
        assert_eq!(start_of(&again, None), start_of(&now, None));
    }

    #[test]
    fn the_container_that_counts_decides() {
        let mut side = container(json!({"running": {}}));
        side["name"] = json!("side");
        let main = container(json!({"waiting": {"reason": "ContainerCreating"}}));
        let pod = pod(json!({"phase": "Pending", "containerStatuses": [side, main]}));
        assert!(matches!(start_of(&pod, Some("main")), Start::Starting(_)));
        assert_eq!(
            start_of(&pod, Some("side")),
            Start::Running { ready: false }
        );
    }

    #[test]
    fn a_sidecar_that_cannot_start_is_trouble() {
        let mut side = container(json!({"waiting": {"reason": "InvalidImageName"}}));
        side["name"] = json!("side");
        let main = container(json!({"running": {}}));
        let pod = pod(json!({"phase": "Pending", "containerStatuses": [main, side]}));
        assert!(matches!(start_of(&pod, Some("main")), Start::Ended(_)));
    }

    #[test]
    fn the_scheduler_s_words_are_kept() {
        let condition = json!({"type": "PodScheduled", "status": "False", "reason": "Unschedulable",
            "message": "0/2 nodes are available: 1 node(s) were unschedulable"});
        let found = start_of(
            &pod(json!({"phase": "Pending", "conditions": [condition]})),
            None,
        );
        assert!(
            matches!(found, Start::Trouble { words, grace: SCHEDULE_GRACE }
            if words.contains("1 node(s) were unschedulable"))
        );
    }

    #[test]
    fn pods_that_are_rejected_or_evicted_say_why() {
        let rejected =
            json!({"phase": "Failed", "reason": "NodeAffinity", "message": "Pod was rejected"});
        assert_eq!(
            start_of(&pod(rejected), None),
            Start::Ended("the pod failed (NodeAffinity): Pod was rejected".into())
        );
    }

    #[test]
    fn an_image_is_there_once_the_kubelet_went_past_the_pull() {
        let seen = |state: Value| is_pulled(&pod(json!({"containerStatuses": [container(state)]})));
        for reason in [
            "CreateContainerError",
            "RunContainerError",
            "CreateContainerConfigError",
        ] {
            assert!(seen(json!({"waiting": {"reason": reason}})), "{reason}");
        }
        assert!(seen(
            json!({"terminated": {"exitCode": 128, "reason": "StartError"}})
        ));
        for reason in ["ContainerCreating", "ErrImagePull", "ImagePullBackOff"] {
            assert!(!seen(json!({"waiting": {"reason": reason}})), "{reason}");
        }
        assert!(!is_pulled(&pod(json!({"phase": "Pending"}))));
    }
}
