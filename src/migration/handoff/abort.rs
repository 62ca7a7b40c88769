//! Back: from any stage before the commit point to the source on the primary queue and no gate.
//!
//! The roles are swapped: the source drains H and returns to Q. And one thing comes first: the
//! target and its consumers go, since a target that consumes Q by habit would steal the moment
//! the gate opens.

use super::decide::{DISMANTLE, in_order, move_back, onto_own_queue, wait};
use super::moves::{Effect, Move, Party, Waiting};
use super::seen::{Fill, Seen};
use crate::api::HandoffStage as Stage;

/// How far an abort has come. It is not remembered: each step is found done when it is repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub enum Back {
    /// The target goes.
    #[default]
    RemoveTarget,
    /// Its consumers are seen gone.
    AwaitTargetGone,
    /// The source is, or gets, on H: what was published since the gate closed is there, and it
    /// has to be applied before anything newer.
    OntoHold,
    /// The gate opens: H stops growing.
    Reopen,
    /// The source drains H and returns to Q.
    Return,
    /// Gate, R and H go.
    Dismantle,
}

/// The next move back; `Err` is the next step of the abort to begin.
///
/// `stage` is the last one remembered, `done` how many effects of `back` were carried out.
///
/// # Errors
/// None: `Err` carries the next step, so that a caller cannot mistake it for a move.
pub fn decide_back(stage: Stage, back: Back, done: usize, seen: &Seen) -> Result<Move, Back> {
    match back {
        Back::RemoveTarget if done == 0 => Ok(Move::Do(Effect::RemoveTarget)),
        Back::RemoveTarget => Err(Back::AwaitTargetGone),
        Back::AwaitTargetGone => await_target_gone(stage, seen),
        Back::OntoHold => onto_hold(seen),
        Back::Reopen if done == 0 => Ok(Move::Do(Effect::OpenGate)),
        Back::Reopen => Err(Back::Return),
        Back::Return => move_back(Party::Source, seen).ok_or(Back::Dismantle),
        Back::Dismantle => Ok(match in_order(&DISMANTLE, done, Stage::Untouched) {
            Move::Advance(_) => Move::Done,
            effect => effect,
        }),
    }
}

/// Nobody but the source may be on Q or R. It is on H or on Q, not on both.
fn await_target_gone(stage: Stage, seen: &Seen) -> Result<Move, Back> {
    let stray = seen.replay.consumed || (seen.hold.consumed && seen.primary.consumed);
    if stray {
        return Ok(wait(Waiting::TargetGone, seen));
    }
    // Before `Closing` the gate has never been closed, so R and H hold nothing that Q lacks.
    Err(if stage < Stage::Closing {
        Back::Dismantle
    } else {
        Back::OntoHold
    })
}

/// What is left in Q is older than what is in H: it is applied first. A source that does not get
/// through it in time is sent to H all the same, since nothing may be lost.
fn onto_hold(seen: &Seen) -> Result<Move, Back> {
    let older_first = !seen.hold.consumed && seen.primary.fill != Fill::Quiet;
    if older_first && !seen.overdue {
        return Ok(Move::Wait(Waiting::PrimaryQuiet));
    }
    onto_own_queue(Party::Source, seen).ok_or(Back::Reopen)
}
