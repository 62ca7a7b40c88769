//! The hand of the Deployment controller: makes and scales ReplicaSets as `rollout` says, and
//! writes down how that goes. It looks once and takes one step.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{Deployment, DeploymentStatus, ReplicaSet};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Api, Client, Resource as _, ResourceExt as _};
use serde_json::json;

use super::rollout::{self, Limits, Scale};
use super::sets::{self, replicas};
use super::status::{self, Made};
use crate::controllers::owners::controller_of;
use crate::controllers::{pods, report, words};
use crate::node::{Recorder, Severity};

/// One look at a Deployment and its ReplicaSets.
pub(super) struct Rollout<'a> {
    client: &'a Client,
    recorder: &'a Recorder,
    deployment: &'a Deployment,
    sets: Api<ReplicaSet>,
    /// The set of the Deployment's template.
    new: Option<ReplicaSet>,
    /// All others, oldest first.
    others: Vec<ReplicaSet>,
    collisions: i32,
    made: Made,
}

impl<'a> Rollout<'a> {
    pub(super) fn new(
        client: &'a Client,
        recorder: &'a Recorder,
        deployment: &'a Deployment,
        own: Vec<ReplicaSet>,
    ) -> Self {
        let status = deployment.status.as_ref();
        let (new, others) = sets::split(deployment, own);
        Self {
            sets: Api::namespaced(client.clone(), &deployment.namespace().unwrap_or_default()),
            collisions: status
                .and_then(|status| status.collision_count)
                .unwrap_or(0),
            made: Made::Nothing,
            client,
            recorder,
            deployment,
            new,
            others,
        }
    }

    /// Takes the next step, and says whether it waits for something that nobody tells of.
    pub(super) async fn advance(&mut self) -> kube::Result<bool> {
        self.note().await?;
        let all: Vec<_> = self.new.iter().chain(&self.others).cloned().collect();
        let paused = self.deployment.spec.paused == Some(true);
        if paused || rollout::was_scaled(self.deployment, &all) {
            let sizes = rollout::scaled(self.deployment, self.new.as_ref(), &self.others);
            return self.scale(&sizes).await.map(|()| false);
        }
        if rollout::is_recreate(self.deployment) {
            let sizes = rollout::recreating(&self.others);
            self.scale(&sizes).await?;
            if !sizes.is_empty() || self.old_pods_are_there().await? {
                return Ok(true);
            }
        }
        let Some(new) = self.new.clone() else {
            return self.create().await.map(|()| false);
        };
        let sizes = if rollout::is_recreate(self.deployment) {
            vec![(new.name_any(), Limits::of(self.deployment).wanted)]
        } else {
            rollout::rolling(self.deployment, &new, &self.others)
        };
        self.scale(&sizes).await.map(|()| false)
    }

    /// Writes down which revision the newest set is of, on it and on the Deployment.
    async fn note(&mut self) -> kube::Result<()> {
        let Some(new) = &self.new else {
            return Ok(());
        };
        let revision = sets::revision(new).max(sets::next_revision(&self.others));
        let notes = sets::notes(self.deployment, revision);
        let of_set = new.annotations();
        let missing: BTreeMap<_, _> = notes
            .iter()
            .filter(|(key, value)| of_set.get(*key) != Some(value))
            .collect();
        let min_ready = self.deployment.spec.min_ready_seconds;
        if !missing.is_empty() || new.spec.min_ready_seconds.unwrap_or(0) != min_ready.unwrap_or(0)
        {
            let patch = json!({
                "metadata": { "uid": new.uid(), "annotations": missing },
                "spec": { "minReadySeconds": min_ready },
            });
            let (name, patch) = (new.name_any(), Patch::Merge(patch));
            let patched = self
                .sets
                .patch(&name, &PatchParams::default(), &patch)
                .await?;
            self.new = Some(patched);
        }
        self.note_revision(revision).await
    }

    async fn note_revision(&self, revision: i64) -> kube::Result<()> {
        let revision = revision.to_string();
        if self.deployment.annotations().get(sets::REVISION) == Some(&revision) {
            return Ok(());
        }
        let namespace = self.deployment.namespace().unwrap_or_default();
        let api: Api<Deployment> = Api::namespaced(self.client.clone(), &namespace);
        let patch = Patch::Merge(json!({ "metadata": {
            "uid": self.deployment.uid(),
            "annotations": { sets::REVISION: revision },
        } }));
        api.patch(&self.deployment.name_any(), &PatchParams::default(), &patch)
            .await
            .map(drop)
    }

