//! The phases, and the legal transitions in one table.

use crate::api::Phase;

/// Whether a migration may go from `from` to `to`: forward one phase at a time, and to `Failed`
/// from each phase before the end.
#[must_use]
pub fn is_legal(from: Phase, to: Phase) -> bool {
    use Phase::{
        Checkpointing, Completed, Failed, Finalizing, Pending, Replaying, Restoring, Transferring,
    };
    matches!(
        (from, to),
        (Pending, Checkpointing | Failed)
            | (Checkpointing, Transferring | Failed)
            | (Transferring, Restoring | Failed)
            | (Restoring, Replaying | Failed)
            | (Replaying, Finalizing | Failed)
            | (Finalizing, Completed | Failed)
    )
}
