//! A transfer Job that is followed in the background: before the checkpoint, to know when it is ready,
//! and after it, to its end. One watch and one stream of its log serve both.

use std::sync::Arc;

use kube::Client;
use ms2m_transfer::event::Progress;
use tokio::sync::watch;

use super::super::retry::Retry;
use super::follow::{AbortOnDrop, Follow};
use super::job_pods::MadeJob;
use super::progress::Told;
use crate::migration::error::PortError;
use crate::migration::ports::{PortResult, TransferEnd, TransferReadiness};

/// What has been seen of it.
#[derive(Debug, Clone, Default)]
struct Seen {
    told: Option<Told>,
    end: Option<PortResult<TransferEnd>>,
}

/// One Job that is followed, until this is dropped.
pub(in super::super) struct Following {
    seen: watch::Receiver<Seen>,
    _task: AbortOnDrop,
}

impl Following {
    /// Begins. `made` is the Job, if it is known.
    pub(in super::super) fn start(
        client: &Client,
        retry: &Arc<Retry>,
        namespace: &str,
        name: &str,
        made: Option<MadeJob>,
    ) -> Self {
        let follow = Follow::new(client, Arc::clone(retry), namespace, name);
        let (see, seen) = watch::channel(Seen::default());
        let task = tokio::spawn(async move {
            let told = |told| see.send_modify(|seen| seen.told = Some(told));
            let end = follow.run(made, told).await;
            see.send_modify(|seen| seen.end = Some(end));
        });
        Self {
            seen,
            _task: AbortOnDrop(task.abort_handle()),
        }
    }

    /// Whether it could not be followed, and has to be begun again.
    pub(in super::super) fn has_failed(&self) -> bool {
        let failed = matches!(self.seen.borrow().end, Some(Err(_)));
        failed || self.seen.has_changed().is_err() && self.seen.borrow().end.is_none()
    }

    /// A view of it that outlives this.
    pub(in super::super) fn view(&self) -> View {
        View(self.seen.clone())
    }
}

/// A view of a Job that is followed.
pub(in super::super) struct View(watch::Receiver<Seen>);

impl View {
    /// Waits until it waits for an archive, has one, or has ended.
    pub(in super::super) async fn ready(mut self) -> PortResult<TransferReadiness> {
        let known = |seen: &Seen| seen.told.is_some() || seen.end.is_some();
        let seen = self.0.wait_for(known).await.map_err(|_| broken())?.clone();
        match seen.end {
            Some(end) => Ok(TransferReadiness::Ended(end?)),
            None => Ok(TransferReadiness::Ready),
        }
    }

    /// Waits for its end, telling progress on the way.
    pub(in super::super) async fn end(
        mut self,
        progress: &(dyn Fn(Progress) + Send + Sync),
    ) -> PortResult<TransferEnd> {
        loop {
            let seen = self.0.borrow_and_update().clone();
            if let Some(Told::Progress(now)) = seen.told {
                progress(now);
            }
            if let Some(end) = seen.end {
                return end;
            }
            self.0.changed().await.map_err(|_| broken())?;
        }
    }
}

fn broken() -> PortError {
    PortError::Unreachable("the transfer is not followed any more".to_owned())
}
