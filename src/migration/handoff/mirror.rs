//! The handoff `Mirror`: the source stays on the primary queue, R is bound beside it. For sources
//! that do not answer on their control queue.
//!
//! Its beginning is not exact, and that is said when it is chosen: what the source applies between
//! the binding and the checkpoint is in R as well, and what waits in the primary queue at the
//! checkpoint is not. Its end is: the gate is put in and closed, the source finishes the primary
//! queue and goes, and everything since the binding is in R. R is bound to the producers' exchange
//! and to the fanout then; a message that reaches it over both ways is delivered once.

use super::decide::{INSERT, in_order};
use super::moves::{Effect, Message, Move, Party, Waiting};
use super::parties::{onto_own_queue, wait};
use super::seen::{Fill, Seen, TargetPod, Told};
use crate::api::HandoffStage as Stage;

/// R beside Q, then the checkpoint at once.
const BEGIN: [Effect; 3] = [
    Effect::DeclareReplayQueues,
    Effect::MirrorReplay,
    Effect::Checkpoint,
];

/// From the untouched broker to the checkpoint.
pub(super) fn begin(done: usize) -> Move {
    in_order(&BEGIN, done, Stage::Checkpointed)
}

/// The target, and onto R with it. It is told before it starts, so that it finds the order the
/// moment it connects: until then it shares the primary queue with the source.
pub(super) fn attach_target(seen: &Seen) -> Move {
    match (seen.target, seen.target_told) {
        (TargetPod::Lost, _) => Move::GiveUp(Waiting::TargetThere),
        (TargetPod::NotMade, Told::Nothing) => {
            Move::Do(Effect::Tell(Party::Target, Message::StartReplay))
        }
        (TargetPod::NotMade, _) => Move::Do(Effect::StartTarget),
        (TargetPod::Present, _) if seen.target_stale => Move::GiveUp(Waiting::TargetListens),
        (TargetPod::Present, _) => {
            onto_own_queue(Party::Target, seen).unwrap_or(Move::Advance(Stage::TargetAttached))
        }
    }
}

/// Source and target run side by side until R is short enough.
pub(super) fn side_by_side(seen: &Seen) -> Move {
    if seen.target == TargetPod::Lost {
        return Move::GiveUp(Waiting::TargetThere);
    }
    if seen.short_enough {
        Move::Advance(Stage::CutoverPreparing)
    } else {
        Move::Wait(Waiting::ReplayShort)
    }
}

/// The gate goes in, open.
pub(super) fn prepare_cutover(done: usize) -> Move {
    in_order(&INSERT, done, Stage::CutoverClosing)
}

/// It closes.
pub(super) fn close(done: usize) -> Move {
    in_order(&[Effect::CloseGate], done, Stage::CutoverClosed)
}

/// The source finishes the primary queue: then it has nothing that the target lacks, and goes.
pub(super) fn cut_over(seen: &Seen) -> Move {
    if seen.target == TargetPod::Lost {
        return Move::GiveUp(Waiting::TargetThere);
    }
    if !seen.replay.consumed {
        // A source that goes for a target that does not work would be lost for nothing.
        return wait(Waiting::TargetOnReplay, seen);
    }
    if seen.primary.fill == Fill::Quiet {
        return Move::Advance(Stage::Committing);
    }
    wait(Waiting::PrimaryQuiet, seen)
}
