//! What the handoff has done at the broker and how far it has been undone.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What the handoff has done at the broker: enough to go on or to undo it from another process.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct HandoffStatus {
    /// The last stage that is known to be complete.
    pub stage: HandoffStage,
    /// Whether the handoff is being undone.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub aborting: bool,
    /// How far the undoing has come.
    #[serde(default, skip_serializing_if = "UndoStep::is_first")]
    pub undo: UndoStep,
    /// The primary queue's own bindings, which the gate takes over and gives back.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bindings: Vec<HandoffBinding>,
    /// Whether the target pod was made: it is never made twice, since a second restore of the
    /// same checkpoint would go back in time.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub target_made: bool,
    /// Whether the target listens on the source's control queue.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stale_target: bool,
    /// When the gate was closed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed_time: Option<MicroTime>,
    /// When the source began to go.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leaving_time: Option<MicroTime>,
    /// When the gate was opened again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reopened_time: Option<MicroTime>,
}

/// A binding of the primary queue.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct HandoffBinding {
    /// The exchange.
    pub exchange: String,
    /// The binding key.
    #[serde(default)]
    pub routing_key: String,
    /// Arguments of the binding, by which a headers exchange matches.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub arguments: BTreeMap<String, BindingArgument>,
}

/// The value of a binding's argument. Its type belongs to it: a binding made with 5 as an `Int` is
/// not the one made with 5 as a `Long`.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct BindingArgument {
    /// Its AMQP type.
    #[serde(rename = "type")]
    pub kind: ArgumentType,
    /// As text.
    #[serde(default)]
    pub value: String,
}

/// AMQP's types, as far as the argument of a binding can have them.
#[derive(
    JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash,
)]
pub enum ArgumentType {
    /// Text.
    String,
    /// `true` or `false`.
    Boolean,
    /// 8 bits, signed.
    Byte,
    /// 8 bits.
    UnsignedByte,
    /// 16 bits, signed.
    Short,
    /// 16 bits.
    UnsignedShort,
    /// 32 bits, signed.
    Int,
    /// 32 bits.
    UnsignedInt,
    /// 64 bits, signed.
    Long,
    /// Seconds since 1970.
    Timestamp,
    /// 32 bits, floating point.
    Float,
    /// 64 bits, floating point.
    Double,
    /// No value: the header need only be there.
    Void,
}

/// How far the handoff has come. A stage stands in the journal once it is complete, except those
/// that are written before their effects: `Preparing`, `Mirroring`, `Closing`,
/// `CutoverPreparing`, `CutoverClosing`, `Committing` and `Returning`.
///
/// The order is the order in which they follow one another. `Mirroring` and the `Cutover` stages
/// are those of the handoff `Mirror` alone, which in turn has neither `Closed` nor `TargetSeen`.
#[derive(
    JsonSchema,
    Serialize,
    Deserialize,
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
)]
pub enum HandoffStage {
    /// Nothing at the broker has been touched.
    #[default]
    Untouched,
    /// Touching it has begun: the gate, R and H may be there in part; the gate is open.
    Preparing,
    /// Mirror: R may be there, and be bound beside the primary queue.
    Mirroring,
    /// The gate is whole and may be open or closed.
    Closing,
    /// The gate is closed; new messages wait in R and H.
    Closed,
    /// The checkpoint is taken (with Gate: while the primary queue was quiet).
    Checkpointed,
    /// The source consumes H (with Mirror: it still consumes the primary queue).
    SourceDiverted,
    /// The target was seen consuming the primary queue, where nothing comes in.
    TargetSeen,
    /// The target consumes R.
    TargetAttached,
    /// Mirror: the gate, R and H may be there in part; the gate is open.
    CutoverPreparing,
    /// Mirror: the gate is whole and may be open or closed.
    CutoverClosing,
    /// Mirror: the gate is closed, and the source finishes the primary queue.
    CutoverClosed,
    /// The source goes. The commit point: from here on there is only forward.
    Committing,
    /// The source is gone, and the gate is closed.
    SourceRemoved,
    /// Sequential: the target was seen consuming the primary queue, where nothing comes in. Nothing
    /// has been taken from R before.
    TargetRestored,
    /// The gate is open again; R has stopped growing.
    Reopened,
    /// R was drained; `END_REPLAY` goes to the target.
    Returning,
    /// The target consumes the primary queue.
    TargetServes,
    /// Gate, R and H are gone, the primary queue has its own bindings.
    Dismantled,
}

impl HandoffStage {
    /// Whether there is only forward from here.
    #[must_use]
    pub fn is_committed(self) -> bool {
        self >= Self::Committing
    }
}

/// How far an abort has come. Each step is written before it begins.
#[derive(
    JsonSchema,
    Serialize,
    Deserialize,
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
)]
pub enum UndoStep {
    /// The target goes.
    #[default]
    RemoveTarget,
    /// Its consumers are seen gone.
    AwaitTargetGone,
    /// The source is, or gets, on H: what was published since the gate closed is there, and it
    /// has to be applied before anything newer.
    OntoHold,
    /// A source that does not obey: what is in H goes back to the primary queue.
    PutBack,
    /// The gate opens: H stops growing.
    Reopen,
    /// The source drains H and returns to the primary queue.
    Return,
    /// Gate, R and H go.
    Dismantle,
}

impl UndoStep {
    /// Whether nothing has been undone yet.
    #[must_use]
    pub fn is_first(&self) -> bool {
        *self == Self::default()
    }
}
