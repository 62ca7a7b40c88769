//! Binds pods to nodes. It knows selectors, affinity, taints and readiness, and no resources:
//! the nodes of a sandbox share one machine.

use std::sync::Arc;

use futures_util::StreamExt as _;
use k8s_openapi::api::core::v1::{Node, ObjectReference, Pod};
use kube::api::PostParams;
use kube::{Api, Client, Resource as _, ResourceExt as _};
use serde_json::json;

use super::{RETRY, observe, scheduling};
use crate::node::{Recorder, Severity};

const NAME: &str = "default-scheduler";

/// Runs until the task is dropped.
pub(super) async fn run(client: Client) {
    let (pods, pod_changes) = observe::<Pod>(Api::all(client.clone()));
    let (nodes, node_changes) = observe::<Node>(Api::all(client.clone()));
    let recorder = Recorder::new(client.clone(), NAME, None);
    let mut changes = std::pin::pin!(futures_util::stream::select(pod_changes, node_changes));
    let mut again = false;
    loop {
        tokio::select! {
            change = changes.next() => if change.is_none() { return },
            () = tokio::time::sleep(RETRY), if again => {}
        }
        again = false;
        let nodes = nodes.state();
        let known = pods.state();
        for pod in known.iter().filter(|pod| waits(pod)) {
            again |= !schedule(&client, &recorder, pod, &nodes, &known).await;
        }
    }
}

fn waits(pod: &Pod) -> bool {
    let spec = pod.spec.as_ref();
    let bound = spec.is_some_and(|spec| spec.node_name.is_some());
    let name = spec.and_then(|spec| spec.scheduler_name.as_deref());
    let gated = spec.is_some_and(|spec| spec.scheduling_gates.iter().flatten().next().is_some());
    !bound && !gated && pod.metadata.deletion_timestamp.is_none() && name.unwrap_or(NAME) == NAME
}

/// Binds a pod, or says why not. False if that is to be tried again without a change of the
/// world.
async fn schedule(
    client: &Client,
    recorder: &Recorder,
    pod: &Pod,
    nodes: &[Arc<Node>],
    pods: &[Arc<Pod>],
) -> bool {
    let nodes: Vec<_> = nodes.iter().map(AsRef::as_ref).collect();
    let others: Vec<_> = pods.iter().map(AsRef::as_ref).collect();
    match scheduling::choose(pod, &nodes, &others) {
        Ok(node) => match bind(client, pod, &node).await {
            Ok(()) => {
                let name = format!("{}/{}", pod.namespace().unwrap_or_default(), pod.name_any());
                let message = format!("Successfully assigned {name} to {node}");
                recorder.record(reference(pod), Severity::Normal, "Scheduled", message);
                true
            }
            // Gone, or bound by somebody else: the next change tells.
            Err(kube::Error::Api(answer)) if answer.code == 404 || answer.code == 409 => true,
            Err(error) => {
                tracing::warn!(pod = pod.name_any(), %error, "pod not bound");
                false
            }
        },
        Err(message) => {
            if unschedulable_before(pod).as_deref() != Some(message.as_str()) {
                recorder.record(
                    reference(pod),
                    Severity::Warning,
                    "FailedScheduling",
                    message.clone(),
                );
                return mark(client, pod, &message).await.is_ok();
            }
            true
        }
    }
}

fn reference(pod: &Pod) -> ObjectReference {
    pod.object_ref(&())
}

async fn bind(client: &Client, pod: &Pod, node: &str) -> kube::Result<()> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), &pod.namespace().unwrap_or_default());
    let binding = json!({
        "apiVersion": "v1",
        "kind": "Binding",
        "metadata": { "name": pod.name_any(), "uid": pod.uid() },
        "target": { "apiVersion": "v1", "kind": "Node", "name": node },
    });
    // What comes back is a Status or a Binding; nobody reads either.
    let _: serde_json::Value = pods
        .create_subresource("binding", &pod.name_any(), &PostParams::default(), &binding)
        .await?;
    Ok(())
}

fn unschedulable_before(pod: &Pod) -> Option<String> {
    let conditions = pod.status.as_ref()?.conditions.as_ref()?;
    let scheduled = conditions.iter().find(|one| one.type_ == "PodScheduled")?;
    (scheduled.status == "False").then(|| scheduled.message.clone())?
}

async fn mark(client: &Client, pod: &Pod, message: &str) -> kube::Result<()> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), &pod.namespace().unwrap_or_default());
    let now = k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(jiff::Timestamp::now());
    let patch = json!({ "status": { "conditions": [{
        "type": "PodScheduled",
        "status": "False",
        "reason": "Unschedulable",
        "message": message,
        "lastTransitionTime": now,
    }] } });
    pods.patch_status(
        &pod.name_any(),
        &kube::api::PatchParams::default(),
        &kube::api::Patch::Strategic(patch),
    )
    .await
    .map(drop)
}
