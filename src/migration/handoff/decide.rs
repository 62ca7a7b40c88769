//! Forward: from the untouched broker to the target on the primary queue and no gate.
//!
//! A stage in the journal means that all of its effects were done. A process that takes over
//! begins its stage again (`done` is 0), so each list of effects must bear that. `Closing` and
//! `Committing` are remembered *before* their effect: an open gate must not be opened again over
//! a closed one, since what came in between would be applied out of order; and after `END_REPLAY`
//! there is no way back.

use super::moves::{Effect, Message, Move, Party, Waiting};
use super::seen::{Fill, Seen, TargetPod, Told};
use crate::api::HandoffStage as Stage;

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
/// out since.
#[must_use]
pub fn decide(stage: Stage, done: usize, seen: &Seen) -> Move {
    match stage {
        Stage::Untouched => Move::Advance(Stage::Preparing),
        Stage::Preparing => in_order(&INSERT, done, Stage::Closing),
        Stage::Closing => in_order(&[Effect::CloseGate], done, Stage::Closed),
        Stage::Closed => checkpoint(done, seen),
        Stage::Checkpointed => divert_source(seen),
        Stage::SourceDiverted => attach_target(seen),
        Stage::TargetAttached => reopen(done, seen),
        Stage::Reopened => commit(seen),
        Stage::Committing => {
            move_back(Party::Target, seen).unwrap_or(Move::Advance(Stage::TargetServes))
        }
        Stage::TargetServes => in_order(&[Effect::RemoveSource], done, Stage::SourceRemoved),
        Stage::SourceRemoved => in_order(&DISMANTLE, done, Stage::Dismantled),
        Stage::Dismantled => Move::Done,
    }
}

/// The effects one after the other, then the next stage.
pub(super) fn in_order(effects: &[Effect], done: usize, next: Stage) -> Move {
    effects
        .get(done)
        .map_or(Move::Advance(next), |effect| Move::Do(*effect))
}

/// The checkpoint, once the source's memory holds exactly the messages before the cut.
fn checkpoint(done: usize, seen: &Seen) -> Move {
    if done > 0 {
        return Move::Advance(Stage::Checkpointed);
    }
    if seen.primary.fill == Fill::Quiet {
        return Move::Do(Effect::Checkpoint);
    }
    wait(Waiting::PrimaryQuiet, seen)
}

/// The source onto H. Q stays silent, so that a restored process that consumes it by habit finds
/// nothing to steal.
fn divert_source(seen: &Seen) -> Move {
    onto_own_queue(Party::Source, seen).unwrap_or(Move::Advance(Stage::SourceDiverted))
}

/// The target, and onto R with it. It is told before it starts, so that it finds the order the
/// moment it connects.
fn attach_target(seen: &Seen) -> Move {
    match (seen.target, seen.target_told) {
        (TargetPod::Lost, _) => Move::GiveUp(Waiting::TargetOnReplay),
        (TargetPod::NotMade, Told::Nothing) => {
            Move::Do(Effect::Tell(Party::Target, Message::StartReplay))
        }
        (TargetPod::NotMade, _) => Move::Do(Effect::StartTarget),
        (TargetPod::Present, _) => {
            onto_own_queue(Party::Target, seen).unwrap_or(Move::Advance(Stage::TargetAttached))
        }
    }
}

/// The gate open again, once R is short enough. Nobody may be on Q then: what such a one takes
/// the target would never see.
fn reopen(done: usize, seen: &Seen) -> Move {
    if done > 0 {
        return Move::Advance(Stage::Reopened);
    }
    if !seen.short_enough {
        // Not bounded by `overdue`: the cutoff makes it short enough in the end.
        return Move::Wait(Waiting::ReplayShort);
    }
    if seen.primary.consumed {
        return wait(Waiting::PrimaryUnconsumed, seen);
    }
    Move::Do(Effect::OpenGate)
}

/// The commit point, once R is drained. R no longer grows, so the wait is finite at any rate.
fn commit(seen: &Seen) -> Move {
    if seen.primary.consumed {
        // Somebody takes messages that the target is yet to get: back, while it can be mended.
        return Move::GiveUp(Waiting::PrimaryUnconsumed);
    }
    if seen.replay.fill == Fill::Quiet {
        return Move::Advance(Stage::Committing);
    }
    if !seen.replay.consumed {
        return wait(Waiting::TargetOnReplay, seen);
    }
    Move::Wait(Waiting::ReplayQuiet)
}

