//! Requests to abort: an annotation on the lock's Lease, where its holder sees it with its next
//! renewal.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use kube::ResourceExt;
use kube::api::PostParams;
use tokio::time::sleep;

use super::super::error::port_error;
use super::super::retry::with_jitter;
use super::holder;
use super::lease::{Leases, holder_of, lease_name, sign_of_life};
use crate::migration::error::PortError;
use crate::migration::ports::{Holder, PortResult};

/// The annotation; its value is the migration's name, so that a request never meets another one.
const ABORT: &str = "migration.ms2m.io/abort";

/// The pause before another attempt to write, when somebody else wrote first.
const AGAIN: Duration = Duration::from_millis(50);

/// The migration that somebody asks to abort.
pub(super) fn requested(lease: &Lease) -> Option<String> {
    lease.annotations().get(ABORT).cloned()
}

/// Takes a request away: it was for another holder.
pub(super) fn forget(lease: &mut Lease) {
    lease.annotations_mut().remove(ABORT);
}

impl Leases {
    /// Who holds the lock on `pod`; nobody when its holder is certainly dead.
    pub(super) async fn holder(&self, pod: &str) -> PortResult<Option<Holder>> {
        let what = format!("see who works on pod {pod}");
        Ok(self.alive(&what, pod).await?.as_ref().map(holder_view))
    }

    /// Leaves the request with whoever holds the lock on `pod`, and says who that is; nobody when
    /// its holder is certainly dead.
    pub(super) async fn request_abort(
        &self,
        pod: &str,
        migration: &str,
    ) -> PortResult<Option<Holder>> {
        let what = format!("ask for migration {migration} to be aborted");
        loop {
            let Some(mut lease) = self.alive(&what, pod).await? else {
                return Ok(None);
            };
            if requested(&lease).as_deref() == Some(migration) {
                return Ok(Some(holder_view(&lease)));
            }
            let annotations = lease.annotations_mut();
            annotations.insert(ABORT.to_owned(), migration.to_owned());
            let params = PostParams::default();
            match self.api.replace(&lease_name(pod), &params, &lease).await {
                Ok(lease) => return Ok(Some(holder_view(&lease))),
                Err(error) => match port_error(&what, &error) {
                    // Its holder has renewed it, or given it back.
                    PortError::Conflict(_) | PortError::NotFound(_) => {
                        sleep(with_jitter(AGAIN)).await;
                    }
                    other => return Err(other),
                },
            }
        }
    }

    async fn alive(&self, what: &str, pod: &str) -> PortResult<Option<Lease>> {
        let name = lease_name(pod);
        let found = self.retry.run(what, || self.api.get_opt(&name)).await?;
        Ok(found.filter(|lease| {
            let holder = holder_of(lease);
            !holder.is_empty() && !holder::is_dead(holder)
        }))
    }
}

fn holder_view(lease: &Lease) -> Holder {
    Holder {
        who: holder::for_people(holder_of(lease)),
        sign: sign_of_life(lease),
    }
}
