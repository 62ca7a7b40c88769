//! The comparison itself: a record and a state in, a verdict out, nothing else.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::producer::{PublisherRecord, Record};
use crate::state::{Chain, Publisher, Ranges, State};

/// What the audit lets pass.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Excuse doubles that the broker marked as redelivered. At-least-once delivery has them
    /// when a connection is lost between application and acknowledgement, as when the broker
    /// restarts under load; a migration alone must not.
    pub allow_redelivered: bool,
}

/// What the audit found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Verdict {
    /// Every confirmed message is in the state exactly once and in order, and nothing else is.
    pub exact: bool,
    /// Messages that the broker confirmed.
    pub confirmed: u64,
    /// Messages that the worker applied, doubled ones included.
    pub applied: u64,
    /// Confirmed messages that the worker did not apply.
    pub lost: u64,
    /// Times that a message was applied again, without the excused ones.
    pub doubled: u64,
    /// Messages applied after a later one of the same publisher.
    pub out_of_order: u64,
    /// Messages applied that were never published.
    pub unexpected: u64,
    /// Doubles that are not the migration's: the producer published the message again since
    /// its first confirm did not come, or the options let them pass.
    pub excused: u64,
    /// Whether the worker's hashes are those of the record.
    pub hash: Hash,
    /// The same by publisher.
    pub publishers: BTreeMap<String, PublisherVerdict>,
}

/// What the audit found about one publisher.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PublisherVerdict {
    /// Messages that the broker confirmed.
    pub confirmed: u64,
    /// Messages that the worker applied, doubled ones included.
    pub applied: u64,
    /// The numbers of the lost ones.
    pub lost: Ranges,
    /// Times that a message was applied again, without the excused ones.
    pub doubled: u64,
    /// The numbers of those applied again, with the excused ones.
    pub doubled_numbers: Ranges,
    /// Doubles that are excused.
    pub excused: u64,
    /// The numbers of those applied late.
    pub out_of_order: Ranges,
    /// Numbers applied that were never published.
    pub unexpected: Ranges,
    /// Whether the worker's hash is the one of the record.
    pub hash: Hash,
}

/// What the comparison of hashes gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Hash {
    /// The worker's is the one computed from the record.
    Matches,
    /// It cannot be computed, since something came twice or out of turn.
    NotComparable,
    /// The worker's is another one, or its counts contradict each other.
    Differs,
}

/// Compares what was confirmed with what was applied.
pub fn compare(record: &Record, state: &State, options: Options) -> Verdict {
    let (no_record, no_state) = (PublisherRecord::default(), Publisher::default());
    let names = record.publishers.keys().chain(state.publishers.keys());
    let publishers: BTreeMap<String, PublisherVerdict> = names
        .map(|name| {
            let published = record.publishers.get(name).unwrap_or(&no_record);
            let applied = state.publishers.get(name).unwrap_or(&no_state);
            (
                name.clone(),
                compare_publisher(name, published, applied, options),
            )
        })
        .collect();
    let sum = |of: fn(&PublisherVerdict) -> u64| publishers.values().map(of).sum::<u64>();
    let mut verdict = Verdict {
        exact: false,
        confirmed: sum(|publisher| publisher.confirmed),
        applied: state.count,
        lost: sum(|publisher| publisher.lost.len()),
        doubled: sum(|publisher| publisher.doubled),
        out_of_order: sum(|publisher| publisher.out_of_order.len()),
        unexpected: sum(|publisher| publisher.unexpected.len()),
        excused: sum(|publisher| publisher.excused),
        hash: overall_hash(&publishers, state),
        publishers,
    };
    verdict.exact = verdict.lost + verdict.doubled + verdict.out_of_order + verdict.unexpected
        == 0
        && verdict.hash != Hash::Differs
        // Without an excused double there is always something to compare.
        && (verdict.hash == Hash::Matches || verdict.excused > 0);
    verdict
}

fn compare_publisher(
    name: &str,
    record: &PublisherRecord,
    state: &Publisher,
    options: Options,
) -> PublisherVerdict {
    let lost: Ranges = (1..=record.published)
        .filter(|&seq| !record.unconfirmed.contains(seq) && !state.seen.contains(seq))
        .collect();
    let unexpected = state
        .seen
        .numbers()
        .filter(|&seq| seq == 0 || seq > record.published)
        .collect();
    let doubled = &state.doubled;
    // Published twice explains applied twice, not three times.
    let republished = doubled
        .numbers
        .numbers()
        .filter(|&seq| record.republished.contains(seq))
        .count() as u64;
    let redelivered = if options.allow_redelivered {
        state.doubled_redelivered
    } else {
        0
    };
    let excused = doubled.count.min(republished + redelivered);
    PublisherVerdict {
        confirmed: record.confirmed(),
        applied: state.count,
        lost,
        doubled: doubled.count - excused,
        doubled_numbers: doubled.numbers.clone(),
        excused,
        out_of_order: state.out_of_order.numbers.clone(),
        unexpected,
        hash: compare_hash(name, state),
    }
}

/// The hash over the numbers that the state claims to have applied, each once and in order,
/// against the one that it chained while applying them.
fn compare_hash(name: &str, state: &Publisher) -> Hash {
    if state.count != state.seen.len() + state.doubled.count {
        return Hash::Differs;
    }
    if state.doubled.count > 0 || state.out_of_order.count > 0 {
        return Hash::NotComparable;
    }
    if Chain::over(name, state.seen.numbers()) == state.hash {
        Hash::Matches
    } else {
        Hash::Differs
    }
}

/// The worst of all publishers', and that of the state as a whole, which can be computed only
/// where one publisher did everything: how several take turns is not in the record.
fn overall_hash(publishers: &BTreeMap<String, PublisherVerdict>, state: &State) -> Hash {
    let counted: u64 = state
        .publishers
        .values()
        .map(|publisher| publisher.count)
        .sum();
    let alone = match state.publishers.len() {
        0 => state.hash == Chain::default(),
        1 => state
            .publishers
            .values()
            .all(|publisher| publisher.hash == state.hash),
        _ => true,
    };
    if counted != state.count || !alone {
        return Hash::Differs;
    }
    publishers
        .values()
        .map(|publisher| publisher.hash)
        .max()
        .unwrap_or(Hash::Matches)
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
