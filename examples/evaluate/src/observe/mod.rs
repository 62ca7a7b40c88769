//! Observers that do not trust ms2m: what a client of the service gets, what the workers apply and
//! when, and what ms2m's process takes. Each runs beside a run until it is stopped.

mod applied;
mod probe;
mod process;
mod reach;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub use applied::{Collected, collect};
pub use probe::probe;
pub use process::{Used, use_of};
pub use reach::{Reach, Worker};

/// Now, in seconds since 1970: the clock of workers and producers.
pub fn now() -> f64 {
    seconds(jiff::Timestamp::now().as_microsecond())
}

/// Microseconds as seconds.
pub fn seconds(microseconds: i64) -> f64 {
    microseconds as f64 / 1e6
}

/// An observer at work. Dropped, it stops.
pub struct Observer<T> {
    stop: CancellationToken,
    task: JoinHandle<T>,
}

impl<T: Send + 'static> Observer<T> {
    /// Sets one to work that ends when the token is cancelled.
    pub fn start<F>(observe: impl FnOnce(CancellationToken) -> F) -> Self
    where
        F: Future<Output = T> + Send + 'static,
    {
        let stop = CancellationToken::new();
        let task = tokio::spawn(observe(stop.clone()));
        Self { stop, task }
    }

    /// Stops it, and gives what it has seen.
    ///
    /// # Errors
    /// When it has panicked.
    pub async fn end(mut self) -> Result<T, tokio::task::JoinError> {
        self.stop.cancel();
        (&mut self.task).await
    }
}

impl<T> Drop for Observer<T> {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}
