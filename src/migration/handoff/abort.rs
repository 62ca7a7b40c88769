//! Back: from any stage before the commit point to the source on the primary queue and no gate.
//!
//! The roles are swapped: the source drains H and returns to Q. And one thing comes first: the
//! target and its consumers go, since a target that consumes Q by habit would steal the moment
//! the gate opens.
//!
//! A source that does not obey cannot be sent to H. Then what is in H is put back into Q, which
//! it still consumes, and the gate opens when H is empty, or does not get less for all that is put back
//! ([`super::headway`]). What is in it then, and a message that comes in between the last look at H and the
//! opening, is put back too, behind what came after it. That is the one place where order rests on
//! the time between two requests, and the engine says so when it happened.
//!
//! The same way leads back from the commit point itself when the target is found lost before the
//! source was touched.

use super::decide::{DISMANTLE, Rules, in_order};
use super::moves::{Effect, Move, Party, Waiting};
use super::parties::{move_back, onto_own_queue, wait};
use super::seen::{Fill, Seen, Told};
use crate::api::{Handoff, HandoffStage as Stage, UndoStep};

/// The next move back; `Err` is the next step of the abort to begin.
///
/// `stage` is the last one remembered, `step` how far the abort has come, `done` how many effects
/// of that step this process has carried out, orders to a party not counted.
///
/// # Errors
/// None: `Err` carries the next step, so that a caller cannot mistake it for a move.
pub fn decide_back(
    rules: Rules,
    stage: Stage,
    step: UndoStep,
    done: usize,
    seen: &Seen,
) -> Result<Move, UndoStep> {
    match step {
        UndoStep::RemoveTarget if done == 0 => Ok(Move::Do(Effect::RemoveTarget)),
        UndoStep::RemoveTarget => Err(UndoStep::AwaitTargetGone),
        UndoStep::AwaitTargetGone => await_target_gone(rules, stage, seen),
        UndoStep::OntoHold => onto_hold(rules, seen),
        UndoStep::PutBack => put_back(done, seen),
        UndoStep::Reopen => reopen(done, seen),
        // Nobody is left to empty H.
        UndoStep::Return if seen.source_lost && !seen.hold.consumed => Err(match seen.hold.fill {
            Fill::Quiet => UndoStep::Dismantle,
            Fill::Waiting | Fill::Settling => UndoStep::PutBack,
        }),
        UndoStep::Return => move_back(Party::Source, seen).ok_or(UndoStep::Dismantle),
        // It has obeyed after all, when it was thought deaf.
        UndoStep::Dismantle if seen.hold.consumed => Err(UndoStep::Return),
        UndoStep::Dismantle => Ok(dismantle(done)),
    }
}

/// Whether a message may be in H that Q lacks.
#[must_use]
pub fn may_have_closed(rules: Rules, stage: Stage) -> bool {
    stage
        >= match rules.handoff {
            Handoff::Gate => Stage::Closing,
            Handoff::Mirror => Stage::CutoverClosing,
        }
}

/// Whether whoever had come to `stage`, and in an abort to `undo`, may have opened the gate without having
/// written that down: the messages in a replay queue are older than those in Q then.
#[must_use]
pub fn may_have_reopened(stage: Stage, undo: Option<UndoStep>) -> bool {
    match undo {
        Some(undo) => undo >= UndoStep::PutBack,
        None => stage >= Stage::SourceRemoved,
    }
}

/// Nobody but the source may be on Q or R. It is on H or on Q, not on both.
fn await_target_gone(rules: Rules, stage: Stage, seen: &Seen) -> Result<Move, UndoStep> {
    let on_primary = seen.primary.crowded || (seen.hold.consumed && seen.primary.consumed);
    if seen.replay.consumed || on_primary {
        return Ok(wait(Waiting::TargetGone, seen));
    }
    Err(if may_have_closed(rules, stage) {
        UndoStep::OntoHold
    } else {
        UndoStep::Dismantle
    })
}

