//! A pod's status, made of its specification and of what the kubelet knows. Pure.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{
    Container, ContainerState as ApiState, ContainerStateRunning, ContainerStateTerminated,
    ContainerStateWaiting, ContainerStatus, HostIP, Pod, PodCondition, PodIP, PodSpec, PodStatus,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::state::{ContainerState, Now, PodState, Terminated};

/// The status of a pod. `before` is the status sent last: conditions that did not change keep
/// their time.
pub(crate) fn pod_status(
    pod: &Pod,
    state: &PodState,
    node_ip: &str,
    scheme: &str,
    before: Option<&PodStatus>,
) -> PodStatus {
    let spec = pod.spec.clone().unwrap_or_default();
    let phase = phase(&spec, state);
    let init = statuses(spec.init_containers.iter().flatten(), state, scheme);
    let containers = statuses(&spec.containers, state, scheme);
    let ip = state.ip.map(|ip| ip.to_string());
    PodStatus {
        conditions: Some(conditions(&spec, state, phase, before)),
        phase: Some(phase.to_owned()),
        host_ip: Some(node_ip.to_owned()),
        host_ips: Some(vec![HostIP {
            ip: node_ip.to_owned(),
        }]),
        pod_ips: ip.clone().map(|ip| vec![PodIP { ip }]),
        pod_ip: ip,
        start_time: state.started.map(Time),
        qos_class: before
            .and_then(|status| status.qos_class.clone())
            .or_else(|| pod.status.as_ref()?.qos_class.clone())
            .or_else(|| Some("BestEffort".to_owned())),
        reason: state.failed.as_ref().map(|(reason, _)| reason.clone()),
        message: state.failed.as_ref().map(|(_, message)| message.clone()),
        init_container_statuses: (!init.is_empty()).then_some(init),
        container_statuses: Some(containers),
        ..PodStatus::default()
    }
}

/// The phase of a pod.
pub(crate) fn phase(spec: &PodSpec, state: &PodState) -> &'static str {
    let restarts = spec.restart_policy.as_deref().unwrap_or("Always");
    let of = |container: &Container| state.containers.get(&container.name);
    let init: Vec<_> = spec
        .init_containers
        .iter()
        .flatten()
        .filter_map(of)
        .collect();
    let main: Vec<_> = spec.containers.iter().filter_map(of).collect();
    if state.failed.is_some() {
        return "Failed";
    }
    let failed =
        |container: &&ContainerState| container.terminated().is_some_and(|end| end.code != 0);
    if restarts == "Never" && init.iter().any(failed) {
        return "Failed";
    }
    let ended = !main.is_empty()
        && main
            .iter()
            .all(|container| container.terminated().is_some());
    if ended && restarts != "Always" {
        let any_failed = main.iter().any(failed);
        if !any_failed {
            return "Succeeded";
        }
        if restarts == "Never" {
            return "Failed";
        }
    }
    // A container that waits to be started again leaves the pod running; one that was never
    // started does not.
    let up = |container: &&ContainerState| {
        container.running() || container.terminated().is_some() || container.last.is_some()
    };
    if !main.is_empty() && main.iter().all(up) {
        return "Running";
    }
    "Pending"
}

/// Whether the init containers are through.
pub(crate) fn initialized(spec: &PodSpec, state: &PodState) -> bool {
    spec.init_containers.iter().flatten().all(|container| {
        let state = state.containers.get(&container.name);
        if container.restart_policy.as_deref() == Some("Always") {
            return state.is_some_and(|state| state.started);
        }
        state
            .and_then(ContainerState::terminated)
            .is_some_and(|end| end.code == 0)
    })
}

fn conditions(
    spec: &PodSpec,
    state: &PodState,
    phase: &str,
    before: Option<&PodStatus>,
) -> Vec<PodCondition> {
    let ended = matches!(phase, "Succeeded" | "Failed");
    let unready: Vec<_> = spec
        .containers
        .iter()
        .filter(|container| {
            !state
                .containers
                .get(&container.name)
                .is_some_and(|state| state.ready)
        })
        .map(|container| container.name.as_str())
        .collect();
    let waiting_init: Vec<_> = spec
        .init_containers
        .iter()
        .flatten()
        .filter(|container| {
            let state = state.containers.get(&container.name);
            state.and_then(ContainerState::terminated).is_none()
        })
        .map(|container| container.name.as_str())
        .collect();
    let reason_unready = || match phase {
        "Succeeded" => ("PodCompleted", None),
        "Failed" => ("PodFailed", None),
        _ => (
            "ContainersNotReady",
            Some(format!(
                "containers with unready status: [{}]",
                unready.join(" ")
            )),
        ),
    };
    let ready = unready.is_empty() && !ended;
    let initialized = initialized(spec, state) || phase == "Succeeded";
    let condition = |kind: &str, met: bool, why: (&str, Option<String>)| {
        let status = if met { "True" } else { "False" };
        let old = before
            .and_then(|status| status.conditions.as_ref())
            .and_then(|all| {
                all.iter()
                    .find(|old| old.type_ == kind && old.status == status)
            });
        PodCondition {
            type_: kind.to_owned(),
            status: status.to_owned(),
            last_transition_time: old
                .and_then(|old| old.last_transition_time.clone())
                .or_else(|| Some(Time(Timestamp::now()))),
            reason: (!met && !why.0.is_empty()).then(|| why.0.to_owned()),
            message: if met { None } else { why.1 },
            ..PodCondition::default()
        }
    };
    let incomplete = Some(format!(
        "containers with incomplete status: [{}]",
        waiting_init.join(" ")
    ));
    vec![
        condition(
            "PodReadyToStartContainers",
            state.sandbox_ready && !ended,
            ("", None),
        ),
        condition(
            "Initialized",
            initialized,
            ("ContainersNotInitialized", incomplete),
        ),
        condition("Ready", ready, reason_unready()),
        condition("ContainersReady", ready, reason_unready()),
        condition("PodScheduled", true, ("", None)),
    ]
}

