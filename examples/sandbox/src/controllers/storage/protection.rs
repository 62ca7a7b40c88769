//! Lets deleted claims go once no pod on a node mounts them, and deleted volumes once they are
//! bound to nothing.

use futures_util::StreamExt as _;
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim, Pod};
use kube::api::{ListParams, Patch, PatchParams};
use kube::{Api, Client, Resource, ResourceExt as _};
use serde::de::DeserializeOwned;
use serde_json::json;

use super::mounts;
use crate::controllers::{RETRY, observe};

const OF_CLAIMS: &str = "kubernetes.io/pvc-protection";
const OF_VOLUMES: &str = "kubernetes.io/pv-protection";

/// Runs until the task is dropped.
pub(super) async fn run(client: Client) {
    let (claims, claim_changes) = observe::<PersistentVolumeClaim>(Api::all(client.clone()));
    let (volumes, volume_changes) = observe::<PersistentVolume>(Api::all(client.clone()));
    let (_, pod_changes) = observe::<Pod>(Api::all(client.clone()));
    let mut changes = futures_util::stream::select_all([
        claim_changes.boxed(),
        volume_changes.boxed(),
        pod_changes.boxed(),
    ]);
    let mut again = false;
    loop {
        tokio::select! {
            change = changes.next() => if change.is_none() { return },
            () = tokio::time::sleep(RETRY), if again => {}
        }
        again = false;
        for claim in claims
            .state()
            .iter()
            .filter(|claim| waits(claim.as_ref(), OF_CLAIMS))
        {
            again |= release_claim(&client, claim).await.is_err();
        }
        for volume in volumes
            .state()
            .iter()
            .filter(|volume| waits(volume.as_ref(), OF_VOLUMES))
        {
            let phase = volume
                .status
                .as_ref()
                .and_then(|status| status.phase.as_deref());
            if phase != Some("Bound") {
                let api = Api::all(client.clone());
                again |= release(&api, volume.as_ref(), OF_VOLUMES).await.is_err();
            }
        }
    }
}

fn waits<K: Resource>(object: &K, finalizer: &str) -> bool {
    object.meta().deletion_timestamp.is_some()
        && object.finalizers().iter().any(|one| one == finalizer)
}

/// A pod that is on no node yet does not count: no kubelet will start it.
async fn release_claim(client: &Client, claim: &PersistentVolumeClaim) -> kube::Result<()> {
    let namespace = claim.namespace().unwrap_or_default();
    // Asked for, not remembered: a pod bound a moment ago must be seen.
    let pods: Api<Pod> = Api::namespaced(client.clone(), &namespace);
    let on_node = |pod: &Pod| {
        pod.spec
            .as_ref()
            .is_some_and(|spec| spec.node_name.is_some())
    };
    let pods = pods.list(&ListParams::default()).await?;
    if pods.iter().any(|pod| on_node(pod) && mounts(pod, claim)) {
        return Ok(());
    }
    release(
        &Api::namespaced(client.clone(), &namespace),
        claim,
        OF_CLAIMS,
    )
    .await
}

async fn release<K>(api: &Api<K>, object: &K, finalizer: &str) -> kube::Result<()>
where
    K: Resource<DynamicType = ()> + Clone + std::fmt::Debug + DeserializeOwned,
{
    let mut finalizers = object.finalizers().to_vec();
    finalizers.retain(|one| one != finalizer);
    let patch = json!({ "metadata": {
        "resourceVersion": object.resource_version(), "finalizers": finalizers,
    } });
    let parameters = PatchParams::default();
    match api
        .patch(&object.name_any(), &parameters, &Patch::Merge(patch))
        .await
    {
        // Changed or gone meanwhile: the next change tells.
        Err(kube::Error::Api(answer)) if answer.code == 404 || answer.code == 409 => Ok(()),
        patched => patched.map(drop),
    }
}
