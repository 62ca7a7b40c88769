//! Tests of the comparison: one message wrong in each way, and a state that lies.

use jiff::Timestamp;

use super::*;

fn record(published: u64) -> Record {
    let log = PublisherRecord {
        published,
        ..Default::default()
    };
    let publishers = ["p0", "p1"]
        .map(|name| (name.to_owned(), log.clone()))
        .into();
    Record {
        publishers,
        ..Default::default()
    }
}

/// A state in which `p0` was applied as given and `p1` as published, in turns.
fn state(p0: &[u64], published: u64) -> State {
    let mut state = State::default();
    for at in 0..p0.len().max(usize::try_from(published).expect("is small")) {
        if let Some(&seq) = p0.get(at) {
            state.apply("p0", seq, false, Timestamp::UNIX_EPOCH);
        }
        if (at as u64) < published {
            state.apply("p1", at as u64 + 1, false, Timestamp::UNIX_EPOCH);
        }
    }
    state
}

fn verdict(p0: &[u64]) -> Verdict {
    compare(&record(5), &state(p0, 5), Options::default())
}

/// Lost, doubled, out of order, never published.
fn faults(verdict: &Verdict) -> [u64; 4] {
    [
        verdict.lost,
        verdict.doubled,
        verdict.out_of_order,
        verdict.unexpected,
    ]
}

#[test]
fn each_once_and_in_order_is_exact() {
    let verdict = verdict(&[1, 2, 3, 4, 5]);
    assert!(verdict.exact, "{verdict:?}");
    assert_eq!(
        (verdict.confirmed, verdict.applied, verdict.hash),
        (10, 10, Hash::Matches)
    );
}

#[test]
fn one_message_wrong_in_any_way_is_not_exact() {
    for (p0, expected) in [
        (&[1, 2, 4, 5][..], [1, 0, 0, 0]),
        (&[1, 2, 3, 4], [1, 0, 0, 0]),
        (&[2, 3, 4, 5], [1, 0, 0, 0]),
        (&[], [5, 0, 0, 0]),
        (&[1, 2, 3, 3, 4, 5], [0, 1, 0, 0]),
        (&[1, 2, 3, 4, 5, 1], [0, 1, 0, 0]),
        (&[1, 3, 2, 4, 5], [0, 0, 1, 0]),
        (&[1, 2, 3, 4, 5, 6], [0, 0, 0, 1]),
        (&[0, 1, 2, 3, 4, 5], [0, 0, 0, 1]),
    ] {
        let verdict = verdict(p0);
        assert_eq!(faults(&verdict), expected, "{p0:?}");
        assert!(!verdict.exact, "{p0:?}");
    }
}

#[test]
fn a_publisher_that_nobody_recorded_is_not_exact() {
    let mut state = state(&[1, 2, 3, 4, 5], 5);
    state.apply("stranger", 1, false, Timestamp::UNIX_EPOCH);
    let verdict = compare(&record(5), &state, Options::default());
    assert_eq!((verdict.exact, faults(&verdict)), (false, [0, 0, 0, 1]));
}

#[test]
fn a_state_that_lies_is_found_by_its_hash() {
    let honest = state(&[1, 2, 3, 4, 5], 5);
    let swapped = state(&[1, 3, 2, 4, 5], 5);
    let mut lying = honest.clone();
    let p0 = lying.publishers.get_mut("p0").expect("is there");
    p0.hash = swapped.publishers["p0"].hash;
    let verdict = compare(&record(5), &lying, Options::default());
    assert_eq!((verdict.exact, verdict.hash), (false, Hash::Differs));

    let mut lying = honest.clone();
    lying.count += 1;
    assert!(!compare(&record(5), &lying, Options::default()).exact);

    let mut lying = honest;
    lying.publishers.get_mut("p0").expect("is there").count += 1;
    assert!(!compare(&record(5), &lying, Options::default()).exact);
}

#[test]
fn an_unconfirmed_message_may_have_arrived_or_not() {
    let mut record = record(5);
    record
        .publishers
        .get_mut("p0")
        .expect("is there")
        .unconfirmed = [4, 5].into_iter().collect();
    for p0 in [
        &[1, 2, 3][..],
        &[1, 2, 3, 4],
        &[1, 2, 3, 5],
        &[1, 2, 3, 4, 5],
    ] {
        let verdict = compare(&record, &state(p0, 5), Options::default());
        assert!(verdict.exact, "{p0:?}");
        assert_eq!(verdict.confirmed, 8);
    }
    assert!(!compare(&record, &state(&[1, 2, 4], 5), Options::default()).exact);
}

#[test]
fn a_double_of_the_producers_own_is_excused_once() {
    let mut record = record(5);
    record
        .publishers
        .get_mut("p0")
        .expect("is there")
        .republished = [3].into_iter().collect();
    let excused = compare(&record, &state(&[1, 2, 3, 3, 4, 5], 5), Options::default());
    assert!(excused.exact, "{excused:?}");
    assert_eq!(excused.excused, 1);
    assert!(
        !compare(
            &record,
            &state(&[1, 2, 3, 3, 3, 4, 5], 5),
            Options::default()
        )
        .exact
    );
    assert!(!compare(&record, &state(&[1, 2, 3, 4, 4, 5], 5), Options::default()).exact);
}

#[test]
fn a_redelivered_double_passes_only_when_asked() {
    let mut state = state(&[1, 2, 3, 4, 5], 5);
    state.apply("p0", 5, true, Timestamp::UNIX_EPOCH);
    assert!(!compare(&record(5), &state, Options::default()).exact);
    assert!(
        compare(
            &record(5),
            &state,
            Options {
                allow_redelivered: true
            }
        )
        .exact
    );
    state.apply("p0", 5, false, Timestamp::UNIX_EPOCH);
    assert!(
        !compare(
            &record(5),
            &state,
            Options {
                allow_redelivered: true
            }
        )
        .exact
    );
}
