//! What is to be done for a claim, and for a volume, as they are now. Pure.

use k8s_openapi::api::core::v1::{Node, PersistentVolume, PersistentVolumeClaim};
use k8s_openapi::api::storage::v1::StorageClass;
use kube::ResourceExt as _;

use super::{SELECTED_NODE, is_for, matching};
use crate::storage::{LOCAL_DRIVER, NETWORK_DRIVER};

/// The mark of a binding that has been made whole.
pub(super) const BIND_COMPLETED: &str = "pv.kubernetes.io/bind-completed";
/// The provisioner that made a volume, and so has to delete it.
pub(super) const PROVISIONED_BY: &str = "pv.kubernetes.io/provisioned-by";

/// What a claim needs.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum ClaimStep<'a> {
    /// It has what it needs, or waits without a word.
    Nothing,
    /// Both are to say that they belong to each other.
    Bind(&'a PersistentVolume),
    /// A volume is to be made, on that node if it is a local one.
    Provision {
        class: &'a StorageClass,
        node: Option<String>,
    },
    /// Its volume is gone.
    Lost,
    /// It waits: a warning or not, reason and message.
    Wait(bool, &'static str, String),
}

/// What to do for a claim.
pub(super) fn claim_step<'a>(
    claim: &PersistentVolumeClaim,
    volumes: &'a [PersistentVolume],
    classes: &'a [StorageClass],
    nodes: &[Node],
) -> ClaimStep<'a> {
    let spec = claim.spec.clone().unwrap_or_default();
    let named = spec.volume_name.filter(|name| !name.is_empty());
    if let Some(name) = named {
        return named_volume(claim, volumes, &name);
    }
    let class_name = spec.storage_class_name.unwrap_or_default();
    let class = classes.iter().find(|class| class.name_any() == class_name);
    let selected = claim.annotations().get(SELECTED_NODE);
    let node = nodes.iter().find(|node| Some(&node.name_any()) == selected);
    let delayed = class
        .is_some_and(|class| class.volume_binding_mode.as_deref() == Some("WaitForFirstConsumer"));
    let meant = volumes.iter().any(|volume| is_for(volume, claim));
    if delayed && selected.is_none() && !meant {
        let message = "waiting for first consumer to be created before binding";
        return ClaimStep::Wait(false, "WaitForFirstConsumer", message.to_owned());
    }
    if let Some(volume) = matching::find(claim, volumes, node) {
        return ClaimStep::Bind(volume);
    }
    match class {
        Some(class) => provision(class, selected),
        None if class_name.is_empty() => {
            let message =
                "no persistent volumes available for this claim and no storage class is set";
            ClaimStep::Wait(false, "FailedBinding", message.to_owned())
        }
        None => {
            let message = format!("storageclass.storage.k8s.io {class_name:?} not found");
            ClaimStep::Wait(true, "ProvisioningFailed", message)
        }
    }
}

fn named_volume<'a>(
    claim: &PersistentVolumeClaim,
    volumes: &'a [PersistentVolume],
    name: &str,
) -> ClaimStep<'a> {
    let complete = claim.annotations().contains_key(BIND_COMPLETED);
    let phase = claim
        .status
        .as_ref()
        .and_then(|status| status.phase.as_deref());
    let volume = volumes.iter().find(|volume| volume.name_any() == name);
    let claimed = |volume: &PersistentVolume| {
        volume
            .spec
            .as_ref()
            .is_some_and(|spec| spec.claim_ref.is_some())
    };
    match volume {
        Some(volume) if is_for(volume, claim) && complete && phase == Some("Bound") => {
            ClaimStep::Nothing
        }
        Some(volume) if is_for(volume, claim) || !claimed(volume) && !complete => {
            ClaimStep::Bind(volume)
        }
        _ if complete && phase == Some("Lost") => ClaimStep::Nothing,
        _ if complete => ClaimStep::Lost,
        Some(_) => {
            let message = format!("volume {name:?} already bound to a different claim.");
            ClaimStep::Wait(true, "FailedBinding", message)
        }
        None => ClaimStep::Nothing,
    }
}

fn provision<'a>(class: &'a StorageClass, selected: Option<&String>) -> ClaimStep<'a> {
    let node = selected.cloned();
    match (class.provisioner.as_str(), &node) {
        (NETWORK_DRIVER, _) => ClaimStep::Provision { class, node: None },
        (LOCAL_DRIVER, Some(_)) => ClaimStep::Provision { class, node },
        (LOCAL_DRIVER, None) => {
            let message = format!(
                "failed to provision volume with StorageClass {:?}: configuration error, no node was specified",
                class.name_any()
            );
            ClaimStep::Wait(true, "ProvisioningFailed", message)
        }
        (other, _) => {
            let message = format!(
                "Waiting for a volume to be created either by the external provisioner '{other}' or manually by the system administrator. If volume creation is delayed, please verify that the provisioner is running and correctly registered."
            );
            ClaimStep::Wait(false, "ExternalProvisioning", message)
        }
    }
}

/// What a volume needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum VolumeStep {
    Nothing,
    /// It is to be in that phase.
    Phase(&'static str),
    /// Its data is nobody's any more and is to go, and it with them.
    Reclaim,
}

