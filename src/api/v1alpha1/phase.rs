//! Where a migration stands.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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
