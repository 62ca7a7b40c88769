//! Tells the API server how a pod is, and takes the pod's object away at its end.

use std::time::Duration;

use k8s_openapi::api::core::v1::{Pod, PodStatus};
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions};
use kube::{Api, ResourceExt as _};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::context::PodContext;
use super::status::pod_status;

/// How long to wait after the API server has refused a status.
const RETRY: Duration = Duration::from_millis(500);

/// Reports one pod.
pub(super) struct Reporter<'a> {
    context: &'a PodContext,
    pods: Api<Pod>,
    sent: Option<PodStatus>,
}

impl<'a> Reporter<'a> {
    pub(super) fn new(context: &'a PodContext) -> Self {
        let namespace = context.pod.namespace().unwrap_or_default();
        Self {
            context,
            pods: Api::namespaced(context.kubelet.client.clone(), &namespace),
            sent: None,
        }
    }

    /// Reports every change; returns when there is nobody left to report to.
    pub(super) async fn follow(&mut self, gone: CancellationToken) {
        let mut state = self.context.state.subscribe();
        loop {
            state.borrow_and_update();
            self.report(&gone).await;
            if state.changed().await.is_err() {
                return;
            }
        }
    }

    /// Reports how things are now, until the API server has taken it.
    pub(super) async fn report(&mut self, gone: &CancellationToken) {
        while !gone.is_cancelled() {
            let kubelet = &self.context.kubelet;
            let state = self.context.state.borrow().clone();
            let before = self.sent.as_ref().or(self.context.pod.status.as_ref());
            let status = pod_status(
                &self.context.pod,
                &state,
                &kubelet.address.to_string(),
                kubelet.runtime.personality.scheme(),
                before,
            );
            if self.sent.as_ref() == Some(&status) {
                return;
            }
            match self.send(&status).await {
                Ok(()) => {
                    self.sent = Some(status);
                    return;
                }
                Err(kube::Error::Api(answer)) if answer.code == 404 || answer.code == 409 => return,
                Err(error) => {
                    tracing::warn!(pod = self.context.full_name(), %error, "status not taken");
                    tokio::time::sleep(RETRY).await;
                }
            }
        }
    }

    async fn send(&self, status: &PodStatus) -> kube::Result<()> {
        // Conditions are merged by type, so those of others stay. The uid keeps the status
        // from reaching a successor of the same name.
        let mut status = json!(status);
        erase_absent(&mut status);
        if let Some(conditions) = status["conditions"].as_array_mut() {
            conditions.iter_mut().for_each(erase_absent);
        }
        let patch = json!({ "metadata": { "uid": self.context.pod.uid() }, "status": status });
        self.pods
            .patch_status(
                &self.context.pod.name_any(),
                &PatchParams::default(),
                &Patch::Strategic(patch),
            )
            .await
            .map(drop)
    }

    /// Deletes the object, unless it is gone already.
    pub(super) async fn delete(&self, gone: &CancellationToken) {
        let options = DeleteParams {
            grace_period_seconds: Some(0),
            preconditions: Some(Preconditions {
                uid: self.context.pod.uid(),
                resource_version: None,
            }),
            ..DeleteParams::default()
        };
        while !gone.is_cancelled() {
            match self
                .pods
                .delete(&self.context.pod.name_any(), &options)
                .await
            {
                Ok(_) => return,
                Err(kube::Error::Api(answer)) if answer.code == 404 || answer.code == 409 => return,
                Err(error) => {
                    tracing::warn!(pod = self.context.full_name(), %error, "pod not deleted");
                    tokio::time::sleep(RETRY).await;
                }
            }
        }
    }
}

/// Says of the words that are not there any more that they are not: what a patch does not
/// mention stays.
fn erase_absent(object: &mut Value) {
    for field in ["reason", "message"] {
        if object.get(field).is_none() {
            object[field] = Value::Null;
        }
    }
}
