//! The flags of the settings. Which commands take which; the doc comments are the help.

use std::time::Duration;

use clap::Args;

use super::value::{self, Secret};
use crate::api::{Compression, Handoff, StaleIdentity, Strategy};

/// The settings that a record does not hold: credentials, and how long things may take on the way
/// to an end. For a command that ends a migration.
#[derive(Debug, Clone, Default, Args)]
pub struct EndArgs {
    /// Broker, as amqp://USER:PASSWORD@HOST:5672/VHOST. Prefer the environment for a password:
    /// arguments can be seen by other users
    #[arg(long, help_heading = "Settings", value_name = "URL", value_parser = value::secret, env = "MS2M_BROKER_URL", hide_env_values = true)]
    pub broker_url: Option<Secret>,

    /// Management API of the broker [default: port 15672 of the broker's host]
    #[arg(long, help_heading = "Settings", value_name = "URL", value_parser = value::secret, env = "MS2M_MANAGEMENT_URL", hide_env_values = true)]
    pub management_url: Option<Secret>,

    /// Talk plain HTTP to the registry [default: false]
    #[arg(long, help_heading = "Settings", value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = value::flag, env = "MS2M_REGISTRY_PLAIN_HTTP", hide_env_values = true)]
    pub registry_plain_http: Option<bool>,

    /// How long a queue must stay empty to count as quiet, where the broker does not count what
    /// is unacknowledged; longer than the application takes for one message [default: 2s]
    #[arg(long, help_heading = "Limits", value_name = "DURATION", value_parser = value::duration, env = "MS2M_SETTLE", hide_env_values = true)]
    pub settle: Option<Duration>,

    /// How long the application may take to obey a control message [default: 30s]
    #[arg(long, help_heading = "Limits", value_name = "DURATION", value_parser = value::duration, env = "MS2M_OBEY_TIMEOUT", hide_env_values = true)]
    pub obey_timeout: Option<Duration>,

    /// Grace period that the source is deleted with [default: 1s]
    #[arg(long, help_heading = "Limits", value_name = "DURATION", value_parser = value::duration, env = "MS2M_SOURCE_GRACE", hide_env_values = true)]
    pub source_grace: Option<Duration>,
}

/// Every setting, for a command that begins a migration.
#[derive(Debug, Clone, Default, Args)]
pub struct SettingArgs {
    /// Those that ending takes too.
    #[command(flatten)]
    pub end: EndArgs,
    /// Those of one pod.
    #[command(flatten)]
    pub one: OneArgs,
    /// Those that many pods may share.
    #[command(flatten)]
    pub many: ManyArgs,
}

/// The settings that no two pods share.
#[derive(Debug, Clone, Default, Args)]
pub struct OneArgs {
    /// Container to move [default: the pod's first one]
    #[arg(long, help_heading = "Settings", value_parser = value::name, env = "MS2M_CONTAINER", hide_env_values = true)]
    pub container: Option<String>,

    /// Queue that the pod consumes
    #[arg(long, help_heading = "Settings", value_parser = value::name, env = "MS2M_QUEUE", hide_env_values = true)]
    pub queue: Option<String>,

    /// Key by which the queue is bound to the exchange
    #[arg(long, help_heading = "Settings", value_name = "KEY", value_parser = value::text, env = "MS2M_ROUTING_KEY", hide_env_values = true)]
    pub routing_key: Option<String>,
}

/// The settings that many pods may share.
#[derive(Debug, Clone, Default, Args)]
pub struct ManyArgs {
    /// Registry path to push the checkpoint image to, as registry.example.com/checkpoints
    #[arg(long, help_heading = "Settings", value_parser = value::repository, env = "MS2M_REPOSITORY", hide_env_values = true)]
    pub repository: Option<String>,

    /// Exchange that the producers publish to
    #[arg(long, help_heading = "Settings", value_parser = value::text, env = "MS2M_EXCHANGE", hide_env_values = true)]
    pub exchange: Option<String>,

    /// ShadowPod or Sequential [default: Sequential when a StatefulSet owns the pod, else ShadowPod]
    #[arg(long, help_heading = "Settings", value_parser = value::strategy, env = "MS2M_STRATEGY", hide_env_values = true)]
    pub strategy: Option<Strategy>,

    /// How the messages change over, gate or mirror. Mirror is for an application that does not
    /// listen on its control queue: the source stays on its queue, and the target's state may have
    /// messages twice or not at all around the checkpoint; only the end is exact [default: gate]
    #[arg(long, help_heading = "Settings", value_parser = value::handoff, env = "MS2M_HANDOFF", hide_env_values = true)]
    pub handoff: Option<Handoff>,

