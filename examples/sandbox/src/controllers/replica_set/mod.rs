//! The ReplicaSet controller: adopts and releases pods by their labels alone, and has as many as
//! it is to have. It counts what the API server has and not what it was told of, so it never
//! makes one too many.

mod ranking;
mod status;

use std::sync::Arc;

use futures_util::StreamExt as _;
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, ListParams, PostParams};
use kube::runtime::Controller;
use kube::runtime::controller::Action;
use kube::runtime::reflector::ObjectRef;
use kube::runtime::watcher::Config;
use kube::{Api, Client, Resource as _, ResourceExt as _};

use self::status::Failure;
use super::backoff::Backoff;
use super::owners::{self, Concerned, controller_of};
use super::{pods, report, words};
use crate::node::{Recorder, Severity};

/// Runs until the task is dropped.
pub(super) async fn run(client: Client) {
    let controller = Controller::new(Api::<ReplicaSet>::all(client.clone()), Config::default());
    let concerned = Concerned::new(controller.store(), |set| Some(&set.spec.selector));
    let context = Arc::new(Context {
        recorder: Recorder::new(client.clone(), "replicaset-controller", None),
        client: client.clone(),
        backoff: Backoff::default(),
    });
    controller
        .watches(Api::<Pod>::all(client), Config::default(), move |pod| {
            concerned.by(&pod.metadata)
        })
        .run(reconcile, again, context)
        .for_each(async |_| ())
        .await;
}

struct Context {
    client: Client,
    recorder: Recorder,
    backoff: Backoff<ObjectRef<ReplicaSet>>,
}

fn again(set: Arc<ReplicaSet>, error: &kube::Error, context: Arc<Context>) -> Action {
    let pause = context.backoff.failed(ObjectRef::from_obj(set.as_ref()));
    tracing::debug!(set = set.name_any(), %error, ?pause, "set not reconciled");
    Action::requeue(pause)
}

async fn reconcile(known: Arc<ReplicaSet>, context: Arc<Context>) -> kube::Result<Action> {
    let namespace = known.namespace().unwrap_or_default();
    let sets: Api<ReplicaSet> = Api::namespaced(context.client.clone(), &namespace);
    // Asked for, not remembered: what is done depends on what is true now.
    let set = sets.get_opt(&known.name_any()).await?;
    let Some(set) = set.filter(|set| set.metadata.deletion_timestamp.is_none()) else {
        return Ok(Action::await_change());
    };
    let next = context.sync(&sets, &set).await?;
    context.backoff.succeeded(&ObjectRef::from_obj(&set));
    Ok(next)
}

impl Context {
    /// Makes the world as the set says.
    async fn sync(&self, sets: &Api<ReplicaSet>, set: &ReplicaSet) -> kube::Result<Action> {
        let Some(selector) = owners::selector(Some(&set.spec.selector)) else {
            return Ok(Action::await_change());
        };
        let namespace = set.namespace().unwrap_or_default();
        let api: Api<Pod> = Api::namespaced(self.client.clone(), &namespace);
        let mut active = api.list(&ListParams::default()).await?.items;
        active.retain(pods::is_active);
        let own = owners::claimed(&api, set, &selector, active.clone(), |_| true).await?;
        let outcome = self.adjust(set, &api, &own, &active).await;
        let failure = outcome.as_ref().err().map(|(reason, error)| Failure {
            reason,
            message: words(error),
        });
        let now = Timestamp::now();
        let status = status::of(set, &own, failure.as_ref(), now);
        report::status(sets, set, set.status.as_ref(), &status).await?;
        outcome.map_err(|(_, error)| error)?;
        let min_ready = set.spec.min_ready_seconds.unwrap_or(0);
        let due = own
            .iter()
            .filter_map(|pod| pods::available_in(pod, min_ready, now))
            .filter(|due| !due.is_zero());
        Ok(due.min().map_or_else(Action::await_change, Action::requeue))
    }

    /// Makes missing pods and deletes surplus ones.
    async fn adjust(
        &self,
        set: &ReplicaSet,
        api: &Api<Pod>,
        own: &[Pod],
        active: &[Pod],
    ) -> Result<(), (&'static str, kube::Error)> {
        let wanted = usize::try_from(set.spec.replicas.unwrap_or(1)).unwrap_or(0);
        // The first one that fails is not followed by others.
        for _ in own.len()..wanted {
            self.create(set, api)
                .await
                .map_err(|error| ("FailedCreate", error))?;
        }
        if own.len() > wanted {
            let related = self.related(set, active);
            let related = related.await.map_err(|error| ("FailedDelete", error))?;
            let ranked = ranking::ranked(own.to_vec(), &related, Timestamp::now());
            for pod in ranked.iter().take(own.len() - wanted) {
                self.delete(set, api, pod)
                    .await
                    .map_err(|error| ("FailedDelete", error))?;
            }
        }
        Ok(())
    }

    async fn create(&self, set: &ReplicaSet, api: &Api<Pod>) -> kube::Result<()> {
        let template = set.spec.template.clone().unwrap_or_default();
        let owner = owners::reference(set);
        let pod = pods::from_template(&template, owner, &set.name_any());
        let created = api.create(&PostParams::default(), &pod).await;
        match &created {
            Ok(pod) => {
                let message = format!("Created pod: {}", pod.name_any());
                self.event(set, Severity::Normal, "SuccessfulCreate", message);
            }
            Err(error) => {
                let message = format!("Error creating: {}", words(error));
                self.event(set, Severity::Warning, "FailedCreate", message);
            }
        }
        created.map(drop)
    }

    async fn delete(&self, set: &ReplicaSet, api: &Api<Pod>, pod: &Pod) -> kube::Result<()> {
        let name = pod.name_any();
        match api.delete(&name, &DeleteParams::default()).await {
            Err(kube::Error::Api(answer)) if answer.code == 404 => return Ok(()),
            Err(error) => {
                let message = format!("Error deleting: {}", words(&error));
                self.event(set, Severity::Warning, "FailedDelete", message);
                return Err(error);
            }
            Ok(_) => {}
        }
        let message = format!("Deleted pod: {name}");
        self.event(set, Severity::Normal, "SuccessfulDelete", message);
        Ok(())
    }

    /// The active pods that match any ReplicaSet of the same owner. Without an owner there are
    /// none, not even its own: so it is in Kubernetes.
    async fn related(&self, set: &ReplicaSet, active: &[Pod]) -> kube::Result<Vec<Pod>> {
        let Some(owner) = controller_of(&set.metadata) else {
            return Ok(Vec::new());
        };
        let sets: Api<ReplicaSet> =
            Api::namespaced(self.client.clone(), &set.namespace().unwrap_or_default());
        let sets = sets.list(&ListParams::default()).await?.items;
        let siblings = sets.iter().filter(|other| {
            controller_of(&other.metadata).is_some_and(|other| other.uid == owner.uid)
        });
        let selectors: Vec<_> = siblings
            .filter_map(|set| owners::selector(Some(&set.spec.selector)))
            .collect();
        let related = active.iter().filter(|pod| {
            use kube::core::SelectorExt as _;
            let labels = pod.labels();
            selectors.iter().any(|selector| selector.matches(labels))
        });
        Ok(related.cloned().collect())
    }

    fn event(&self, set: &ReplicaSet, severity: Severity, reason: &str, message: String) {
        self.recorder
            .record(set.object_ref(&()), severity, reason, message);
    }
}
