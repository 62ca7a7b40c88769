//! Forward once the source is stopped before the target serves: after the cutover of the handoff
//! `Mirror`, and for a target that listens on the source's control queue.
//!
//! There is no way back here. The gate is closed when the source goes, so nothing reaches the
//! primary queue, and all that was published since the cut is in R.

use super::decide::{drained, in_order};
use super::moves::{Effect, Move, Party, Waiting};
use super::parties::{onto_own_queue, wait};
use super::seen::{Seen, TargetPod};
use crate::api::HandoffStage as Stage;

/// The source goes.
pub(super) fn stop_source(done: usize) -> Move {
    in_order(&[Effect::RemoveSource], done, Stage::SourceStopped)
}

/// The target onto R; then the gate opens at once. Nobody serves the messages that come in
/// meanwhile in either case, and the target gets them in the same order.
pub(super) fn reopen(done: usize, seen: &Seen) -> Move {
    if seen.target == TargetPod::Lost {
        return Move::GiveUp(Waiting::TargetThere);
    }
    if let Some(onto) = onto_own_queue(Party::Target, seen) {
        return onto;
    }
    if seen.primary.consumed {
        return wait(Waiting::PrimaryUnconsumed, seen);
    }
    // R stops growing by the one or by the other.
    let effects = [Effect::UnmirrorReplay, Effect::OpenGate];
    in_order(&effects, done, Stage::ReopenedAlone)
}

/// R drained, the target goes to the primary queue. A target that has lost its connection may
/// have gone there by itself; it is sent back to finish R first.
pub(super) fn drain(seen: &Seen) -> Move {
    if seen.target == TargetPod::Lost {
        return Move::GiveUp(Waiting::TargetThere);
    }
    if drained(seen) {
        return Move::Advance(Stage::Committing);
    }
    onto_own_queue(Party::Target, seen).unwrap_or(Move::Wait(Waiting::ReplayQuiet))
}