/// Gets a party onto its own replay queue: `None` once it is there.
pub(super) fn onto_own_queue(party: Party, seen: &Seen) -> Option<Move> {
    let (own, told, waiting) = match party {
        Party::Source => (seen.hold, seen.source_told, Waiting::SourceOnHold),
        Party::Target => (seen.replay, seen.target_told, Waiting::TargetOnReplay),
    };
    let left_primary = party == Party::Target || !seen.primary.consumed;
    if own.consumed && left_primary {
        return None;
    }
    if told.is_under_way(Message::StartReplay) || own.consumed {
        return Some(wait(waiting, seen));
    }
    if seen.overdue {
        return Some(Move::GiveUp(waiting));
    }
    Some(Move::Do(Effect::Tell(party, Message::StartReplay)))
}

/// Gets a party from its own, finite replay queue back to the primary one: `None` once it is
/// there and nothing is left behind. What the party had not acknowledged when it left comes back
/// to its queue; then it is sent there once more.
pub(super) fn move_back(party: Party, seen: &Seen) -> Option<Move> {
    let (own, told, quiet, back) = match party {
        Party::Source => (
            seen.hold,
            seen.source_told,
            Waiting::HoldQuiet,
            Waiting::SourceOnPrimary,
        ),
        Party::Target => (
            seen.replay,
            seen.target_told,
            Waiting::ReplayQuiet,
            Waiting::TargetOnPrimary,
        ),
    };
    let order = match (own.fill, own.consumed) {
        (Fill::Quiet, false) if seen.primary.consumed => return None,
        (Fill::Quiet, _) => Message::EndReplay,
        (Fill::Waiting, false) => Message::StartReplay,
        (Fill::Waiting, true) | (Fill::Settling, _) => return Some(Move::Wait(quiet)),
    };
    if told.is_under_way(order) {
        return Some(wait(back, seen));
    }
    if seen.overdue {
        return Some(Move::GiveUp(back));
    }
    Some(Move::Do(Effect::Tell(party, order)))
}

