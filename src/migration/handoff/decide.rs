//! Forward: from the untouched broker to the target on the primary queue and no gate.
//!
//! A stage in the journal means that all of its effects were done. A process that takes over
//! begins its stage again (`done` is 0), so each list of effects must bear that. `Closing` and
//! `Committing` are remembered *before* their effect: an open gate must not be opened again over
//! a closed one, since what came in between would be applied out of order; and when the source
//! goes there is no way back.
//!
//! With the strategy Sequential the target has the source's name, so the source goes before there
//! is a target: `Committing` follows `SourceDiverted`, once the checkpoint is in the registry and
//! the base image on the target node. What is in R is not touched before `TargetRestored`, so up to
//! there the same checkpoint can be restored elsewhere.
//!
//! # Why the source goes while the gate is still closed
//! A party that loses its connection comes back on the primary queue by habit. While the gate is
//! closed that queue is silent and it is simply told again. Were the gate open with both parties
//! alive, they would share the queue, and what the one takes the other never sees: no order of
//! steps mends that. So the target proves itself on the silent queue, where every restored process
//! goes first; then the source is removed, while the target works on R and nothing waits for
//! anybody; and only when one consumer is left the gate opens.

use super::moves::{Effect, Message, Move, Party, Waiting};
use super::parties::{onto_own_queue, wait};
use super::seen::{Fill, Seen, TargetPod, Told};
use super::{alone, mirror};
use crate::api::{Handoff, HandoffStage as Stage, StaleIdentity, StatefulMigrationSpec, Strategy};

/// What was asked for, as far as it bears on the handoff.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Rules {
    /// How the messages change over.
    pub handoff: Handoff,
    /// What to do about a target that listens on the source's control queue.
    pub stale_identity: StaleIdentity,
    /// Whether the source goes before the target is made. Goes with the handoff `Gate` alone.
    pub sequential: bool,
}

impl Rules {
    /// Those of a migration by `strategy`.
    #[must_use]
    pub fn of(spec: &StatefulMigrationSpec, strategy: Strategy) -> Self {
        Self {
            handoff: spec.handoff.unwrap_or_default(),
            stale_identity: spec.stale_identity.unwrap_or_default(),
            sequential: strategy == Strategy::Sequential,
        }
    }
}

/// In this order the gate is put in, open, without a message lost or doubled: R and H are bound
/// before anything can reach them, and a message that reaches Q over both ways is delivered once.
pub const INSERT: [Effect; 6] = [
    Effect::DeclareExchanges,
    Effect::DeclareReplayQueues,
    Effect::BindReplayQueues,
    Effect::OpenGate,
    Effect::LeadThroughGate,
    Effect::CutDirectWay,
];

/// In this order it is taken out again: the reverse.
pub const DISMANTLE: [Effect; 4] = [
    Effect::RestoreDirectWay,
    Effect::LeadPastGate,
    Effect::DeleteExchanges,
    Effect::DeleteReplayQueues,
];

/// The next move forward.
///
/// `stage` is the last one remembered, `done` how many effects of it this process has carried
/// out since, orders to a party not counted: those follow from what is seen.
#[must_use]
pub fn decide(rules: Rules, stage: Stage, done: usize, seen: &Seen) -> Move {
    match stage {
        Stage::Untouched => Move::Advance(match rules.handoff {
            Handoff::Gate => Stage::Preparing,
            Handoff::Mirror => Stage::Mirroring,
        }),
        Stage::Preparing => prepare(done, seen),
        Stage::Mirroring => mirror::begin(done),
        Stage::Closing => in_order(&[Effect::CloseGate], done, Stage::Closed),
        Stage::Closed => checkpoint(done, seen),
        Stage::Checkpointed if rules.handoff == Handoff::Mirror => {
            Move::Advance(Stage::SourceDiverted)
        }
        Stage::Checkpointed => divert_source(seen),
        Stage::SourceDiverted if rules.handoff == Handoff::Mirror => mirror::attach_target(seen),
        Stage::SourceDiverted if rules.sequential => {
            in_order(&[Effect::SendCheckpoint], done, Stage::Committing)
        }
        Stage::SourceDiverted => start_target(seen),
        Stage::TargetSeen => attach_target(rules, seen),
        Stage::TargetAttached if rules.handoff == Handoff::Mirror => mirror::side_by_side(seen),
        Stage::TargetAttached => catch_up(seen),
        Stage::CutoverPreparing => mirror::prepare_cutover(done),
        Stage::CutoverClosing => mirror::close(done),
        Stage::CutoverClosed => mirror::cut_over(seen),
        // The target will listen on the same control queue: it must not find the source's orders.
        Stage::Committing if rules.sequential => in_order(
            &[Effect::RemoveSource, Effect::Unsay],
            done,
            Stage::SourceRemoved,
        ),
        Stage::Committing => in_order(&[Effect::RemoveSource], done, Stage::SourceRemoved),
        Stage::SourceRemoved if rules.sequential => alone::restore(seen),
        Stage::SourceRemoved | Stage::TargetRestored => alone::reopen(rules, done, seen),
        Stage::Reopened => alone::drain(seen),
        Stage::Returning => alone::serve(seen),
        Stage::TargetServes => in_order(&DISMANTLE, done, Stage::Dismantled),
        Stage::Dismantled => Move::Done,
    }
}

