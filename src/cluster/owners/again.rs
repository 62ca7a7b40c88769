//! Makes a StatefulSet again that was let go: in one step, or in two while a partition holds a
//! rollout (see `rollout`).

use k8s_openapi::api::apps::v1::ControllerRevision;
use kube::ResourceExt as _;
use kube::api::{DynamicObject, PostParams};
use tokio::time::{Instant, sleep};

use super::super::KubeCluster;
use super::super::error::is_already_exists;
use super::manifest::as_new;
use super::rollout::{Revisions, first_step, has_seen, held, is_first_step};
use super::set::{LOOK, PATIENCE};
use crate::migration::error::PortError;
use crate::migration::ports::PortResult;

impl KubeCluster {
    /// The revisions that are to be kept with the set.
    pub(super) async fn held_revisions(
        &self,
        set: &DynamicObject,
    ) -> PortResult<Option<Revisions>> {
        let Some((current, update)) = held(set) else {
            return Ok(None);
        };
        let found: Option<ControllerRevision> = self.find(current).await?;
        let revisions = found.and_then(|found| Revisions::new(current, update, &found.data.0));
        revisions.map(Some).ok_or_else(|| {
            PortError::NotFound(format!(
                "ControllerRevision {current}, of which pods of StatefulSet {} are, is gone",
                set.name_any()
            ))
        })
    }

    /// The uid of the set, made again unless somebody was faster. One that is still on its way out is
    /// waited for, and so is its controller between two steps.
    pub(super) async fn make_again(
        &self,
        kept: &DynamicObject,
        revisions: Option<&Revisions>,
    ) -> PortResult<String> {
        let wanted = as_new(kept);
        let name = wanted.name_any();
        let first = revisions.map(|revisions| first_step(&wanted, revisions));
        let mut replaced = false;
        let until = Instant::now() + PATIENCE;
        loop {
            let there = self.ensure_set(first.as_ref().unwrap_or(&wanted)).await?;
            let there = there.filter(|set| set.metadata.deletion_timestamp.is_none());
            let waits_for = match (&there, revisions) {
                (None, _) => "an earlier one is still being deleted",
                (Some(set), Some(revisions)) if is_first_step(set) => {
                    if has_seen(set, "currentRevision", &revisions.current) {
                        replaced |= self.second_step(set, &wanted).await?;
                    }
                    "its controller has not seen its older revision; is it running?"
                }
                (Some(set), Some(revisions))
                    if replaced && !has_seen(set, "updateRevision", &revisions.update) =>
                {
                    "its controller has not seen its newer revision; is it running?"
                }
                (Some(set), _) => return Ok(set.uid().unwrap_or_default()),
            };
            if Instant::now() > until {
                let words = format!("StatefulSet {name} is not there again: {waits_for}");
                return Err(PortError::Busy(words));
            }
            sleep(LOOK).await;
        }
    }

    /// The set of that name: made, unless it is there.
    async fn ensure_set(&self, wanted: &DynamicObject) -> PortResult<Option<DynamicObject>> {
        let (sets, name, params) = (self.sets(), wanted.name_any(), PostParams::default());
        let what = format!("make StatefulSet {name} again");
        let made = self
            .inner
            .retry
            .run(&what, || async {
                match sets.create(&params, wanted).await {
                    Ok(made) => Ok(Some(made)),
                    Err(error) if is_already_exists(&error) => Ok(None),
                    Err(error) => Err(error),
                }
            })
            .await?;
        match made {
            Some(made) => Ok(Some(made)),
            None => self.find_set(&name).await,
        }
    }

    /// Gives the set that was seen its own template and partition; `false` if it has changed since.
    async fn second_step(&self, seen: &DynamicObject, wanted: &DynamicObject) -> PortResult<bool> {
        let (sets, name, params) = (self.sets(), wanted.name_any(), PostParams::default());
        let mut wanted = wanted.clone();
        wanted.metadata.uid = seen.uid();
        wanted.metadata.resource_version = seen.resource_version();
        let what = format!("give StatefulSet {name} its template back");
        self.inner
            .retry
            .run(&what, || async {
                match sets.replace(&name, &params, &wanted).await {
                    Ok(_) => Ok(true),
                    // Looked at again.
                    Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(false),
                    Err(error) => Err(error),
                }
            })
            .await
    }
}
