//! The lock on a pod, a Lease that its holder renews, and how it is taken. Two never hold it.
//!
//! Clocks of two machines cannot be compared, so nobody believes a timestamp: a lease is taken
//! over only when it was *seen* unchanged for its whole duration, by the own clock, or when it is
//! gone. Each write carries the resource version that was read, so of two that try one fails.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::ResourceExt;
use kube::api::{Api, PostParams};
use tokio::time::{Instant, sleep};

use super::super::error::{is_already_exists, port_error};
use super::super::naming::shortened;
use super::super::retry::{Retry, with_jitter};
use super::held::LeaseLock;
use super::{abort, holder};
use crate::migration::error::PortError;
use crate::migration::ports::PortResult;

/// How long a lease is good for, and how often it is renewed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Times {
    /// How long it outlives its last renewal.
    pub(super) duration: Duration,
    /// How often it is renewed.
    pub(super) renew: Duration,
    /// Without a renewal for so long it counts as lost: well before anybody else could have it, so
    /// that its holder is silent by then.
    pub(super) lost: Duration,
}

/// The lock on a pod.
pub(super) const OF_A_POD: Times = Times {
    duration: Duration::from_secs(15),
    renew: Duration::from_secs(3),
    lost: Duration::from_secs(12),
};

/// How often a lease that another holds is looked at, to see whether it is renewed.
const LOOK: Duration = Duration::from_millis(500);

/// Leases of one namespace.
pub(super) struct Leases {
    pub(super) api: Api<Lease>,
    pub(super) retry: Arc<Retry>,
    /// The identity of a process that is known to be silent: what it held is free.
    pub(super) silent: Option<String>,
}

/// What a lease is for, and how it is said.
pub(super) struct Purpose<'a> {
    /// Name of the lease.
    pub(super) name: &'a str,
    /// What is being done, as `take the lock on pod web-0`.
    pub(super) what: &'a str,
    /// What another holder does, as `pod web-0 is being migrated by`.
    pub(super) taken: &'a str,
    pub(super) times: Times,
}

/// A lease that was taken.
pub(super) struct Taken {
    pub(super) lock: LeaseLock,
    /// Whom it was taken from, who had not given it back.
    pub(super) from: Option<String>,
}

impl Leases {
    pub(super) fn new(api: Api<Lease>, retry: Arc<Retry>) -> Self {
        Self {
            api,
            retry,
            silent: None,
        }
    }

    /// Takes the lock on `pod`. Waits for a lease that seems abandoned, at most its duration.
    pub(super) async fn lock(&self, pod: &str) -> PortResult<LeaseLock> {
        let purpose = Purpose {
            name: &lease_name(pod),
            what: &format!("take the lock on pod {pod}"),
            taken: &format!("pod {pod} is being migrated by"),
            times: OF_A_POD,
        };
        Ok(self.take(&purpose).await?.lock)
    }

    /// Takes a lease. Waits for one that seems abandoned, at most its duration.
    pub(super) async fn take(&self, purpose: &Purpose<'_>) -> PortResult<Taken> {
        let (name, what) = (purpose.name, purpose.what);
        let holder = holder::identity();
        loop {
            let begin = Instant::now();
            if let Some(lease) = self.create(purpose, &holder).await? {
                return Ok(self.taken(purpose, lease, begin, None));
            }
            let Some(found) = self.retry.run(what, || self.api.get_opt(name)).await? else {
                continue;
            };
            // Of an attempt of this very call, whose answer was lost.
            if holder_of(&found) == holder {
                return Ok(self.taken(purpose, found, begin, None));
            }
            let from = holder_of(&found).to_owned();
            let Some(found) = self.abandoned(purpose, found).await? else {
                continue;
            };
            let begin = Instant::now();
            if let Some(lease) = self.take_over(purpose, found, &holder).await? {
                return Ok(self.taken(purpose, lease, begin, Some(from)));
            }
        }
    }

    fn taken(
        &self,
        purpose: &Purpose<'_>,
        lease: Lease,
        since: Instant,
        from: Option<String>,
    ) -> Taken {
        let retry = Arc::clone(&self.retry);
        Taken {
            lock: LeaseLock::new(self.api.clone(), retry, lease, since, purpose.times),
            from: from.filter(|from| !from.is_empty()),
        }
    }