/// What is left in Q is older than what is in H: it is applied first. `overdue` means that the source has made no headway there for a long time.
fn onto_hold(rules: Rules, seen: &Seen) -> Result<Move, UndoStep> {
    let older_first = !seen.hold.consumed && !seen.source_lost && seen.primary.fill != Fill::Quiet;
    if older_first && !seen.overdue {
        return Ok(Move::Wait(Waiting::PrimaryQuiet));
    }
    if rules.handoff == Handoff::Mirror || seen.source_lost {
        return Err(UndoStep::PutBack);
    }
    match onto_own_queue(Party::Source, seen) {
        None => Err(UndoStep::Reopen),
        Some(Move::GiveUp(_)) => Err(UndoStep::PutBack),
        Some(other) => Ok(other),
    }
}

/// The gate opens, so that what is left in H is finite at any rate: at a moment when H is empty, if
/// there is one, so that a source that goes to the primary queue by habit could take next to
/// nothing too early.
fn reopen(done: usize, seen: &Seen) -> Result<Move, UndoStep> {
    if done > 0 {
        return Err(UndoStep::Return);
    }
    match onto_own_queue(Party::Source, seen) {
        // Left over, it would lead a source that comes back on the primary queue to H again, when it has
        // applied newer messages, and nobody would know.
        None if seen.source_told == Told::Waiting => Ok(wait(Waiting::SourceOnHold, seen)),
        None if seen.good_moment_back => Ok(Move::Do(Effect::OpenGate)),
        None => Ok(Move::Wait(Waiting::HoldQuiet)),
        // It has gone for good since it was seen there.
        Some(_) if seen.source_lost => Err(UndoStep::PutBack),
        // Not put back here: an earlier process may have opened the gate, and what is in the primary
        // queue be newer than what is in H.
        Some(other) => Ok(other),
    }
}

fn put_back(done: usize, seen: &Seen) -> Result<Move, UndoStep> {
    if done == 0 {
        return Ok(Move::Do(Effect::Unsay));
    }
    if seen.hold.consumed {
        // It has obeyed after all, at the last moment.
        return Err(UndoStep::Reopen);
    }
    match seen.hold.fill {
        Fill::Quiet if done > 1 => Err(UndoStep::Dismantle),
        Fill::Settling if done > 1 => Ok(Move::Wait(Waiting::HoldQuiet)),
        _ => Ok(Move::Do(Effect::PutBack)),
    }
}

/// Gate, R and H go, and with them what the source was told and has not read.
fn dismantle(done: usize) -> Move {
    let Some(rest) = done.checked_sub(1) else {
        return Move::Do(Effect::Unsay);
    };
    match in_order(&DISMANTLE, rest, Stage::Untouched) {
        Move::Advance(_) => Move::Done,
        effect => effect,
    }
}

#[cfg(test)]
mod tests {
    use super::super::seen::Line;
    use super::*;
    use crate::api::StaleIdentity;

    #[test]
    fn a_source_that_is_lost_on_its_way_back_is_not_waited_for() {
        let rules = Rules {
            handoff: Handoff::Gate,
            stale_identity: StaleIdentity::RollBack,
            sequential: false,
        };
        let next = |hold: Line| {
            let seen = Seen {
                source_lost: true,
                hold,
                ..Seen::default()
            };
            decide_back(rules, Stage::TargetAttached, UndoStep::Return, 0, &seen)
        };
        let left = |fill| Line {
            fill,
            ..Line::default()
        };
        assert_eq!(next(left(Fill::Waiting)), Err(UndoStep::PutBack));
        assert_eq!(next(left(Fill::Settling)), Err(UndoStep::PutBack));
        assert_eq!(next(left(Fill::Quiet)), Err(UndoStep::Dismantle));
        let still_there = Line {
            consumed: true,
            ..left(Fill::Waiting)
        };
        assert!(next(still_there).is_ok(), "it has come back after all");
    }
}
