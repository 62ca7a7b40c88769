//! How often something costly is asked for: so that a broker with many queues is not kept busy by
//! the question how one of them stands.

use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

/// For so many times as long as the last answer took it is left alone.
const REST: u32 = 3;

/// And for no longer than this.
const REST_MAX: Duration = Duration::from_secs(2);

/// Requests one after the other, each with its rest behind it.
#[derive(Debug, Default)]
pub(super) struct Pace {
    rested: Mutex<Option<Instant>>,
}

impl Pace {
    /// Makes the request once the rest after the one before is over.
    pub(super) async fn keep<T>(&self, request: impl Future<Output = T>) -> T {
        let mut rested = self.rested.lock().await;
        if let Some(rested) = *rested {
            tokio::time::sleep_until(rested).await;
        }
        let asked = Instant::now();
        let answer = request.await;
        *rested = Some(Instant::now() + (asked.elapsed() * REST).min(REST_MAX));
        answer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_takes_long_is_asked_for_seldom() {
        let pace = Pace::default();
        let begin = Instant::now();
        let starts_after = async |took: u64| {
            let at = async {
                let at = begin.elapsed();
                tokio::time::sleep(Duration::from_millis(took)).await;
                at.as_millis()
            };
            pace.keep(at).await
        };
        assert_eq!(starts_after(100).await, 0);
        assert_eq!(starts_after(2_000).await, 100 + 300);
        assert_eq!(starts_after(1).await, 400 + 2_000 + 2_000);
    }
}
