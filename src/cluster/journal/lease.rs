//! The lock on a pod: a Lease that its holder renews. Two never hold it.
//!
//! Clocks of two machines cannot be compared, so nobody believes a timestamp: a lease is taken
//! over only when it was *seen* unchanged for its whole duration, by the own clock, or when it is
//! gone. Each write carries the resource version that was read, so of two that try one fails.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, PostParams, Preconditions};
use tokio::sync::{Mutex, watch};
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::super::error::{is_already_exists, port_error};
use super::super::naming::shortened;
use super::super::retry::{Retry, with_jitter};
use super::holder;
use crate::migration::error::PortError;
use crate::migration::ports::{Lock, PortResult};

/// How long a lease outlives its last renewal.
const DURATION: Duration = Duration::from_secs(15);

/// How often it is renewed.
const RENEW: Duration = Duration::from_secs(3);

/// The pause after a renewal that failed in passing.
const RENEW_AGAIN: Duration = Duration::from_secs(1);

/// How long one renewal may take.
const RENEW_LIMIT: Duration = Duration::from_secs(3);

/// Without a renewal for so long the lock counts as lost: three seconds before anybody else could
/// have it, so that its holder is silent by then.
const LOST: Duration = Duration::from_secs(12);

/// How often a lease that another holds is looked at, to see whether it is renewed.
const LOOK: Duration = Duration::from_millis(500);

/// Leases of one namespace.
pub(super) struct Leases {
    api: Api<Lease>,
    retry: Arc<Retry>,
}

impl Leases {
    pub(super) fn new(api: Api<Lease>, retry: Arc<Retry>) -> Self {
        Self { api, retry }
    }

    /// Takes the lock on `pod`. Waits for a lease that seems abandoned, at most its duration.
    pub(super) async fn lock(&self, pod: &str) -> PortResult<LeaseLock> {
        let name = shortened(&format!("ms2m-{pod}"), 253);
        let what = format!("take the lock on pod {pod}");
        let holder = holder::identity();
        loop {
            let begin = Instant::now();
            if let Some(lease) = self.create(&what, &name, &holder).await? {
                return Ok(self.held(lease, begin));
            }
            let Some(found) = self.retry.run(&what, || self.api.get_opt(&name)).await? else {
                continue;
            };
            // Of an attempt of this very call, whose answer was lost.
            if holder_of(&found) == holder {
                return Ok(self.held(found, begin));
            }
            self.wait_until_abandoned(&what, pod, &name, &found).await?;
            let begin = Instant::now();
            if let Some(lease) = self.take_over(&what, found, &holder).await? {
                return Ok(self.held(lease, begin));
            }
        }
    }

    fn held(&self, lease: Lease, since: Instant) -> LeaseLock {
        LeaseLock::new(self.api.clone(), Arc::clone(&self.retry), lease, since)
    }

    async fn create(&self, what: &str, name: &str, holder: &str) -> PortResult<Option<Lease>> {
        let wanted = Lease {
            metadata: ObjectMeta {
                name: Some(name.to_owned()),
                ..ObjectMeta::default()
            },
            spec: Some(spec(holder, 0)),
        };
        let params = PostParams::default();
        self.retry
            .run(what, || async {
                match self.api.create(&params, &wanted).await {
                    Ok(lease) => Ok(Some(lease)),
                    Err(error) if is_already_exists(&error) => Ok(None),
                    Err(error) => Err(error),
                }
            })
            .await
    }

    /// Until `found` was unchanged for its duration. [`PortError::Conflict`] as soon as its holder
    /// shows a sign of life.
    async fn wait_until_abandoned(
        &self,
        what: &str,
        pod: &str,
        name: &str,
        found: &Lease,
    ) -> PortResult<()> {
        let holder = holder_of(found);
        if holder.is_empty() || holder::is_dead(holder) {
            return Ok(());
        }
        let taken = || {
            PortError::Conflict(format!(
                "pod {pod} is being migrated by {}",
                holder::for_people(holder)
            ))
        };
        let end = Instant::now() + duration_of(found);
        while Instant::now() < end {
            sleep(with_jitter(LOOK)).await;
            match self.retry.run(what, || self.api.get_opt(name)).await? {
                None => return Ok(()),
                Some(now) if now.resource_version() != found.resource_version() => {
                    return Err(taken());
                }
                Some(_) => {}
            }
        }
        Ok(())
    }

