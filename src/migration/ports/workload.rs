//! What surrounds a pod: its owner, its volumes, the rules for where it may run and how many of
//! its kind must be there.

use std::collections::BTreeMap;

use serde::Serialize;

/// A pod's controlling owner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OwnerView {
    /// Kind, as `StatefulSet`.
    pub kind: String,
    /// Name.
    pub name: String,
}

/// An owner of a kind that ms2m knows, as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OwnerState {
    /// A StatefulSet.
    StatefulSet(SetView),
    /// A ReplicaSet.
    ReplicaSet(ReplicaSetView),
}

/// A StatefulSet.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SetView {
    /// `spec.replicas`.
    pub replicas: i64,
    /// `spec.ordinals.start`.
    pub start: i64,
    /// Whether its controller has seen the spec as it is now.
    pub observed: bool,
    /// Whether it is being deleted.
    pub terminating: bool,
    /// `status.currentRevision`.
    pub current_revision: String,
    /// `status.updateRevision`.
    pub update_revision: String,
    /// `status.currentReplicas`: pods of the current revision.
    pub current_pods: i64,
    /// `status.updatedReplicas`: pods of the update revision.
    pub updated_pods: i64,
    /// Whether its update strategy is `OnDelete`: it replaces no pod by itself.
    pub on_delete: bool,
    /// The least ordinal that is updated.
    pub partition: i64,
    /// Whether it deletes claims when it is deleted or scaled down.
    pub deletes_claims: bool,
    /// Its own controlling owner.
    pub owner: Option<OwnerView>,
}

/// A ReplicaSet.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ReplicaSetView {
    /// `spec.replicas`.
    pub replicas: i64,
    /// Pods that it counts.
    pub pods: i64,
    /// Those that are ready.
    pub ready: i64,
    /// Whether it is being deleted.
    pub terminating: bool,
    /// Its own controlling owner.
    pub owner: Option<OwnerView>,
    /// Whether the Deployment that owns it is exchanging its pods.
    pub rolling_out: bool,
}

/// A volume of a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VolumeView {
    /// Its name in the pod.
    pub name: String,
    /// What it is.
    pub kind: VolumeKind,
}

/// What a volume is, as far as a migration is concerned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VolumeKind {
    /// A claim of that name.
    Claim(String),
    /// Contents that stay on the node, as `emptyDir` and `hostPath`.
    Local(&'static str),
}

/// A PersistentVolumeClaim.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ClaimView {
    /// Name.
    pub name: String,
    /// Whether only one node at a time may mount it (`ReadWriteOnce`, `ReadWriteOncePod`).
    pub one_node: bool,
    /// Nodes from which its volume cannot be reached, with the volume's name.
    pub out_of_reach: BTreeMap<String, String>,
}

/// A PodDisruptionBudget that counts the pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BudgetView {
    /// Name.
    pub name: String,
    /// How many pods may be missing now.
    pub allowed: i64,
}

/// What surrounds a pod.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Surroundings {
    /// Its owner, if that is of a known kind and there.
    pub owner: Option<OwnerState>,
    /// Its claims.
    pub claims: Vec<ClaimView>,
    /// Budgets that count it.
    pub budgets: Vec<BudgetView>,
    /// Nodes that its own rules, or its lack of tolerations, forbid, and why.
    pub unfit: BTreeMap<String, String>,
    /// How many pods of its namespace are on each node.
    pub crowd: BTreeMap<String, u64>,
    /// What the caller may not look at.
    pub unseen: Vec<String>,
}

/// A pod that a StatefulSet has to let go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LetGoOrder {
    /// The migration.
    pub migration: String,
    /// The pod.
    pub pod: String,
    /// Its uid.
    pub pod_uid: String,
    /// The set.
    pub set: String,
}

/// Name of the ConfigMap in which a StatefulSet's manifest, and that of the pod that it lets go, are
/// kept. There is one for each set, so that two migrations never have one set gone at a time.
#[must_use]
pub fn kept_name(set: &str) -> String {
    format!("{set}-ms2m-kept")
}

/// Whether a StatefulSet is ours to let go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claim {
    /// It is: its manifest and the pod's are kept.
    Ours,
    /// The migration of that name has it.
    Of(String),
}

/// What a StatefulSet that was made again has made of a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Adoption {
    /// It is the pod's controller, or there was no pod to adopt.
    Adopted,
    /// It is not; the words say why.
    Refused(String),
    /// Nothing was done: the set is there, or another migration has it.
    NotOurs,
}
