//! What a migration came to, for people and scripts.

use std::collections::BTreeMap;

use serde::Serialize;

use super::record::Record;
use crate::api::{Phase, Strategy};

/// The result of a migration, as `-o json` prints it.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// The migration's name.
    pub migration: String,
    /// Namespace of the pod.
    pub namespace: String,
    /// The pod that moved.
    pub source_pod: String,
    /// The pod that serves now.
    pub target_pod: String,
    /// The node that it left.
    pub source_node: String,
    /// The node that it runs on now.
    pub target_node: String,
    /// How.
    pub strategy: Strategy,
    /// Where it ended.
    pub phase: Phase,
    /// Seconds by phase, in the order of the phases.
    pub phase_seconds: Vec<(Phase, f64)>,
    /// Seconds from start to end.
    pub total_seconds: f64,
    /// Seconds in which messages waited and no one took any.
    pub downtime_seconds: f64,
    /// The part of it around the checkpoint.
    pub cut_pause_seconds: f64,
    /// Sequential: the part of it in which there was neither source nor target.
    pub absence_seconds: f64,
    /// The part of it around the commit.
    pub handoff_pause_seconds: f64,
    /// Seconds of the checkpoint call: the kubelet and the runtime.
    pub checkpoint_call_seconds: f64,
    /// Seconds that the transfer binary ran: the bytes.
    pub transfer_run_seconds: f64,
    /// Seconds from the making of the target pod until its container ran: the kubelet and the
    /// runtime.
    pub restore_run_seconds: f64,
    /// Seconds from the target's container running until the application consumed again.
    pub reconnect_seconds: f64,
    /// What is left of the total: ms2m itself, and what Kubernetes and the broker take for it.
    pub own_seconds: f64,
    /// How the downtime is known: `seen` or `noted`.
    pub downtime_by: String,
    /// Messages that were led to the replay queues.
    pub messages_routed: i64,
    /// Messages that the target took from its replay queue.
    pub messages_replayed: i64,
    /// Messages that were left in it at the commit.
    pub messages_left: i64,
    /// `counted` or `estimated`.
    pub messages_replayed_by: String,
    /// What speaks against each message having been applied exactly once and in order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub doubts: Vec<String>,
    /// The checkpoint image by digest.
    pub checkpoint_image: String,
    /// Size of the checkpoint archive in bytes.
    pub archive_bytes: i64,
    /// Size of the image's layer in bytes.
    pub layer_bytes: i64,
}

/// The phases that take time, in their order.
pub const TIMED_PHASES: [Phase; 6] = [
    Phase::Pending,
    Phase::Checkpointing,
    Phase::Transferring,
    Phase::Restoring,
    Phase::Replaying,
    Phase::Finalizing,
];

/// A duration in seconds as it stands in a status: `1.234s`.
#[must_use]
pub fn seconds_text(seconds: f64) -> String {
    format!("{seconds:.3}s")
}

/// Reads what [`seconds_text`] wrote; anything else is 0.
#[must_use]
pub fn seconds_value(text: &str) -> f64 {
    text.strip_suffix('s')
        .and_then(|number| number.parse().ok())
        .unwrap_or(0.0)
}

/// Seconds by phase, in the order of the phases, from `status.phaseTimings`.
#[must_use]
pub fn phase_seconds(timings: &BTreeMap<String, String>) -> Vec<(Phase, f64)> {
    TIMED_PHASES
        .into_iter()
        .filter_map(|phase| {
            timings
                .get(phase.name())
                .map(|text| (phase, seconds_value(text)))
        })
        .collect()
}

impl Summary {
    /// What `record` came to.
    #[must_use]
    pub fn of(record: &Record) -> Self {
        let status = &record.status;
        let receipt = status.receipt.clone().unwrap_or_default();
        let others = [
            &receipt.checkpoint_call,
            &receipt.transfer_run,
            &receipt.restore_run,
            &receipt.reconnect,
        ]
        .map(|text| seconds_value(text));
        let total_seconds = seconds_value(&receipt.total);
        Self {
            migration: record.name.clone(),
            namespace: record.namespace.clone(),
            source_pod: record.spec.source_pod.clone(),
            target_pod: status.target_pod.clone().unwrap_or_default(),
            source_node: status.source_node.clone().unwrap_or_default(),
            target_node: status.target_node.clone().unwrap_or_default(),
            strategy: status.strategy.unwrap_or(Strategy::ShadowPod),
            phase: status.phase.unwrap_or_default(),
            phase_seconds: phase_seconds(&status.phase_timings),
            total_seconds,
            checkpoint_call_seconds: others[0],
            transfer_run_seconds: others[1],
            restore_run_seconds: others[2],
            reconnect_seconds: others[3],
            own_seconds: (total_seconds - others.iter().sum::<f64>()).max(0.0),
            downtime_seconds: seconds_value(&receipt.downtime),
            cut_pause_seconds: seconds_value(&receipt.cut_pause),
            absence_seconds: seconds_value(&receipt.absence_pause),
            handoff_pause_seconds: seconds_value(&receipt.handoff_pause),
            downtime_by: receipt.downtime_by,
            messages_routed: receipt.messages_routed,
            messages_replayed: receipt.messages_replayed,
            messages_left: receipt.messages_left,
            messages_replayed_by: receipt.messages_replayed_by,
            doubts: receipt.doubts,
            checkpoint_image: status.checkpoint_image.clone().unwrap_or_default(),
            archive_bytes: receipt.archive_bytes,
            layer_bytes: receipt.layer_bytes,
        }
    }
}
