//! The longest times in which nothing was applied. A restored process carries its old times
//! on, so the time that a migration took from the consumer is one of them.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// How many gaps are kept.
const KEPT: usize = 16;

/// A time between two applied messages, by the wall clock: the one clock that means the same
/// on both nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// Its length in milliseconds, rounded down.
    pub ms: u64,
    /// When the message before it was applied.
    pub from: Timestamp,
    /// When the message after it was applied.
    pub to: Timestamp,
}

/// The longest gaps, the longest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Gaps(Vec<Gap>);

impl Gaps {
    /// Counts the time between two messages in, if it is among the longest.
    pub fn add(&mut self, from: Timestamp, to: Timestamp) {
        // A clock that was set back makes a gap of nothing.
        let ms = u64::try_from(to.duration_since(from).as_millis()).unwrap_or(0);
        if self.0.len() == KEPT && self.0.last().is_some_and(|shortest| ms <= shortest.ms) {
            return;
        }
        let at = self.0.partition_point(|gap| gap.ms >= ms);
        self.0.insert(at, Gap { ms, from, to });
        self.0.truncate(KEPT);
    }

    /// The longest gap.
    pub fn longest(&self) -> Option<Gap> {
        self.0.first().copied()
    }

    /// The longest gap that was open at some moment between two times: with the beginning and
    /// the end of a migration, its downtime as the consumer saw it.
    pub fn longest_between(&self, begin: Timestamp, end: Timestamp) -> Option<Gap> {
        self.0
            .iter()
            .copied()
            .find(|gap| gap.from <= end && gap.to >= begin)
    }

    /// All that are kept, the longest first.
    pub fn iter(&self) -> impl Iterator<Item = Gap> + '_ {
        self.0.iter().copied()
    }
}