/// What to do for a volume.
pub(super) fn volume_step(
    volume: &PersistentVolume,
    claims: &[PersistentVolumeClaim],
) -> VolumeStep {
    let spec = volume.spec.clone().unwrap_or_default();
    let phase = volume
        .status
        .as_ref()
        .and_then(|status| status.phase.as_deref());
    let become_ = |wanted: &'static str| {
        if phase == Some(wanted) {
            VolumeStep::Nothing
        } else {
            VolumeStep::Phase(wanted)
        }
    };
    // One that names no uid waits for its claim.
    if spec
        .claim_ref
        .is_none_or(|reference| reference.uid.is_none())
    {
        return become_("Available");
    }
    let name = volume.name_any();
    let claim = claims.iter().find(|claim| is_for(volume, claim));
    if let Some(claim) = claim {
        let of_claim = claim
            .spec
            .as_ref()
            .and_then(|spec| spec.volume_name.clone());
        // The claim's own turn makes the binding whole.
        return match of_claim.filter(|of_claim| !of_claim.is_empty()) {
            None => VolumeStep::Nothing,
            Some(of_claim) if of_claim == name => become_("Bound"),
            Some(_) => release(volume, phase),
        };
    }
    release(volume, phase)
}

fn release(volume: &PersistentVolume, phase: Option<&str>) -> VolumeStep {
    let policy = volume
        .spec
        .as_ref()
        .and_then(|spec| spec.persistent_volume_reclaim_policy.as_deref());
    let made_by = volume.annotations().get(PROVISIONED_BY).map(String::as_str);
    let ours = matches!(made_by, Some(NETWORK_DRIVER | LOCAL_DRIVER));
    match phase {
        Some("Released") if policy == Some("Delete") && ours => VolumeStep::Reclaim,
        Some("Released") => VolumeStep::Nothing,
        _ => VolumeStep::Phase("Released"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn claim(spec: Value, annotations: Value) -> PersistentVolumeClaim {
        serde_json::from_value(json!({
            "metadata": { "name": "data", "namespace": "x", "uid": "1", "annotations": annotations },
            "spec": spec,
            "status": { "phase": "Bound" },
        }))
        .expect("is a claim")
    }

    fn volume(claim_uid: &str, policy: &str, phase: &str) -> PersistentVolume {
        serde_json::from_value(json!({
            "metadata": { "name": "v", "annotations": { PROVISIONED_BY: NETWORK_DRIVER } },
            "spec": {
                "persistentVolumeReclaimPolicy": policy,
                "claimRef": { "namespace": "x", "name": "data", "uid": claim_uid },
            },
            "status": { "phase": phase },
        }))
        .expect("is a volume")
    }

    fn classes() -> Vec<StorageClass> {
        [
            ("now", NETWORK_DRIVER, "Immediate"),
            ("later", LOCAL_DRIVER, "WaitForFirstConsumer"),
        ]
        .map(|(name, provisioner, mode)| StorageClass {
            metadata: kube::api::ObjectMeta {
                name: Some(name.to_owned()),
                ..Default::default()
            },
            provisioner: provisioner.to_owned(),
            volume_binding_mode: Some(mode.to_owned()),
            ..StorageClass::default()
        })
        .into()
    }

    #[test]
    fn a_claim_waits_for_its_first_consumer_where_its_class_does() {
        let classes = classes();
        let now = claim(json!({ "storageClassName": "now" }), json!({}));
        let step = claim_step(&now, &[], &classes, &[]);
        assert!(
            matches!(step, ClaimStep::Provision { node: None, .. }),
            "{step:?}"
        );
        let later = json!({ "storageClassName": "later" });
        let step = claim_step(&claim(later.clone(), json!({})), &[], &classes, &[]);
        assert!(
            matches!(step, ClaimStep::Wait(_, "WaitForFirstConsumer", _)),
            "{step:?}"
        );
        let chosen = claim(later, json!({ SELECTED_NODE: "a" }));
        let step = claim_step(&chosen, &[], &classes, &[]);
        let on_a = matches!(&step, ClaimStep::Provision { node: Some(node), .. } if node == "a");
        assert!(on_a, "{step:?}");
    }

    #[test]
    fn a_bound_claim_without_its_volume_is_lost() {
        let bound = claim(
            json!({ "volumeName": "v" }),
            json!({ BIND_COMPLETED: "yes" }),
        );
        assert_eq!(claim_step(&bound, &[], &[], &[]), ClaimStep::Lost);
        let own = [volume("1", "Delete", "Bound")];
        assert_eq!(claim_step(&bound, &own, &[], &[]), ClaimStep::Nothing);
        let of_an_older = [volume("0", "Delete", "Bound")];
        assert_eq!(claim_step(&bound, &of_an_older, &[], &[]), ClaimStep::Lost);
    }

    #[test]
    fn a_volume_without_its_claim_is_released_and_then_reclaimed() {
        let bound = [claim(json!({ "volumeName": "v" }), json!({}))];
        for (uid, policy, phase, expected) in [
            ("1", "Delete", "Bound", VolumeStep::Nothing),
            ("0", "Delete", "Bound", VolumeStep::Phase("Released")),
            ("0", "Delete", "Released", VolumeStep::Reclaim),
            ("0", "Retain", "Released", VolumeStep::Nothing),
        ] {
            let found = volume_step(&volume(uid, policy, phase), &bound);
            assert_eq!(found, expected, "{uid} {policy} {phase}");
        }
    }
}