    /// Writes over `found` if nobody else has; `None` if somebody has.
    async fn take_over(
        &self,
        what: &str,
        mut found: Lease,
        holder: &str,
    ) -> PortResult<Option<Lease>> {
        let transitions = found
            .spec
            .as_ref()
            .and_then(|spec| spec.lease_transitions)
            .unwrap_or(0);
        found.spec = Some(spec(holder, transitions.saturating_add(1)));
        let name = found.name_any();
        let params = PostParams::default();
        // Not repeated: after a lost answer the next look tells who holds it.
        match self.api.replace(&name, &params, &found).await {
            Ok(lease) => Ok(Some(lease)),
            Err(error) => match port_error(what, &error) {
                PortError::Denied(words) => Err(PortError::Denied(words)),
                PortError::Invalid(words) => Err(PortError::Invalid(words)),
                _ => {
                    sleep(with_jitter(LOOK)).await;
                    Ok(None)
                }
            },
        }
    }
}

fn spec(holder: &str, transitions: i32) -> LeaseSpec {
    let now = MicroTime(Timestamp::now());
    LeaseSpec {
        holder_identity: Some(holder.to_owned()),
        lease_duration_seconds: i32::try_from(DURATION.as_secs()).ok(),
        acquire_time: Some(now.clone()),
        renew_time: Some(now),
        lease_transitions: Some(transitions),
        ..LeaseSpec::default()
    }
}

fn holder_of(lease: &Lease) -> &str {
    lease
        .spec
        .as_ref()
        .and_then(|spec| spec.holder_identity.as_deref())
        .unwrap_or_default()
}

/// How long the lease is good for after a renewal. One that does not say is taken as ours.
fn duration_of(lease: &Lease) -> Duration {
    lease
        .spec
        .as_ref()
        .and_then(|spec| spec.lease_duration_seconds)
        .and_then(|seconds| u64::try_from(seconds).ok())
        .map_or(DURATION, Duration::from_secs)
}

/// A lock that is held.
pub(super) struct LeaseLock {
    api: Api<Lease>,
    retry: Arc<Retry>,
    /// The lease as this process wrote it last.
    lease: Arc<Mutex<Lease>>,
    lost: watch::Receiver<bool>,
    task: AbortHandle,
}

impl LeaseLock {
    fn new(api: Api<Lease>, retry: Arc<Retry>, lease: Lease, since: Instant) -> Self {
        let lease = Arc::new(Mutex::new(lease));
        let (tell, lost) = watch::channel(false);
        let task = tokio::spawn(renew(api.clone(), Arc::clone(&lease), since, tell));
        Self {
            api,
            retry,
            lease,
            lost,
            task: task.abort_handle(),
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
    async fn lost(&self) {
        // An error means that the task is gone: nobody renews any more.
        let _ = self.lost.clone().wait_for(|lost| *lost).await;
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

impl LeaseLock {
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

/// Renews until the lease is lost, and tells so.
async fn renew(
    api: Api<Lease>,
    lease: Arc<Mutex<Lease>>,
    since: Instant,
    tell: watch::Sender<bool>,
) {
    let mut renewed = Renewed::at(since);
    let mut pause = RENEW;
    loop {
        sleep(pause).await;
        let now = Renewed::now();
        let outcome = tokio::select! {
            outcome = renew_once(&api, &lease) => outcome,
            () = sleep_until(renewed.monotonic + LOST) => Renewal::Failed,
        };
        match outcome {
            Renewal::Done => {
                renewed = now;
                pause = RENEW;
            }
            Renewal::Taken => break,
            Renewal::Failed if renewed.is_too_old() => break,
            Renewal::Failed => pause = RENEW_AGAIN,
        }
    }
    let _ = tell.send(true);
}

/// When the last renewal that arrived was sent.
#[derive(Clone, Copy)]
struct Renewed {
    monotonic: Instant,
    /// The monotonic clock stands still while a machine sleeps, and others' leases do not.
    wall: Timestamp,
}

impl Renewed {
    fn now() -> Self {
        Self::at(Instant::now())
    }

    fn at(monotonic: Instant) -> Self {
        Self {
            monotonic,
            wall: Timestamp::now(),
        }
    }

    fn is_too_old(&self) -> bool {
        let by_wall = Timestamp::now().duration_since(self.wall);
        self.monotonic.elapsed() >= LOST
            || Duration::try_from(by_wall).is_ok_and(|elapsed| elapsed >= LOST)
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

/// After a conflict: an earlier renewal whose answer was lost, a bystander who added a label, or
/// another holder.
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
