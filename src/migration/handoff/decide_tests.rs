//! Tests of the decisions forward.

use super::*;
use crate::migration::handoff::Line;

const RULES: Rules = Rules {
    handoff: Handoff::Gate,
    stale_identity: StaleIdentity::RollBack,
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
    assert_eq!(decide(RULES, Stage::Committing, 0, &seen), tell);
}

#[test]
fn a_lost_target_is_never_made_again() {
    let seen = Seen {
        target: TargetPod::Lost,
        ..Seen::default()
    };
    assert_eq!(
        decide(RULES, Stage::SourceDiverted, 0, &seen),
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
        decide(RULES, Stage::TargetAttached, 0, &seen),
        Move::Wait(Waiting::PrimaryUnconsumed)
    );
    let seen = Seen {
        primary: QUIET,
        ..seen
    };
    assert_eq!(
        decide(RULES, Stage::TargetAttached, 0, &seen),
        Move::Do(Effect::OpenGate)
    );
}

#[test]
fn no_commit_before_the_replay_queue_is_quiet() {
    let at = |replay| {
        decide(
            RULES,
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
        decide(RULES, Stage::Reopened, 0, &seen),
        Move::GiveUp(Waiting::PrimaryUnconsumed)
    );
}

#[test]
fn what_comes_back_to_the_replay_queue_is_fetched_before_the_source_goes() {
    let left_behind = Line {
        fill: Fill::Waiting,
        ..QUIET
    };
    let seen = Seen {
        primary: DRAINED,
        replay: left_behind,
        ..Seen::default()
    };
    let again = Move::Do(Effect::Tell(Party::Target, Message::StartReplay));
    assert_eq!(decide(RULES, Stage::Committing, 0, &seen), again);
    let seen = Seen {
        replay: QUIET,
        target_told: Told::Taken(Message::EndReplay),
        ..seen
    };
    assert_eq!(
        decide(RULES, Stage::Committing, 0, &seen),
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
    assert_eq!(at(Told::Waiting, true), Move::GiveUp(Waiting::SourceListens));
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
    assert_eq!(decide(RULES, Stage::Committing, 0, &seen), tell);
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
        decide(RULES, Stage::SourceDiverted, 0, &seen),
        Move::GiveUp(Waiting::TargetListens)
    );
    let stop = Rules {
        stale_identity: StaleIdentity::StopSource,
        ..RULES
    };
    assert_eq!(
        decide(stop, Stage::SourceDiverted, 0, &seen),
        Move::Advance(Stage::StoppingSource)
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
