//! Tests of what is made of looks.

use super::*;

const LIMIT: Duration = Duration::from_secs(30);

fn watch() -> Watch {
    Watch::new(Limits::default(), Duration::ZERO)
}

fn queue(ready: u64, consumers: u64) -> QueueView {
    QueueView {
        ready,
        unacknowledged: Some(0),
        consumers,
        ..QueueView::default()
    }
}

fn at(seconds: u64) -> Look {
    Look {
        at: Duration::from_secs(seconds),
        primary: queue(1, 1),
        ..Look::default()
    }
}

#[test]
fn a_queue_is_quiet_once_it_was_empty_for_a_while() {
    let mut watch = watch();
    let look = |millis| Look {
        at: Duration::from_millis(millis),
        primary: queue(0, 1),
        ..Look::default()
    };
    assert_eq!(watch.seen(&look(0), LIMIT).primary.fill, Fill::Settling);
    assert_eq!(watch.seen(&look(99), LIMIT).primary.fill, Fill::Settling);
    assert_eq!(watch.seen(&look(100), LIMIT).primary.fill, Fill::Quiet);
}

#[test]
fn without_a_count_of_the_unacknowledged_it_takes_the_settle_time() {
    let mut watch = watch();
    let look = |millis| Look {
        at: Duration::from_millis(millis),
        primary: QueueView {
            unacknowledged: None,
            ..queue(0, 1)
        },
        ..Look::default()
    };
    assert_eq!(watch.seen(&look(0), LIMIT).primary.fill, Fill::Settling);
    assert_eq!(watch.seen(&look(1999), LIMIT).primary.fill, Fill::Settling);
    assert_eq!(watch.seen(&look(2000), LIMIT).primary.fill, Fill::Quiet);
}

/// A count that may be 7 s old has to be 0 for as long.
#[test]
fn a_late_count_is_waited_for() {
    let mut watch = watch();
    let look = |millis, unacknowledged| Look {
        at: Duration::from_millis(millis),
        primary: QueueView {
            unacknowledged,
            lag: Duration::from_secs(7),
            ..queue(0, 1)
        },
        ..Look::default()
    };
    let looks = [
        (0, Some(0), Fill::Settling),
        (3000, Some(5), Fill::Settling),
        (8000, Some(0), Fill::Settling),
        (14_000, None, Fill::Settling),
        (14_999, Some(0), Fill::Settling),
        (15_000, Some(0), Fill::Quiet),
    ];
    for (millis, unacknowledged, fill) in looks {
        let seen = watch.seen(&look(millis, unacknowledged), LIMIT);
        assert_eq!(seen.primary.fill, fill, "at {millis} ms");
    }
}

#[test]
fn only_one_and_the_same_wait_grows_overdue() {
    let mut watch = watch();
    watch.waits(Waiting::SourceOnHold, Duration::ZERO);
    watch.waits(Waiting::SourceOnHold, Duration::from_secs(20));
    assert!(watch.seen(&at(30), LIMIT).overdue);
    watch.waits(Waiting::TargetOnReplay, Duration::from_secs(30));
    assert!(!watch.seen(&at(59), LIMIT).overdue);
    watch.waits(Waiting::ReplayShort, Duration::from_secs(59));
    watch.waits(Waiting::ReplayShort, Duration::from_secs(500));
    assert!(
        !watch.seen(&at(501), LIMIT).overdue,
        "a replay may take long"
    );
}

#[test]
fn headway_is_as_good_as_no_wait() {
    let mut watch = watch();
    watch.waits(Waiting::PrimaryQuiet, Duration::ZERO);
    for (seconds, ready) in [(20, 9), (40, 8), (60, 8)] {
        let look = Look {
            primary: queue(ready, 1),
            ..at(seconds)
        };
        watch.headway(&look);
        assert!(!watch.seen(&look, LIMIT).overdue, "at {seconds} s");
    }
    assert!(watch.seen(&at(70), LIMIT).overdue);
}

