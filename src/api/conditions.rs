//! Condition types and reasons of a `StatefulMigration`, as constants.
//!
//! They follow the Kubernetes API conventions: a condition is `True`, `False` or `Unknown`, its
//! type is an adjective or a past participle, its reason is CamelCase and safe to match on.

/// The spec and the world were validated and the migration may begin.
pub const ACCEPTED: &str = "Accepted";
/// The checkpoint archive exists on the source node.
pub const CHECKPOINTED: &str = "Checkpointed";
/// The target pod runs, restored from the checkpoint image.
pub const RESTORED: &str = "Restored";
/// The target has applied everything that waited in its replay queue.
pub const CAUGHT_UP: &str = "CaughtUp";
/// The migration is over and the target serves.
pub const COMPLETED: &str = "Completed";
/// The migration is over and was refused, aborted or rolled back, or its target was lost.
pub const FAILED: &str = "Failed";

/// Rolling back has failed, and something is left; the message says what. The migration is not
/// over: whoever takes it up goes on with the roll-back.
pub const STUCK: &str = "Stuck";

/// Reasons, by the condition that they explain.
pub mod reasons {
    /// `Accepted`: everything that was checked fits.
    pub const VALIDATED: &str = "Validated";
    /// `Accepted` is false and `Failed` true: spec or world do not allow it; the message says why and
    /// what to do. Nothing was changed.
    pub const REFUSED: &str = "Refused";
    /// `Accepted` is unknown: as many migrations as may be are under way, or the pod is in another
    /// one.
    pub const QUEUED: &str = "Queued";
    /// `Accepted` is unknown: something cannot be reached, or somebody else holds the pod; it is
    /// tried again.
    pub const RETRYING: &str = "Retrying";
    /// `Failed`: it was to be aborted before it had begun. Nothing was changed.
    pub const ABORTED: &str = "Aborted";
    /// `Checkpointed`: the kubelet answered with the path of the archive.
    pub const ARCHIVE_WRITTEN: &str = "ArchiveWritten";
    /// `Restored`: the runtime reports the restored container as running.
    pub const TARGET_RUNNING: &str = "TargetRunning";
    /// `CaughtUp`: the replay queue was empty with nothing unacknowledged.
    pub const REPLAY_QUEUE_DRAINED: &str = "ReplayQueueDrained";
    /// `Completed`: the target consumes the primary queue and the source is gone.
    pub const TARGET_SERVES: &str = "TargetServes";
    /// `Failed`, and `Stuck` when that is over: rolled back, the source serves as before.
    pub const ROLLED_BACK: &str = "RolledBack";
    /// `Stuck`: something could not be undone; the message says what.
    pub const UNDO_FAILED: &str = "UndoFailed";
    /// `Failed`: the source was lost before the commit point, and the pod's state with it.
    pub const SOURCE_LOST: &str = "SourceLost";
    /// `Failed`: the target was lost after the commit point, and the pod's state with it.
    pub const TARGET_LOST: &str = "TargetLost";
}
