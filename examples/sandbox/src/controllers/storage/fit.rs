//! Where a pod may run because of its claims. Pure.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{Node, PersistentVolume, PersistentVolumeClaim, Pod};
use k8s_openapi::api::storage::v1::StorageClass;
use kube::ResourceExt as _;

use super::{SELECTED_NODE, claim_names, has_mode, matching, mounts};
use crate::storage::{LOCAL_DRIVER, NETWORK_DRIVER};

/// What the scheduler knows of volumes.
pub(crate) struct Known {
    pub(crate) claims: Vec<Arc<PersistentVolumeClaim>>,
    pub(crate) volumes: Vec<Arc<PersistentVolume>>,
    pub(crate) classes: Vec<Arc<StorageClass>>,
}

/// What a pod's claims ask of its node.
#[derive(Clone, Debug, Default)]
pub(crate) struct Needs {
    /// The volumes that are bound.
    bound: Vec<PersistentVolume>,
    /// The claims that get their volumes where the pod goes, with what could be theirs, and
    /// whether a volume would be made.
    delayed: Vec<(PersistentVolumeClaim, Vec<PersistentVolume>, bool)>,
    /// Another pod has a claim that is for one pod.
    conflict: bool,
}

/// What the pod's claims ask, or why no node will do.
pub(crate) fn needs(pod: &Pod, pods: &[&Pod], known: &Known) -> Result<Needs, String> {
    let mut needs = Needs::default();
    for name in claim_names(pod) {
        let claim = known
            .claims
            .iter()
            .find(|claim| claim.namespace() == pod.namespace() && claim.name_any() == name);
        let claim = claim.ok_or_else(|| format!("persistentvolumeclaim {name:?} not found"))?;
        if claim.metadata.deletion_timestamp.is_some() {
            return Err(format!("persistentvolumeclaim {name:?} is being deleted"));
        }
        let phase = claim
            .status
            .as_ref()
            .and_then(|status| status.phase.as_deref());
        let spec = claim.spec.clone().unwrap_or_default();
        let modes = spec.access_modes.as_ref();
        needs.conflict |= has_mode(modes, &["ReadWriteOncePod"])
            && pods
                .iter()
                .any(|other| other.uid() != pod.uid() && holds(other, claim));
        if phase == Some("Lost") {
            let volume = spec.volume_name.unwrap_or_default();
            return Err(format!(
                "persistentvolumeclaim {name:?} bound to non-existent persistentvolume {volume:?}"
            ));
        }
        if phase == Some("Bound") {
            let volume = known
                .volumes
                .iter()
                .find(|volume| Some(volume.name_any()) == spec.volume_name);
            // One that has not been seen yet comes with the next change.
            let volume = volume.ok_or_else(|| UNBOUND.to_owned())?;
            needs.bound.push(volume.as_ref().clone());
            continue;
        }
        let class = spec.storage_class_name.unwrap_or_default();
        let class = known.classes.iter().find(|known| known.name_any() == class);
        let class = class
            .filter(|class| class.volume_binding_mode.as_deref() == Some("WaitForFirstConsumer"))
            .ok_or_else(|| UNBOUND.to_owned())?;
        let made = matches!(class.provisioner.as_str(), LOCAL_DRIVER | NETWORK_DRIVER);
        let volumes = known
            .volumes
            .iter()
            .map(|volume| volume.as_ref().clone())
            .collect();
        needs.delayed.push((claim.as_ref().clone(), volumes, made));
    }
    Ok(needs)
}

const UNBOUND: &str = "pod has unbound immediate PersistentVolumeClaims";

/// Whether a pod on a node keeps others from a claim that is for one pod.
fn holds(pod: &Pod, claim: &PersistentVolumeClaim) -> bool {
    let phase = pod
        .status
        .as_ref()
        .and_then(|status| status.phase.as_deref());
    let on_node = pod
        .spec
        .as_ref()
        .is_some_and(|spec| spec.node_name.is_some());
    on_node && !matches!(phase, Some("Succeeded" | "Failed")) && mounts(pod, claim)
}

