//! Tests of the decisions forward.

use super::*;
use crate::migration::handoff::Line;

const RULES: Rules = Rules {
    handoff: Handoff::Gate,
    stale_identity: StaleIdentity::RollBack,
    sequential: false,
};
const QUIET: Line = Line {
    fill: Fill::Quiet,
    consumed: false,
    crowded: false,
};
const BUSY: Line = Line {
    fill: Fill::Waiting,
    consumed: true,
    crowded: false,
};
const DRAINED: Line = Line {
    fill: Fill::Quiet,
    consumed: true,
    crowded: false,
};

#[test]
fn the_gate_is_whole_before_it_closes() {
    let seen = Seen {
        source_told: Told::Taken(Message::Ping),
        ..Seen::default()
    };
    let mut effects = Vec::new();
    let (mut stage, mut done) = (Stage::Untouched, 0);
    while stage < Stage::Closed {
        match decide(RULES, stage, done, &seen) {
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
        decide(RULES, Stage::Closing, 0, &Seen::default()),
        Move::Do(Effect::CloseGate)
    );
}

#[test]
fn no_checkpoint_before_the_primary_queue_is_quiet() {
    let at = |fill| {
        let primary = Line { fill, ..DRAINED };
        decide(
            RULES,
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
        decide(RULES, Stage::Checkpointed, 1, &on_both),
        Move::Wait(Waiting::SourceOnHold)
    );
    let obeyed = Seen {
        hold: BUSY,
        primary: QUIET,
        ..told
    };
    assert_eq!(
        decide(RULES, Stage::Checkpointed, 1, &obeyed),
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
        decide(RULES, Stage::Checkpointed, 0, &seen)
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
    assert_eq!(decide(RULES, Stage::Returning, 0, &seen), tell);
}

#[test]
fn a_lost_target_is_never_made_again() {
    let seen = Seen {
        target: TargetPod::Lost,
        ..Seen::default()
    };
    assert_eq!(
        decide(RULES, Stage::SourceDiverted, 0, &seen),
        Move::GiveUp(Waiting::TargetThere)
    );
}

#[test]
fn the_target_is_seen_on_the_silent_primary_queue_before_it_is_told() {
    let at = |primary, hold| {
        let seen = Seen {
            primary,
            hold,
            target: TargetPod::Present,
            ..Seen::default()
        };
        decide(RULES, Stage::SourceDiverted, 0, &seen)
    };
    assert_eq!(at(QUIET, BUSY), Move::Wait(Waiting::TargetConnects));
    assert_eq!(at(DRAINED, BUSY), Move::Advance(Stage::TargetSeen));
    // With nobody on H it may be the source, there by habit after a lost connection.
    assert_eq!(
        at(DRAINED, QUIET),
        Move::Do(Effect::Tell(Party::Source, Message::StartReplay))
    );
}

#[test]
fn no_commit_while_somebody_is_on_the_primary_queue_or_the_rest_is_long() {
    let at = |primary, short_enough| {
        let seen = Seen {
            primary,
            hold: BUSY,
            replay: BUSY,
            short_enough,
            target: TargetPod::Present,
            ..Seen::default()
        };
        decide(RULES, Stage::TargetAttached, 0, &seen)
    };
    assert_eq!(at(QUIET, false), Move::Wait(Waiting::ReplayShort));
    assert_eq!(at(DRAINED, true), Move::Wait(Waiting::SourceOnHold));
    assert_eq!(at(QUIET, true), Move::Advance(Stage::Committing));
}

#[test]
fn the_gate_opens_for_a_target_alone_on_its_replay_queue_at_a_good_moment() {
    let at = |primary, replay, good_moment| {
        let seen = Seen {
            primary,
            replay,
            good_moment,
            target: TargetPod::Present,
            ..Seen::default()
        };
        decide(RULES, Stage::SourceRemoved, 0, &seen)
    };
    assert_eq!(at(QUIET, BUSY, true), Move::Do(Effect::OpenGate));
    assert_eq!(at(QUIET, BUSY, false), Move::Wait(Waiting::ReplayShort));
    assert_eq!(
        at(DRAINED, BUSY, true),
        Move::Wait(Waiting::PrimaryUnconsumed)
    );
    assert_eq!(
        at(DRAINED, QUIET, true),
        Move::Do(Effect::Tell(Party::Target, Message::StartReplay))
    );
}

#[test]
fn the_gate_stays_closed_while_an_order_to_the_target_is_left_over() {
    let seen = Seen {
        primary: QUIET,
        replay: BUSY,
        good_moment: true,
        target: TargetPod::Present,
        target_told: Told::Waiting,
        ..Seen::default()
    };
    let chosen = decide(RULES, Stage::SourceRemoved, 0, &seen);
    assert_eq!(chosen, Move::Wait(Waiting::TargetOnReplay));
}

#[test]
fn the_target_returns_only_when_its_replay_queue_is_quiet() {
    let at = |replay| {
        let seen = Seen {
            replay,
            primary: QUIET,
            target: TargetPod::Present,
            ..Seen::default()
        };
        decide(RULES, Stage::Reopened, 0, &seen)
    };
    let settling = Line {
        fill: Fill::Settling,
        ..BUSY
    };
    assert_eq!(at(BUSY), Move::Wait(Waiting::ReplayQuiet));
    assert_eq!(at(settling), Move::Wait(Waiting::ReplayQuiet));
    let emptied = Line {
        consumed: false,
        ..settling
    };
    assert_eq!(at(emptied), Move::Wait(Waiting::ReplayQuiet));
    assert_eq!(at(DRAINED), Move::Advance(Stage::Returning));
}

#[test]
fn what_comes_back_to_the_replay_queue_is_fetched() {
    let left_behind = Line {
        fill: Fill::Waiting,
        ..QUIET
    };
    let seen = Seen {
        primary: DRAINED,
        replay: left_behind,
        target: TargetPod::Present,
        ..Seen::default()
    };
    let again = Move::Do(Effect::Tell(Party::Target, Message::StartReplay));
    assert_eq!(decide(RULES, Stage::Returning, 0, &seen), again);
    let seen = Seen {
        replay: QUIET,
        target_told: Told::Taken(Message::EndReplay),
        ..seen
    };
    assert_eq!(
        decide(RULES, Stage::Returning, 0, &seen),
        Move::Advance(Stage::TargetServes)
    );
}

#[test]
fn the_gate_does_not_close_for_a_source_that_does_not_read_its_control_queue() {
    let at = |source_told, overdue| {
        let seen = Seen {
            source_told,
            overdue,
            ..Seen::default()
        };
        decide(RULES, Stage::Preparing, INSERT.len(), &seen)
    };
    let ping = Move::Do(Effect::Tell(Party::Source, Message::Ping));
    assert_eq!(at(Told::Nothing, false), ping);
    assert_eq!(at(Told::Waiting, false), Move::Wait(Waiting::SourceListens));
    assert_eq!(
        at(Told::Waiting, true),
        Move::GiveUp(Waiting::SourceListens)
    );
    assert_eq!(
        at(Told::Taken(Message::Ping), false),
        Move::Advance(Stage::Closing)
    );
}

/// An order of an earlier process may still be on its way to the application.
#[test]
fn a_party_is_back_only_after_an_order_of_this_process() {
    let seen = Seen {
        primary: DRAINED,
        replay: QUIET,
        ..Seen::default()
    };
    let tell = Move::Do(Effect::Tell(Party::Target, Message::EndReplay));
    assert_eq!(decide(RULES, Stage::Returning, 0, &seen), tell);
}

#[test]
fn a_target_that_goes_by_the_sources_name_is_told_alone_or_not_at_all() {
    let seen = Seen {
        target: TargetPod::Present,
        target_told: Told::Waiting,
        target_stale: true,
        ..Seen::default()
    };
    assert_eq!(
        decide(RULES, Stage::TargetSeen, 0, &seen),
        Move::GiveUp(Waiting::TargetListens)
    );
    let stop = Rules {
        stale_identity: StaleIdentity::StopSource,
        ..RULES
    };
    assert_eq!(
        decide(stop, Stage::TargetSeen, 0, &seen),
        Move::Advance(Stage::Committing)
    );
}

#[test]
fn a_source_that_is_gone_after_the_checkpoint_holds_nothing_up() {
    let seen = Seen {
        source_lost: true,
        primary: QUIET,
        ..Seen::default()
    };
    assert_eq!(
        decide(RULES, Stage::Checkpointed, 0, &seen),
        Move::Advance(Stage::SourceDiverted)
    );
    assert_eq!(
        decide(RULES, Stage::Closed, 0, &seen),
        Move::GiveUp(Waiting::SourceThere)
    );
}

/// A target that goes by the source's name would take it, and empty H in the source's place.
#[test]
fn what_a_source_that_is_gone_has_not_read_is_taken_back_before_there_is_a_target() {
    let seen = Seen {
        source_lost: true,
        source_told: Told::Waiting,
        primary: QUIET,
        ..Seen::default()
    };
    let next = |seen: &Seen| decide(RULES, Stage::SourceDiverted, 0, seen);
    assert_eq!(next(&seen), Move::Do(Effect::Unsay));
    let unsaid = Seen {
        source_told: Told::Nothing,
        ..seen
    };
    assert_eq!(next(&unsaid), Move::Do(Effect::StartTarget));
}

#[test]
fn sequential_the_source_goes_first_and_its_orders_with_it() {
    let rules = Rules {
        sequential: true,
        ..RULES
    };
    let next = |stage, done, seen: &Seen| decide(rules, stage, done, seen);
    let nobody = Seen {
        primary: QUIET,
        ..Seen::default()
    };
    let diverted = Stage::SourceDiverted;
    assert_eq!(next(diverted, 0, &nobody), Move::Do(Effect::SendCheckpoint));
    assert_eq!(next(diverted, 1, &nobody), Move::Advance(Stage::Committing));
    let going = Stage::Committing;
    assert_eq!(next(going, 0, &nobody), Move::Do(Effect::RemoveSource));
    assert_eq!(next(going, 1, &nobody), Move::Do(Effect::Unsay));
    let gone = Stage::SourceRemoved;
    assert_eq!(next(gone, 0, &nobody), Move::Do(Effect::StartTarget));
    let present = Seen {
        target: TargetPod::Present,
        ..nobody
    };
    assert_eq!(
        next(gone, 1, &present),
        Move::Wait(Waiting::TargetConnects),
        "nothing is told before it is seen"
    );
    let connected = Seen {
        primary: DRAINED,
        ..present
    };
    assert_eq!(
        next(gone, 1, &connected),
        Move::Advance(Stage::TargetRestored)
    );
    assert_eq!(
        next(Stage::TargetRestored, 0, &connected),
        Move::Do(Effect::Tell(Party::Target, Message::StartReplay))
    );
}
