//! Persistent volumes: which claim gets which, what is attached to which node, and what may not
//! go while it is in use. Not here: mounting, which is the kubelet's.

mod attach;
mod attachments;
mod binding;
mod claims;
mod fit;
mod matching;
mod protection;
mod provisioning;

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim, Pod};
use kube::{Client, ResourceExt as _};
use tokio::task::JoinSet;

use crate::storage::Storage;

pub(super) use fit::{Known, Needs, needs};

/// The annotation by which the scheduler says where a claim is wanted.
pub(super) const SELECTED_NODE: &str = "volume.kubernetes.io/selected-node";

/// Starts the controllers of volumes.
pub(super) fn start(tasks: &mut JoinSet<()>, client: impl Fn(&str) -> Client, storage: Storage) {
    let binder = client("persistent-volume-binder");
    tasks.spawn(claims::run(binder, storage));
    tasks.spawn(protection::run(client("pvc-protection-controller")));
    tasks.spawn(attach::run(client("attachdetach-controller")));
}

/// The names of the claims that a pod mounts.
fn claim_names(pod: &Pod) -> impl Iterator<Item = &str> {
    let volumes = pod
        .spec
        .iter()
        .flat_map(|spec| spec.volumes.iter().flatten());
    volumes.filter_map(|volume| {
        let source = volume.persistent_volume_claim.as_ref()?;
        Some(source.claim_name.as_str())
    })
}

/// Whether a pod of that namespace mounts the claim.
fn mounts(pod: &Pod, claim: &PersistentVolumeClaim) -> bool {
    pod.namespace() == claim.namespace() && claim_names(pod).any(|name| name == claim.name_any())
}

/// The volume's claim, if that is this one.
fn is_for(volume: &PersistentVolume, claim: &PersistentVolumeClaim) -> bool {
    let reference = volume
        .spec
        .as_ref()
        .and_then(|spec| spec.claim_ref.as_ref());
    reference.is_some_and(|reference| {
        reference.namespace == claim.namespace()
            && reference.name == claim.metadata.name
            && (reference.uid.is_none() || reference.uid == claim.uid())
    })
}

fn has_mode(modes: Option<&Vec<String>>, wanted: &[&str]) -> bool {
    modes
        .into_iter()
        .flatten()
        .any(|mode| wanted.contains(&mode.as_str()))
}
