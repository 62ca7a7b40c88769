//! `/stats/summary`: what the containers of the node have in use, as far as the machine tells of their
//! first processes. No CPU, no file systems, no network.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use jiff::Timestamp;
use kube::ResourceExt as _;
use serde_json::{Value, json};

use super::Kubelet;
use crate::node::runtime::Container;

/// Answers.
pub(super) async fn summary(State(kubelet): State<Arc<Kubelet>>) -> Json<Value> {
    let pods = kubelet.pods.lock().expect("no holder panics");
    let pods: Vec<Value> = pods
        .values()
        .map(|handle| {
            let pod = Arc::clone(&handle.object.borrow());
            let state = handle.state.borrow().clone();
            let containers = state.containers.iter().map(|(name, state)| {
                let memory = state.container.as_deref().and_then(memory);
                json!({"name": name, "memory": memory})
            });
            json!({
                "podRef": {
                    "name": pod.name_any(), "namespace": pod.namespace(), "uid": pod.uid(),
                },
                "containers": containers.collect::<Vec<_>>(),
            })
        })
        .collect();
    Json(json!({"node": {"nodeName": kubelet.name}, "pods": pods}))
}

/// The resident memory of a container's first process.
fn memory(container: &Container) -> Option<Value> {
    let pid = container.pid()?.as_raw_pid();
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let resident = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = resident.split_whitespace().next()?.parse().ok()?;
    let bytes = kibibytes * 1024;
    Some(json!({
        "time": Timestamp::now(), "usageBytes": bytes, "workingSetBytes": bytes, "rssBytes": bytes,
    }))
}
