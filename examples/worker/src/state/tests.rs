//! Tests of the bookkeeping, against a naive model of it.

use std::collections::BTreeSet;

use super::*;

/// Every sequence of `length` numbers out of `1..=highest`.
fn sequences(length: u32, highest: u64) -> impl Iterator<Item = Vec<u64>> {
    (0..highest.pow(length)).map(move |mut index| {
        (0..length)
            .map(|_| {
                let seq = index % highest + 1;
                index /= highest;
                seq
            })
            .collect()
    })
}

fn state_of(sequence: &[u64]) -> State {
    let mut state = State::default();
    for &seq in sequence {
        state.apply("p", seq, false, Timestamp::UNIX_EPOCH);
    }
    state
}

#[test]
fn every_short_sequence_is_judged_as_by_a_naive_model() {
    for sequence in sequences(6, 5) {
        let state = state_of(&sequence);
        let (mut seen, mut doubled, mut late) = (BTreeSet::new(), 0, 0);
        for &seq in &sequence {
            let highest = seen.last().copied().unwrap_or(0);
            if !seen.insert(seq) {
                doubled += 1;
            } else if seq < highest {
                late += 1;
            }
        }
        let last = seen.last().copied().unwrap_or(0);
        assert_eq!(state.lost(), last - seen.len() as u64, "{sequence:?}");
        assert_eq!(state.doubled(), doubled, "{sequence:?}");
        assert_eq!(state.out_of_order(), late, "{sequence:?}");
        let ranges = &state.publishers["p"].seen;
        assert!(
            (0..=6).all(|seq| ranges.contains(seq) == seen.contains(&seq)),
            "{sequence:?}"
        );
        let pairs: Vec<_> = ranges.iter().collect();
        assert!(
            pairs.windows(2).all(|pair| pair[0].1 + 1 < pair[1].0),
            "{pairs:?} not apart"
        );
    }
}

#[test]
fn only_each_once_and_in_order_gives_the_expected_hash() {
    let expected = Chain::of("p", 5);
    let exact: Vec<_> = sequences(5, 5)
        .filter(|sequence| state_of(sequence).hash == expected)
        .collect();
    assert_eq!(exact, [[1, 2, 3, 4, 5]]);
}

#[test]
fn the_chain_is_the_documented_one() {
    // python3: hashlib.sha256(bytes(32) + b'p0' + (1).to_bytes(8, 'big')).hexdigest()
    let text = Chain::of("p0", 1).to_string();
    assert_eq!(text, EXPECTED_FIRST_LINK);
}

const EXPECTED_FIRST_LINK: &str =
    "3b820c845b6dbf797481a464c718b7bb73d8b5b5aa4d13153dde0a5ad867c1b4";

#[test]
fn the_state_survives_a_round_trip() {
    let mut state = state_of(&[1, 2, 4, 3, 4, 9]);
    state.apply(
        "q",
        1,
        true,
        Timestamp::UNIX_EPOCH + jiff::SignedDuration::from_millis(1500),
    );
    state.apply(
        "q",
        1,
        true,
        Timestamp::UNIX_EPOCH + jiff::SignedDuration::from_millis(1600),
    );
    assert_eq!(state.publishers["q"].doubled_redelivered, 1);
    let text = serde_json::to_string(&state).expect("serialises");
    assert_eq!(serde_json::from_str::<State>(&text).expect("parses"), state);
}

#[test]
fn the_longest_gaps_are_kept() {
    let at = |ms: i64| Timestamp::from_millisecond(ms).expect("is in range");
    let mut gaps = Gaps::default();
    let mut now = 0;
    for ms in (1..=100).chain([5000]).chain(1..=100) {
        gaps.add(at(now), at(now + ms));
        now += ms;
    }
    let kept: Vec<_> = gaps.iter().map(|gap| gap.ms).collect();
    assert_eq!(kept.len(), 16);
    assert!(kept.is_sorted_by(|a, b| a >= b), "{kept:?}");
    assert_eq!((kept[0], kept[1], kept[2]), (5000, 100, 100));
    let first_half: i64 = (1..=100).sum();
    let between = gaps
        .longest_between(at(first_half + 5100), at(now))
        .expect("has one there");
    assert_eq!(between.ms, 100);
    gaps.add(at(10), at(0));
    assert_eq!(gaps.longest().map(|gap| gap.ms), Some(5000));
}
