//! The parts of a spec: queue, times, strategy, handoff, transfer.

#![allow(
    unreachable_pub,
    reason = "deriving KubeSchema repeats each struct inside a function, where `pub` reaches nobody"
)]

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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
