//! The labels that a target pod waits with until the handoff commits. Pure.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;

use super::super::naming::{CONTAINER, SOURCE_LABELS, SOURCE_POD};
use crate::api::{MIGRATION_LABEL, ROLE_LABEL};
use crate::migration::error::PortError;
use crate::migration::ports::PortResult;

/// Whether a label or annotation was set by ms2m for one migration, and so does not go along into
/// the next one. Settings such as `migration.ms2m.io/queue` do.
pub(super) fn is_own(key: &str) -> bool {
    [
        SOURCE_LABELS,
        SOURCE_POD,
        CONTAINER,
        MIGRATION_LABEL,
        ROLE_LABEL,
    ]
    .contains(&key)
}

/// `labels` without those of an earlier migration.
pub(super) fn own_labels_removed(mut labels: BTreeMap<String, String>) -> BTreeMap<String, String> {
    labels.retain(|key, _| !is_own(key));
    labels
}

/// The labels that the target takes over from its source.
///
/// # Errors
/// [`PortError::Invalid`] for a pod that is no target.
pub(in super::super) fn handed_over(target: &Pod) -> PortResult<BTreeMap<String, String>> {
    let text = target.annotations().get(SOURCE_LABELS).ok_or_else(|| {
        PortError::Invalid(format!(
            "pod {} has no annotation {SOURCE_LABELS}: it is not the target of a migration",
            target.name_any()
        ))
    })?;
    serde_json::from_str(text).map_err(|error| {
        PortError::Invalid(format!(
            "annotation {SOURCE_LABELS} of pod {}: {error}",
            target.name_any()
        ))
    })
}
