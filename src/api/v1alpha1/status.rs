//! What has been observed and done so far, conditions included.

#![allow(
    unreachable_pub,
    reason = "deriving KubeSchema repeats each struct inside a function, where `pub` reaches nobody"
)]

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::config::Strategy;
use super::handoff::HandoffStatus;
use super::phase::Phase;
use super::receipt::Receipt;

/// What has been observed and done so far.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct StatefulMigrationStatus {
    /// The generation of the spec that this status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Where the migration stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<Phase>,
    /// The node that the source pod runs on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_node: Option<String>,
    /// Path of the checkpoint archive on the source node.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        rename = "checkpointID"
    )]
    pub checkpoint_id: Option<String>,
    /// Name of the target pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_pod: Option<String>,
    /// When the migration began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_time: Option<Time>,
    /// How long each phase took, as `Checkpointing: 1.234s`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub phase_timings: BTreeMap<String, String>,
    /// How long the parts that a receipt measures were thought to take, as `checkpoint: 0.550s`, with
    /// `total` and `downtime`. Set when it begins, where enough was known.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub estimate: BTreeMap<String, String>,
    /// Standard Kubernetes conditions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".to_string()]))]
    pub conditions: Vec<Condition>,
    /// When the migration ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completion_time: Option<Time>,
    /// The strategy that was chosen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strategy: Option<Strategy>,
    /// Uid of the source pod: a pod of the same name with another uid is another pod.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        rename = "sourcePodUID"
    )]
    pub source_pod_uid: Option<String>,
    /// The container that is moved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
    /// The node that the target pod runs on, or is to run on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_node: Option<String>,
    /// The source container's image by digest; it has to be on the target node before the restore.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_image: Option<String>,
    /// The checkpoint image by digest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint_image: Option<String>,
    /// What the handoff has done at the broker.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handoff: Option<HandoffStatus>,
    /// The pod's controlling owner, where it is one that has a part in the migration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<OwnerStatus>,
    /// Sequential: the pod could not be restored on the target node, so it is restored on the
    /// source node.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub returning: bool,
    /// ShadowPod for a StatefulSet: the second handoff, from the shadow to the set's own pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub takeover: Option<TakeoverStatus>,
    /// What it came to, in figures.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receipt: Option<Receipt>,
    /// The last thing worth saying to a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

impl StatefulMigrationStatus {
    /// Sets a condition. Its transition time moves only when its status does.
    pub fn set_condition(
        &mut self,
        kind: &str,
        holds: bool,
        reason: &str,
        message: &str,
        now: Timestamp,
    ) {
        let status = if holds { "True" } else { "False" };
        self.set_status(kind, status, reason, message, now);
    }

    /// Sets a condition of which it is not known yet whether it holds.
    pub fn set_condition_unknown(
        &mut self,
        kind: &str,
        reason: &str,
        message: &str,
        now: Timestamp,
    ) {
        self.set_status(kind, "Unknown", reason, message, now);
    }

    fn set_status(
        &mut self,
        kind: &str,
        status: &str,
        reason: &str,
        message: &str,
        now: Timestamp,
    ) {
        let unchanged_since = self
            .conditions
            .iter()
            .find(|condition| condition.type_ == kind && condition.status == status)
            .map(|condition| condition.last_transition_time.clone());
        self.conditions.retain(|condition| condition.type_ != kind);
        self.conditions.push(Condition {
            type_: kind.to_owned(),
            status: status.to_owned(),
            reason: reason.to_owned(),
            message: message.to_owned(),
            last_transition_time: unchanged_since.unwrap_or(Time(now)),
            observed_generation: self.observed_generation,
        });
    }

    /// Whether a condition is `True`.
    #[must_use]
    pub fn condition_holds(&self, kind: &str) -> bool {
        self.conditions
            .iter()
            .any(|condition| condition.type_ == kind && condition.status == "True")
    }
}

/// The owner of the pod.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct OwnerStatus {
    /// Its kind, as `StatefulSet`.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Whether it may have let its pods go: a StatefulSet is deleted without them, and made
    /// again from what is kept in the cluster. Written before that is begun.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub let_go: bool,
}

/// The second handoff of a StatefulSet's pod that has moved as a shadow.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct TakeoverStatus {
    /// Name of the shadow, whose identity changes.
    pub shadow_pod: String,
    /// Its uid.
    #[serde(rename = "shadowPodUID")]
    pub shadow_pod_uid: String,
}
