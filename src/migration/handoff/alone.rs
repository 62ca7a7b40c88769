//! Forward once the source is gone: the gate opens, the target drains R and takes the primary queue.
//!
//! There is no way back here, and nobody left to share a queue with. The gate is closed when the
//! source goes, so nothing reaches the primary queue, and all that was published since the cut
//! is in R.

use super::decide::{Rules, in_order};
use super::moves::{Effect, Move, Party, Waiting};
use super::parties::{move_back, onto_own_queue, wait};
use super::seen::{Fill, Seen, TargetPod, Told};
use crate::api::{Handoff, HandoffStage as Stage};

/// Sequential: the target is made, and seen where every restored process goes first.
pub(super) fn restore(seen: &Seen) -> Move {
    match seen.target {
        TargetPod::Lost => Move::GiveUp(Waiting::TargetThere),
        TargetPod::NotMade => Move::Do(Effect::StartTarget),
        TargetPod::Present if seen.primary.consumed => Move::Advance(Stage::TargetRestored),
        TargetPod::Present => wait(Waiting::TargetConnects, seen),
    }
}

/// The target on R; then the gate opens, so that what is left in R is finite at any rate. It does
/// so at a moment when R is empty, if there is one: then what a target that goes to the primary
/// queue by habit could take too early is next to nothing.
pub(super) fn reopen(rules: Rules, done: usize, seen: &Seen) -> Move {
    if seen.target == TargetPod::Lost {
        return Move::GiveUp(Waiting::TargetThere);
    }
    if let Some(onto) = onto_own_queue(Party::Target, seen) {
        return onto;
    }
    if seen.primary.consumed {
        return wait(Waiting::PrimaryUnconsumed, seen);
    }
    if seen.target_told == Told::Waiting {
        // Left over, it would lead a target that comes back on the primary queue to R again, when it has
        // applied newer messages, and nobody would know.
        return wait(Waiting::TargetOnReplay, seen);
    }
    if done == 0 && !seen.good_moment {
        return Move::Wait(Waiting::ReplayShort);
    }
    // R stops growing by the one or by the other.
    match rules.handoff {
        Handoff::Gate => in_order(&[Effect::OpenGate], done, Stage::Reopened),
        Handoff::Mirror => in_order(
            &[Effect::UnmirrorReplay, Effect::OpenGate],
            done,
            Stage::Reopened,
        ),
    }
}

/// R drained. A target that has lost its connection may be on the primary queue by habit; it is
/// sent back to finish R first.
pub(super) fn drain(seen: &Seen) -> Move {
    if seen.target == TargetPod::Lost {
        return Move::GiveUp(Waiting::TargetThere);
    }
    if seen.replay.fill == Fill::Quiet {
        return Move::Advance(Stage::Returning);
    }
    if seen.replay.fill == Fill::Settling {
        // Nothing is in it to go back for, as far as can be seen.
        return Move::Wait(Waiting::ReplayQuiet);
    }
    onto_own_queue(Party::Target, seen).unwrap_or(Move::Wait(Waiting::ReplayQuiet))
}

/// The target onto the primary queue.
pub(super) fn serve(seen: &Seen) -> Move {
    if seen.target == TargetPod::Lost {
        return Move::GiveUp(Waiting::TargetThere);
    }
    move_back(Party::Target, seen).unwrap_or(Move::Advance(Stage::TargetServes))
}
