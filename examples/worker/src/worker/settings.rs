//! The worker's configuration, as flags and as the environment of its container. It is a part
//! of the process's memory: a restored process goes on with the one it was started with.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use serde::{Deserialize, Serialize};

use super::manners::Manners;
use crate::parse_duration;

/// How a worker is configured.
#[derive(Clone, Debug, Args, Serialize, Deserialize)]
pub struct Settings {
    /// Broker to consume from, amqp:// or amqps://.
    // Not shown in the help: it may hold a password.
    #[arg(long, env = "AMQP_URL", hide_env_values = true)]
    pub amqp_url: String,
    /// Primary queue. It must exist.
    #[arg(long, env = "QUEUE")]
    pub queue: String,
    /// Port of the HTTP endpoint with /state, /applied, /healthz and /readyz; 0 takes a free one.
    #[arg(long, env = "LISTEN_PORT", default_value_t = 8080)]
    pub listen_port: u16,
    /// Time that the work on one message takes.
    #[arg(long, env = "PROCESSING_TIME", default_value = "0ms", value_parser = parse_duration)]
    pub processing_time: Duration,
    /// Memory to hold besides the state, in bytes: makes a checkpoint as large as wanted.
    #[arg(long, env = "STATE_BYTES", default_value_t = 0)]
    pub state_bytes: u64,
    /// How long to wait before connecting again after the connection was lost.
    #[arg(long, env = "RECONNECT_DELAY", default_value = "500ms", value_parser = parse_duration)]
    pub reconnect_delay: Duration,
    /// How many messages the broker may hand out ahead of their acknowledgement.
    // Fifty keep the worker busy over a round trip to the broker at thousands of messages a
    // second, and are few enough to be finished at once when it is told to change queues.
    #[arg(long, env = "PREFETCH", default_value_t = 50,
          value_parser = clap::value_parser!(u16).range(1..))]
    pub prefetch: u16,
    /// Remember when each of so many of the latest messages was published and applied, for
    /// /applied; 0 for none.
    #[arg(long, env = "KEEP_TIMES", default_value_t = 0)]
    #[serde(default)]
    pub keep_times: usize,
    /// Poll the control queue at this interval instead of consuming it.
    #[arg(long, env = "CONTROL_POLL", value_parser = parse_duration)]
    pub control_poll: Option<Duration>,
    /// What it does against the contract.
    #[command(flatten)]
    pub manners: Manners,
    /// What to log: error, warn, info, debug, or a filter by module.
    #[arg(long, env = "RUST_LOG", default_value = "info,lapin=off")]
    pub log: String,
    /// File with the name of the pod that the process runs in.
    #[arg(
        long,
        env = "HOSTNAME_FILE",
        default_value = "/etc/hostname",
        hide = true
    )]
    pub hostname_file: PathBuf,
    /// File that tells the pod's own address by its name.
    #[arg(long, env = "HOSTS_FILE", default_value = "/etc/hosts", hide = true)]
    pub hosts_file: PathBuf,
}
