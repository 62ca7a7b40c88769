//! What the tests share: archives, a registry, a proxy that disturbs it, one by script, and the binary's runs.

pub(crate) mod archive;
pub(crate) mod binary;
pub(crate) mod proxy;
pub(crate) mod registry;
pub(crate) mod scripted;

use std::time::{Duration, Instant};

/// Long enough for anything that ends at all on a busy machine.
pub(crate) const DEADLINE: Duration = Duration::from_secs(120);

/// Asks until there is an answer.
pub(crate) fn wait_for<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(
            start.elapsed() < DEADLINE,
            "{what}: not within {DEADLINE:?}"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
}
