//! What a worker remembers of the messages it applied: enough to tell exactly and cheaply
//! whether any is missing, came twice or came late.
//!
//! Not here: any attempt to put that right. The worker applies what it is given, since a
//! worker that dropped a second copy would hide a broken handoff from the audit.

mod chain;
mod gaps;
mod ranges;

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use chain::Chain;
pub use gaps::{Gap, Gaps};
pub use ranges::Ranges;

/// Everything that a worker remembers. It is the state that a migration has to carry over.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct State {
    /// Messages applied, doubled ones included.
    pub count: u64,
    /// Hash chained over every message applied, of all publishers in the order of application.
    pub hash: Chain,
    /// What is known of each publisher.
    pub publishers: BTreeMap<String, Publisher>,
    /// Messages that could not be read as numbered ones. They are in no count.
    pub unreadable: u64,
    /// When the first message was applied.
    pub first_applied: Option<Timestamp>,
    /// When the latest message was applied.
    pub last_applied: Option<Timestamp>,
    /// The longest times between two applied messages.
    pub gaps: Gaps,
}

/// What is known of the messages of one publisher.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Publisher {
    /// The highest number applied.
    pub last: u64,
    /// Messages applied, doubled ones included.
    pub count: u64,
    /// Hash chained over this publisher's messages in the order of application. Unlike the
    /// one over all publishers it can be computed from the numbers alone.
    pub hash: Chain,
    /// The numbers applied.
    pub seen: Ranges,
    /// Messages applied although their number had been applied before.
    pub doubled: Oddities,
    /// Of the doubled ones those that the broker marked as redelivered: handed out before on
    /// a connection that ended without an acknowledgement.
    pub doubled_redelivered: u64,
    /// Messages applied for the first time after one with a higher number.
    pub out_of_order: Oddities,
}

/// How often something happened that should not have, and to which numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Oddities {
    /// How often. More than there are numbers if one came three times.
    pub count: u64,
    /// The numbers.
    pub numbers: Ranges,
}

impl Oddities {
    fn add(&mut self, seq: u64) {
        self.count += 1;
        self.numbers.insert(seq);
    }
}

impl State {
    /// Applies one message. Whole or not at all: there is no point in here at which another
    /// task could look.
    pub fn apply(&mut self, publisher: &str, seq: u64, redelivered: bool, now: Timestamp) {
        self.count += 1;
        self.hash.add(publisher, seq);
        if let Some(previous) = self.last_applied {
            self.gaps.add(previous, now);
        }
        self.first_applied.get_or_insert(now);
        self.last_applied = Some(now);
        // A lookup by reference first: the name is copied once, not for every message.
        if let Some(known) = self.publishers.get_mut(publisher) {
            known.apply(publisher, seq, redelivered);
        } else {
            let mut new = Publisher::default();
            new.apply(publisher, seq, redelivered);
            self.publishers.insert(publisher.to_owned(), new);
        }
    }

    /// Numbers missing below the highest applied one, over all publishers. A message still
    /// waiting in a queue is not missing in this sense.
    pub fn lost(&self) -> u64 {
        self.publishers.values().map(Publisher::lost).sum()
    }

    /// Messages applied more than once, over all publishers.
    pub fn doubled(&self) -> u64 {
        self.publishers
            .values()
            .map(|publisher| publisher.doubled.count)
            .sum()
    }

    /// Messages applied late, over all publishers.
    pub fn out_of_order(&self) -> u64 {
        self.publishers
            .values()
            .map(|publisher| publisher.out_of_order.count)
            .sum()
    }
}

impl Publisher {
    fn apply(&mut self, name: &str, seq: u64, redelivered: bool) {
        self.count += 1;
        self.hash.add(name, seq);
        if !self.seen.insert(seq) {
            self.doubled.add(seq);
            self.doubled_redelivered += u64::from(redelivered);
        } else if seq < self.last {
            self.out_of_order.add(seq);
        }
        self.last = self.last.max(seq);
    }

    /// Numbers missing between 1 and the highest applied one.
    pub fn lost(&self) -> u64 {
        self.last.saturating_sub(self.seen.within(1, self.last))
    }
}

#[cfg(test)]
mod tests;