    /// What to do about a target that listens on the source's control queue, since it has kept the
    /// source's name: roll-back, or stop-source, after which there is no way back to the source
    /// [default: roll-back]
    #[arg(long, help_heading = "Settings", value_name = "CHOICE", value_parser = value::stale_identity, env = "MS2M_STALE_IDENTITY", hide_env_values = true)]
    pub stale_identity: Option<StaleIdentity>,

    /// Go on where the result is uncertain: several consumers on the queue, or automatic
    /// acknowledgement. Messages may be lost or applied twice then [default: false]
    #[arg(long, help_heading = "Settings", value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = value::flag, env = "MS2M_FORCE", hide_env_values = true)]
    pub force: Option<bool>,

    /// Move a pod whose owner ms2m does not know, or whose StatefulSet somebody else manages. What
    /// that owner does about it is its own affair [default: false]
    #[arg(long, help_heading = "Settings", value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = value::flag, env = "MS2M_ORPHAN", hide_env_values = true)]
    pub orphan: Option<bool>,

    /// Refuse what is else only warned about: volumes whose contents stay behind, containers that
    /// start fresh, a liveness probe that the checkpoint may trip [default: false]
    #[arg(long, help_heading = "Settings", value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = value::flag, env = "MS2M_STRICT", hide_env_values = true)]
    pub strict: Option<bool>,

    /// How long source and target may run side by side before the handoff is forced [default: 2m]
    #[arg(long, help_heading = "Settings", value_name = "DURATION", value_parser = value::duration, env = "MS2M_REPLAY_CUTOFF", hide_env_values = true)]
    pub replay_cutoff: Option<Duration>,

    /// Image of the transfer Job [default: ms2m-transfer of this version beside the repository]
    #[arg(long, help_heading = "Settings", value_name = "IMAGE", value_parser = value::name, env = "MS2M_TRANSFER_IMAGE", hide_env_values = true)]
    pub transfer_image: Option<String>,

    /// Compression of the checkpoint, zstd, gzip, none or auto [default: zstd]
    #[arg(long, help_heading = "Settings", value_parser = value::compression, env = "MS2M_COMPRESSION", hide_env_values = true)]
    pub compression: Option<Compression>,

    /// Secret of type kubernetes.io/dockerconfigjson with the registry's credentials
    #[arg(long, help_heading = "Settings", value_name = "SECRET", value_parser = value::name, env = "MS2M_REGISTRY_SECRET", hide_env_values = true)]
    pub registry_secret: Option<String>,

    /// Keep the archive on the source node and the image in the registry [default: false]
    #[arg(long, help_heading = "Settings", value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = value::flag, env = "MS2M_KEEP_CHECKPOINT", hide_env_values = true)]
    pub keep_checkpoint: Option<bool>,

    /// Send the checkpoint straight to the target node, without a registry. CRI-O has to be told that
    /// localhost:5351 speaks plain HTTP [default: false]
    #[arg(long, help_heading = "Settings", value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = value::flag, env = "MS2M_DIRECT", hide_env_values = true)]
    pub direct: Option<bool>,

    /// Port for that on the target node's loopback; the next one is used on its address [default: 5351]
    #[arg(long, help_heading = "Settings", value_name = "PORT", value_parser = value::direct_port, env = "MS2M_DIRECT_PORT", hide_env_values = true)]
    pub direct_port: Option<u16>,

    /// Open the gate once the rest of the replay takes no longer than this [default: 1s]
    #[arg(long, help_heading = "Limits", value_name = "DURATION", value_parser = value::duration, env = "MS2M_MAX_PAUSE", hide_env_values = true)]
    pub max_pause: Option<Duration>,

    /// How long the source may take to empty its queue before the checkpoint [default: 1m]
    #[arg(long, help_heading = "Limits", value_name = "DURATION", value_parser = value::duration, env = "MS2M_DRAIN_TIMEOUT", hide_env_values = true)]
    pub drain_timeout: Option<Duration>,
}

/// The agreement to look settings up.
#[derive(Debug, Clone, Copy, Default, Args)]
pub struct DiscoverArgs {
    /// Look up what is not said: the broker with user and password in the pod's environment, Secrets
    /// included, queue, exchange and key at the broker. What is found is told, without passwords
    #[arg(long, help_heading = "Settings")]
    pub discover: bool,
}

/// The settings of a migration that the controller carries out.
#[derive(Debug, Clone, Default, Args)]
pub struct ControllerArgs {
    /// Secret in the pod's namespace with the broker's user and password, under the keys username and
    /// password, for the controller: a resource holds no password
    #[arg(long, help_heading = "Settings", value_name = "SECRET", value_parser = value::name, env = "MS2M_BROKER_CREDENTIALS", hide_env_values = true)]
    pub broker_credentials: Option<String>,
}
