//! How fast a transfer goes and how long it will still take, from what was seen of it lately. Pure:
//! the caller says what the time is.

use std::collections::VecDeque;

/// How far back is looked, seconds: long enough that one piece more or less does not show.
const WINDOW: f64 = 3.0;

/// Less than that, in seconds, is no measurement.
const SHORTEST: f64 = 0.05;

/// Counts at a moment, bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Size of the archive.
    pub(crate) total: u64,
    /// Read of the archive.
    pub(crate) read: u64,
    /// Made of what was read.
    pub(crate) packed: u64,
    /// Sent of what was made.
    pub(crate) sent: u64,
}

/// What follows from the counts. What cannot be told yet is absent.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Pace {
    /// Stored size by size.
    pub(crate) ratio: Option<f64>,
    /// Bytes of the archive a second, by what was sent.
    pub(crate) bytes_per_second: Option<f64>,
    /// Seconds until the registry has all of the layer.
    pub(crate) eta: Option<f64>,
}

/// Remembers what was seen lately.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    /// When, in seconds, and how much of the archive was in the registry then.
    seen: VecDeque<(f64, f64)>,
}

impl Meter {
    /// Takes the counts at a moment; moments do not go back.
    pub(crate) fn look(&mut self, at: f64, counts: Counts) -> Pace {
        let ratio = (counts.read > 0 && counts.packed > 0)
            .then(|| counts.packed as f64 / counts.read as f64);
        let Some(ratio) = ratio else {
            self.seen.clear();
            self.seen.push_back((at, 0.0));
            return Pace::default();
        };
        // As if all of the archive were packed alike: what is in the layer is not told apart.
        let done = (counts.sent as f64 / ratio).min(counts.total as f64);
        self.remember(at, done);
        let (since, before) = *self.seen.front().unwrap_or(&(at, done));
        let elapsed = at - since;
        let speed = (elapsed >= SHORTEST && done > before).then(|| (done - before) / elapsed);
        let left = counts.total as f64 - done;
        Pace {
            ratio: Some(ratio),
            bytes_per_second: speed,
            eta: speed.map(|speed| left / speed),
        }
    }

    fn remember(&mut self, at: f64, done: f64) {
        // An upload that begins anew; the estimate itself goes back by less than that.
        if self.seen.back().is_some_and(|(_, last)| done < last / 2.0) {
            self.seen.clear();
        }
        self.seen.push_back((at, done));
        while self.seen.len() > 2 && self.seen[1].0 <= at - WINDOW {
            self.seen.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1024 * 1024;

    fn counts(read: u64, packed: u64, sent: u64) -> Counts {
        Counts {
            total: 1000 * MIB,
            read: read * MIB,
            packed: packed * MIB,
            sent: sent * MIB,
        }
    }

    #[test]
    fn half_of_it_in_a_second_leaves_a_second() {
        let mut meter = Meter::default();
        assert_eq!(meter.look(0.0, counts(0, 0, 0)), Pace::default());
        let pace = meter.look(1.0, counts(600, 240, 200));
        assert_eq!(pace.ratio, Some(0.4));
        assert_eq!(pace.bytes_per_second, Some(500.0 * MIB as f64));
        assert_eq!(pace.eta, Some(1.0));
        let end = meter.look(2.0, counts(1000, 400, 400));
        assert_eq!(end.eta, Some(0.0));
    }

    #[test]
    fn what_was_long_ago_does_not_count() {
        let mut meter = Meter::default();
        meter.look(0.0, counts(0, 0, 0));
        meter.look(1.0, counts(600, 600, 500));
        // The link has become slow.
        let mut last = Pace::default();
        for second in 2..20_u32 {
            let sent = 500 + u64::from(second);
            last = meter.look(second.into(), counts(600, 600, sent));
        }
        assert_eq!(last.bytes_per_second, Some(MIB as f64));
    }

    #[test]
    fn an_upload_that_begins_anew_is_measured_anew() {
        let mut meter = Meter::default();
        meter.look(0.0, counts(0, 0, 0));
        meter.look(1.0, counts(600, 600, 500));
        let again = meter.look(1.2, counts(20, 20, 10));
        assert_eq!(again.bytes_per_second, None);
        let again = meter.look(1.3, counts(40, 40, 20));
        let speed = again.bytes_per_second.expect("two looks");
        assert!((90.0..110.0).contains(&(speed / MIB as f64)), "{speed}");
    }

    #[test]
    fn nothing_is_made_up() {
        let mut meter = Meter::default();
        let pace = meter.look(0.0, counts(10, 10, 0));
        assert_eq!((pace.bytes_per_second, pace.eta), (None, None));
        let pace = meter.look(5.0, counts(10, 10, 0));
        assert_eq!((pace.bytes_per_second, pace.eta), (None, None));
    }
}
