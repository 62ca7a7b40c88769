//! Keeps the status of PodDisruptionBudgets, by which evictions are allowed or not.

mod budget;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet, StatefulSet};
use k8s_openapi::api::core::v1::{Pod, ReplicationController};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::PostParams;
use kube::core::{Selector, SelectorExt as _};
use kube::runtime::reflector::Store;
use kube::{Api, Client, Resource, ResourceExt as _};

use super::{RETRY, observe};

/// How soon evictions that came to nothing are looked for again.
const PATIENCE: Duration = Duration::from_secs(10);

/// Runs until the task is dropped.
pub(super) async fn run(client: Client) {
    let (budgets, budget_changes) = observe::<PodDisruptionBudget>(Api::all(client.clone()));
    let (pods, pod_changes) = observe::<Pod>(Api::all(client.clone()));
    let (sets, set_changes) = observe::<StatefulSet>(Api::all(client.clone()));
    let (replicas, replica_changes) = observe::<ReplicaSet>(Api::all(client.clone()));
    let (deployments, deployment_changes) = observe::<Deployment>(Api::all(client.clone()));
    let (older, older_changes) = observe::<ReplicationController>(Api::all(client.clone()));
    let mut changes = futures_util::stream::select_all([
        budget_changes.boxed(),
        pod_changes.boxed(),
        set_changes.boxed(),
        replica_changes.boxed(),
        deployment_changes.boxed(),
        older_changes.boxed(),
    ]);
    let controller = Controller {
        client,
        pods,
        owners: Owners {
            sets,
            replicas,
            deployments,
            older,
        },
    };
    let mut pause = PATIENCE;
    loop {
        tokio::select! {
            change = changes.next() => if change.is_none() { return },
            () = tokio::time::sleep(pause) => {}
        }
        pause = PATIENCE;
        for budget in budgets.state() {
            if let Err(error) = controller.budget(&budget).await {
                tracing::debug!(budget = budget.name_any(), %error, "budget not written");
                pause = RETRY;
            }
        }
    }
}

struct Controller {
    client: Client,
    pods: Store<Pod>,
    owners: Owners,
}

impl Controller {
    async fn budget(&self, budget: &PodDisruptionBudget) -> kube::Result<()> {
        let pods = self.pods.state();
        let selector = budget.spec.as_ref().and_then(|spec| spec.selector.clone());
        // Without a selector a budget is for nothing; with an empty one for everything.
        let selector = selector.and_then(|selector| Selector::try_from(selector).ok());
        let covered: Vec<&Pod> = pods
            .iter()
            .map(AsRef::as_ref)
            .filter(|pod| pod.metadata.namespace == budget.metadata.namespace)
            .filter(|pod| {
                selector
                    .as_ref()
                    .is_some_and(|one| one.matches(pod.labels()))
            })
            .collect();
        let scales = self.owners.scales(&covered);
        let status = budget::status(budget, &covered, &scales, Timestamp::now());
        if budget.status.as_ref() == Some(&status) {
            return Ok(());
        }
        let namespace = budget.namespace().unwrap_or_default();
        let api: Api<PodDisruptionBudget> = Api::namespaced(self.client.clone(), &namespace);
        // As a whole and of this version: an eviction that was allowed meanwhile is not undone.
        let budget = PodDisruptionBudget {
            status: Some(status),
            ..budget.clone()
        };
        match api
            .replace_status(&budget.name_any(), &PostParams::default(), &budget)
            .await
        {
            Err(kube::Error::Api(answer)) if answer.code == 404 => Ok(()),
            replaced => replaced.map(drop),
        }
    }
}

/// Everything that says how many pods it wants.
struct Owners {
    sets: Store<StatefulSet>,
    replicas: Store<ReplicaSet>,
    deployments: Store<Deployment>,
    older: Store<ReplicationController>,
}

impl Owners {
    /// How many pods each owner wants, by uid. Pods without an owner are nobody's wish.
    fn scales(&self, pods: &[&Pod]) -> budget::Scales {
        let mut scales = BTreeMap::new();
        for pod in pods {
            let Some(owner) = controller_of(*pod) else {
                continue;
            };
            let (uid, replicas) = self.scale(&owner).ok_or_else(|| {
                let kind = owner.kind.to_lowercase();
                format!(
                    "found no scale of {kind} {:?}, which controls pod {:?}",
                    owner.name,
                    pod.name_any()
                )
            })?;
            scales.insert(uid, replicas);
        }
        Ok(scales)
    }

    fn scale(&self, owner: &OwnerReference) -> Option<(String, i32)> {
        let wanted = |replicas: Option<i32>| (owner.uid.clone(), replicas.unwrap_or(1));
        match owner.kind.as_str() {
            "StatefulSet" => {
                let set = find(&self.sets, &owner.uid)?;
                Some(wanted(set.spec.replicas))
            }
            "ReplicationController" => {
                let older = find(&self.older, &owner.uid)?;
                Some(wanted(older.spec.as_ref()?.replicas))
            }
            "ReplicaSet" => {
                let set = find(&self.replicas, &owner.uid)?;
                let Some(above) = controller_of(set.as_ref()) else {
                    return Some(wanted(set.spec.replicas));
                };
                let deployment = find(&self.deployments, &above.uid)?;
                let replicas = deployment.spec.replicas;
                Some((above.uid, replicas.unwrap_or(1)))
            }
            _ => None,
        }
    }
}

fn find<K>(store: &Store<K>, uid: &str) -> Option<Arc<K>>
where
    K: Resource<DynamicType = ()> + Clone + 'static,
{
    store.find(|object| object.meta().uid.as_deref() == Some(uid))
}

fn controller_of<K: Resource>(object: &K) -> Option<OwnerReference> {
    let mut owners = object.owner_references().iter();
    owners.find(|owner| owner.controller == Some(true)).cloned()
}
