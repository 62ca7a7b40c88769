//! A StatefulSet that lets its pods go for a while, and has them back.
//!
//! It is deleted with the propagation policy `Orphan`, which leaves pods, claims and revisions
//! as they are, and made again from its manifest; then it adopts what has its labels and names
//! (measured on the real controller: no other pod is restarted, facts.md, Owners).

use std::time::Duration;

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::ResourceExt as _;
use kube::api::{
    Api, ApiResource, DeleteParams, DynamicObject, Patch, PatchParams, PostParams, Preconditions,
    PropagationPolicy,
};
use serde_json::json;
use tokio::time::{Instant, sleep};

use super::super::KubeCluster;
use super::super::error::is_already_exists;
use super::super::naming::{labels, role};
use super::manifest::{ORPHAN, kept, kept_pod, kept_revisions, kept_set};
use super::rollout::is_first_step;
use crate::api::MIGRATION_LABEL;
use crate::migration::error::PortError;
use crate::migration::ports::{Adoption, Claim, LetGoOrder, PortResult, kept_name};

/// How long the garbage collector may take to free the pods, and the set's controller to adopt one.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// Between two looks: neither has anything to watch that would not have to be looked at again.
pub(super) const LOOK: Duration = Duration::from_millis(100);

/// Whose set it is, by the ConfigMap that keeps its manifest.
fn claim(kept: &ConfigMap, migration: &str) -> Claim {
    let ours = labels(migration, role::KEPT);
    let found = kept.labels();
    if ours
        .iter()
        .all(|(key, value)| found.get(key) == Some(value))
    {
        return Claim::Ours;
    }
    Claim::Of(found.get(MIGRATION_LABEL).cloned().unwrap_or_default())
}

/// Whether a set on its way out leaves its pods: they are freed before the finalizer for that goes, and
/// another finalizer may hold the set itself for longer.
fn frees_its_pods(set: &DynamicObject, owned: bool) -> PortResult<()> {
    if !owned || set.finalizers().iter().any(|it| it == ORPHAN) {
        return Ok(());
    }
    Err(PortError::Invalid(format!(
        "StatefulSet {} is being deleted by somebody else, with its pods",
        set.name_any()
    )))
}

impl KubeCluster {
    /// Keeps the manifests, unless another migration has the set.
    pub(in super::super) async fn keep(&self, order: &LetGoOrder) -> PortResult<Claim> {
        let name = kept_name(&order.set);
        let found: Option<ConfigMap> = self.find(&name).await?;
        if let Some(found) = found {
            return Ok(claim(&found, &order.migration));
        }
        let set = self.find_set(&order.set).await?;
        let pod: Option<Pod> = self.find(&order.pod).await?;
        let pod = pod.filter(|pod| pod.uid().as_deref() == Some(order.pod_uid.as_str()));
        let (Some(set), Some(pod)) = (set, pod) else {
            return Err(PortError::NotFound(format!(
                "StatefulSet {} and pod {} are not as they were any more",
                order.set, order.pod
            )));
        };
        let revisions = self.held_revisions(&set).await?;
        let wanted = kept(order, &pod, &set, revisions.as_ref())?;
        let maps: Api<ConfigMap> = self.namespaced();
        let what = format!("keep manifests in ConfigMap {name}");
        let params = PostParams::default();
        let made = self
            .inner
            .retry
            .run(&what, || async {
                match maps.create(&params, &wanted).await {
                    Ok(made) => Ok(Some(made)),
                    Err(error) if is_already_exists(&error) => Ok(None),
                    Err(error) => Err(error),
                }
            })
            .await?;
        let there = match made {
            Some(made) => Some(made),
            // By another migration, or by a request of ours whose answer was lost.
            None => self.find(&name).await?,
        };
        there
            .map(|found| claim(&found, &order.migration))
            .ok_or_else(|| PortError::Busy(format!("ConfigMap {name} has just gone")))
    }

    /// The ConfigMap that keeps the set's manifest, if it is that migration's.
    async fn our_kept(&self, migration: &str, set: &str) -> PortResult<Option<ConfigMap>> {
        let found: Option<ConfigMap> = self.find(&kept_name(set)).await?;
        Ok(found.filter(|found| claim(found, migration) == Claim::Ours))
    }

    /// Ensures that the set is gone and the pod free.
    pub(in super::super) async fn let_pods_go(&self, order: &LetGoOrder) -> PortResult<()> {
        if self.our_kept(&order.migration, &order.set).await?.is_none() {
            return Err(PortError::NotFound(format!(
                "ConfigMap {}, in which manifests are kept, is gone",
                kept_name(&order.set)
            )));
        }
        let until = Instant::now() + PATIENCE;
        loop {
            let set = self.find_set(&order.set).await?;
            let pod: Option<Pod> = self.find(&order.pod).await?;
            let owned = pod.as_ref().is_some_and(|pod| {
                let owners = pod.owner_references();
                owners.iter().any(|owner| owner.controller == Some(true))
            });
            match &set {
                Some(set) if set.metadata.deletion_timestamp.is_none() => {
                    self.keep_latest(order, set).await?;
                    self.orphan(set).await?;
                }
                Some(set) => frees_its_pods(set, owned)?,
                None => {}
            }
            if set.is_none() && !owned {
                return Ok(());
            }
            if Instant::now() > until {
                return Err(PortError::Busy(format!(
                    "StatefulSet {} was asked to let its pods go and has not done so",
                    order.set
                )));
            }
            sleep(LOOK).await;
        }
    }

