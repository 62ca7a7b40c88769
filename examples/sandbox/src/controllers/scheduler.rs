//! Binds pods to nodes. It knows selectors, affinity, taints, readiness, host ports and volumes,
//! and no resources: the nodes of a sandbox share one machine.

use std::collections::HashMap;
use std::sync::Arc;

use futures_util::StreamExt as _;
use k8s_openapi::api::core::v1::{
    Node, ObjectReference, PersistentVolume, PersistentVolumeClaim, Pod,
};
use k8s_openapi::api::storage::v1::StorageClass;
use kube::api::PostParams;
use kube::{Api, Client, Resource as _, ResourceExt as _};
use serde_json::json;

use super::storage::{Known, Needs, SELECTED_NODE, needs};
use super::{RETRY, observe, scheduling};
use crate::node::{Recorder, Severity};

const NAME: &str = "default-scheduler";

/// Runs until the task is dropped.
pub(super) async fn run(client: Client) {
    let (pods, pod_changes) = observe::<Pod>(Api::all(client.clone()));
    let (nodes, node_changes) = observe::<Node>(Api::all(client.clone()));
    let (claims, claim_changes) = observe::<PersistentVolumeClaim>(Api::all(client.clone()));
    let (volumes, volume_changes) = observe::<PersistentVolume>(Api::all(client.clone()));
    let (classes, class_changes) = observe::<StorageClass>(Api::all(client.clone()));
    let mut changes = futures_util::stream::select_all([
        pod_changes.boxed(),
        node_changes.boxed(),
        claim_changes.boxed(),
        volume_changes.boxed(),
        class_changes.boxed(),
    ]);
    let mut scheduler = Scheduler {
        recorder: Recorder::new(client.clone(), NAME, None),
        client,
        assumed: HashMap::new(),
    };
    let mut again = false;
    loop {
        tokio::select! {
            change = changes.next() => if change.is_none() { return },
            () = tokio::time::sleep(RETRY), if again => {}
        }
        let known = Known {
            claims: claims.state(),
            volumes: volumes.state(),
            classes: classes.state(),
        };
        again = scheduler.pass(&pods.state(), &nodes.state(), &known).await;
    }
}

fn waits(pod: &Pod) -> bool {
    let spec = pod.spec.as_ref();
    let bound = spec.is_some_and(|spec| spec.node_name.is_some());
    let name = spec.and_then(|spec| spec.scheduler_name.as_deref());
    let gated = spec.is_some_and(|spec| spec.scheduling_gates.iter().flatten().next().is_some());
    !bound && !gated && pod.metadata.deletion_timestamp.is_none() && name.unwrap_or(NAME) == NAME
}

struct Scheduler {
    client: Client,
    recorder: Recorder,
    /// The nodes of pods that were bound and have not been seen there yet, by uid.
    assumed: HashMap<String, String>,
}

impl Scheduler {
    /// Binds what can be bound. True if something is to be tried again without a change of the
    /// world.
    async fn pass(&mut self, pods: &[Arc<Pod>], nodes: &[Arc<Node>], known: &Known) -> bool {
        self.assumed.retain(|uid, _| {
            pods.iter()
                .any(|pod| pod.uid().as_ref() == Some(uid) && waits(pod))
        });
        let nodes: Vec<_> = nodes.iter().map(AsRef::as_ref).collect();
        let mut again = false;
        let unbound = pods.iter().filter(|pod| waits(pod));
        for pod in unbound {
            if self.assumed.contains_key(&pod.uid().unwrap_or_default()) {
                continue;
            }
            // Pods bound a moment ago count as being where they will be.
            let placed: Vec<_> = pods.iter().map(|pod| self.place(pod)).collect();
            let placed: Vec<_> = placed.iter().map(AsRef::as_ref).collect();
            let needs = needs(pod, &placed, known);
            if needs.as_ref().is_ok_and(Needs::waits) {
                continue;
            }
            again |= match scheduling::choose(pod, &nodes, &placed, needs.as_ref()) {
                Ok(node) => !self.put(pod, &node, needs.unwrap_or_default()).await,
                Err(message) => !self.refuse(pod, message).await,
            };
        }
        again
    }

    fn place(&self, pod: &Arc<Pod>) -> Arc<Pod> {
        let Some(node) = self.assumed.get(&pod.uid().unwrap_or_default()) else {
            return Arc::clone(pod);
        };
        let mut placed = pod.as_ref().clone();
        placed.spec.get_or_insert_default().node_name = Some(node.clone());
        Arc::new(placed)
    }

    /// Binds a pod, or lets its volumes be made there first. False if that failed.
    async fn put(&mut self, pod: &Pod, node: &str, needs: Needs) -> bool {
        let mut told = Ok(());
        let mut delayed = false;
        for claim in needs.untold() {
            delayed = true;
            told = told.and(select(&self.client, claim, node).await);
        }
        if delayed {
            return told.is_ok();
        }
        match bind(&self.client, pod, node).await {
            Ok(()) => {
                self.assumed
                    .insert(pod.uid().unwrap_or_default(), node.to_owned());
                let name = format!("{}/{}", pod.namespace().unwrap_or_default(), pod.name_any());
                let message = format!("Successfully assigned {name} to {node}");
                self.recorder
                    .record(reference(pod), Severity::Normal, "Scheduled", message);
                true
            }
            // Gone, or bound by somebody else: the next change tells.
            Err(kube::Error::Api(answer)) if answer.code == 404 || answer.code == 409 => true,
            Err(error) => {
                tracing::warn!(pod = pod.name_any(), %error, "pod not bound");
                false
            }
        }
    }

    /// Says why no node will do. False if that failed.
    async fn refuse(&self, pod: &Pod, message: String) -> bool {
        if unschedulable_before(pod).as_deref() == Some(message.as_str()) {
            return true;
        }
        let (object, said) = (reference(pod), message.clone());
        self.recorder
            .record(object, Severity::Warning, "FailedScheduling", said);
        mark(&self.client, pod, &message).await.is_ok()
    }
}

/// Says where a claim is wanted.
async fn select(client: &Client, claim: &PersistentVolumeClaim, node: &str) -> kube::Result<()> {
    let namespace = claim.namespace().unwrap_or_default();
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(client.clone(), &namespace);
    let patch = json!({ "metadata": {
        "uid": claim.uid(), "annotations": { SELECTED_NODE: node },
    } });
    let patch = kube::api::Patch::Merge(patch);
    let parameters = kube::api::PatchParams::default();
    claims
        .patch(&claim.name_any(), &parameters, &patch)
        .await
        .map(drop)
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
