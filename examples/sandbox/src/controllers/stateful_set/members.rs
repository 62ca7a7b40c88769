//! Who is a member of a StatefulSet: names, ordinals, identities and the pods that it makes.
//! Pure. Volumes' claims are made in `claims`.

use std::ops::Range;

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{PersistentVolumeClaimVolumeSource, Pod, PodTemplateSpec, Volume};
use kube::ResourceExt as _;

use super::claims;
use crate::controllers::owners::reference;
use crate::controllers::pods;

pub(super) const REVISION: &str = "controller-revision-hash";
const POD_NAME: &str = "statefulset.kubernetes.io/pod-name";
const POD_INDEX: &str = "apps.kubernetes.io/pod-index";

/// The set's name and the ordinal in a pod's name.
pub(super) fn parent_and_ordinal(name: &str) -> Option<(&str, i32)> {
    let (parent, ordinal) = name.rsplit_once('-')?;
    let digits = !ordinal.is_empty() && ordinal.bytes().all(|byte| byte.is_ascii_digit());
    Some((parent, ordinal.parse().ok().filter(|_| digits)?))
}

/// Whether a pod's name is one of that set's.
pub(super) fn is_member(set: &StatefulSet, pod: &Pod) -> bool {
    let name = pod.name_any();
    parent_and_ordinal(&name).is_some_and(|(parent, _)| parent == set.name_any())
}

/// The ordinal of a member.
pub(super) fn ordinal(pod: &Pod) -> i32 {
    parent_and_ordinal(&pod.name_any()).map_or(-1, |(_, ordinal)| ordinal)
}

/// The ordinals that the set is to have.
pub(super) fn ordinals(set: &StatefulSet) -> Range<i32> {
    let ordinals = set.spec.ordinals.as_ref();
    let start = ordinals.and_then(|ordinals| ordinals.start).unwrap_or(0);
    let replicas = set.spec.replicas.unwrap_or(1);
    start..start.saturating_add(replicas)
}

/// The revision that a pod was made of.
pub(super) fn revision(pod: &Pod) -> &str {
    pod.labels().get(REVISION).map_or("", String::as_str)
}

/// Below the partition, pods are of the current revision, and above it of the new one.
pub(super) fn partition(set: &StatefulSet) -> i32 {
    let strategy = set.spec.update_strategy.as_ref();
    strategy
        .and_then(|strategy| strategy.rolling_update.as_ref())
        .and_then(|rolling| rolling.partition)
        .unwrap_or(0)
}

/// A new member, made of a template of the revision of that name.
pub(super) fn new_pod(
    set: &StatefulSet,
    ordinal: i32,
    template: &PodTemplateSpec,
    revision: &str,
) -> Pod {
    let mut pod = pods::from_template(template, reference(set), &set.name_any());
    pod.metadata.name = Some(format!("{}-{ordinal}", set.name_any()));
    pod.metadata.namespace = set.namespace();
    identify(&mut pod);
    pod.labels_mut()
        .insert(REVISION.to_owned(), revision.to_owned());
    let spec = pod.spec.get_or_insert_default();
    spec.hostname = pod.metadata.name.clone();
    spec.subdomain = set.spec.service_name.clone();
    mount_claims(set, &mut pod);
    pod
}

/// The pod as a member has to be, if it is not: its identity labels and its claims.
pub(super) fn corrected(set: &StatefulSet, pod: &Pod) -> Option<Pod> {
    let mut corrected = pod.clone();
    let named = pod.labels().get(POD_NAME) == Some(&pod.name_any());
    if !named {
        identify(&mut corrected);
    }
    if !has_claims(set, pod) {
        mount_claims(set, &mut corrected);
    }
    (corrected != *pod).then_some(corrected)
}

fn identify(pod: &mut Pod) {
    let (name, index) = (pod.name_any(), ordinal(pod).to_string());
    pod.labels_mut().insert(POD_NAME.to_owned(), name);
    pod.labels_mut().insert(POD_INDEX.to_owned(), index);
}

/// Whether the pod's volumes are the set's claims of its ordinal.
pub(super) fn has_claims(set: &StatefulSet, pod: &Pod) -> bool {
    let volumes = pod.spec.as_ref().and_then(|spec| spec.volumes.as_ref());
    claims::names(set, ordinal(pod)).all(|(template, claim)| {
        let volume = volumes
            .into_iter()
            .flatten()
            .find(|volume| volume.name == template);
        volume
            .and_then(|volume| volume.persistent_volume_claim.as_ref())
            .is_some_and(|source| source.claim_name == claim)
    })
}

fn mount_claims(set: &StatefulSet, pod: &mut Pod) {
    let mut volumes: Vec<_> = claims::names(set, ordinal(pod))
        .map(|(template, claim_name)| Volume {
            name: template,
            persistent_volume_claim: Some(PersistentVolumeClaimVolumeSource {
                claim_name,
                read_only: None,
            }),
            ..Volume::default()
        })
        .collect();
    if volumes.is_empty() {
        return;
    }
    let spec = pod.spec.get_or_insert_default();
    let others = spec.volumes.take().unwrap_or_default();
    let claimed: Vec<_> = volumes.iter().map(|volume| volume.name.clone()).collect();
    volumes.extend(
        others
            .into_iter()
            .filter(|volume| !claimed.contains(&volume.name)),
    );
    spec.volumes = Some(volumes);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn names_have_ordinals() {
        assert_eq!(parent_and_ordinal("a-b-12"), Some(("a-b", 12)));
        for none in ["a", "a-", "a-b", "a-+1", "a-99999999999"] {
            assert_eq!(parent_and_ordinal(none), None, "{none}");
        }
    }

    #[test]
    fn a_new_pod_is_its_ordinal() {
        let set: StatefulSet = serde_json::from_value(json!({
            "metadata": { "name": "st", "namespace": "ns", "uid": "u" },
            "spec": { "serviceName": "svc", "selector": {}, "ordinals": { "start": 3 }, "replicas": 2,
                "template": {}, "volumeClaimTemplates": [{ "metadata": { "name": "data" } }] },
        }))
        .expect("is a set");
        assert_eq!(ordinals(&set), 3..5);
        let template = serde_json::from_value(json!({
            "metadata": { "labels": { "app": "a" } },
            "spec": { "containers": [], "volumes": [{ "name": "data" }, { "name": "other" }] },
        }))
        .expect("is a template");
        let pod = new_pod(&set, 4, &template, "st-r");
        let seen = json!(pod);
        assert_eq!(seen["metadata"]["name"], "st-4");
        assert_eq!(seen["metadata"]["ownerReferences"][0]["controller"], true);
        assert_eq!(
            seen["metadata"]["labels"],
            json!({ "app": "a", POD_NAME: "st-4", POD_INDEX: "4", REVISION: "st-r" })
        );
        assert_eq!(
            (&seen["spec"]["hostname"], &seen["spec"]["subdomain"]),
            (&json!("st-4"), &json!("svc"))
        );
        let volumes = &seen["spec"]["volumes"];
        assert_eq!(
            volumes[0]["persistentVolumeClaim"]["claimName"],
            "data-st-4"
        );
        assert_eq!(
            (volumes[1]["name"].as_str(), &volumes[2]),
            (Some("other"), &json!(null))
        );
        assert_eq!(corrected(&set, &pod), None);
        let mut bare = pod.clone();
        bare.labels_mut().remove(POD_NAME);
        assert_eq!(corrected(&set, &bare), Some(pod));
    }
}
