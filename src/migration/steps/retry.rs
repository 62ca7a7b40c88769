//! Patience: exponential backoff with jitter, where there is nothing to watch.

use std::time::Duration;

use crate::migration::ports::Clock;

/// Growing pauses between `first` and `most`.
#[derive(Debug, Clone)]
pub(super) struct Backoff {
    first: Duration,
    next: Duration,
    most: Duration,
}

impl Backoff {
    /// For looks at the broker: a look costs it about a millisecond.
    pub(super) fn looks() -> Self {
        Self::new(Duration::from_millis(10), Duration::from_millis(200))
    }

    /// For failed requests.
    pub(super) fn retries() -> Self {
        Self::new(Duration::from_millis(100), Duration::from_secs(5))
    }

    fn new(first: Duration, most: Duration) -> Self {
        Self {
            first,
            next: first,
            most,
        }
    }

    /// Begins anew: something has moved.
    pub(super) fn reset(&mut self) {
        self.next = self.first;
    }

    /// Waits, up to half as long again as the present pause so that many processes do not knock
    /// at once.
    pub(super) async fn pause(&mut self, clock: &dyn Clock) {
        let pause = self.next.mul_f64(1.0 + clock.random() / 2.0);
        self.next = self.next.mul_f64(1.5).min(self.most);
        clock.sleep(pause).await;
    }
}
