//! `migration.ms2m.io/v1alpha1`: the Rust types that the CRD is generated from.

#![allow(
    unreachable_pub,
    reason = "deriving KubeSchema repeats each struct inside a function, where `pub` reaches nobody"
)]

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, MicroTime, Time};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// That an optional field of the spec is as it was, in CEL.
macro_rules! unchanged {
    ($field:literal) => {
        concat!(
            " && has(self.spec.",
            $field,
            ") == has(oldSelf.spec.",
            $field,
            ") && (!has(self.spec.",
            $field,
            ") || self.spec.",
            $field,
            " == oldSelf.spec.",
            $field,
            ")"
        )
    };
}

/// What to move, where to, and how.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "migration.ms2m.io",
    version = "v1alpha1",
    kind = "StatefulMigration",
    plural = "statefulmigrations",
    singular = "statefulmigration",
    shortname = "sm",
    namespaced,
    status = "StatefulMigrationStatus",
    derive = "PartialEq",
    cel,
    doc = "A running, stateful, message-driven pod on its way from one node to another.",
    validation = Rule::new(UNCHANGED).message("spec is immutable once the migration has left Pending, save abort"),
    validation = Rule::new(
        "!has(oldSelf.spec.abort) || !oldSelf.spec.abort || has(self.spec.abort) && self.spec.abort"
    ).message("an abort cannot be taken back"),
    printcolumn(name = "Pod", type_ = "string", json_path = ".spec.sourcePod"),
    printcolumn(name = "From", type_ = "string", json_path = ".status.sourceNode"),
    printcolumn(name = "To", type_ = "string", json_path = ".status.targetNode"),
    printcolumn(name = "Strategy", type_ = "string", json_path = ".status.strategy"),
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Downtime", type_ = "string", json_path = ".status.receipt.downtime", priority = 1),
    printcolumn(name = "Replayed", type_ = "integer", json_path = ".status.receipt.messagesReplayed", priority = 1)
)]
#[serde(rename_all = "camelCase")]
pub struct StatefulMigrationSpec {
    /// The pod to move, in the resource's namespace.
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = Rule::new("self.matches('^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$')").message("must be the name of a pod: lower-case letters, digits, '-' and '.'"))]
    pub source_pod: String,
    /// The container to checkpoint; the pod's first one if omitted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub container_name: Option<String>,
    /// The node for the restored pod. Omitted: the scheduler picks, never the source node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub target_node: Option<String>,
    /// Registry path of the checkpoint image, without tag, as `registry.example.com/checkpoints`.
    #[schemars(length(min = 1, max = 512))]
    #[x_kube(validation = Rule::new("!self.contains('://') && !self.contains('@')").message("must be a repository such as registry.example.com/checkpoints, without scheme and digest"))]
    pub checkpoint_image_repository: String,
    /// How long, in seconds, source and target may run side by side before the handoff is forced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 86_400))]
    pub replay_cutoff_seconds: Option<i64>,
    /// Where the pod's messages come from.
    pub message_queue_config: MessageQueueConfig,
    /// Omitted: `Sequential` when a StatefulSet owns the pod, else `ShadowPod`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub migration_strategy: Option<Strategy>,
    /// How the messages change over; `Gate` if omitted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handoff: Option<Handoff>,
    /// What to do about a target that still goes by the source's name; `RollBack` if omitted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stale_identity: Option<StaleIdentity>,
    /// Go on in spite of what makes the result uncertain: several consumers on the queue, or
    /// automatic acknowledgement.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub force: Option<bool>,
    /// Move a pod whose owner ms2m does not know. Whatever that owner does about it is its own
    /// affair: the target has no owner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub orphan: Option<bool>,
    /// Refuse what is else only warned about: contents of volumes that do not travel, containers that
    /// start fresh, a liveness probe that the checkpoint may trip.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strict: Option<bool>,
    /// How the checkpoint travels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transfer: Option<TransferConfig>,
    /// How long things may take. Each has a default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeouts: Option<Timeouts>,
    /// `true` rolls the migration back; past its commit point it is finished all the same. Cannot be
    /// taken back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub abort: Option<bool>,
}