/// Whether the decision depends on what is seen; where it does not, a look is spared.
#[must_use]
pub fn needs_look(stage: Stage, done: usize) -> bool {
    match stage {
        Stage::Preparing => done >= INSERT.len(),
        Stage::Untouched
        | Stage::Mirroring
        | Stage::Closing
        | Stage::CutoverPreparing
        | Stage::CutoverClosing
        | Stage::Committing
        | Stage::TargetServes
        | Stage::Dismantled => false,
        _ => true,
    }
}

/// The effects one after the other, then the next stage.
pub(super) fn in_order(effects: &[Effect], done: usize, next: Stage) -> Move {
    effects
        .get(done)
        .map_or(Move::Advance(next), |effect| Move::Do(*effect))
}

/// The gate goes in, open. It closes only for a source that is seen reading its control queue:
/// once messages wait in H, one that does not obey cannot be given them back without a doubt
/// about their order.
fn prepare(done: usize, seen: &Seen) -> Move {
    if let Some(effect) = INSERT.get(done) {
        return Move::Do(*effect);
    }
    match seen.source_told {
        Told::Nothing => Move::Do(Effect::Tell(Party::Source, Message::Ping)),
        Told::Waiting => wait(Waiting::SourceListens, seen),
        Told::Taken(_) | Told::Old(_) => Move::Advance(Stage::Closing),
    }
}

/// The checkpoint, once the source's memory holds exactly the messages before the cut.
fn checkpoint(done: usize, seen: &Seen) -> Move {
    if done > 0 {
        return Move::Advance(Stage::Checkpointed);
    }
    if seen.source_lost {
        return Move::GiveUp(Waiting::SourceThere);
    }
    if seen.primary.fill == Fill::Quiet {
        return Move::Do(Effect::Checkpoint);
    }
    wait(Waiting::PrimaryQuiet, seen)
}

/// The source onto H. Q stays silent, so that a restored process that consumes it by habit finds
/// nothing to steal. A source that is gone has nothing to divert: the checkpoint has its state, and
/// nobody shares the primary queue with anybody.
fn divert_source(seen: &Seen) -> Move {
    let diverted = Move::Advance(Stage::SourceDiverted);
    if (seen.source_lost || seen.source_silent) && !seen.primary.consumed {
        return diverted;
    }
    onto_own_queue(Party::Source, seen).unwrap_or(diverted)
}

/// The target is made, and seen where every restored process goes first: on the primary queue.
/// With the source on H whoever is there is the target.
fn start_target(seen: &Seen) -> Move {
    match seen.target {
        TargetPod::Lost => Move::GiveUp(Waiting::TargetThere),
        // A target that goes by the source's name would take an order that is left over there.
        TargetPod::NotMade if seen.source_told == Told::Waiting && seen.source_lost => {
            Move::Do(Effect::Unsay)
        }
        TargetPod::NotMade if seen.source_told == Told::Waiting && !seen.source_silent => {
            wait(Waiting::SourceOnHold, seen)
        }
        TargetPod::NotMade => Move::Do(Effect::StartTarget),
        TargetPod::Present if !seen.primary.consumed => wait(Waiting::TargetConnects, seen),
        // Should it be the source after all, the target is yet to be seen on R.
        TargetPod::Present if seen.hold.consumed || seen.source_lost || seen.source_silent => {
            Move::Advance(Stage::TargetSeen)
        }
        // The source may have lost its connection and be there by habit.
        TargetPod::Present => {
            onto_own_queue(Party::Source, seen).unwrap_or(Move::Wait(Waiting::TargetConnects))
        }
    }
}

/// The target onto R.
fn attach_target(rules: Rules, seen: &Seen) -> Move {
    if seen.target == TargetPod::Lost {
        return Move::GiveUp(Waiting::TargetThere);
    }
    if seen.target_stale {
        // It can be told on the source's control queue only when it is alone there.
        return match rules.stale_identity {
            StaleIdentity::StopSource => Move::Advance(Stage::Committing),
            StaleIdentity::RollBack => Move::GiveUp(Waiting::TargetListens),
        };
    }
    onto_own_queue(Party::Target, seen).unwrap_or(Move::Advance(Stage::TargetAttached))
}

/// The commit point, once R is short enough. A party that has lost its connection may be on the
/// primary queue by habit, and is sent to its own queue again.
fn catch_up(seen: &Seen) -> Move {
    if seen.target == TargetPod::Lost {
        return Move::GiveUp(Waiting::TargetThere);
    }
    if let Some(onto) = onto_own_queue(Party::Target, seen) {
        return onto;
    }
    if seen.primary.consumed {
        return onto_own_queue(Party::Source, seen)
            .unwrap_or(Move::Wait(Waiting::PrimaryUnconsumed));
    }
    if !seen.short_enough {
        // Not bounded by `overdue`: the cutoff makes it short enough in the end.
        return Move::Wait(Waiting::ReplayShort);
    }
    Move::Advance(Stage::Committing)
}

#[cfg(test)]
#[path = "decide_tests.rs"]
mod tests;
