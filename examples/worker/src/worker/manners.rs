//! Bad manners, which applications have that a migration has to live with or to refuse. All of
//! them are switched off unless asked for; a worker without them keeps the contract.

use std::time::Duration;

use clap::Args;
use serde::{Deserialize, Serialize};

use crate::parse_duration;

/// What a worker does against the contract.
#[derive(Clone, Debug, Args, Serialize, Deserialize)]
pub struct Manners {
    /// Against the contract: acknowledge START_REPLAY and do nothing else.
    #[arg(long, env = "IGNORE_START_REPLAY")]
    pub ignore_start_replay: bool,
    /// Against the contract: obey each order only so long after it came, consuming on meanwhile.
    #[arg(long, env = "CONTROL_DELAY", default_value = "0ms", value_parser = parse_duration)]
    pub control_delay: Duration,
    /// Against the contract: drop the connection on END_REPLAY, with everything that is not
    /// acknowledged, and connect again.
    #[arg(long, env = "DROP_ON_END_REPLAY")]
    pub drop_on_end_replay: bool,
    /// Against the contract: let the broker take a message for acknowledged once it is sent.
    #[arg(long, env = "AUTO_ACK")]
    pub auto_ack: bool,
    /// Against the contract: how many consumers to put on the queue, each on a channel of its own.
    #[arg(long, env = "CONSUMERS", default_value_t = 1,
          value_parser = clap::value_parser!(u8).range(1..=16))]
    pub consumers: u8,
    /// Against the contract: read the pod's name once, and go by it for ever.
    #[arg(long, env = "CACHE_POD_NAME")]
    pub cache_pod_name: bool,
}
