//! Figures from what was observed: pure functions over times.

/// A message as everybody who looked saw it. Times are seconds since some common moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Seen {
    /// When it was published.
    pub sent: f64,
    /// When any worker first applied it.
    pub applied: f64,
}

/// A request to the service's endpoint.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Probe {
    /// When it was made, in seconds since some common moment.
    pub at: f64,
    /// How long the answer took in seconds; none if there was none.
    pub took: Option<f64>,
}

/// An answer that takes longer than this many seconds is none: twenty times what it takes from a
/// worker that is not frozen, on a busy machine.
pub const SLOW: f64 = 0.1;

/// How long a service did not answer.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Unavailable {
    /// All in all, in seconds.
    pub total: f64,
    /// The longest stretch, in seconds.
    pub longest: f64,
    /// Requests that were not answered in time.
    pub requests: u64,
}

/// Time in which a client that asks got no answer in time: from each request that got none to the next
/// one that did.
pub fn unavailable(probes: &[Probe]) -> Unavailable {
    let mut sorted = probes.to_vec();
    sorted.sort_by(|a, b| a.at.total_cmp(&b.at));
    let mut found = Unavailable::default();
    let mut since = None;
    for probe in &sorted {
        let answered = probe.took.is_some_and(|took| took <= SLOW);
        found.requests += u64::from(!answered);
        match (answered, since) {
            (false, None) => since = Some(probe.at),
            (true, Some(began)) => {
                found.add(probe.at - began);
                since = None;
            }
            _ => {}
        }
    }
    if let (Some(began), Some(last)) = (since, sorted.last()) {
        found.add(last.at - began);
    }
    found
}

impl Unavailable {
    fn add(&mut self, stretch: f64) {
        self.total += stretch;
        self.longest = self.longest.max(stretch);
    }
}

/// The longest time, in seconds, in which messages waited and none was applied, among those that end
/// within `from..=to`. A time without messages to apply is no gap.
pub fn longest_gap(messages: &[Seen], from: f64, to: f64) -> f64 {
    let mut sorted = messages.to_vec();
    sorted.sort_by(|a, b| a.applied.total_cmp(&b.applied));
    let mut longest = 0.0_f64;
    // Backwards, with the earliest publication of all that are applied from here on.
    let mut waiting_since = f64::INFINITY;
    for at in (0..sorted.len()).rev() {
        let message = sorted[at];
        waiting_since = waiting_since.min(message.sent);
        let before = at.checked_sub(1).map(|at| sorted[at].applied);
        let begins = before.map_or(waiting_since, |before| before.max(waiting_since));
        if (from..=to).contains(&message.applied) {
            longest = longest.max(message.applied - begins);
        }
    }
    longest
}

/// Ages of messages when they were applied, in seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ages {
    /// Half were not older.
    pub p50: f64,
    /// 99 of 100 were not older.
    pub p99: f64,
    /// The oldest.
    pub max: f64,
}

/// Of the messages that were published within `from..to`; none if there are none.
pub fn ages(messages: &[Seen], from: f64, to: f64) -> Option<Ages> {
    let mut ages: Vec<f64> = messages
        .iter()
        .filter(|message| (from..to).contains(&message.sent))
        .map(|message| (message.applied - message.sent).max(0.0))
        .collect();
    ages.sort_by(f64::total_cmp);
    Some(Ages {
        p50: quantile(&ages, 0.5)?,
        p99: quantile(&ages, 0.99)?,
        max: *ages.last()?,
    })
}

/// The value below which that share of sorted values lies, between two of them in proportion.
pub fn quantile(sorted: &[f64], share: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    let place = share.clamp(0.0, 1.0) * last as f64;
    let below = place.floor() as usize;
    let (low, high) = (sorted[below], sorted[(below + 1).min(last)]);
    Some(low + (high - low) * (place - place.floor()))
}

#[cfg(test)]
mod tests {
    //! Tests of the figures.

    use super::*;

    fn close(a: f64, b: f64) {
        assert!((a - b).abs() < 1e-9, "{a} is not {b}");
    }

    fn seen(times: &[(f64, f64)]) -> Vec<Seen> {
        let make = |&(sent, applied): &(f64, f64)| Seen { sent, applied };
        times.iter().map(make).collect()
    }

    #[test]
    fn time_without_an_answer_runs_to_the_next_one() {
        let probe = |at, took| Probe { at, took };
        let probes = [
            probe(0.00, Some(0.001)),
            probe(0.01, None),
            probe(0.02, Some(0.5)),
            probe(0.03, Some(0.001)),
            probe(0.05, None),
            probe(0.06, Some(0.001)),
        ];
        let found = unavailable(&probes);
        close(found.total, 0.03);
        close(found.longest, 0.02);
        assert_eq!(found.requests, 3);
        assert_eq!(unavailable(&probes[..1]), Unavailable::default());
        close(unavailable(&probes[1..3]).total, 0.01);
    }

    #[test]
    fn a_gap_counts_only_while_something_waits() {
        // Nothing waits from 1.1 to 5.0; then one waits until 5.3.
        let messages = seen(&[(1.0, 1.1), (5.0, 5.3)]);
        close(longest_gap(&messages, 0.0, 9.0), 0.3);
        // One that waits all the time makes the whole time a gap.
        let messages = seen(&[(1.0, 1.1), (1.05, 5.3), (5.0, 5.31)]);
        close(longest_gap(&messages, 0.0, 9.0), 4.2);
        close(longest_gap(&messages, 0.0, 2.0), 0.1);
        close(longest_gap(&[], 0.0, 9.0), 0.0);
    }

    #[test]
    fn ages_are_those_of_the_messages_of_that_time() {
        let messages = seen(&[(0.0, 0.1), (1.0, 1.2), (1.5, 1.9), (2.0, 9.0)]);
        let found = ages(&messages, 1.0, 2.0).expect("there are two");
        close(found.p50, 0.3);
        close(found.max, 0.4);
        assert_eq!(ages(&messages, 3.0, 4.0), None);
    }

    #[test]
    fn quantiles_lie_between_values() {
        let values = [1.0, 2.0, 3.0, 4.0];
        close(quantile(&values, 0.5).expect("some"), 2.5);
        close(quantile(&values, 0.0).expect("some"), 1.0);
        close(quantile(&values, 1.0).expect("some"), 4.0);
        assert_eq!(quantile(&[], 0.5), None);
    }
}
