//! Ordinary failures of the API server are tried again, with exponential backoff and jitter,
//! within a bound. For idempotent requests only: the checkpoint call never comes through here.

use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use super::error::port_error;
use crate::migration::error::PortError;
use crate::migration::ports::PortResult;

/// How long one attempt may take: the client library itself has no read timeout, since watches
/// and logs live on its connections too.
const ATTEMPT: Duration = Duration::from_secs(30);

/// The first pause; each one after it is twice as long, up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// The longest pause between two attempts.
const LONGEST_PAUSE: Duration = Duration::from_secs(3);

/// How long a request is tried again once the API server has answered before: long enough for
/// an API server that restarts or a control plane that changes its leader.
const BUDGET: Duration = Duration::from_secs(20);

/// How long, while it never has: then it is rather the address that is wrong, and a person waits.
const FIRST_BUDGET: Duration = Duration::from_secs(2);

/// Tries idempotent requests again.
#[derive(Debug)]
pub(super) struct Retry {
    answered: AtomicBool,
    budget: Duration,
    first_budget: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            answered: AtomicBool::new(false),
            budget: BUDGET,
            first_budget: FIRST_BUDGET,
        }
    }
}

impl Retry {
    /// Sends a request, again as long as that may help. `what` says what it is for, as
    /// `read pod web-0`.
    pub(super) async fn run<T, F, Fut>(&self, what: &str, mut request: F) -> PortResult<T>
    where
        F: FnMut() -> Fut,
        Fut: Future<Output = Result<T, kube::Error>>,
    {
        let begin = Instant::now();
        let mut pause = FIRST_PAUSE;
        loop {
            let error = match timeout(ATTEMPT, request()).await {
                Ok(Ok(answer)) => {
                    self.answered.store(true, Ordering::Relaxed);
                    return Ok(answer);
                }
                Ok(Err(error)) => error,
                Err(_) => {
                    return Err(PortError::Unreachable(format!(
                        "cannot {what}: no answer from the API server within {} s",
                        ATTEMPT.as_secs()
                    )));
                }
            };
            if matches!(error, kube::Error::Api(_)) {
                self.answered.store(true, Ordering::Relaxed);
            }
            let wait = asked_pause(&error).unwrap_or_else(|| with_jitter(pause));
            if !may_pass(&error) || begin.elapsed() + wait > self.budget() {
                return Err(port_error(what, &error));
            }
            tracing::debug!(what, %error, ?wait, "trying again");
            sleep(wait).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    fn budget(&self) -> Duration {
        if self.answered.load(Ordering::Relaxed) {
            self.budget
        } else {
            self.first_budget
        }
    }
}

/// Whether the same request may succeed a little later. A conflict may not: somebody has to look
/// what changed.
fn may_pass(error: &kube::Error) -> bool {
    match error {
        kube::Error::Api(status) => matches!(status.code, 408 | 429 | 500 | 502 | 503 | 504),
        kube::Error::HyperError(_) | kube::Error::Service(_) => true,
        _ => false,
    }
}

/// The pause that the API server asks for.
fn asked_pause(error: &kube::Error) -> Option<Duration> {
    let kube::Error::Api(status) = error else {
        return None;
    };
    let seconds = status.details.as_ref()?.retry_after_seconds;
    (seconds > 0).then(|| Duration::from_secs(u64::from(seconds)))
}

/// Between half the pause and the whole, so that many clients do not come back at once.
pub(super) fn with_jitter(pause: Duration) -> Duration {
    pause.mul_f64(0.5 + rand::random::<f64>() / 2.0)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use kube::core::Status;

    use super::*;

    fn answer(code: u16) -> kube::Error {
        kube::Error::Api(Status::failure("words", "Reason").with_code(code).boxed())
    }

    async fn attempts(retry: &Retry, code: u16, until: u32) -> (u32, PortResult<()>) {
        let count = Cell::new(0);
        let end = retry
            .run("ask", || {
                count.set(count.get() + 1);
                let result = if count.get() > until {
                    Ok(())
                } else {
                    Err(answer(code))
                };
                async move { result }
            })
            .await;
        (count.get(), end)
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_recovers_is_asked_again() {
        let (count, end) = attempts(&Retry::default(), 503, 4).await;
        assert!(end.is_ok());
        assert_eq!(count, 5);
    }

    #[tokio::test(start_paused = true)]
    async fn the_bound_is_kept() {
        let begin = Instant::now();
        let (count, end) = attempts(&Retry::default(), 500, u32::MAX).await;
        assert!(matches!(end, Err(PortError::Busy(_))));
        assert!(begin.elapsed() <= BUDGET, "{:?}", begin.elapsed());
        assert!((8..30).contains(&count), "{count}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_will_fail_again_is_not_repeated() {
        for code in [400, 401, 403, 404, 409, 422] {
            let (count, end) = attempts(&Retry::default(), code, u32::MAX).await;
            assert!(end.is_err());
            assert_eq!(count, 1, "{code}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_never_answered_is_given_up_soon() {
        let begin = Instant::now();
        let retry = Retry::default();
        let end: PortResult<()> = retry
            .run("ask", || async {
                Err(kube::Error::Service("connection refused".into()))
            })
            .await;
        let Err(PortError::Unreachable(words)) = end else {
            panic!("a refused connection is no answer");
        };
        assert_eq!(
            words,
            "cannot ask: the API server cannot be reached: connection refused"
        );
        assert!(begin.elapsed() <= FIRST_BUDGET);
    }

    #[tokio::test(start_paused = true)]
    async fn silence_ends_too() {
        let end: PortResult<()> = Retry::default().run("ask", std::future::pending).await;
        assert!(matches!(end, Err(PortError::Unreachable(_))));
    }
}
