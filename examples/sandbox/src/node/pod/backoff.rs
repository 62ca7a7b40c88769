//! The growing pauses of a kubelet: before a crashed container is started again, before an
//! image is pulled again.

use std::time::Duration;

/// The longest pause, as multiple of the first: a kubelet goes from ten seconds to five minutes.
const LONGEST: u32 = 30;

/// Pauses that double.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Backoff {
    first: Duration,
    next: Duration,
}

impl Backoff {
    pub(crate) fn new(first: Duration) -> Self {
        Self { first, next: first }
    }

    /// The pause to make now.
    pub(crate) fn next(&mut self) -> Duration {
        let now = self.next;
        self.next = (now * 2).min(self.first * LONGEST);
        now
    }

    /// Begins anew when something went well for twice the longest pause.
    pub(crate) fn ran(&mut self, time: Duration) {
        if time > self.first * LONGEST * 2 {
            self.next = self.first;
        }
    }
}

/// A pause in the words of Kubernetes: `10s`, `1m20s`, `5m0s`.
pub(crate) fn words(pause: Duration) -> String {
    let seconds = pause.as_secs();
    if seconds == 0 {
        return format!("{}ms", pause.as_millis());
    }
    match seconds / 60 {
        0 => format!("{seconds}s"),
        minutes => format!("{minutes}m{}s", seconds % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_limit() {
        let mut backoff = Backoff::new(Duration::from_secs(10));
        let pauses: Vec<_> = (0..7).map(|_| words(backoff.next())).collect();
        assert_eq!(
            pauses,
            ["10s", "20s", "40s", "1m20s", "2m40s", "5m0s", "5m0s"]
        );
        backoff.ran(Duration::from_secs(601));
        assert_eq!(backoff.next(), Duration::from_secs(10));
    }
}
