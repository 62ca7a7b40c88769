//! The manifests of a pod and its StatefulSet as they are kept while the set is gone, and as the set
//! is made again. Pure.
//!
//! The set is kept as the API server shows it, field by field, and not as this version of ms2m knows
//! StatefulSets: a field that got lost would be a changed template, and a rollout.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::DynamicObject;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::super::naming::{labels, role};
use super::rollout::Revisions;
use crate::migration::error::PortError;
use crate::migration::ports::{LetGoOrder, PortResult, kept_name};

/// Key of the pod's manifest.
const POD: &str = "pod.json";

/// Key of the set's.
const SET: &str = "statefulset.json";

/// Key of the set's two revisions, while a partition holds a rollout.
const REVISIONS: &str = "revisions.json";

/// The ConfigMap that keeps all of them.
pub(super) fn kept(
    order: &LetGoOrder,
    pod: &Pod,
    set: &DynamicObject,
    revisions: Option<&Revisions>,
) -> PortResult<ConfigMap> {
    let mut data = BTreeMap::from([
        (POD.to_owned(), text(&without_history_of_pod(pod))?),
        (SET.to_owned(), text(&as_new(set))?),
    ]);
    if let Some(revisions) = revisions {
        data.insert(REVISIONS.to_owned(), text(revisions)?);
    }
    Ok(ConfigMap {
        metadata: ObjectMeta {
            name: Some(kept_name(&order.set)),
            labels: Some(labels(&order.migration, role::KEPT)),
            ..ObjectMeta::default()
        },
        data: Some(data),
        ..ConfigMap::default()
    })
}

/// The pod that is kept.
pub(super) fn kept_pod(kept: &ConfigMap) -> PortResult<Pod> {
    read(kept, POD)
}

/// The set that is kept.
pub(super) fn kept_set(kept: &ConfigMap) -> PortResult<DynamicObject> {
    read(kept, SET)
}

/// The revisions that are kept, if a partition held a rollout.
pub(super) fn kept_revisions(kept: &ConfigMap) -> PortResult<Option<Revisions>> {
    let data = kept.data.as_ref();
    if data.is_some_and(|data| data.contains_key(REVISIONS)) {
        return read(kept, REVISIONS).map(Some);
    }
    Ok(None)
}

/// Finalizers that the API server sets at a deletion, by its propagation policy.
pub(super) const ORPHAN: &str = "orphan";
const FOREGROUND: &str = "foregroundDeletion";

/// The set as whoever made it would make it again: nothing that the API server sets.
pub(super) fn as_new(set: &DynamicObject) -> DynamicObject {
    let metadata = &set.metadata;
    let of_a_deletion = |name: &String| name == ORPHAN || name == FOREGROUND;
    let mut finalizers = metadata.finalizers.clone();
    if let Some(names) = &mut finalizers {
        names.retain(|name| !of_a_deletion(name));
    }
    let mut data = set.data.clone();
    if let Some(fields) = data.as_object_mut() {
        fields.remove("status");
    }
    DynamicObject {
        types: set.types.clone(),
        metadata: ObjectMeta {
            name: metadata.name.clone(),
            namespace: metadata.namespace.clone(),
            labels: metadata.labels.clone(),
            annotations: metadata.annotations.clone(),
            finalizers: finalizers.filter(|names| !names.is_empty()),
            owner_references: metadata.owner_references.clone(),
            ..ObjectMeta::default()
        },
        data,
    }
}

fn without_history_of_pod(pod: &Pod) -> Pod {
    let mut pod = pod.clone();
    pod.metadata.managed_fields = None;
    pod.status = None;
    pod
}

fn text<K: Serialize>(object: &K) -> PortResult<String> {
    serde_json::to_string(object).map_err(|error| PortError::Invalid(error.to_string()))
}

fn read<K: DeserializeOwned>(kept: &ConfigMap, key: &str) -> PortResult<K> {
    let name = kept.metadata.name.clone().unwrap_or_default();
    let text = kept
        .data
        .as_ref()
        .and_then(|data| data.get(key))
        .ok_or_else(|| PortError::Invalid(format!("ConfigMap {name} has no {key}")))?;
    serde_json::from_str(text)
        .map_err(|error| PortError::Invalid(format!("{key} of ConfigMap {name}: {error}")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// The garbage collector's own finalizers stand on a set that is on its way out. On one that is
    /// made again they would say what becomes of its pods when somebody deletes it next.
    #[test]
    fn how_a_set_was_deleted_is_not_kept() {
        let set: DynamicObject = serde_json::from_value(json!({
            "apiVersion": "apps/v1", "kind": "StatefulSet",
            "metadata": {"name": "web", "finalizers": ["orphan", "shop.example.com/audit", "foregroundDeletion"]},
            "spec": {}
        }))
        .expect("a set");
        let own = vec!["shop.example.com/audit".to_owned()];
        assert_eq!(as_new(&set).metadata.finalizers, Some(own));
    }

    #[test]
    fn a_set_is_made_again_with_every_field_and_no_history() {
        let set: DynamicObject = serde_json::from_value(json!({
            "apiVersion": "apps/v1", "kind": "StatefulSet",
            "metadata": {
                "name": "web", "namespace": "shop", "uid": "u", "resourceVersion": "7", "generation": 3,
                "creationTimestamp": "2026-01-01T00:00:00Z", "labels": {"app": "web"},
                "annotations": {"note": "kept"}, "managedFields": [{"manager": "kubectl"}]
            },
            "spec": {"replicas": 3, "aFieldOfTomorrow": {"deep": [1]}},
            "status": {"replicas": 3}
        }))
        .expect("a set");
        let new = serde_json::to_value(as_new(&set)).expect("JSON");
        assert_eq!(
            new,
            json!({
                "apiVersion": "apps/v1", "kind": "StatefulSet",
                "metadata": {
                    "name": "web", "namespace": "shop", "labels": {"app": "web"}, "annotations": {"note": "kept"}
                },
                "spec": {"replicas": 3, "aFieldOfTomorrow": {"deep": [1]}}
            })
        );
    }
}