/// Waits, unless it has taken too long.
pub(super) fn wait(waiting: Waiting, seen: &Seen) -> Move {
    if seen.overdue {
        Move::GiveUp(waiting)
    } else {
        Move::Wait(waiting)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::migration::handoff::Line;

    const QUIET: Line = Line {
        fill: Fill::Quiet,
        consumed: false,
    };
    const BUSY: Line = Line {
        fill: Fill::Waiting,
        consumed: true,
    };
    const DRAINED: Line = Line {
        fill: Fill::Quiet,
        consumed: true,
    };

    #[test]
    fn the_gate_is_whole_before_it_closes() {
        let seen = Seen::default();
        let mut effects = Vec::new();
        let (mut stage, mut done) = (Stage::Untouched, 0);
        while stage < Stage::Closed {
            match decide(stage, done, &seen) {
                Move::Do(effect) => {
                    effects.push(effect);
                    done += 1;
                }
                Move::Advance(next) => (stage, done) = (next, 0),
                other => panic!("{other:?} in stage {stage:?}"),
            }
        }
        assert_eq!(effects[..6], INSERT);
        assert_eq!(effects[6..], [Effect::CloseGate]);
    }

    #[test]
    fn a_process_that_takes_over_while_the_gate_may_be_closed_does_not_open_it() {
        assert_eq!(
            decide(Stage::Closing, 0, &Seen::default()),
            Move::Do(Effect::CloseGate)
        );
    }

    #[test]
    fn no_checkpoint_before_the_primary_queue_is_quiet() {
        let at = |fill| {
            let primary = Line {
                fill,
                consumed: true,
            };
            decide(
                Stage::Closed,
                0,
                &Seen {
                    primary,
                    ..Seen::default()
                },
            )
        };
        assert_eq!(at(Fill::Waiting), Move::Wait(Waiting::PrimaryQuiet));
        assert_eq!(at(Fill::Settling), Move::Wait(Waiting::PrimaryQuiet));
        assert_eq!(at(Fill::Quiet), Move::Do(Effect::Checkpoint));
    }

    #[test]
    fn the_source_has_obeyed_only_when_it_has_left_the_primary_queue() {
        let told = Seen {
            source_told: Told::Taken(Message::StartReplay),
            ..Seen::default()
        };
        let on_both = Seen {
            hold: BUSY,
            primary: DRAINED,
            ..told
        };
        assert_eq!(
            decide(Stage::Checkpointed, 1, &on_both),
            Move::Wait(Waiting::SourceOnHold)
        );
        let obeyed = Seen {
            hold: BUSY,
            primary: QUIET,
            ..told
        };
        assert_eq!(
            decide(Stage::Checkpointed, 1, &obeyed),
            Move::Advance(Stage::SourceDiverted)
        );
    }

    #[test]
    fn an_order_is_repeated_only_when_it_was_ignored() {
        let at = |source_told| {
            let seen = Seen {
                source_told,
                primary: DRAINED,
                ..Seen::default()
            };
            decide(Stage::Checkpointed, 0, &seen)
        };
        let tell = Move::Do(Effect::Tell(Party::Source, Message::StartReplay));
        assert_eq!(at(Told::Nothing), tell);
        let wait = Move::Wait(Waiting::SourceOnHold);
        assert_eq!(at(Told::Waiting), wait);
        assert_eq!(at(Told::Taken(Message::StartReplay)), wait);
        assert_eq!(at(Told::Old(Message::StartReplay)), tell);
    }

    /// An application obeys one order after the other, so the next one need not wait until the
    /// last one is old.
    #[test]
    fn another_order_does_not_wait_for_the_last_one_to_grow_old() {
        let seen = Seen {
            replay: DRAINED,
            target_told: Told::Taken(Message::StartReplay),
            ..Seen::default()
        };
        let tell = Move::Do(Effect::Tell(Party::Target, Message::EndReplay));
        assert_eq!(decide(Stage::Committing, 0, &seen), tell);
    }

    #[test]
    fn a_lost_target_is_never_made_again() {
        let seen = Seen {
            target: TargetPod::Lost,
            ..Seen::default()
        };
        assert_eq!(
            decide(Stage::SourceDiverted, 0, &seen),
            Move::GiveUp(Waiting::TargetOnReplay)
        );
    }

    #[test]
    fn the_gate_stays_closed_while_somebody_consumes_the_primary_queue() {
        let seen = Seen {
            short_enough: true,
            primary: DRAINED,
            replay: BUSY,
            ..Seen::default()
        };
        assert_eq!(
            decide(Stage::TargetAttached, 0, &seen),
            Move::Wait(Waiting::PrimaryUnconsumed)
        );
        let seen = Seen {
            primary: QUIET,
            ..seen
        };
        assert_eq!(
            decide(Stage::TargetAttached, 0, &seen),
            Move::Do(Effect::OpenGate)
        );
    }

    #[test]
    fn no_commit_before_the_replay_queue_is_quiet() {
        let at = |replay| {
            decide(
                Stage::Reopened,
                0,
                &Seen {
                    replay,
                    primary: QUIET,
                    ..Seen::default()
                },
            )
        };
        assert_eq!(at(BUSY), Move::Wait(Waiting::ReplayQuiet));
        assert_eq!(
            at(Line {
                fill: Fill::Settling,
                ..BUSY
            }),
            Move::Wait(Waiting::ReplayQuiet)
        );
        assert_eq!(at(DRAINED), Move::Advance(Stage::Committing));
    }

    #[test]
    fn a_thief_on_the_primary_queue_before_the_commit_turns_it_back() {
        let seen = Seen {
            primary: DRAINED,
            replay: BUSY,
            ..Seen::default()
        };
        assert_eq!(
            decide(Stage::Reopened, 0, &seen),
            Move::GiveUp(Waiting::PrimaryUnconsumed)
        );
    }

    #[test]
    fn what_comes_back_to_the_replay_queue_is_fetched_before_the_source_goes() {
        let left_behind = Line {
            fill: Fill::Waiting,
            consumed: false,
        };
        let seen = Seen {
            primary: DRAINED,
            replay: left_behind,
            ..Seen::default()
        };
        let again = Move::Do(Effect::Tell(Party::Target, Message::StartReplay));
        assert_eq!(decide(Stage::Committing, 0, &seen), again);
        let seen = Seen {
            replay: QUIET,
            ..seen
        };
        assert_eq!(
            decide(Stage::Committing, 0, &seen),
            Move::Advance(Stage::TargetServes)
        );
    }
}
