//! Volumes as the sandbox's two provisioners make them, and where their data lies.

use std::collections::BTreeMap;
use std::path::PathBuf;

use k8s_openapi::api::core::v1::{
    ObjectReference, PersistentVolume, PersistentVolumeClaim, PersistentVolumeSpec,
};
use k8s_openapi::api::storage::v1::StorageClass;
use kube::{Resource as _, ResourceExt as _};
use serde_json::{Value, json};

use super::binding::PROVISIONED_BY;
use crate::storage::{LOCAL_DIRECTORY, LOCAL_DRIVER, NETWORK_DRIVER, Storage};

/// Keeps a volume that was made for a claim until its data is removed.
pub(super) const DATA_FINALIZER: &str = "external-provisioner.volume.kubernetes.io/finalizer";

/// Where the data of a volume of the sandbox's own lies.
pub(super) fn data(storage: &Storage, volume: &PersistentVolume) -> Option<PathBuf> {
    let spec = volume.spec.as_ref()?;
    if let Some(csi) = &spec.csi {
        return storage.network(&csi.volume_handle);
    }
    let terms = &spec
        .node_affinity
        .as_ref()?
        .required
        .as_ref()?
        .node_selector_terms;
    let node = terms.first()?.match_expressions.as_ref()?.first()?;
    let node = node.values.as_ref()?.first()?;
    storage.on_node(node, &spec.local.as_ref()?.path)
}

/// For everybody, as the usual provisioners make them: a container may run as anyone.
pub(super) fn make(path: &std::path::Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::create_dir_all(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o777))
}

/// The claim, as its volume names it.
pub(super) fn claim_reference(claim: &PersistentVolumeClaim) -> ObjectReference {
    ObjectReference {
        resource_version: claim.resource_version(),
        ..claim.object_ref(&())
    }
}

/// The volume that is made for a claim: on that node, or on the network.
pub(super) fn new_volume(
    claim: &PersistentVolumeClaim,
    class: &StorageClass,
    name: &str,
    node: Option<&str>,
) -> Value {
    let spec = claim.spec.clone().unwrap_or_default();
    let requests = spec.resources.and_then(|resources| resources.requests);
    let size = requests.and_then(|requests| requests.get("storage").cloned());
    let base = PersistentVolumeSpec {
        capacity: size.map(|size| BTreeMap::from([("storage".to_owned(), size)])),
        access_modes: spec.access_modes,
        persistent_volume_reclaim_policy: class.reclaim_policy.clone(),
        storage_class_name: class.metadata.name.clone(),
        volume_mode: spec.volume_mode,
        mount_options: class.mount_options.clone(),
        claim_ref: Some(claim_reference(claim)),
        ..PersistentVolumeSpec::default()
    };
    let mut spec = json!(base);
    match node {
        Some(node) => {
            spec["local"] = json!({ "path": format!("{LOCAL_DIRECTORY}/{name}") });
            spec["nodeAffinity"] = json!({ "required": { "nodeSelectorTerms": [{
                "matchExpressions": [
                    { "key": "kubernetes.io/hostname", "operator": "In", "values": [node] },
                ],
            }] } });
        }
        None => spec["csi"] = json!({ "driver": NETWORK_DRIVER, "volumeHandle": name }),
    }
    let driver = if node.is_some() {
        LOCAL_DRIVER
    } else {
        NETWORK_DRIVER
    };
    json!({
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {
            "name": name,
            "annotations": { PROVISIONED_BY: driver },
            "finalizers": [DATA_FINALIZER],
        },
        "spec": spec,
    })
}
