//! The StatefulSet controller: adopts and releases pods, and makes, updates and deletes them one
//! by one as `decide` says. It compares names and labels and never what a pod runs.

mod claims;
mod decide;
mod history;
mod members;
mod status;
mod steps;

use std::sync::Arc;

use futures_util::StreamExt as _;
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use kube::api::ListParams;
use kube::runtime::Controller;
use kube::runtime::controller::Action;
use kube::runtime::reflector::ObjectRef;
use kube::runtime::watcher::Config;
use kube::{Api, Client, ResourceExt as _};

use self::decide::{Plan, View};
use self::steps::{Error, Hand};
use super::backoff::Backoff;
use super::owners::{self, Concerned};
use super::report;
use crate::node::Recorder;

/// Runs until the task is dropped.
pub(super) async fn run(client: Client) {
    let controller = Controller::new(Api::<StatefulSet>::all(client.clone()), Config::default());
    let concerned = Concerned::new(controller.store(), |set| Some(&set.spec.selector));
    let context = Arc::new(Context {
        recorder: Recorder::new(client.clone(), "statefulset-controller", None),
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
    backoff: Backoff<ObjectRef<StatefulSet>>,
}

fn again(set: Arc<StatefulSet>, error: &Error, context: Arc<Context>) -> Action {
    let pause = context.backoff.failed(ObjectRef::from_obj(set.as_ref()));
    tracing::debug!(set = set.name_any(), %error, ?pause, "set not reconciled");
    Action::requeue(pause)
}

async fn reconcile(known: Arc<StatefulSet>, context: Arc<Context>) -> Result<Action, Error> {
    let namespace = known.namespace().unwrap_or_default();
    let sets: Api<StatefulSet> = Api::namespaced(context.client.clone(), &namespace);
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
    /// Makes the world as the set says, as far as that goes now.
    async fn sync(&self, sets: &Api<StatefulSet>, set: &StatefulSet) -> Result<Action, Error> {
        let Some(selector) = owners::selector(Some(&set.spec.selector)) else {
            return Ok(Action::await_change());
        };
        let namespace = set.namespace().unwrap_or_default();
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), &namespace);
        let listed = pods.list(&ListParams::default()).await?.items;
        let members = listed
            .into_iter()
            .filter(|pod| members::is_member(set, pod));
        let own = owners::claimed(&pods, set, &selector, members.collect(), |_| true).await?;
        let history = history::of(&self.client, set, &selector).await?;
        let claims = self.claims(set, &namespace).await?;
        let now = Timestamp::now();
        let plan = decide::plan(&View {
            set,
            history: &history,
            pods: &own,
            claims: &claims,
            now,
        });
        let (deleted, outcome) = self.carry_out(set, &plan).await;
        // Also when something failed: what is there is there.
        let status = status::of(set, &history, &own, deleted, now);
        report::status(sets, set, set.status.as_ref(), &status).await?;
        history::truncate(&self.client, set, &history, &own).await?;
        outcome?;
        Ok(plan
            .look_again
            .map_or_else(Action::await_change, Action::requeue))
    }

    /// Only a set with templates has claims.
    async fn claims(
        &self,
        set: &StatefulSet,
        namespace: &str,
    ) -> kube::Result<Vec<PersistentVolumeClaim>> {
        let templates = set.spec.volume_claim_templates.as_ref();
        if templates.is_none_or(Vec::is_empty) {
            return Ok(Vec::new());
        }
        let claims = Api::<PersistentVolumeClaim>::namespaced(self.client.clone(), namespace);
        Ok(claims.list(&ListParams::default()).await?.items)
    }

    /// Does what is planned, and tells how many pods were deleted for an update.
    async fn carry_out(&self, set: &StatefulSet, plan: &Plan) -> (i32, Result<(), Error>) {
        let hand = Hand::new(&self.client, &self.recorder, set);
        for stage in [&plan.members, &plan.surplus] {
            if let Err(error) = hand.all(stage).await {
                return (0, Err(error));
            }
        }
        if plan.updates.is_empty() {
            return (0, Ok(()));
        }
        let outcome = hand.all(&plan.updates).await;
        (i32::from(outcome.is_ok()), outcome)
    }
}
