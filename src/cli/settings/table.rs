//! Every setting that a migration takes, once.
//!
//! One name serves everywhere: `--routing-key`, `MS2M_ROUTING_KEY`, the annotation
//! `migration.ms2m.io/routing-key` on the pod, and `routing-key:` in the configuration file.

use crate::api::GROUP;

/// A setting of a migration.
#[derive(Debug, PartialEq, Eq)]
pub struct Setting {
    /// Its name.
    pub name: &'static str,
    /// What it is: ends the sentence 'nothing says …'.
    pub what: &'static str,
    /// Whether there is no migration without it.
    pub required: bool,
    /// What holds if nobody says anything; `None` where that follows from the pod, the broker's
    /// URL or other settings.
    pub default: Option<&'static str>,
}

impl Setting {
    /// As `--routing-key`.
    #[must_use]
    pub fn flag(&self) -> String {
        format!("--{}", self.name)
    }

    /// As `MS2M_ROUTING_KEY`.
    #[must_use]
    pub fn env(&self) -> String {
        format!("MS2M_{}", self.name.replace('-', "_").to_uppercase())
    }

    /// As `migration.ms2m.io/routing-key`.
    #[must_use]
    pub fn annotation(&self) -> String {
        format!("{GROUP}/{}", self.name)
    }

    /// The name that clap knows the flag by.
    #[must_use]
    pub fn id(&self) -> String {
        self.name.replace('-', "_")
    }
}

const fn required(name: &'static str, what: &'static str) -> Setting {
    Setting {
        name,
        what,
        required: true,
        default: None,
    }
}

const fn optional(
    name: &'static str,
    what: &'static str,
    default: Option<&'static str>,
) -> Setting {
    Setting {
        name,
        what,
        required: false,
        default,
    }
}

/// The container to move; the pod's first one if nobody says.
pub static CONTAINER: Setting = optional("container", "which container to move", None);
/// Registry path of the checkpoint image.
pub static REPOSITORY: Setting = required(
    "repository",
    "to which registry path the checkpoint image is pushed",
);
/// The primary queue.
pub static QUEUE: Setting = required("queue", "which queue the pod consumes");
/// The exchange that the producers publish to.
pub static EXCHANGE: Setting = required("exchange", "to which exchange the producers publish");
/// The binding key.
pub static ROUTING_KEY: Setting = optional(
    "routing-key",
    "by which key the queue is bound to the exchange",
    Some(""),
);
/// The broker.
pub static BROKER_URL: Setting = required("broker-url", "where the broker is");
/// The broker's management API; derived from the broker's URL if nobody says.
pub static MANAGEMENT_URL: Setting = optional(
    "management-url",
    "where the broker's management API is",
    None,
);
/// How the pod changes places with its copy; follows from its owner if nobody says.
pub static STRATEGY: Setting = optional("strategy", "how the pod and its copy change places", None);
/// How the messages change over.
pub static HANDOFF: Setting = optional(
    "handoff",
    "how the messages change over to the target",
    Some("gate"),
);
/// What to do about a target that still goes by the source's name.
pub static STALE_IDENTITY: Setting = optional(
    "stale-identity",
    "what to do about a target that goes by the source's name",
    Some("roll-back"),
);
/// Go on in spite of what makes the result uncertain.
pub static FORCE: Setting = optional(
    "force",
    "whether to go on where the result is uncertain",
    Some("false"),
);
/// Move a pod whose owner ms2m does not know.
pub static ORPHAN: Setting = optional(
    "orphan",
    "whether to move a pod whose owner is not known",
    Some("false"),
);
/// Refuse what is else only warned about.
pub static STRICT: Setting = optional(
    "strict",
    "whether to refuse what is else only warned about",
    Some("false"),
);
/// How long source and target may run side by side.
pub static REPLAY_CUTOFF: Setting = optional(
    "replay-cutoff",
    "how long source and target may run side by side",
    Some("2m"),
);
/// Image of the transfer Job; beside the checkpoint repository if nobody says.
pub static TRANSFER_IMAGE: Setting =
    optional("transfer-image", "which image the transfer Job runs", None);