/// A connection that is lost after the order was obeyed takes the application back to its habit:
/// it is told again at once.
#[test]
fn an_order_that_was_obeyed_may_be_given_again() {
    let mut watch = watch();
    watch.told(Party::Target, Message::StartReplay, Duration::ZERO);
    let taken = watch.seen(&at(1), LIMIT).target_told;
    assert_eq!(taken, Told::Taken(Message::StartReplay));
    let obeyed = Look {
        replay: queue(5, 1),
        ..at(2)
    };
    watch.seen(&obeyed, LIMIT);
    let lost = watch.seen(&at(3), LIMIT).target_told;
    assert_eq!(lost, Told::Old(Message::StartReplay));
}

#[test]
fn a_target_is_stale_when_two_listen_or_when_it_is_at_work_and_does_not_hear() {
    let mut watch = watch();
    watch.target = TargetPod::Present;
    let by_habit = |seconds| Look {
        target_orders: 1,
        ..at(seconds)
    };
    assert!(!watch.seen(&by_habit(1), LIMIT).target_stale);
    assert!(!watch.seen(&by_habit(5), LIMIT).target_stale);
    assert!(watch.seen(&by_habit(6), LIMIT).target_stale);
    let two = Look {
        source_listeners: 2,
        ..by_habit(0)
    };
    assert!(watch.seen(&two, LIMIT).target_stale);
    let heard = Look {
        target_orders: 0,
        ..two
    };
    assert!(!watch.seen(&heard, LIMIT).target_stale);
}

/// What the target has in hand is as good as waiting: it comes back with a lost connection.
#[test]
fn the_moment_to_open_is_one_at_which_nothing_is_left_in_hand_either() {
    let mut watch = watch();
    watch.target = TargetPod::Present;
    watch.side_by_side(Duration::ZERO);
    let at = |millis, in_hand| Look {
        at: Duration::from_secs(200) + Duration::from_millis(millis),
        replay: QueueView {
            unacknowledged: Some(in_hand),
            ..queue(0, 1)
        },
        ..Look::default()
    };
    assert!(!watch.seen(&at(0, 20), LIMIT).good_moment);
    assert!(watch.seen(&at(10, 0), LIMIT).good_moment);
    assert!(!watch.seen(&at(20, 1), LIMIT).good_moment);
    assert!(
        watch.seen(&at(2000, 1), LIMIT).good_moment,
        "there may be none, and one does not wait for ever"
    );
}

/// Some always have one in hand: to wait longer would not make it less.
#[test]
fn or_one_at_which_as_little_is_left_as_there_ever_was() {
    let looks = |looks: &[(u64, u64)]| {
        let mut watch = watch();
        watch.target = TargetPod::Present;
        watch.side_by_side(Duration::ZERO);
        let mut good = Vec::new();
        for (millis, in_hand) in looks {
            let look = Look {
                at: Duration::from_secs(200) + Duration::from_millis(*millis),
                replay: QueueView {
                    unacknowledged: Some(*in_hand),
                    ..queue(0, 1)
                },
                hold: QueueView {
                    unacknowledged: Some(*in_hand),
                    ..queue(0, 1)
                },
                ..Look::default()
            };
            let seen = watch.seen(&look, LIMIT);
            assert_eq!(seen.good_moment, seen.good_moment_back);
            good.push(seen.good_moment);
        }
        good
    };
    assert_eq!(looks(&[(0, 1), (200, 1), (250, 1)]), [false, false, true]);
    assert_eq!(
        looks(&[(0, 5), (200, 3), (300, 7), (350, 3)]),
        [false, false, false, true]
    );
}

/// A source drains H for as long as the migration lasts: what was seen of it long before the gate opens
/// would make any moment a good one.
#[test]
fn the_moment_back_is_looked_for_from_when_the_gate_is_to_open() {
    let mut watch = watch();
    let at = |millis, in_hand| Look {
        at: Duration::from_millis(millis),
        hold: QueueView {
            unacknowledged: Some(in_hand),
            ..queue(0, 1)
        },
        ..Look::default()
    };
    watch.seen(&at(0, 9), LIMIT);
    assert!(watch.seen(&at(60_000, 9), LIMIT).good_moment_back);
    watch.reopening_begins();
    assert!(!watch.seen(&at(60_010, 9), LIMIT).good_moment_back);
    assert!(watch.seen(&at(60_020, 0), LIMIT).good_moment_back);
}
