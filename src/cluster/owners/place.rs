//! Which of a ReplicaSet's pods goes: the one with the lowest deletion cost, among those that are
//! ready.

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use super::super::KubeCluster;
use crate::migration::ports::PortResult;

/// The annotation that a ReplicaSet looks at (KEP-2255).
const DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";

/// What it was before.
const FORMER_COST: &str = "migration.ms2m.io/former-deletion-cost";

/// The lowest that there is.
const LOWEST: &str = "-2147483648";

impl KubeCluster {
    /// Marks the pod as the first one to go.
    pub(in super::super) async fn mark_to_go(&self, name: &str, uid: &str) -> PortResult<()> {
        let Some(pod) = self.find::<Pod>(name).await?.filter(|pod| is(pod, uid)) else {
            return Ok(());
        };
        if pod.annotations().contains_key(FORMER_COST) {
            return Ok(());
        }
        let former = pod.annotations().get(DELETION_COST).cloned();
        let annotations = json!({
            DELETION_COST: LOWEST,
            FORMER_COST: former.unwrap_or_default(),
        });
        self.annotate(name, uid, annotations).await
    }

    /// Takes the mark back.
    pub(in super::super) async fn unmark(&self, name: &str, uid: &str) -> PortResult<()> {
        let Some(pod) = self.find::<Pod>(name).await?.filter(|pod| is(pod, uid)) else {
            return Ok(());
        };
        let Some(former) = pod.annotations().get(FORMER_COST) else {
            return Ok(());
        };
        let cost = if former.is_empty() {
            Value::Null
        } else {
            json!(former)
        };
        let annotations = json!({DELETION_COST: cost, FORMER_COST: null});
        self.annotate(name, uid, annotations).await
    }

    async fn annotate(&self, name: &str, uid: &str, annotations: Value) -> PortResult<()> {
        let pods = self.pods();
        let patch = Patch::Merge(json!({"metadata": {"uid": uid, "annotations": annotations}}));
        let params = PatchParams::default();
        let what = format!("annotate pod {name}");
        self.inner
            .retry
            .run(&what, || pods.patch(name, &params, &patch))
            .await?;
        Ok(())
    }
}

fn is(pod: &Pod, uid: &str) -> bool {
    pod.uid().as_deref() == Some(uid)
}