fn statuses<'a>(
    containers: impl IntoIterator<Item = &'a Container>,
    state: &PodState,
    scheme: &str,
) -> Vec<ContainerStatus> {
    containers
        .into_iter()
        .filter_map(|container| {
            let state = state.containers.get(&container.name)?;
            Some(status(container, state, scheme))
        })
        .collect()
}

fn status(container: &Container, state: &ContainerState, scheme: &str) -> ContainerStatus {
    let (image, image_id) = match &state.image {
        Some(shown) => (shown.name.clone(), shown.id.clone()),
        None => (container.image.clone().unwrap_or_default(), String::new()),
    };
    ContainerStatus {
        name: container.name.clone(),
        image,
        image_id,
        container_id: state
            .container
            .as_ref()
            .map(|container| format!("{scheme}://{}", container.id)),
        ready: state.ready,
        started: Some(state.started),
        restart_count: i32::try_from(state.restarts).unwrap_or(i32::MAX),
        state: Some(api_state(&state.now, scheme)),
        last_state: state.last.as_ref().map(|last| ApiState {
            terminated: Some(terminated(last, scheme)),
            ..ApiState::default()
        }),
        ..ContainerStatus::default()
    }
}

fn api_state(now: &Now, scheme: &str) -> ApiState {
    let mut state = ApiState::default();
    match now {
        Now::Waiting { reason, message } => {
            state.waiting = Some(ContainerStateWaiting {
                reason: Some(reason.clone()),
                message: message.clone(),
            });
        }
        Now::Running { since } => {
            state.running = Some(ContainerStateRunning {
                started_at: Some(Time(*since)),
            });
        }
        Now::Terminated(end) => state.terminated = Some(terminated(end, scheme)),
    }
    state
}

fn terminated(end: &Terminated, scheme: &str) -> ContainerStateTerminated {
    ContainerStateTerminated {
        exit_code: end.code,
        reason: Some(end.reason.clone()),
        message: end.message.clone(),
        started_at: end.started.map(Time),
        finished_at: Some(Time(end.finished)),
        container_id: Some(format!("{scheme}://{}", end.container_id)),
        ..ContainerStateTerminated::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(policy: &str) -> PodSpec {
        PodSpec {
            restart_policy: Some(policy.to_owned()),
            containers: vec![Container {
                name: "app".to_owned(),
                ..Container::default()
            }],
            ..PodSpec::default()
        }
    }

    fn state(now: Now) -> PodState {
        let mut container = ContainerState::new("ContainerCreating");
        container.now = now;
        PodState {
            containers: [("app".to_owned(), container)].into(),
            ..PodState::default()
        }
    }

    fn ended(code: i32) -> Now {
        Now::Terminated(Terminated {
            code,
            reason: "Error".to_owned(),
            message: None,
            started: None,
            finished: Timestamp::UNIX_EPOCH,
            container_id: "1".to_owned(),
        })
    }

    #[test]
    fn the_phase_follows_the_restart_policy() {
        let running = Now::Running {
            since: Timestamp::UNIX_EPOCH,
        };
        let waiting = Now::waiting("ContainerCreating", None);
        for (policy, now, expected) in [
            ("Always", waiting, "Pending"),
            ("Always", running, "Running"),
            ("Always", ended(0), "Running"),
            ("OnFailure", ended(0), "Succeeded"),
            ("OnFailure", ended(1), "Running"),
            ("Never", ended(0), "Succeeded"),
            ("Never", ended(1), "Failed"),
        ] {
            let found = phase(&spec(policy), &state(now.clone()));
            assert_eq!(found, expected, "{policy} {now:?}");
        }
    }

    #[test]
    fn a_condition_that_stays_keeps_its_time() {
        let pod = Pod {
            spec: Some(spec("Always")),
            ..Pod::default()
        };
        let creating = state(Now::waiting("ContainerCreating", None));
        let mut first = pod_status(&pod, &creating, "127.1.1.1", "cri-o", None);
        let old = Some(Time(Timestamp::UNIX_EPOCH));
        for condition in first.conditions.iter_mut().flatten() {
            condition.last_transition_time = old.clone();
        }
        let mut ready = creating;
        for container in ready.containers.values_mut() {
            container.now = Now::Running {
                since: Timestamp::UNIX_EPOCH,
            };
            container.ready = true;
        }
        let second = pod_status(&pod, &ready, "127.1.1.1", "cri-o", Some(&first));
        let kept: Vec<_> = second
            .conditions
            .iter()
            .flatten()
            .filter(|condition| condition.last_transition_time == old)
            .map(|condition| condition.type_.as_str())
            .collect();
        assert_eq!(
            kept,
            ["PodReadyToStartContainers", "Initialized", "PodScheduled"]
        );
    }
}
