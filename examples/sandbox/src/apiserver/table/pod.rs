//! The row of a pod, after `printPod`.

use serde_json::Value;

use super::human;
use crate::apiserver::meta;

/// The cells of a pod.
pub(crate) fn cells(pod: &Value) -> Vec<Value> {
    let state = State::of(pod);
    let restarts = match &state.last_restart {
        Some(time) if state.restarts > 0 => {
            format!("{} ({} ago)", state.restarts, human::since(time))
        }
        _ => state.restarts.to_string(),
    };
    let gates = meta::list(pod, "/spec/readinessGates");
    let passed = gates
        .iter()
        .filter(|gate| {
            let kind = meta::text(gate, "/conditionType").unwrap_or_default();
            condition(pod, kind) == Some("True")
        })
        .count();
    vec![
        meta::name(pod).into(),
        format!(
            "{}/{}",
            state.ready,
            meta::list(pod, "/spec/containers").len()
        )
        .into(),
        state.reason.into(),
        restarts.into(),
        human::age(pod, "/metadata/creationTimestamp").into(),
        human::or_none(meta::text(pod, "/status/podIP")).into(),
        human::or_none(meta::text(pod, "/spec/nodeName")).into(),
        human::or_none(meta::text(pod, "/status/nominatedNodeName")).into(),
        if gates.is_empty() {
            "<none>".into()
        } else {
            format!("{passed}/{}", gates.len()).into()
        },
    ]
}

fn condition<'a>(pod: &'a Value, kind: &str) -> Option<&'a str> {
    meta::list(pod, "/status/conditions")
        .iter()
        .find(|c| meta::text(c, "/type") == Some(kind))
        .and_then(|c| meta::text(c, "/status"))
}

#[derive(Debug, Default)]
struct State {
    reason: String,
    restarts: i64,
    ready: usize,
    last_restart: Option<String>,
}

impl State {
    fn of(pod: &Value) -> Self {
        let phase = meta::text(pod, "/status/phase").unwrap_or("Unknown");
        let mut state = Self {
            reason: phase.to_owned(),
            ..Self::default()
        };
        if let Some(reason) = meta::text(pod, "/status/reason").filter(|reason| !reason.is_empty())
        {
            state.reason = reason.to_owned();
        }
        let gated = meta::list(pod, "/status/conditions").iter().any(|c| {
            meta::text(c, "/type") == Some("PodScheduled")
                && meta::text(c, "/reason") == Some("SchedulingGated")
        });
        if gated {
            state.reason = "SchedulingGated".to_owned();
        }
        if !state.read_init(pod) {
            state.read_containers(pod);
        }
        let terminal = matches!(
            meta::text(pod, "/status/phase"),
            Some("Failed" | "Succeeded")
        );
        if meta::is_deleting(pod) && meta::text(pod, "/status/reason") == Some("NodeLost") {
            state.reason = "Unknown".to_owned();
        } else if meta::is_deleting(pod) && !terminal {
            state.reason = "Terminating".to_owned();
        }
        state
    }

    /// Whether the pod is still initializing.
    fn read_init(&mut self, pod: &Value) -> bool {
        let total = meta::list(pod, "/spec/initContainers").len();
        for (at, status) in meta::list(pod, "/status/initContainerStatuses")
            .iter()
            .enumerate()
        {
            self.restarts += meta::int(status, "/restartCount").unwrap_or(0);
            let terminated = status.pointer("/state/terminated");
            let waiting = meta::text(status, "/state/waiting/reason").unwrap_or_default();
            if let Some(end) = terminated {
                if meta::int(end, "/exitCode") == Some(0) {
                    continue;
                }
                self.reason = format!("Init:{}", ending(end));
            } else if !waiting.is_empty() && waiting != "PodInitializing" {
                self.reason = format!("Init:{waiting}");
            } else {
                self.reason = format!("Init:{at}/{total}");
            }
            return true;
        }
        false
    }

    fn read_containers(&mut self, pod: &Value) {
        self.restarts = 0;
        let mut running = false;
        for status in meta::list(pod, "/status/containerStatuses").iter().rev() {
            self.restarts += meta::int(status, "/restartCount").unwrap_or(0);
            if let Some(time) = meta::text(status, "/lastState/terminated/finishedAt")
                && self.last_restart.as_deref().is_none_or(|last| last < time)
            {
                self.last_restart = Some(time.to_owned());
            }
            let waiting = meta::text(status, "/state/waiting/reason").unwrap_or_default();
            if !waiting.is_empty() {
                self.reason = waiting.to_owned();
            } else if let Some(end) = status.pointer("/state/terminated") {
                self.reason = ending(end);
            } else if status.get("ready") == Some(&Value::Bool(true))
                && status.pointer("/state/running").is_some()
            {
                running = true;
                self.ready += 1;
            }
        }
        if self.reason == "Completed" && running {
            let ready = condition(pod, "Ready") == Some("True");
            self.reason = if ready { "Running" } else { "NotReady" }.to_owned();
        }
    }
}

/// Why a container ended.
fn ending(terminated: &Value) -> String {
    if let Some(reason) = meta::text(terminated, "/reason").filter(|reason| !reason.is_empty()) {
        return reason.to_owned();
    }
    match meta::int(terminated, "/signal").filter(|signal| *signal != 0) {
        Some(signal) => format!("Signal:{signal}"),
        None => format!(
            "ExitCode:{}",
            meta::int(terminated, "/exitCode").unwrap_or(0)
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn row(status: Value) -> Vec<Value> {
        cells(
            &json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c"}], "initContainers": [{"name": "i"}]}, "status": status}),
        )
    }

    #[test]
    fn the_status_column() {
        assert_eq!(row(json!({"phase": "Pending"}))[2], "Pending");
        let running = json!({"phase": "Running", "containerStatuses": [{"ready": true, "restartCount": 0, "state": {"running": {}}}]});
        assert_eq!(
            row(running)[1..4],
            [json!("1/1"), json!("Running"), json!("0")]
        );
        let failed = json!({"phase": "Pending", "containerStatuses": [{"state": {"waiting": {"reason": "CreateContainerError"}}}]});
        assert_eq!(row(failed)[2], "CreateContainerError");
        let init =
            json!({"phase": "Pending", "initContainerStatuses": [{"state": {"running": {}}}]});
        assert_eq!(row(init)[2], "Init:0/1");
        let ended = json!({"phase": "Failed", "containerStatuses": [{"state": {"terminated": {"exitCode": 3}}}]});
        assert_eq!(row(ended)[2], "ExitCode:3");
    }

    #[test]
    fn a_pod_that_is_being_deleted_is_terminating() {
        let pod = json!({"metadata": {"name": "p", "deletionTimestamp": "2026-01-01T00:00:00Z"}, "status": {"phase": "Running"}});
        assert_eq!(cells(&pod)[2], "Terminating");
    }
}
