//! What a migration came to.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a migration came to, in figures. Times are seconds with three digits and an `s`.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Receipt {
    /// Time in which messages waited and no one took any: `cutPause`, `absencePause` and
    /// `handoffPause` together, over both handoffs where there were two.
    pub downtime: String,
    /// From the last message that the source took from the primary queue until it was seen
    /// consuming H: the checkpoint lies in it.
    pub cut_pause: String,
    /// Sequential: from the moment at which the source began to go until the target was seen
    /// consuming R.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub absence_pause: String,
    /// From the last message that the target took from R until it was seen consuming the primary
    /// queue.
    pub handoff_pause: String,
    /// How the pauses are known: `seen` by looks at the queues, each end to within the time between
    /// two looks (10 to 200 ms); or `noted`, from the closing and the opening of the gate, by a
    /// process that had taken over and did not see them. Then they take in the work on what was
    /// left in the queue.
    #[serde(default)]
    pub downtime_by: String,
    /// Messages that were led to R while the gate was closed, and to H as well.
    #[serde(default)]
    pub messages_routed: i64,
    /// Messages that the target took from R.
    pub messages_replayed: i64,
    /// Messages that were left in R at the commit.
    #[serde(default)]
    pub messages_left: i64,
    /// How the numbers of messages are known: `counted`, or `estimated` from depth and rates
    /// where R went on growing while it was emptied. That none was left is always counted.
    pub messages_replayed_by: String,
    /// What was seen on the way that speaks against each message having been applied exactly once
    /// and in order. What was chosen, such as the handoff `Mirror`, is not among it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub doubts: Vec<String>,
    /// Size of the checkpoint archive in bytes.
    pub archive_bytes: i64,
    /// Size of the image's layer in bytes.
    pub layer_bytes: i64,
    /// Time of the checkpoint call: the kubelet and the runtime.
    #[serde(default)]
    pub checkpoint_call: String,
    /// Time that the transfer binary ran: reading, packing and sending the bytes.
    #[serde(default)]
    pub transfer_run: String,
    /// From the making of the target pod until its container ran: the kubelet and the runtime.
    #[serde(default)]
    pub restore_run: String,
    /// From the target's container running until the application was seen consuming again: its own
    /// wait before it reconnects is the larger part.
    #[serde(default)]
    pub reconnect: String,
    /// From the start to the end.
    pub total: String,
}
