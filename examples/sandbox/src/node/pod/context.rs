//! What everything that works on one pod shares.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{ObjectReference, Pod, PodSpec};
use kube::ResourceExt as _;
use tokio::sync::watch;
use tokio::time::Instant;

use super::env::Addresses;
use super::mounts::PodFiles;
use super::state::{ContainerState, PodState};
use super::volumes::Mounted;
use crate::node::events::Severity;
use crate::node::kubelet::Kubelet;

/// When a pod's containers are to be gone: nothing while they are to run.
pub(crate) type Stop = watch::Receiver<Option<Instant>>;

/// One pod on its node.
#[derive(Clone)]
pub(crate) struct PodContext {
    pub(crate) kubelet: Arc<Kubelet>,
    /// The pod as it was when it came to the node. Its specification does not change, save the
    /// images of its containers.
    pub(crate) pod: Arc<Pod>,
    pub(crate) state: Arc<watch::Sender<PodState>>,
}

/// What is there once a pod's containers can be created.
#[derive(Clone)]
pub(crate) struct Sandbox {
    pub(crate) ip: IpAddr,
    pub(crate) hostname: String,
    pub(crate) addresses: Addresses,
    pub(crate) files: PodFiles,
    pub(crate) volumes: BTreeMap<String, Mounted>,
}

impl PodContext {
    pub(crate) fn spec(&self) -> PodSpec {
        self.pod.spec.clone().unwrap_or_default()
    }

    /// `namespace/name`.
    pub(crate) fn full_name(&self) -> String {
        format!(
            "{}/{}",
            self.pod.namespace().unwrap_or_default(),
            self.pod.name_any()
        )
    }

    /// Changes the state of a container, which tells the status.
    pub(crate) fn update(&self, container: &str, change: impl FnOnce(&mut ContainerState)) {
        self.state.send_modify(|state| {
            let container = state
                .containers
                .entry(container.to_owned())
                .or_insert_with(|| ContainerState::new("ContainerCreating"));
            change(container);
        });
    }

    /// Writes an event about the pod or one of its containers.
    pub(crate) fn event(
        &self,
        container: Option<&str>,
        severity: Severity,
        reason: &'static str,
        message: String,
    ) {
        let object = ObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some("Pod".to_owned()),
            namespace: self.pod.namespace(),
            name: Some(self.pod.name_any()),
            uid: self.pod.uid(),
            field_path: container.map(|name| format!("spec.containers{{{name}}}")),
            ..ObjectReference::default()
        };
        self.kubelet
            .recorder
            .record(object, severity, reason, message);
    }
}

/// Waits until the pod is to stop, or a long time.
pub(crate) async fn stopping(stop: &Stop) {
    let mut stop = stop.clone();
    if stop.wait_for(Option::is_some).await.is_err() {
        // The pod's worker is gone; so will this be in a moment.
        std::future::pending().await
    }
}

/// Sleeps; false if the pod is to stop meanwhile.
pub(crate) async fn sleep(stop: &Stop, time: std::time::Duration) -> bool {
    tokio::select! {
        () = tokio::time::sleep(time) => true,
        () = stopping(stop) => false,
    }
}
