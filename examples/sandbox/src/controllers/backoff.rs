//! How long to wait before what failed is tried again: a little longer each time, as the work
//! queues of the real controllers do it. Pure.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

const FIRST: Duration = Duration::from_millis(5);
const LONGEST: Duration = Duration::from_secs(1000);

/// The failures in a row of each piece of work.
#[derive(Debug)]
pub(super) struct Backoff<K> {
    failures: Mutex<HashMap<K, u32>>,
}

impl<K> Default for Backoff<K> {
    fn default() -> Self {
        Self {
            failures: Mutex::default(),
        }
    }
}

impl<K: Eq + Hash> Backoff<K> {
    /// It has failed, and this is when to try again.
    pub(super) fn failed(&self, key: K) -> Duration {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        let count = failures.entry(key).or_default();
        let pause = FIRST.saturating_mul(2_u32.saturating_pow(*count));
        *count = count.saturating_add(1);
        pause.min(LONGEST)
    }

    /// It has gone well.
    pub(super) fn succeeded(&self, key: &K) {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        failures.remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_until_it_goes_well() {
        let backoff = Backoff::default();
        let pauses: Vec<_> = (0..4).map(|_| backoff.failed("a").as_millis()).collect();
        assert_eq!(pauses, [5, 10, 20, 40]);
        assert_eq!(backoff.failed("b"), FIRST);
        backoff.succeeded(&"a");
        assert_eq!(backoff.failed("a"), FIRST);
        assert_eq!((0..50).map(|_| backoff.failed("a")).max(), Some(LONGEST));
    }
}
