//! What `/state` shows: the state, and what an observer wants to know besides.

use serde::{Deserialize, Serialize};

use super::memory::Memory;
use crate::state::{Gap, State};

/// The answer of `/state`. The audit reads it; an observer may.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// The pod name that the worker believes in.
    #[serde(default)]
    pub pod: String,
    /// `$HOSTNAME`, which a restore does not change.
    #[serde(default)]
    pub hostname_variable: String,
    /// The queue that is consumed, or was last.
    #[serde(default)]
    pub queue: String,
    /// Whether a consumer is on that queue.
    #[serde(default)]
    pub consuming: bool,
    /// How many times the process was restored from a checkpoint that it took itself.
    #[serde(default)]
    pub restores: u32,
    /// Numbers missing below each publisher's highest.
    #[serde(default)]
    pub lost: u64,
    /// Messages applied more than once.
    #[serde(default)]
    pub doubled: u64,
    /// Messages applied after one with a higher number.
    #[serde(default)]
    pub out_of_order: u64,
    /// The longest time between two applied messages.
    #[serde(default)]
    pub longest_gap: Option<Gap>,
    /// What the process holds in memory.
    #[serde(default)]
    pub memory: Held,
    /// The state itself.
    #[serde(flatten)]
    pub state: State,
}

/// What a worker holds in memory.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Held {
    /// Bytes held besides the state (`STATE_BYTES`).
    pub ballast_bytes: u64,
    /// SHA-256 of them, computed at the start and again after a restore.
    pub ballast_checksum: String,
    /// Resident memory of the process in bytes, 0 where it cannot be told.
    pub resident_bytes: u64,
}

impl Report {
    pub(super) fn of(memory: &Memory) -> Self {
        let state = memory.state.clone();
        Self {
            pod: memory.pod.clone(),
            hostname_variable: memory.hostname_variable.clone(),
            queue: memory.queue.clone(),
            consuming: memory.consuming,
            restores: memory.restores,
            lost: state.lost(),
            doubled: state.doubled(),
            out_of_order: state.out_of_order(),
            longest_gap: state.gaps.longest(),
            memory: Held {
                ballast_bytes: memory.ballast.len() as u64,
                ballast_checksum: memory.ballast_checksum.clone(),
                resident_bytes: resident_bytes(),
            },
            state,
        }
    }
}

/// `VmRSS` of proc_pid_status(5), which is in KiB.
fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .and_then(|rest| rest.trim().strip_suffix("kB"))
        .and_then(|kibibytes| kibibytes.trim().parse::<u64>().ok())
        .map_or(0, |kibibytes| kibibytes * 1024)
}