impl Needs {
    /// Why the node will not do, in the scheduler's words.
    pub(crate) fn unfit(&self, node: &Node) -> Option<&'static str> {
        if self.conflict {
            return Some(
                "node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod access mode",
            );
        }
        if !self
            .bound
            .iter()
            .all(|volume| matching::reachable(volume, node))
        {
            return Some("node(s) didn't match PersistentVolume's node affinity");
        }
        let has_volume = |(claim, volumes, made): &(PersistentVolumeClaim, Vec<_>, bool)| {
            // One that has been told of a node gets its volume there.
            let told = claim.annotations().get(SELECTED_NODE);
            told.is_none_or(|told| *told == node.name_any())
                && (*made || matching::find(claim, volumes, Some(node)).is_some())
        };
        if !self.delayed.iter().all(has_volume) {
            return Some("node(s) didn't find available persistent volumes to bind");
        }
        None
    }

    /// The claims that are to be told where the pod goes.
    pub(crate) fn untold(&self) -> impl Iterator<Item = &PersistentVolumeClaim> {
        let claims = self.delayed.iter().map(|(claim, ..)| claim);
        claims.filter(|claim| !claim.annotations().contains_key(SELECTED_NODE))
    }

    /// Whether volumes are still on their way, and the pod waits for them.
    pub(crate) fn waits(&self) -> bool {
        !self.delayed.is_empty() && self.untold().next().is_none()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read<T: serde::de::DeserializeOwned>(value: Value) -> T {
        serde_json::from_value(value).expect("is such an object")
    }

    fn pod(name: &str, node: Value) -> Pod {
        read(json!({
            "metadata": { "name": name, "namespace": "x", "uid": name },
            "spec": { "nodeName": node, "containers": [], "volumes": [
                { "name": "v", "persistentVolumeClaim": { "claimName": "data" } },
            ] },
        }))
    }

    fn known(claim: Value) -> Known {
        let mut claim = claim;
        claim["metadata"]["name"] = json!("data");
        claim["metadata"]["namespace"] = json!("x");
        let hostname =
            json!([{ "key": "kubernetes.io/hostname", "operator": "In", "values": ["a"] }]);
        Known {
            claims: vec![read(claim)],
            volumes: vec![read(json!({
                "metadata": { "name": "v" },
                "spec": { "local": { "path": "/v" }, "nodeAffinity": { "required": {
                    "nodeSelectorTerms": [{ "matchExpressions": hostname }],
                } } },
            }))],
            classes: vec![read(json!({
                "metadata": { "name": "local" }, "provisioner": LOCAL_DRIVER,
                "volumeBindingMode": "WaitForFirstConsumer",
            }))],
        }
    }

    fn node(name: &str) -> Node {
        read(json!({ "metadata": { "name": name, "labels": { "kubernetes.io/hostname": name } } }))
    }

    #[test]
    fn an_unbound_claim_keeps_its_pod_waiting_unless_it_waits_itself() {
        let ask = |claim: Value| needs(&pod("p", json!(null)), &[], &known(claim));
        let immediate = ask(json!({ "spec": { "storageClassName": "standard" } }));
        assert_eq!(immediate.expect_err("is unbound"), UNBOUND);
        let local =
            ask(json!({ "spec": { "storageClassName": "local" } })).expect("may go anywhere");
        assert_eq!((local.unfit(&node("b")), local.waits()), (None, false));
        let told = json!({
            "metadata": { "annotations": { SELECTED_NODE: "a" } },
            "spec": { "storageClassName": "local" },
        });
        assert!(ask(told).expect("may go anywhere").waits());
        let absent = needs(
            &pod("p", json!(null)),
            &[],
            &Known {
                claims: Vec::new(),
                volumes: Vec::new(),
                classes: Vec::new(),
            },
        );
        assert_eq!(
            absent.expect_err("is absent"),
            "persistentvolumeclaim \"data\" not found"
        );
    }

    #[test]
    fn a_local_volume_draws_its_pod_to_its_node() {
        let bound = json!({ "spec": { "volumeName": "v" }, "status": { "phase": "Bound" } });
        let needs = needs(&pod("p", json!(null)), &[], &known(bound)).expect("is bound");
        assert_eq!(needs.unfit(&node("a")), None);
        let words = "node(s) didn't match PersistentVolume's node affinity";
        assert_eq!(needs.unfit(&node("b")), Some(words));
    }

    #[test]
    fn a_claim_for_one_pod_is_for_one_pod() {
        let bound = json!({
            "spec": { "volumeName": "v", "accessModes": ["ReadWriteOncePod"] },
            "status": { "phase": "Bound" },
        });
        let (running, waiting) = (pod("q", json!("a")), pod("r", json!(null)));
        for (other, fits) in [(&running, false), (&waiting, true)] {
            let needs = needs(&pod("p", json!(null)), &[other], &known(bound.clone()));
            assert_eq!(needs.expect("is bound").unfit(&node("a")).is_none(), fits);
        }
    }
}