    async fn create(&self, purpose: &Purpose<'_>, holder: &str) -> PortResult<Option<Lease>> {
        let wanted = Lease {
            metadata: ObjectMeta {
                name: Some(purpose.name.to_owned()),
                ..ObjectMeta::default()
            },
            spec: Some(spec(holder, purpose.times, 0)),
        };
        let params = PostParams::default();
        self.retry
            .run(purpose.what, || async {
                match self.api.create(&params, &wanted).await {
                    Ok(lease) => Ok(Some(lease)),
                    Err(error) if is_already_exists(&error) => Ok(None),
                    Err(error) => Err(error),
                }
            })
            .await
    }

    /// Waits until `found` was not renewed for its duration, and gives it as it is then; `None`
    /// when it is gone. [`PortError::Conflict`] as soon as its holder shows a sign of life.
    async fn abandoned(&self, purpose: &Purpose<'_>, found: Lease) -> PortResult<Option<Lease>> {
        let (name, what) = (purpose.name, purpose.what);
        let holder = holder_of(&found);
        if holder.is_empty() || holder::is_dead(holder) || self.is_silent(holder) {
            return Ok(Some(found));
        }
        let mut latest = None;
        let end = Instant::now() + duration_of(&found);
        while Instant::now() < end {
            sleep(with_jitter(LOOK)).await;
            match self.retry.run(what, || self.api.get_opt(name)).await? {
                None => return Ok(None),
                Some(now) if sign_of_life(&now) != sign_of_life(&found) => {
                    return Err(PortError::Conflict(format!(
                        "{} {}",
                        purpose.taken,
                        holder::for_people(holder_of(&now))
                    )));
                }
                now => latest = now,
            }
        }
        Ok(latest.or(Some(found)))
    }

    /// Whether `holder` is the process that is known to be silent.
    fn is_silent(&self, holder: &str) -> bool {
        let silent = self.silent.as_deref();
        silent.is_some_and(|silent| holder::is_same_process(silent, holder))
    }

    /// Writes over `found` if nobody else has; `None` if somebody has.
    async fn take_over(
        &self,
        purpose: &Purpose<'_>,
        mut found: Lease,
        holder: &str,
    ) -> PortResult<Option<Lease>> {
        let transitions = found
            .spec
            .as_ref()
            .and_then(|spec| spec.lease_transitions)
            .unwrap_or(0);
        abort::forget(&mut found);
        found.spec = Some(spec(holder, purpose.times, transitions.saturating_add(1)));
        let name = found.name_any();
        let params = PostParams::default();
        // Not repeated: after a lost answer the next look tells who holds it.
        match self.api.replace(&name, &params, &found).await {
            Ok(lease) => Ok(Some(lease)),
            Err(error) => match port_error(purpose.what, &error) {
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

/// The name of the Lease that is the lock on `pod`.
pub(super) fn lease_name(pod: &str) -> String {
    shortened(&format!("ms2m-{pod}"), 253)
}

fn spec(holder: &str, times: Times, transitions: i32) -> LeaseSpec {
    let now = MicroTime(Timestamp::now());
    LeaseSpec {
        holder_identity: Some(holder.to_owned()),
        lease_duration_seconds: i32::try_from(times.duration.as_secs()).ok(),
        acquire_time: Some(now.clone()),
        renew_time: Some(now),
        lease_transitions: Some(transitions),
        ..LeaseSpec::default()
    }
}

pub(super) fn holder_of(lease: &Lease) -> &str {
    lease
        .spec
        .as_ref()
        .and_then(|spec| spec.holder_identity.as_deref())
        .unwrap_or_default()
}

/// What is another one after each renewal, and after no other write: a request to abort, or a
/// label, says nothing about the holder.
pub(super) fn sign_of_life(lease: &Lease) -> String {
    let renewed = lease
        .spec
        .as_ref()
        .and_then(|spec| spec.renew_time.as_ref())
        .map(|time| time.0.to_string());
    format!("{} {}", holder_of(lease), renewed.unwrap_or_default())
}

/// How long the lease is good for after a renewal. One that does not say is taken as ours.
fn duration_of(lease: &Lease) -> Duration {
    lease
        .spec
        .as_ref()
        .and_then(|spec| spec.lease_duration_seconds)
        .and_then(|seconds| u64::try_from(seconds).ok())
        .map_or(OF_A_POD.duration, Duration::from_secs)
}
