//! The kubelet's signs of life: the node's status and its lease.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::json;

use super::{Kubelet, node_object};

/// How often the lease is renewed. A kubelet's is ten seconds; the sandbox's node controller
/// looks as often as this asks for.
const RENEWAL: Duration = Duration::from_secs(2);
/// How often the whole status is sent, unless the node's readiness changes.
const STATUS_EVERY: u32 = 15;

/// The namespace of the nodes' leases.
pub const LEASES: &str = "kube-node-lease";

/// Runs until the task is dropped.
pub(super) async fn beat(kubelet: Arc<Kubelet>, port: u16) {
    let mut ready = kubelet.ready.subscribe();
    let mut setup = kubelet.setup.subscribe();
    let mut volumes = kubelet.volumes.changes();
    let mut images = kubelet.runtime.images.list().len();
    let mut beats = 0;
    let mut failed = false;
    loop {
        if let Err(error) = renew(&kubelet).await {
            tracing::warn!(node = kubelet.name, %error, "lease not renewed");
        }
        let changed = tokio::select! {
            () = tokio::time::sleep(RENEWAL) => false,
            _ = ready.changed() => true,
            _ = setup.changed() => true,
            // A volume that was let go of can be attached elsewhere.
            _ = volumes.changed() => true,
        };
        beats += 1;
        let now = kubelet.runtime.images.list().len();
        if changed || failed || beats % STATUS_EVERY == 0 || now != images {
            images = now;
            let sent = node_object::report(&kubelet, port).await;
            failed = sent.is_err();
            if let Err(error) = sent {
                tracing::warn!(node = kubelet.name, %error, "node status not sent");
            }
        }
    }
}

/// Renews the lease, or makes it.
pub(super) async fn renew(kubelet: &Kubelet) -> kube::Result<()> {
    let leases: Api<Lease> = Api::namespaced(kubelet.client.clone(), LEASES);
    let spec = json!({
        "holderIdentity": kubelet.name,
        "leaseDurationSeconds": 40,
        "renewTime": MicroTime(Timestamp::now()),
    });
    let patch = Patch::Merge(json!({ "spec": spec }));
    match leases
        .patch(&kubelet.name, &PatchParams::default(), &patch)
        .await
    {
        Err(kube::Error::Api(answer)) if answer.code == 404 => {
            let lease = json!({
                "apiVersion": "coordination.k8s.io/v1",
                "kind": "Lease",
                "metadata": { "name": kubelet.name, "namespace": LEASES },
                "spec": spec,
            });
            let lease = serde_json::from_value(lease).map_err(kube::Error::SerdeError)?;
            leases
                .create(&PostParams::default(), &lease)
                .await
                .map(drop)
        }
        renewed => renewed.map(drop),
    }
}
