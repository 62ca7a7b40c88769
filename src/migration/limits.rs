//! How long things may take, and what is aimed at.

use std::time::Duration;

use serde::Serialize;

/// How long things may take, and what is aimed at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Limits {
    /// The gate is opened for the commit once what waits in the replay queue takes the target no
    /// longer than this.
    pub max_pause: Duration,
    /// How long the ready messages of a queue must stay at 0 before it counts as quiet, where the
    /// broker does not tell how many are unacknowledged. Longer than the application takes for
    /// one message.
    pub settle: Duration,
    /// How long the source may take to empty the primary queue before the checkpoint.
    pub drain: Duration,
    /// How long the application may take to obey a control message.
    pub obey: Duration,
    /// How long the checkpoint may take.
    pub checkpoint: Duration,
    /// How long the transfer may take.
    pub transfer: Duration,
    /// How long the target may take until it runs.
    pub restore: Duration,
    /// How long source and target may run side by side before the gate is opened in any case.
    pub replay_cutoff: Duration,
    /// Grace period of the source's deletion: its process lives on in the target, so its shutdown
    /// hooks are not meant to run to their end.
    pub source_grace: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_pause: Duration::from_secs(1),
            settle: Duration::from_secs(2),
            drain: Duration::from_secs(60),
            obey: Duration::from_secs(30),
            checkpoint: Duration::from_secs(600),
            transfer: Duration::from_secs(3600),
            restore: Duration::from_secs(300),
            replay_cutoff: Duration::from_secs(120),
            source_grace: Duration::from_secs(1),
        }
    }
}