/// Compression of the checkpoint layer.
pub static COMPRESSION: Setting = optional(
    "compression",
    "how the checkpoint is compressed",
    Some("zstd"),
);
/// Plain HTTP to the registry.
pub static REGISTRY_PLAIN_HTTP: Setting = optional(
    "registry-plain-http",
    "whether the registry speaks plain HTTP",
    Some("false"),
);
/// Secret with the registry's credentials.
pub static REGISTRY_SECRET: Setting = optional(
    "registry-secret",
    "which Secret holds the registry's credentials",
    None,
);
/// Keep archive and image.
pub static KEEP_CHECKPOINT: Setting = optional(
    "keep-checkpoint",
    "whether archive and image of the checkpoint are kept",
    Some("false"),
);
/// No registry.
pub static DIRECT: Setting = optional(
    "direct",
    "whether the checkpoint goes straight to the target node",
    Some("false"),
);
/// The receiver's port.
pub static DIRECT_PORT: Setting = optional(
    "direct-port",
    "which port of the target node a direct transfer uses",
    Some("5351"),
);
/// The pause that the handoff aims at.
pub static MAX_PAUSE: Setting = optional(
    "max-pause",
    "how long the rest of the replay may take when the gate is opened",
    Some("1s"),
);
/// How long ready messages must stay at 0.
pub static SETTLE: Setting = optional(
    "settle",
    "how long a queue must stay empty to count as quiet",
    Some("2s"),
);
/// How long the source may take to empty its queue.
pub static DRAIN_TIMEOUT: Setting = optional(
    "drain-timeout",
    "how long the source may take to empty its queue",
    Some("1m"),
);
/// How long the application may take to obey.
pub static OBEY_TIMEOUT: Setting = optional(
    "obey-timeout",
    "how long the application may take to obey a control message",
    Some("30s"),
);
/// Grace period of the source's deletion.
pub static SOURCE_GRACE: Setting = optional(
    "source-grace",
    "which grace period the source is deleted with",
    Some("1s"),
);

/// The Secret that a controller has the broker's credentials from.
pub static BROKER_CREDENTIALS: Setting = optional(
    "broker-credentials",
    "which Secret has the broker's user and password for the controller",
    None,
);

/// All of them, in the order of the help.
pub static SETTINGS: [&Setting; 25] = [
    &CONTAINER,
    &REPOSITORY,
    &QUEUE,
    &EXCHANGE,
    &ROUTING_KEY,
    &BROKER_URL,
    &MANAGEMENT_URL,
    &STRATEGY,
    &HANDOFF,
    &STALE_IDENTITY,
    &FORCE,
    &REPLAY_CUTOFF,
    &TRANSFER_IMAGE,
    &COMPRESSION,
    &REGISTRY_PLAIN_HTTP,
    &REGISTRY_SECRET,
    &KEEP_CHECKPOINT,
    &DIRECT,
    &DIRECT_PORT,
    &MAX_PAUSE,
    &SETTLE,
    &DRAIN_TIMEOUT,
    &OBEY_TIMEOUT,
    &SOURCE_GRACE,
    &BROKER_CREDENTIALS,
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::command;
    use crate::cli::settings::value;
    use crate::migration::limits::Limits;

    #[test]
    fn every_setting_has_its_flag_and_its_variable() {
        let root = command();
        let migrate = root
            .find_subcommand("migrate")
            .expect("there is a command migrate");
        for setting in SETTINGS {
            let arg = migrate
                .get_arguments()
                .find(|arg| arg.get_id().as_str() == setting.id())
                .unwrap_or_else(|| panic!("no flag for {}", setting.name));
            assert_eq!(arg.get_long(), Some(setting.name));
            let env = arg
                .get_env()
                .map(|name| name.to_string_lossy().into_owned());
            assert_eq!(env, Some(setting.env()));
            let help = arg
                .get_help()
                .map(ToString::to_string)
                .expect("it has a help");
            let default = setting.default.filter(|default| !default.is_empty());
            if let Some(default) = default {
                assert!(
                    help.ends_with(&format!("[default: {default}]")),
                    "--{}: {help}",
                    setting.name
                );
            }
        }
    }

    #[test]
    fn the_documented_port_is_the_receiver_s() {
        let text = DIRECT_PORT.default.expect("it has a default");
        assert_eq!(
            value::direct_port(text),
            Ok(ms2m_transfer::direct::DEFAULT_PORT)
        );
    }

    #[test]
    fn documented_defaults_are_the_engine_s() {
        let limits = Limits::default();
        for (setting, limit) in [
            (&REPLAY_CUTOFF, limits.replay_cutoff),
            (&MAX_PAUSE, limits.max_pause),
            (&SETTLE, limits.settle),
            (&DRAIN_TIMEOUT, limits.drain),
            (&OBEY_TIMEOUT, limits.obey),
            (&SOURCE_GRACE, limits.source_grace),
        ] {
            let text = setting.default.expect("each has a default");
            assert_eq!(value::duration(text), Ok(limit), "{}", setting.name);
        }
    }
}
