//! The claims of a StatefulSet's pods: their names, and whose they are by the set's retention
//! policy. Pure. Binding them to volumes is another controller's business.

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::ResourceExt as _;

use super::members;
use crate::controllers::owners::{controller_of, reference};

/// For each of the set's templates its name and that of the claim for that ordinal.
pub(super) fn names(set: &StatefulSet, ordinal: i32) -> impl Iterator<Item = (String, String)> {
    let templates = set.spec.volume_claim_templates.as_ref();
    templates.into_iter().flatten().map(move |template| {
        let name = template.name_any();
        let claim = format!("{name}-{}-{ordinal}", set.name_any());
        (name, claim)
    })
}

/// The claims that the pod of that ordinal needs.
pub(super) fn wanted(set: &StatefulSet, ordinal: i32) -> Vec<PersistentVolumeClaim> {
    let spec = set.spec.clone();
    let templates = spec.volume_claim_templates.unwrap_or_default();
    let named = templates.into_iter().zip(names(set, ordinal));
    let selected = spec.selector.match_labels.unwrap_or_default();
    named
        .map(|(mut claim, (_, name))| {
            claim.metadata.name = Some(name);
            claim.metadata.namespace = set.namespace();
            claim.labels_mut().extend(selected.clone());
            claim.status = None;
            claim
        })
        .collect()
}

/// The claim's owners by the set's retention policy, if they are others now.
pub(super) fn corrected_owners(
    set: &StatefulSet,
    pod: &Pod,
    claim: &PersistentVolumeClaim,
) -> Option<Vec<OwnerReference>> {
    let before = claim.owner_references();
    let ours =
        |owner: &OwnerReference, kind: &str, name: String| owner.kind == kind && owner.name == name;
    let is_set = |owner: &OwnerReference| ours(owner, "StatefulSet", set.name_any());
    let is_pod = |owner: &OwnerReference| ours(owner, "Pod", pod.name_any());
    // Somebody else's claim stays somebody else's.
    if controller_of(&claim.metadata).is_some_and(|owner| !is_set(owner) && !is_pod(owner)) {
        return None;
    }
    let (by_set, by_pod) = owned_by(set, pod);
    let others = before
        .iter()
        .filter(|owner| !is_set(owner) && !is_pod(owner));
    let mut after: Vec<_> = others.cloned().collect();
    if by_set {
        after.extend(reference(set));
    }
    if by_pod {
        after.extend(reference(pod));
    }
    (after != before).then_some(after)
}

/// Whether the set and whether the pod is to own the claim.
fn owned_by(set: &StatefulSet, pod: &Pod) -> (bool, bool) {
    let policy = set.spec.persistent_volume_claim_retention_policy.as_ref();
    let deletes = |policy: Option<&String>| policy.is_some_and(|policy| policy == "Delete");
    let when_deleted = deletes(policy.and_then(|policy| policy.when_deleted.as_ref()));
    let when_scaled = deletes(policy.and_then(|policy| policy.when_scaled.as_ref()));
    let scaled_down = !members::ordinals(set).contains(&members::ordinal(pod));
    let by_pod = when_scaled && scaled_down;
    (when_deleted && !by_pod, by_pod)
}

/// Whether a claim still belongs to an earlier pod of that name, with which it is about to go.
pub(super) fn is_stale(
    pod_name: &str,
    pod_uid: Option<&str>,
    claim: &PersistentVolumeClaim,
) -> bool {
    claim.owner_references().iter().any(|owner| {
        owner.kind == "Pod" && owner.name == pod_name && Some(owner.uid.as_str()) != pod_uid
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn set(deleted: &str, scaled: &str) -> StatefulSet {
        serde_json::from_value(json!({
            "metadata": { "name": "st", "namespace": "ns", "uid": "u" },
            "spec": { "selector": { "matchLabels": { "a": "b" } }, "replicas": 1, "template": {},
                "persistentVolumeClaimRetentionPolicy": { "whenDeleted": deleted, "whenScaled": scaled },
                "volumeClaimTemplates": [{ "metadata": { "name": "data" }, "status": { "phase": "Pending" } }] },
        }))
        .expect("is a set")
    }

    fn pod(name: &str) -> Pod {
        serde_json::from_value(json!({ "metadata": { "name": name, "uid": "p" } }))
            .expect("is a pod")
    }

    fn owners(set: &StatefulSet, pod: &Pod) -> Vec<String> {
        let claim = wanted(set, 0).remove(0);
        let owners = corrected_owners(set, pod, &claim).unwrap_or_default();
        owners.into_iter().map(|owner| owner.kind).collect()
    }

    #[test]
    fn a_claim_is_named_and_labelled_for_its_pod() {
        let claim = json!(wanted(&set("Retain", "Retain"), 2));
        assert_eq!(claim[0]["metadata"]["name"], "data-st-2");
        assert_eq!(claim[0]["metadata"]["labels"], json!({ "a": "b" }));
        assert_eq!(claim[0]["status"], json!(null));
    }

    #[test]
    fn the_policy_says_with_whom_a_claim_goes() {
        for (deleted, scaled, member, surplus) in [
            ("Retain", "Retain", &[][..], &[][..]),
            ("Delete", "Retain", &["StatefulSet"], &["StatefulSet"]),
            ("Retain", "Delete", &[], &["Pod"]),
            ("Delete", "Delete", &["StatefulSet"], &["Pod"]),
        ] {
            let set = set(deleted, scaled);
            assert_eq!(owners(&set, &pod("st-0")), member, "{deleted} {scaled}");
            assert_eq!(owners(&set, &pod("st-1")), surplus, "{deleted} {scaled}");
        }
    }

    #[test]
    fn a_claim_of_an_earlier_pod_is_stale() {
        let set = set("Retain", "Delete");
        let mut claim = wanted(&set, 1).remove(0);
        claim.metadata.owner_references = corrected_owners(&set, &pod("st-1"), &claim);
        assert!(!is_stale("st-1", Some("p"), &claim));
        assert!(is_stale("st-1", None, &claim) && is_stale("st-1", Some("q"), &claim));
        let mut later = pod("st-1");
        later.metadata.uid = Some("q".to_owned());
        let owners = corrected_owners(&set, &later, &claim).expect("the owner is another pod now");
        assert_eq!(owners[0].uid, "q");
    }
}