/// The rule that keeps a spec as it is: field by field, since a CEL rule cannot leave one out. A test
/// sees to it that none is missing.
const UNCHANGED: &str = concat!(
    "!has(oldSelf.status) || !has(oldSelf.status.phase) || oldSelf.status.phase == 'Pending' || (",
    "self.spec.sourcePod == oldSelf.spec.sourcePod",
    " && self.spec.checkpointImageRepository == oldSelf.spec.checkpointImageRepository",
    " && self.spec.messageQueueConfig == oldSelf.spec.messageQueueConfig",
    unchanged!("containerName"),
    unchanged!("targetNode"),
    unchanged!("replayCutoffSeconds"),
    unchanged!("migrationStrategy"),
    unchanged!("handoff"),
    unchanged!("staleIdentity"),
    unchanged!("force"),
    unchanged!("orphan"),
    unchanged!("strict"),
    unchanged!("transfer"),
    unchanged!("timeouts"),
    ")",
);

#[cfg(test)]
impl StatefulMigrationSpec {
    /// A spec as short as can be, for tests: of the pod, with queue `q`, exchange `x` and no key.
    pub(crate) fn sample(pod: &str) -> Self {
        Self {
            source_pod: pod.to_owned(),
            container_name: None,
            target_node: None,
            checkpoint_image_repository: "reg/cp".to_owned(),
            replay_cutoff_seconds: None,
            message_queue_config: MessageQueueConfig {
                queue_name: "q".to_owned(),
                broker_url: "amqp://mq".to_owned(),
                exchange_name: "x".to_owned(),
                routing_key: String::new(),
                management_url: None,
                credentials: None,
            },
            migration_strategy: None,
            handoff: None,
            stale_identity: None,
            force: None,
            orphan: None,
            strict: None,
            transfer: None,
            timeouts: None,
            abort: None,
        }
    }
}

/// Where the pod's messages come from.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct MessageQueueConfig {
    /// The primary queue: the one that the pod consumes.
    #[schemars(length(min = 1, max = 255))]
    pub queue_name: String,
    /// AMQP URL of the broker. Keep the password out of it.
    #[x_kube(validation = Rule::new("self.startsWith('amqp://') || self.startsWith('amqps://')").message("must begin with amqp:// or amqps://"))]
    pub broker_url: String,
    /// The exchange that the producers publish to.
    #[schemars(length(min = 1, max = 255))]
    pub exchange_name: String,
    /// The key by which the primary queue is bound to the exchange.
    #[serde(default)]
    #[schemars(length(max = 255))]
    pub routing_key: String,
    /// Management API of the broker, as `http://broker:15672`; port 15672 of the broker's host if
    /// omitted. Keep the password out of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    #[x_kube(validation = Rule::new("self.startsWith('http://') || self.startsWith('https://')").message("must begin with http:// or https://"))]
    pub management_url: Option<String>,
    /// User and password for broker and management API, from Secrets in the pod's namespace. For
    /// the controller: the command line has them from its user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials: Option<BrokerCredentials>,
}

/// User and password for the broker.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct BrokerCredentials {
    /// The user.
    pub username: SecretSource,
    /// The password.
    pub password: SecretSource,
}

/// A value that is kept in a Secret.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct SecretSource {
    /// Where it is.
    pub secret_key_ref: SecretKeyRef,
}

/// A key of a Secret in the pod's namespace.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct SecretKeyRef {
    /// Name of the Secret.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// The key in it.
    #[schemars(length(min = 1, max = 253))]
    pub key: String,
}

/// How long things may take: numbers with units, as `1.5s`, `500ms` or `1m30s`.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Timeouts {
    /// The gate is opened once the rest of the replay takes no longer than this; `1s` if omitted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new(DURATION).message(DURATION_WORDS))]
    pub max_pause: Option<String>,
    /// How long a queue must stay empty to count as quiet, where the broker does not count what is
    /// unacknowledged; `2s` if omitted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new(DURATION).message(DURATION_WORDS))]
    pub settle: Option<String>,
    /// How long the source may take to empty its queue before the checkpoint; `1m` if omitted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new(DURATION).message(DURATION_WORDS))]
    pub drain: Option<String>,
    /// How long the application may take to obey a control message; `30s` if omitted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new(DURATION).message(DURATION_WORDS))]
    pub obey: Option<String>,
    /// Grace period that the source is deleted with; `1s` if omitted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new(DURATION).message(DURATION_WORDS))]
    pub source_grace: Option<String>,
}

/// What a duration looks like, in CEL.
const DURATION: &str = "self.matches('^([0-9]+([.][0-9]+)?(ms|s|m|h))+$')";
const DURATION_WORDS: &str = "must be a duration such as 500ms, 1.5s or 1m30s";

/// How the pod changes places with its copy.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Strategy {
    /// The target runs beside the source under a name of its own.
    ShadowPod,
    /// The target has the source's name; its owner gives the source up first.
    Sequential,
}

