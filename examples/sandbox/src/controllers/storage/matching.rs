//! Which of the volumes that are there is for a claim. Pure.

use k8s_openapi::api::core::v1::{Node, PersistentVolume, PersistentVolumeClaim};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::ResourceExt as _;
use kube::core::{Selector, SelectorExt as _};

use super::is_for;
use crate::controllers::scheduling;

/// The volume that is meant for the claim, or else the smallest free one that has what it asks
/// for and may be used on the node, if there is a node.
pub(super) fn find<'a>(
    claim: &PersistentVolumeClaim,
    volumes: &'a [PersistentVolume],
    node: Option<&Node>,
) -> Option<&'a PersistentVolume> {
    let live = || {
        volumes
            .iter()
            .filter(|volume| volume.metadata.deletion_timestamp.is_none())
    };
    let meant = live().find(|volume| is_for(volume, claim));
    meant.or_else(|| {
        live()
            .filter(|volume| is_free(volume) && suits(volume, claim))
            .filter(|volume| node.is_none_or(|node| reachable(volume, node)))
            .min_by_key(|volume| (capacity(volume), volume.name_any()))
    })
}

fn is_free(volume: &PersistentVolume) -> bool {
    let phase = volume
        .status
        .as_ref()
        .and_then(|status| status.phase.as_deref());
    let claimed = volume
        .spec
        .as_ref()
        .is_some_and(|spec| spec.claim_ref.is_some());
    !claimed && phase == Some("Available")
}

fn suits(volume: &PersistentVolume, claim: &PersistentVolumeClaim) -> bool {
    let (Some(has), Some(wants)) = (&volume.spec, &claim.spec) else {
        return false;
    };
    let class = |name: &Option<String>| name.clone().unwrap_or_default();
    let mode = |mode: &Option<String>| mode.clone().unwrap_or_else(|| "Filesystem".to_owned());
    let modes = wants.access_modes.iter().flatten();
    let offered = has.access_modes.clone().unwrap_or_default();
    let selected = wants.selector.clone().is_none_or(|selector| {
        // One that cannot be read selects nothing.
        Selector::try_from(selector).is_ok_and(|selector| selector.matches(volume.labels()))
    });
    class(&has.storage_class_name) == class(&wants.storage_class_name)
        && mode(&has.volume_mode) == mode(&wants.volume_mode)
        && modes.into_iter().all(|mode| offered.contains(mode))
        && capacity(volume) >= requested(claim)
        && selected
}

/// Whether the volume's node affinity admits the node.
pub(super) fn reachable(volume: &PersistentVolume, node: &Node) -> bool {
    let affinity = volume
        .spec
        .as_ref()
        .and_then(|spec| spec.node_affinity.as_ref());
    let required = affinity.and_then(|affinity| affinity.required.as_ref());
    required.is_none_or(|required| {
        let terms = &required.node_selector_terms;
        terms.iter().any(|term| scheduling::matches(term, node))
    })
}

fn capacity(volume: &PersistentVolume) -> u128 {
    let capacity = volume.spec.as_ref().and_then(|spec| spec.capacity.as_ref());
    capacity
        .and_then(|capacity| capacity.get("storage"))
        .map_or(0, bytes)
}

fn requested(claim: &PersistentVolumeClaim) -> u128 {
    let resources = claim.spec.as_ref().and_then(|spec| spec.resources.as_ref());
    let requests = resources.and_then(|resources| resources.requests.as_ref());
    requests
        .and_then(|requests| requests.get("storage"))
        .map_or(0, bytes)
}

/// A quantity of bytes, rounded up; nothing that is no number is more than nothing.
fn bytes(quantity: &Quantity) -> u128 {
    const UNITS: [(&str, u128); 11] = [
        ("Ki", 1 << 10),
        ("Mi", 1 << 20),
        ("Gi", 1 << 30),
        ("Ti", 1 << 40),
        ("Pi", 1 << 50),
        ("k", 1_000),
        ("M", 1_000_000),
        ("G", 1_000_000_000),
        ("T", 1_000_000_000_000),
        ("P", 1_000_000_000_000_000),
        ("", 1),
    ];
    let text = quantity.0.trim();
    let found = UNITS
        .iter()
        .find_map(|(unit, factor)| Some((text.strip_suffix(unit)?, factor)));
    let Some((number, factor)) = found else {
        return 0;
    };
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    let whole = whole.parse::<u128>().unwrap_or(0);
    let digits = u32::try_from(part.len()).unwrap_or(0);
    let part = part.parse::<u128>().unwrap_or(0);
    whole * factor + (part * factor).div_ceil(10_u128.pow(digits))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn volume(name: &str, size: &str, more: Value) -> PersistentVolume {
        let mut spec = json!({
            "capacity": { "storage": size }, "accessModes": ["ReadWriteOnce"], "storageClassName": "c",
        });
        if let (Value::Object(spec), Value::Object(more)) = (&mut spec, more) {
            spec.extend(more);
        }
        serde_json::from_value(json!({
            "metadata": { "name": name }, "spec": spec, "status": { "phase": "Available" },
        }))
        .expect("is a volume")
    }

    fn claim() -> PersistentVolumeClaim {
        serde_json::from_value(json!({
            "metadata": { "name": "data", "namespace": "x", "uid": "1" },
            "spec": {
                "accessModes": ["ReadWriteOnce"], "storageClassName": "c",
                "resources": { "requests": { "storage": "1Gi" } },
            },
        }))
        .expect("is a claim")
    }

    #[test]
    fn the_smallest_that_is_enough_is_taken() {
        let all = [
            volume("small", "1023Mi", json!({})),
            volume("large", "3Gi", json!({})),
            volume("right", "1.5Gi", json!({})),
            volume("other-class", "1Gi", json!({ "storageClassName": "d" })),
            volume(
                "other-mode",
                "1Gi",
                json!({ "accessModes": ["ReadOnlyMany"] }),
            ),
            volume(
                "taken",
                "1Gi",
                json!({ "claimRef": { "namespace": "x", "name": "other" } }),
            ),
        ];
        let found = find(&claim(), &all, None).map(|one| one.name_any());
        assert_eq!(found.as_deref(), Some("right"));
    }

    #[test]
    fn a_volume_that_is_meant_for_the_claim_comes_first() {
        let meant = json!({ "claimRef": { "namespace": "x", "name": "data" } });
        let of_an_older = json!({ "claimRef": { "namespace": "x", "name": "data", "uid": "0" } });
        let all = [
            volume("free", "1Gi", json!({})),
            volume("older", "1Gi", of_an_older),
            volume("meant", "9Gi", meant),
        ];
        let found = find(&claim(), &all, None).map(|one| one.name_any());
        assert_eq!(found.as_deref(), Some("meant"));
    }

    #[test]
    fn quantities_are_read() {
        for (text, expected) in [("1Gi", 1 << 30), ("1.5k", 1500), ("7", 7), ("x", 0)] {
            assert_eq!(bytes(&Quantity(text.to_owned())), expected, "{text}");
        }
    }
}
