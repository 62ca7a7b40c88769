//! Reads what surrounds a pod. What the caller may not read is named, not fatal.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;

use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet, StatefulSet};
use k8s_openapi::api::core::v1::{Node, PersistentVolume, PersistentVolumeClaim, Pod};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::api::{Api, ListParams};
use kube::{Resource, ResourceExt as _};
use serde::de::DeserializeOwned;

use super::super::KubeCluster;
use super::super::pages;
use super::super::placement::unfit;
use super::view::{budget_view, claim_view, replica_set_view, set_view};
use crate::migration::error::PortError;
use crate::migration::ports::{
    BudgetView, ClaimView, OwnerState, PodView, PortResult, Surroundings, VolumeKind,
};

impl KubeCluster {
    /// What surrounds `pod`.
    pub(in super::super) async fn look_around(
        &self,
        pod: &PodView,
        crowd: bool,
    ) -> PortResult<Surroundings> {
        let Some(manifest) = self.known_pod(&pod.name).await? else {
            return Ok(Surroundings::default());
        };
        let nodes = self.listed_nodes().await?;
        let mut unseen = Vec::new();
        let claims = self.claims(pod, &nodes, &mut unseen).await?;
        Ok(Surroundings {
            owner: self.owner_of(&manifest).await?,
            claims,
            budgets: self.budgets(pod, &mut unseen).await?,
            unfit: nodes
                .iter()
                .filter_map(|node| Some((node.name_any(), unfit(&manifest, node)?)))
                .collect(),
            crowd: if crowd {
                self.crowd().await?
            } else {
                BTreeMap::new()
            },
            unseen,
        })
    }

    async fn owner_of(&self, pod: &Arc<Pod>) -> PortResult<Option<OwnerState>> {
        let owner = pod
            .owner_references()
            .iter()
            .find(|owner| owner.controller == Some(true));
        let Some(owner) = owner else {
            return Ok(None);
        };
        let apps = owner.api_version.starts_with("apps/");
        match owner.kind.as_str() {
            "StatefulSet" if apps => {
                let set: Option<StatefulSet> = self.find(&owner.name).await?;
                let set = set.filter(|set| set.uid().as_deref() == Some(owner.uid.as_str()));
                Ok(set.map(|set| OwnerState::StatefulSet(set_view(&set))))
            }
            "ReplicaSet" if apps => {
                let set: Option<ReplicaSet> = self.find(&owner.name).await?;
                let Some(set) = set.filter(|set| set.uid().as_deref() == Some(&owner.uid)) else {
                    return Ok(None);
                };
                let above = super::view::controller(set.owner_references());
                let deployment: Option<Deployment> = match above {
                    Some(above) if above.kind == "Deployment" => self.find(&above.name).await?,
                    _ => None,
                };
                let view = replica_set_view(&set, deployment.as_ref());
                Ok(Some(OwnerState::ReplicaSet(view)))
            }
            _ => Ok(None),
        }
    }

    async fn claims(
        &self,
        pod: &PodView,
        nodes: &[Node],
        unseen: &mut Vec<String>,
    ) -> PortResult<Vec<ClaimView>> {
        let mut views = Vec::new();
        for volume in &pod.volumes {
            let VolumeKind::Claim(name) = &volume.kind else {
                continue;
            };
            let claim = self.find::<PersistentVolumeClaim>(name).await;
            let Some(claim) = allowed(claim, &format!("claim {name}"), unseen)?.flatten() else {
                continue;
            };
            let volume = claim
                .spec
                .as_ref()
                .and_then(|spec| spec.volume_name.clone());
            let volume = match volume {
                Some(name) => {
                    let volumes: Api<PersistentVolume> = Api::all(self.inner.client.clone());
                    let what = format!("read volume {name}");
                    let found = self.inner.retry.run(&what, || volumes.get_opt(&name)).await;
                    allowed(found, &format!("volume {name}"), unseen)?.flatten()
                }
                None => None,
            };
            views.push(claim_view(&claim, volume.as_ref(), nodes));
        }
        Ok(views)
    }

    async fn budgets(
        &self,
        pod: &PodView,
        unseen: &mut Vec<String>,
    ) -> PortResult<Vec<BudgetView>> {
        let api: Api<PodDisruptionBudget> = self.namespaced();
        let (retry, what) = (&self.inner.retry, "list PodDisruptionBudgets");
        let found = pages::all(retry, &api, ListParams::default(), what).await;
        let found = allowed(found, "PodDisruptionBudgets", unseen)?;
        Ok(found
            .into_iter()
            .flatten()
            .filter_map(|budget| budget_view(&budget, &pod.labels))
            .collect())
    }

    async fn crowd(&self) -> PortResult<BTreeMap<String, u64>> {
        let (retry, pods) = (&self.inner.retry, self.pods());
        let all = pages::all(retry, &pods, ListParams::default(), "list pods").await?;
        let mut crowd = BTreeMap::new();
        for node in all
            .iter()
            .filter_map(|pod| pod.spec.as_ref()?.node_name.clone())
        {
            *crowd.entry(node).or_default() += 1;
        }
        Ok(crowd)
    }

    /// The object of that name in the namespace.
    pub(super) async fn find<K>(&self, name: &str) -> PortResult<Option<K>>
    where
        K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>
            + DeserializeOwned
            + Clone
            + Debug,
    {
        let api: Api<K> = self.namespaced();
        let what = format!("read {} {name}", K::kind(&()));
        self.inner.retry.run(&what, || api.get_opt(name)).await
    }

    pub(super) fn namespaced<K>(&self) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>,
    {
        Api::namespaced(self.inner.client.clone(), &self.inner.namespace)
    }
}

/// `None`, and named in `unseen`, where the caller may not look.
fn allowed<T>(found: PortResult<T>, what: &str, unseen: &mut Vec<String>) -> PortResult<Option<T>> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(PortError::Denied(_)) => {
            unseen.push(what.to_owned());
            Ok(None)
        }
        Err(error) => Err(error),
    }
}
