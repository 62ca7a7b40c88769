//! A lock that is held: renewed in the background, lost when that fails for too long or another
//! has taken it, given back in the end. Requests to abort reach its holder through it.
//!
//! How a lock is taken is in [`super::lease`].

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, PostParams, Preconditions};
use tokio::sync::{Mutex, watch};
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::super::error::port_error;
use super::super::retry::Retry;
use super::abort::requested;
use super::lease::{Times, holder_of};
use crate::migration::error::PortError;
use crate::migration::ports::{Lock, PortResult};

/// The pause after a renewal that failed in passing.
const RENEW_AGAIN: Duration = Duration::from_secs(1);

/// How long one renewal may take.
const RENEW_LIMIT: Duration = Duration::from_secs(3);

/// A lock that is held.
pub(super) struct LeaseLock {
    api: Api<Lease>,
    retry: Arc<Retry>,
    /// The lease as this process wrote it last.
    lease: Arc<Mutex<Lease>>,
    state: watch::Receiver<State>,
    task: AbortHandle,
}

/// What the renewals have shown so far.
#[derive(Debug, Clone)]
struct State {
    renewed: Renewed,
    lost: bool,
    /// The migration that somebody asks to abort.
    abort: Option<String>,
}

impl LeaseLock {
    /// Begins to renew `lease`, whose last write was sent at `since`.
    pub(super) fn new(
        api: Api<Lease>,
        retry: Arc<Retry>,
        lease: Lease,
        since: Instant,
        times: Times,
    ) -> Self {
        let first = State {
            renewed: Renewed::at(since, times.lost),
            lost: false,
            abort: requested(&lease),
        };
        let lease = Arc::new(Mutex::new(lease));
        let (tell, state) = watch::channel(first);
        let task = tokio::spawn(renew(api.clone(), Arc::clone(&lease), tell, times));
        Self {
            api,
            retry,
            lease,
            state,
            task: task.abort_handle(),
        }
    }

    /// Deletes the lease as it was seen; whoever has taken it over since then keeps it. `false`
    /// when it was written since then.
    async fn delete(&self, what: &str, seen: &Lease) -> PortResult<bool> {
        let params = DeleteParams {
            preconditions: Some(Preconditions {
                uid: seen.uid(),
                resource_version: seen.resource_version(),
            }),
            ..DeleteParams::default()
        };
        let name = seen.name_any();
        match self
            .retry
            .run(what, || self.api.delete(&name, &params))
            .await
        {
            Ok(_) | Err(PortError::NotFound(_)) => Ok(true),
            Err(PortError::Conflict(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

impl Drop for LeaseLock {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[async_trait]
impl Lock for LeaseLock {
    fn is_held(&self) -> bool {
        let state = self.state.borrow();
        !state.lost && !state.renewed.is_too_old()
    }

    async fn lost(&self) {
        let mut state = self.state.clone();
        let mut told = pin!(state.wait_for(|state| state.lost));
        // A process that was suspended looks at the clock first, before its renewals get a turn.
        // An error means that the task is gone: nobody renews any more.
        poll_fn(|context| {
            if self.is_held() {
                told.as_mut().poll(context).map(drop)
            } else {
                std::task::Poll::Ready(())
            }
        })
        .await;
    }

    async fn abort_requested(&self, migration: &str) {
        let mut state = self.state.clone();
        let asked = state.wait_for(|state| state.abort.as_deref() == Some(migration));
        if asked.await.is_err() {
            // Nobody looks any more: the lock is lost or given back.
            std::future::pending::<()>().await;
        }
    }

    async fn release(&self) -> PortResult<()> {
        // With the lease in hand no renewal is under way, and with the task gone none follows.
        let lease = self.lease.lock().await;
        self.task.abort();
        let name = lease.name_any();
        let what = format!("release lease {name}");
        if self.delete(&what, &lease).await? {
            return Ok(());
        }
        // Somebody wrote: a bystander, an earlier renewal whose answer was lost, or a new holder.
        let found = self.retry.run(&what, || self.api.get_opt(&name)).await?;
        match found.filter(|it| holder_of(it) == holder_of(&lease)) {
            Some(ours) => self.delete(&what, &ours).await.map(drop),
            None => Ok(()),
        }
    }
}

/// Renews until the lease is lost, and tells what it sees.
async fn renew(
    api: Api<Lease>,
    lease: Arc<Mutex<Lease>>,
    tell: watch::Sender<State>,
    times: Times,
) {
    let mut pause = times.renew;
    loop {
        sleep(pause).await;
        let now = Renewed::at(Instant::now(), times.lost);
        let last = tell.borrow().renewed;
        let outcome = tokio::select! {
            outcome = renew_once(&api, &lease) => outcome,
            () = sleep_until(last.monotonic + times.lost) => Renewal::Failed,
        };
        let abort = requested(&*lease.lock().await);
        pause = match outcome {
            Renewal::Done => times.renew,
            Renewal::Taken => break,
            Renewal::Failed if last.is_too_old() => break,
            Renewal::Failed => RENEW_AGAIN,
        };
        tell.send_modify(|state| {
            state.abort = abort;
            if matches!(outcome, Renewal::Done) {
                state.renewed = now;
            }
        });
    }
    tell.send_modify(|state| state.lost = true);
}

/// When the last renewal that arrived was sent.
#[derive(Debug, Clone, Copy)]
struct Renewed {
    monotonic: Instant,
    /// The monotonic clock stands still while a machine sleeps, and others' leases do not.
    wall: Timestamp,
    /// For so long it is good.
    good: Duration,
}

impl Renewed {
    fn at(monotonic: Instant, good: Duration) -> Self {
        Self {
            monotonic,
            wall: Timestamp::now(),
            good,
        }
    }

    fn is_too_old(&self) -> bool {
        let by_wall = Timestamp::now().duration_since(self.wall);
        self.monotonic.elapsed() >= self.good
            || Duration::try_from(by_wall).is_ok_and(|elapsed| elapsed >= self.good)
    }
}

/// What became of one renewal.
enum Renewal {
    Done,
    /// Another has the lease, or it was deleted.
    Taken,
    /// It may not have arrived.
    Failed,
}

async fn renew_once(api: &Api<Lease>, lease: &Mutex<Lease>) -> Renewal {
    let mut held = lease.lock().await;
    let mut next = held.clone();
    if let Some(spec) = &mut next.spec {
        spec.renew_time = Some(MicroTime(Timestamp::now()));
    }
    let name = next.name_any();
    let params = PostParams::default();
    let answer = timeout(RENEW_LIMIT, api.replace(&name, &params, &next)).await;
    let error = match answer {
        Ok(Ok(lease)) => {
            *held = lease;
            return Renewal::Done;
        }
        Ok(Err(error)) => port_error("renew the lock", &error),
        Err(_) => return Renewal::Failed,
    };
    match error {
        PortError::NotFound(_) => Renewal::Taken,
        PortError::Conflict(_) => look_who_wrote(api, &name, &mut held).await,
        _ => Renewal::Failed,
    }
}

/// After a conflict: an earlier renewal whose answer was lost, somebody who asks to abort or adds
/// a label, or another holder.
async fn look_who_wrote(api: &Api<Lease>, name: &str, held: &mut Lease) -> Renewal {
    match timeout(RENEW_LIMIT, api.get_opt(name)).await {
        Ok(Ok(Some(found))) if holder_of(&found) == holder_of(held) => {
            *held = found;
            Renewal::Failed
        }
        Ok(Ok(_)) => Renewal::Taken,
        Ok(Err(_)) | Err(_) => Renewal::Failed,
    }
}
