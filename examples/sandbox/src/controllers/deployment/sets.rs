//! The ReplicaSets of a Deployment: which of them is of its template, how a new one is made, and
//! what is noted on them. Pure.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet, ReplicaSetSpec};
use k8s_openapi::api::core::v1::PodTemplateSpec;
use kube::ResourceExt as _;
use kube::api::ObjectMeta;
use serde_json::json;

use crate::controllers::hash;
use crate::controllers::owners::reference;

pub(super) const HASH: &str = "pod-template-hash";
pub(super) const REVISION: &str = "deployment.kubernetes.io/revision";
const DESIRED: &str = "deployment.kubernetes.io/desired-replicas";
const MAXIMUM: &str = "deployment.kubernetes.io/max-replicas";
/// What is noted on a Deployment and not copied to its ReplicaSets.
const NOT_COPIED: [&str; 5] = [
    "kubectl.kubernetes.io/last-applied-configuration",
    REVISION,
    "deployment.kubernetes.io/revision-history",
    DESIRED,
    MAXIMUM,
];

/// How many pods a ReplicaSet is to have.
pub(super) fn replicas(set: &ReplicaSet) -> i32 {
    set.spec.replicas.unwrap_or(1)
}

/// How many of its pods are available.
pub(super) fn available(set: &ReplicaSet) -> i32 {
    let status = set.status.as_ref();
    status
        .and_then(|status| status.available_replicas)
        .unwrap_or(0)
}

/// The oldest of the sets that are of the Deployment's template, and all others, oldest first.
pub(super) fn split(
    deployment: &Deployment,
    mut sets: Vec<ReplicaSet>,
) -> (Option<ReplicaSet>, Vec<ReplicaSet>) {
    sets.sort_by_key(|set| {
        let created = set.metadata.creation_timestamp.clone();
        (created.map(|time| time.0), set.name_any())
    });
    let wanted = bare(&deployment.spec.template);
    let of_template =
        |set: &ReplicaSet| bare(&set.spec.template.clone().unwrap_or_default()) == wanted;
    let new = sets.iter().position(of_template);
    let new = new.map(|at| sets.remove(at));
    (new, sets)
}

/// A template without the label that tells templates apart.
fn bare(template: &PodTemplateSpec) -> PodTemplateSpec {
    let mut template = template.clone();
    let meta = template.metadata.get_or_insert_default();
    if let Some(labels) = &mut meta.labels {
        labels.remove(HASH);
    }
    // An empty map is none.
    meta.labels.take_if(|labels| labels.is_empty());
    meta.annotations
        .take_if(|annotations| annotations.is_empty());
    template
}

/// The number of the revision that follows those of the other sets.
pub(super) fn next_revision(others: &[ReplicaSet]) -> i64 {
    others.iter().map(revision).max().unwrap_or(0) + 1
}

/// The number of a set's revision.
pub(super) fn revision(set: &ReplicaSet) -> i64 {
    let revision = set.annotations().get(REVISION);
    revision
        .and_then(|revision| revision.parse().ok())
        .unwrap_or(0)
}

/// A new ReplicaSet of the Deployment's template.
pub(super) fn new_set(
    deployment: &Deployment,
    collisions: i32,
    replicas: i32,
    maximum: i32,
    revision: i64,
) -> ReplicaSet {
    let mut annotations = notes(deployment, revision);
    annotations.extend(size_notes(deployment, maximum));
    let spec = &deployment.spec;
    let hash = hash::of(&json!(bare(&spec.template)), Some(collisions));
    let mut template = spec.template.clone();
    let labels = template
        .metadata
        .get_or_insert_default()
        .labels
        .get_or_insert_default();
    labels.insert(HASH.to_owned(), hash.clone());
    let labels = labels.clone();
    let mut selector = spec.selector.clone();
    selector
        .match_labels
        .get_or_insert_default()
        .insert(HASH.to_owned(), hash.clone());
    ReplicaSet {
        metadata: ObjectMeta {
            name: Some(format!("{}-{hash}", deployment.name_any())),
            namespace: deployment.namespace(),
            labels: Some(labels),
            annotations: Some(annotations),
            owner_references: reference(deployment).map(|owner| vec![owner]),
            ..ObjectMeta::default()
        },
        spec: ReplicaSetSpec {
            replicas: Some(replicas),
            min_ready_seconds: spec.min_ready_seconds,
            selector,
            template: Some(template),
        },
        status: None,
    }
}

/// What is noted on the set of the Deployment's template.
pub(super) fn notes(deployment: &Deployment, revision: i64) -> BTreeMap<String, String> {
    let mut notes = deployment.annotations().clone();
    notes.retain(|key, _| !NOT_COPIED.contains(&key.as_str()));
    notes.insert(REVISION.to_owned(), revision.to_string());
    notes
}

/// What is noted on every set that is scaled.
pub(super) fn size_notes(deployment: &Deployment, maximum: i32) -> [(String, String); 2] {
    let desired = deployment.spec.replicas.unwrap_or(1);
    [
        (DESIRED.to_owned(), desired.to_string()),
        (MAXIMUM.to_owned(), maximum.to_string()),
    ]
}

/// The size of the Deployment when the set was last scaled.
pub(super) fn noted_size(set: &ReplicaSet) -> Option<i32> {
    set.annotations().get(DESIRED)?.parse().ok()
}

/// How many pods the Deployment could have then.
pub(super) fn noted_maximum(set: &ReplicaSet) -> Option<i32> {
    set.annotations().get(MAXIMUM)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deployment(image: &str) -> Deployment {
        serde_json::from_value(json!({
            "metadata": { "name": "d", "namespace": "ns", "uid": "u", "annotations": {
                "mine": "yes", "kubectl.kubernetes.io/last-applied-configuration": "{}",
            } },
            "spec": { "replicas": 2, "selector": { "matchLabels": { "a": "b" } }, "template": {
                "metadata": { "labels": { "a": "b" } },
                "spec": { "containers": [{ "name": "c", "image": image }] },
            } },
        }))
        .expect("is a deployment")
    }

    #[test]
    fn a_new_set_is_found_again() {
        let old = new_set(&deployment("i"), 0, 2, 3, 1);
        let new = new_set(&deployment("j"), 0, 0, 3, 2);
        assert_ne!(old.name_any(), new.name_any());
        let seen = json!(old);
        let hash = &seen["metadata"]["labels"][HASH];
        assert_eq!(
            seen["spec"]["selector"]["matchLabels"],
            json!({ "a": "b", HASH: hash })
        );
        assert_eq!(
            seen["spec"]["template"]["metadata"]["labels"],
            json!({ "a": "b", HASH: hash })
        );
        assert_eq!(
            seen["metadata"]["annotations"],
            json!({ "mine": "yes", REVISION: "1", DESIRED: "2", MAXIMUM: "3" })
        );
        let (found, others) = split(&deployment("i"), vec![new, old.clone()]);
        assert_eq!(found, Some(old));
        assert_eq!(next_revision(&others), 3);
        assert_eq!(split(&deployment("k"), others).0, None);
    }
}