    /// Makes the set of the Deployment's template. A name that is taken by another template is
    /// given up for the next one.
    async fn create(&mut self) -> kube::Result<()> {
        let size = rollout::new_size(self.deployment, 0, &self.others);
        let maximum = Limits::of(self.deployment).maximum();
        let revision = sets::next_revision(&self.others);
        loop {
            let set = sets::new_set(self.deployment, self.collisions, size, maximum, revision);
            match self.sets.create(&PostParams::default(), &set).await {
                Ok(set) => {
                    let name = set.name_any();
                    self.event(format!("Scaled up replica set {name} from 0 to {size}"));
                    self.made = Made::Created;
                    self.new = Some(set);
                    return self.note_revision(revision).await;
                }
                Err(kube::Error::Api(answer)) if answer.code == 409 => self.collisions += 1,
                Err(error) => {
                    let why = format!("Failed to create new replica set: {}", words(&error));
                    self.made = Made::Failed(why);
                    return Ok(());
                }
            }
        }
    }

    /// Gives sets their new sizes.
    async fn scale(&mut self, sizes: &[Scale]) -> kube::Result<()> {
        let maximum = Limits::of(self.deployment).maximum();
        for (name, size) in sizes {
            let known = self.new.iter_mut().chain(&mut self.others);
            let Some(set) = known.into_iter().find(|set| set.name_any() == *name) else {
                continue;
            };
            let before = replicas(set);
            let notes: BTreeMap<_, _> = sets::size_notes(self.deployment, maximum).into();
            let noted = notes
                .iter()
                .all(|(key, value)| set.annotations().get(key) == Some(value));
            if before == *size && noted {
                continue;
            }
            let patch = Patch::Merge(json!({
                "metadata": { "resourceVersion": set.resource_version(), "annotations": notes },
                "spec": { "replicas": size },
            }));
            *set = self
                .sets
                .patch(name, &PatchParams::default(), &patch)
                .await?;
            if before != *size {
                let way = if before < *size { "up" } else { "down" };
                self.event(format!(
                    "Scaled {way} replica set {name} from {before} to {size}"
                ));
            }
        }
        Ok(())
    }

    /// Whether pods of other templates are still there, if only to end.
    async fn old_pods_are_there(&self) -> kube::Result<bool> {
        let namespace = self.deployment.namespace().unwrap_or_default();
        let api: Api<Pod> = Api::namespaced(self.client.clone(), &namespace);
        let listed = api.list(&ListParams::default()).await?.items;
        Ok(listed.iter().any(|pod| {
            let owner = controller_of(&pod.metadata).map(|owner| &owner.uid);
            let of_old = self.others.iter().any(|set| set.uid().as_ref() == owner);
            owner.is_some() && of_old && !pods::is_finished(pod)
        }))
    }

    /// Writes the status down, and gives it.
    pub(super) async fn report(
        &self,
        deployments: &Api<Deployment>,
    ) -> kube::Result<DeploymentStatus> {
        let status = status::of(
            self.deployment,
            self.new.as_ref(),
            &self.others,
            self.collisions,
            &self.made,
            Timestamp::now(),
        );
        let before = self.deployment.status.as_ref();
        report::status(deployments, self.deployment, before, &status).await?;
        Ok(status)
    }

    /// Deletes the oldest of the empty sets once a rollout is over.
    pub(super) async fn clean_up(&self, status: &DeploymentStatus) -> kube::Result<()> {
        let limit = self.deployment.spec.revision_history_limit.unwrap_or(10);
        let Ok(limit) = usize::try_from(limit) else {
            return Ok(());
        };
        if !status::is_complete(self.deployment, status) {
            return Ok(());
        }
        let is_empty = |set: &&ReplicaSet| {
            let there = set.status.as_ref().map_or(0, |status| status.replicas);
            replicas(set) == 0 && there == 0 && set.metadata.deletion_timestamp.is_none()
        };
        let mut empty: Vec<_> = self.others.iter().filter(is_empty).collect();
        empty.sort_by_key(|set| sets::revision(set));
        let surplus = empty.len().saturating_sub(limit);
        for set in empty.iter().take(surplus) {
            let name = set.name_any();
            match self.sets.delete(&name, &DeleteParams::default()).await {
                Err(kube::Error::Api(answer)) if answer.code == 404 => {}
                deleted => drop(deleted?),
            }
        }
        Ok(())
    }

    fn event(&self, message: String) {
        let object = self.deployment.object_ref(&());
        self.recorder
            .record(object, Severity::Normal, "ScalingReplicaSet", message);
    }
}
