//! When each of the latest messages was published and when it was applied, for whoever measures
//! from outside. Not for the audit, which goes by numbers and hashes and not by clocks.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

/// A message that was applied. In JSON a list of four, since there are many of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    from = "(String, u64, Option<i64>, i64)",
    into = "(String, u64, Option<i64>, i64)"
)]
pub struct Applied {
    /// Who published it.
    pub publisher: String,
    /// Its number.
    pub seq: u64,
    /// When it was published, in microseconds since 1970 by the publisher's clock.
    pub sent: Option<i64>,
    /// When it was applied, in microseconds since 1970 by the worker's clock.
    pub at: i64,
}

impl From<(String, u64, Option<i64>, i64)> for Applied {
    fn from((publisher, seq, sent, at): (String, u64, Option<i64>, i64)) -> Self {
        Self {
            publisher,
            seq,
            sent,
            at,
        }
    }
}

impl From<Applied> for (String, u64, Option<i64>, i64) {
    fn from(it: Applied) -> Self {
        (it.publisher, it.seq, it.sent, it.at)
    }
}

/// The latest of them, and how many were forgotten. A restored process has those of the one that it
/// was, up to the checkpoint.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Times {
    /// The place of the first one that is here among all that were noted.
    pub from: u64,
    /// In the order of application.
    pub applied: VecDeque<Applied>,
}

impl Times {
    /// Notes a message, and forgets the oldest where there are more than `keep`.
    pub(super) fn note(&mut self, message: Applied, keep: usize) {
        if keep == 0 {
            return;
        }
        self.applied.push_back(message);
        while self.applied.len() > keep {
            self.applied.pop_front();
            self.from += 1;
        }
    }

    /// Those from place `since` on.
    pub(super) fn since(&self, since: u64) -> Self {
        let skip = usize::try_from(since.saturating_sub(self.from)).unwrap_or(usize::MAX);
        let skip = skip.min(self.applied.len());
        Self {
            from: self.from + skip as u64,
            applied: self.applied.iter().skip(skip).cloned().collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    //! Tests of what is kept and what is told.

    use super::*;

    fn message(seq: u64) -> Applied {
        (String::from("p0"), seq, Some(1), 2).into()
    }

    fn told(times: &Times, since: u64) -> (u64, Vec<u64>) {
        let told = times.since(since);
        (told.from, told.applied.iter().map(|it| it.seq).collect())
    }

    #[test]
    fn the_latest_are_kept_and_told_from_any_place() {
        let mut times = Times::default();
        for seq in 1..=5 {
            times.note(message(seq), 3);
        }
        assert_eq!(told(&times, 0), (2, vec![3, 4, 5]));
        assert_eq!(told(&times, 4), (4, vec![5]));
        assert_eq!(told(&times, 5), (5, vec![]));
        assert_eq!(told(&times, 99), (5, vec![]));
        times.note(message(6), 0);
        assert_eq!(told(&times, 5), (5, vec![]));
    }

    #[test]
    fn a_message_is_a_list_of_four() {
        let text = serde_json::to_string(&message(7)).expect("serialises");
        assert_eq!(text, r#"["p0",7,1,2]"#);
        let read: Applied = serde_json::from_str(&text).expect("is one");
        assert_eq!(read, message(7));
    }
}
