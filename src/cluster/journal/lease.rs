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

/// How long a lease outlives its last renewal.
const DURATION: Duration = Duration::from_secs(15);

/// How often a lease that another holds is looked at, to see whether it is renewed.
const LOOK: Duration = Duration::from_millis(500);

/// Leases of one namespace.
pub(super) struct Leases {
    pub(super) api: Api<Lease>,
    pub(super) retry: Arc<Retry>,
}

impl Leases {
    pub(super) fn new(api: Api<Lease>, retry: Arc<Retry>) -> Self {
        Self { api, retry }
    }

    /// Takes the lock on `pod`. Waits for a lease that seems abandoned, at most its duration.
    pub(super) async fn lock(&self, pod: &str) -> PortResult<LeaseLock> {
        let name = lease_name(pod);
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
            let Some(found) = self.abandoned(&what, pod, &name, found).await? else {
                continue;
            };
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

    /// Waits until `found` was not renewed for its duration, and gives it as it is then; `None`
    /// when it is gone. [`PortError::Conflict`] as soon as its holder shows a sign of life.
    async fn abandoned(
        &self,
        what: &str,
        pod: &str,
        name: &str,
        found: Lease,
    ) -> PortResult<Option<Lease>> {
        let holder = holder_of(&found);
        if holder.is_empty() || holder::is_dead(holder) {
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
                        "pod {pod} is being migrated by {}",
                        holder::for_people(holder_of(&now))
                    )));
                }
                now => latest = now,
            }
        }
        Ok(latest.or(Some(found)))
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
        abort::forget(&mut found);
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

/// The name of the Lease that is the lock on `pod`.
pub(super) fn lease_name(pod: &str) -> String {
    shortened(&format!("ms2m-{pod}"), 253)
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
        .map_or(DURATION, Duration::from_secs)
}