    /// The set as it is when it goes: somebody may have changed it since it was claimed, or put it
    /// back in mid-migration with changes.
    async fn keep_latest(&self, order: &LetGoOrder, set: &DynamicObject) -> PortResult<()> {
        // Ours, by a process that died over putting it back: what it is to become is kept already.
        if is_first_step(set) {
            return Ok(());
        }
        let name = kept_name(&order.set);
        let Some(found) = self.our_kept(&order.migration, &order.set).await? else {
            return Err(PortError::NotFound(format!("ConfigMap {name} is gone")));
        };
        let revisions = self.held_revisions(set).await?;
        let wanted = kept(order, &kept_pod(&found)?, set, revisions.as_ref())?;
        if found.data == wanted.data {
            return Ok(());
        }
        let maps: Api<ConfigMap> = self.namespaced();
        let patch = Patch::Merge(json!({"data": wanted.data}));
        let params = PatchParams::default();
        let what = format!("keep manifests in ConfigMap {name}");
        self.inner
            .retry
            .run(&what, || maps.patch(&name, &params, &patch))
            .await
            .map(drop)
    }

    pub(super) fn sets(&self) -> Api<DynamicObject> {
        let resource = ApiResource::erase::<StatefulSet>(&());
        Api::namespaced_with(self.inner.client.clone(), &self.inner.namespace, &resource)
    }

    pub(super) async fn find_set(&self, name: &str) -> PortResult<Option<DynamicObject>> {
        let sets = self.sets();
        let what = format!("read StatefulSet {name}");
        self.inner.retry.run(&what, || sets.get_opt(name)).await
    }

    async fn orphan(&self, set: &DynamicObject) -> PortResult<()> {
        let name = set.name_any();
        let sets = self.sets();
        let params = DeleteParams {
            propagation_policy: Some(PropagationPolicy::Orphan),
            preconditions: Some(Preconditions {
                uid: set.uid(),
                // Changed since: it is to be kept as it is now.
                resource_version: set.resource_version(),
            }),
            ..DeleteParams::default()
        };
        let what = format!("delete StatefulSet {name} without its pods");
        self.inner
            .retry
            .run(&what, || async {
                match sets.delete(&name, &params).await {
                    Ok(_) => Ok(()),
                    Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
                    // Looked at again.
                    Err(kube::Error::Api(status)) if status.code == 409 => Ok(()),
                    Err(error) => Err(error),
                }
            })
            .await
    }

    /// The manifest of the pod that was let go, for the target that takes its place.
    pub(in super::super) async fn kept_source(
        &self,
        migration: &str,
        set: &str,
    ) -> PortResult<Pod> {
        let found = self.our_kept(migration, set).await?;
        let found = found.ok_or_else(|| {
            PortError::NotFound(format!(
                "ConfigMap {} with the source pod's manifest is gone",
                kept_name(set)
            ))
        })?;
        kept_pod(&found)
    }

    /// Ensures that the set is there again and has adopted the pod, and forgets what was kept.
    pub(in super::super) async fn have_pods_back(
        &self,
        migration: &str,
        set: &str,
        pod: Option<&str>,
    ) -> PortResult<Adoption> {
        let name = kept_name(set);
        let kept: Option<ConfigMap> = self.find(&name).await?;
        let Some(kept) = kept else {
            // A process that died over what comes next has put it back; else its manifest is lost.
            return match self.find_set(set).await? {
                Some(_) => Ok(Adoption::NotOurs),
                None => Err(PortError::NotFound(format!(
                    "StatefulSet {set} is not there, and neither is ConfigMap {name} with its manifest: apply it again"
                ))),
            };
        };
        if claim(&kept, migration) != Claim::Ours {
            return Ok(Adoption::NotOurs);
        }
        let revisions = kept_revisions(&kept)?;
        let uid = self
            .make_again(&kept_set(&kept)?, revisions.as_ref())
            .await?;
        let adoption = match pod {
            Some(pod) => self.await_adoption(pod, &uid).await?,
            None => Adoption::Adopted,
        };
        let maps: Api<ConfigMap> = self.namespaced();
        let what = format!("delete ConfigMap {name}");
        let params = DeleteParams::default();
        self.inner
            .retry
            .run(&what, || async {
                match maps.delete(&name, &params).await {
                    Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
                    other => other.map(drop),
                }
            })
            .await?;
        Ok(adoption)
    }

    async fn await_adoption(&self, pod: &str, set_uid: &str) -> PortResult<Adoption> {
        let until = Instant::now() + PATIENCE;
        loop {
            let Some(found) = self.find::<Pod>(pod).await? else {
                return Ok(Adoption::Refused("it is gone".to_owned()));
            };
            if found.metadata.deletion_timestamp.is_some() {
                return Ok(Adoption::Refused("it is being deleted".to_owned()));
            }
            let controller = found
                .owner_references()
                .iter()
                .find(|owner| owner.controller == Some(true));
            match controller {
                Some(owner) if owner.uid == set_uid => return Ok(Adoption::Adopted),
                Some(owner) => {
                    let words = format!("it belongs to {} {}", owner.kind, owner.name);
                    return Ok(Adoption::Refused(words));
                }
                None if Instant::now() > until => {
                    let words = "the StatefulSet's controller has not adopted it; is it running?";
                    return Ok(Adoption::Refused(words.to_owned()));
                }
                None => sleep(LOOK).await,
            }
        }
    }
}
