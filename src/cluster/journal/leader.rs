//! Which of several controllers leads: a Lease of its own, taken and held like the lock on a pod.
//!
//! Whoever leads takes the locks on pods under its leadership: they count as lost as soon as that is.
//! So the next leader knows that the one before it is silent, and need not wait for each of its
//! locks to expire.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::sleep;

use super::super::retry::with_jitter;
use super::lease::{Leases, Purpose, Times};
use crate::migration::error::PortError;
use crate::migration::ports::{Lock, PortResult};

/// Short, since nothing is done while nobody leads; long enough for an API server that restarts.
const TIMES: Times = Times {
    duration: Duration::from_secs(10),
    renew: Duration::from_secs(2),
    lost: Duration::from_secs(8),
};

/// The pause before the next attempt, while another leads.
const AGAIN: Duration = Duration::from_millis(250);

/// The leadership, while it lasts.
pub struct Leadership {
    lock: Box<dyn Lock>,
    /// Who led before and has not given it back.
    former: Option<String>,
}

impl Leadership {
    /// Waits until this process leads, by the lease `name`.
    pub(super) async fn gain(leases: &Leases, name: &str) -> PortResult<Self> {
        let purpose = Purpose {
            name,
            what: "become the leader",
            taken: "the leader is",
            times: TIMES,
        };
        loop {
            match leases.take(&purpose).await {
                Ok(taken) => {
                    return Ok(Self {
                        lock: Box::new(taken.lock),
                        former: taken.from,
                    });
                }
                Err(
                    error @ (PortError::Denied(_) | PortError::Invalid(_) | PortError::NotFound(_)),
                ) => {
                    return Err(error);
                }
                Err(error) => tracing::debug!(%error, "another one leads, or nobody can"),
            }
            sleep(with_jitter(AGAIN)).await;
        }
    }

    /// The identity of the process that led before and fell silent.
    pub(super) fn former(&self) -> Option<String> {
        self.former.clone()
    }

    /// Resolves when it is lost.
    pub async fn lost(&self) {
        self.lock.lost().await;
    }

    /// Whether it certainly lasts.
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.lock.is_held()
    }

    /// Gives it back, so that another leads at once.
    ///
    /// # Errors
    /// The lease could not be deleted; it expires.
    pub async fn release(&self) -> PortResult<()> {
        self.lock.release().await
    }
}

/// The lock on a pod, under a leadership.
pub(super) struct LedLock {
    pub(super) pod: Box<dyn Lock>,
    pub(super) leadership: Arc<Leadership>,
}

#[async_trait]
impl Lock for LedLock {
    fn is_held(&self) -> bool {
        self.leadership.is_held() && self.pod.is_held()
    }

    async fn lost(&self) {
        tokio::select! {
            biased;
            () = self.leadership.lost() => {}
            () = self.pod.lost() => {}
        }
    }

    async fn abort_requested(&self, migration: &str) {
        self.pod.abort_requested(migration).await;
    }

    async fn release(&self) -> PortResult<()> {
        self.pod.release().await
    }
}
