//! Owners, claims and budgets as Kubernetes has them → what the engine knows of them. Pure.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet, StatefulSet};
use k8s_openapi::api::core::v1::{Node, PersistentVolume, PersistentVolumeClaim};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, OwnerReference};
use kube::ResourceExt as _;
use kube::core::{Selector, SelectorExt as _};

use super::super::placement::fits;
use crate::migration::ports::{BudgetView, ClaimView, OwnerView, ReplicaSetView, SetView};

/// The controlling owner among `references`.
pub(in super::super) fn controller(references: &[OwnerReference]) -> Option<OwnerView> {
    let owner = references
        .iter()
        .find(|owner| owner.controller == Some(true))?;
    Some(OwnerView {
        kind: owner.kind.clone(),
        name: owner.name.clone(),
    })
}

pub(super) fn set_view(set: &StatefulSet) -> SetView {
    let spec = set.spec.clone();
    let status = set.status.clone().unwrap_or_default();
    let update = spec.update_strategy.unwrap_or_default();
    let retention = spec
        .persistent_volume_claim_retention_policy
        .unwrap_or_default();
    let deletes = |when: &Option<String>| when.as_deref() == Some("Delete");
    SetView {
        replicas: spec.replicas.unwrap_or(1).into(),
        start: spec
            .ordinals
            .and_then(|ordinals| ordinals.start)
            .unwrap_or(0)
            .into(),
        observed: status.observed_generation == set.metadata.generation,
        terminating: set.metadata.deletion_timestamp.is_some(),
        current_revision: status.current_revision.unwrap_or_default(),
        update_revision: status.update_revision.unwrap_or_default(),
        current_pods: status.current_replicas.unwrap_or(0).into(),
        updated_pods: status.updated_replicas.unwrap_or(0).into(),
        on_delete: update.type_.as_deref() == Some("OnDelete"),
        partition: update
            .rolling_update
            .and_then(|rolling| rolling.partition)
            .unwrap_or(0)
            .into(),
        deletes_claims: deletes(&retention.when_deleted) || deletes(&retention.when_scaled),
        owner: controller(set.owner_references()),
    }
}

pub(super) fn replica_set_view(
    set: &ReplicaSet,
    deployment: Option<&Deployment>,
) -> ReplicaSetView {
    let status = set.status.clone().unwrap_or_default();
    ReplicaSetView {
        replicas: set.spec.replicas.unwrap_or(1).into(),
        pods: status.replicas.into(),
        ready: status.ready_replicas.unwrap_or(0).into(),
        terminating: set.metadata.deletion_timestamp.is_some(),
        owner: controller(set.owner_references()),
        rolling_out: deployment.is_some_and(|deployment| is_rolling_out(deployment, set)),
    }
}

/// As `kubectl rollout status` sees it; or the ReplicaSet is an old one.
fn is_rolling_out(deployment: &Deployment, set: &ReplicaSet) -> bool {
    let status = deployment.status.clone().unwrap_or_default();
    let wanted = deployment.spec.replicas.unwrap_or(1);
    let (all, updated) = (
        status.replicas.unwrap_or(0),
        status.updated_replicas.unwrap_or(0),
    );
    status.observed_generation < deployment.metadata.generation
        || updated < wanted
        || all > updated
        || set.metadata.deletion_timestamp.is_some()
}

/// The claim, with the nodes from which its volume cannot be reached.
pub(super) fn claim_view(
    claim: &PersistentVolumeClaim,
    volume: Option<&PersistentVolume>,
    nodes: &[Node],
) -> ClaimView {
    let modes = claim
        .spec
        .as_ref()
        .and_then(|spec| spec.access_modes.clone())
        .unwrap_or_default();
    let shared = |mode: &String| mode == "ReadWriteMany" || mode == "ReadOnlyMany";
    let required = volume.and_then(|volume| {
        volume
            .spec
            .as_ref()?
            .node_affinity
            .as_ref()?
            .required
            .as_ref()
    });
    let out_of_reach = nodes
        .iter()
        .filter(|node| required.is_some_and(|selector| !fits(selector, node)))
        .map(|node| {
            let volume = volume.map(|volume| volume.name_any()).unwrap_or_default();
            (node.name_any(), volume)
        })
        .collect();
    ClaimView {
        name: claim.name_any(),
        one_node: !modes.iter().any(shared),
        out_of_reach,
    }
}

/// The budget, if it counts pods with these labels.
pub(super) fn budget_view(
    budget: &PodDisruptionBudget,
    labels: &BTreeMap<String, String>,
) -> Option<BudgetView> {
    let selector = budget.spec.as_ref()?.selector.as_ref()?;
    selects(selector, labels).then(|| BudgetView {
        name: budget.name_any(),
        allowed: budget
            .status
            .as_ref()
            .and_then(|status| status.disruptions_allowed)
            .unwrap_or(0)
            .into(),
    })
}

/// One that cannot be read selects everything: then somebody is asked rather than a pod missed.
fn selects(selector: &LabelSelector, labels: &BTreeMap<String, String>) -> bool {
    match Selector::try_from(selector.clone()) {
        Ok(selector) => selector.matches(labels),
        Err(_) => true,
    }
}