impl std::fmt::Display for Strategy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::ShadowPod => "ShadowPod",
            Self::Sequential => "Sequential",
        })
    }
}

/// How the messages change over from the source to the target.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Handoff {
    /// The gate is closed before the checkpoint, and each party works from a replay queue of its
    /// own: exact from beginning to end. Takes a source that obeys its control queue.
    #[default]
    Gate,
    /// The source stays on the primary queue and the target's replay queue is bound beside it,
    /// for sources that do not answer. What the source applies between the binding and the
    /// checkpoint the target applies again, and what waited in the primary queue at the
    /// checkpoint it never sees; only the change-over at the end is exact.
    Mirror,
}

impl std::fmt::Display for Handoff {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Gate => "Gate",
            Self::Mirror => "Mirror",
        })
    }
}

/// What to do about a restored process that listens on the source's control queue, because it
/// keeps the pod's name that it read before the checkpoint.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum StaleIdentity {
    /// Roll back.
    #[default]
    RollBack,
    /// Stop the source first, so that the target is alone on that control queue, and tell it
    /// there. From then on there is no way back to the source.
    StopSource,
}

/// How the checkpoint travels. All fields have defaults.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct TransferConfig {
    /// Image of the transfer Job; by default `ms2m-transfer` beside the checkpoint repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// Compression of the layer; `zstd` if omitted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compression: Option<Compression>,
    /// Talk plain HTTP to the registry. Never assumed.
    #[serde(default, skip_serializing_if = "Option::is_none", rename = "plainHTTP")]
    pub plain_http: Option<bool>,
    /// Secret of type `kubernetes.io/dockerconfigjson` with the registry's credentials, in the
    /// pod's namespace: mounted into the Job, and a pull secret of the target pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials_secret: Option<String>,
    /// Keep the archive on the source node and the image in the registry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_checkpoint: Option<bool>,
    /// No registry: the checkpoint goes straight to a short-lived receiver on the target node, which
    /// serves it to that node's runtime on loopback. `checkpointImageRepository` is not used then, save
    /// for the default of `image`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub direct: Option<bool>,
    /// Port of the target node's loopback for that; the next one is used on the node's address as
    /// well. 5351 if omitted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1024, max = 65_534))]
    pub direct_port: Option<u16>,
}

/// Compression of the checkpoint layer.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// RFC 8878, the fastest level, on several threads.
    Zstd,
    /// RFC 1952, the fastest level, on several threads.
    Gzip,
    /// The archive is the layer, byte for byte.
    None,
    /// `zstd` or `none`, whichever takes less time as the first megabytes and the link to the
    /// registry show.
    Auto,
}

/// Where a migration stands. The order is the order of the phases.
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
pub enum Phase {
    /// Validating, choosing, taking the lock.
    #[default]
    Pending,
    /// Gate in, source quiet, checkpoint taken, source on its own replay queue.
    Checkpointing,
    /// The checkpoint travels to the registry as an image.
    Transferring,
    /// The target pod starts from that image.
    Restoring,
    /// The target applies what was published since the checkpoint.
    Replaying,
    /// The target takes over for good, the source and all scaffolding go.
    Finalizing,
    /// Done: the target serves.
    Completed,
    /// Over without success; the conditions say what serves now.
    Failed,
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

impl Phase {
    /// Whether nothing more will happen.
    #[must_use]
    pub fn is_final(self) -> bool {
        matches!(self, Self::Completed | Self::Failed)
    }

    /// The phase's name as it stands in `status.phase`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::Checkpointing => "Checkpointing",
            Self::Transferring => "Transferring",
            Self::Restoring => "Restoring",
            Self::Replaying => "Replaying",
            Self::Finalizing => "Finalizing",
            Self::Completed => "Completed",
            Self::Failed => "Failed",
        }
    }
}

impl std::fmt::Display for Phase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_field_of_the_spec_can_change_unnoticed() {
        let crd = crate::api::crd();
        let schema = crd.spec.versions.into_iter().next();
        let schema = schema.and_then(|version| version.schema?.open_api_v3_schema);
        let mut top = schema
            .and_then(|schema| schema.properties)
            .expect("the CRD has a schema");
        let fields = top
            .remove("spec")
            .and_then(|spec| spec.properties)
            .expect("the schema has a spec");
        for field in fields.keys().filter(|field| *field != "abort") {
            let rule = format!("self.spec.{field} == oldSelf.spec.{field}");
            assert!(UNCHANGED.contains(&rule), "{field} is not in the rule");
        }
    }
}
