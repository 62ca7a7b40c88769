//! The Deployment controller: makes a ReplicaSet of each template and shifts the pods from the
//! others to the newest. It makes no pods itself. Rolling back is a client's business, who writes
//! the old template.

mod rollout;
mod sets;
mod status;
mod steps;

use std::sync::Arc;

use futures_util::StreamExt as _;
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use kube::api::ListParams;
use kube::runtime::Controller;
use kube::runtime::controller::Action;
use kube::runtime::reflector::ObjectRef;
use kube::runtime::watcher::Config;
use kube::{Api, Client, ResourceExt as _};

use self::steps::Rollout;
use super::RETRY;
use super::backoff::Backoff;
use super::owners::{self, Concerned};
use crate::node::Recorder;

/// Runs until the task is dropped.
pub(super) async fn run(client: Client) {
    let controller = Controller::new(Api::<Deployment>::all(client.clone()), Config::default());
    let concerned = Concerned::new(controller.store(), |deployment| {
        Some(&deployment.spec.selector)
    });
    let context = Arc::new(Context {
        recorder: Recorder::new(client.clone(), "deployment-controller", None),
        client: client.clone(),
        backoff: Backoff::default(),
    });
    controller
        .watches(
            Api::<ReplicaSet>::all(client),
            Config::default(),
            move |set| concerned.by(&set.metadata),
        )
        .run(reconcile, again, context)
        .for_each(async |_| ())
        .await;
}

struct Context {
    client: Client,
    recorder: Recorder,
    backoff: Backoff<ObjectRef<Deployment>>,
}

fn again(deployment: Arc<Deployment>, error: &kube::Error, context: Arc<Context>) -> Action {
    let pause = context
        .backoff
        .failed(ObjectRef::from_obj(deployment.as_ref()));
    tracing::debug!(deployment = deployment.name_any(), %error, ?pause, "not reconciled");
    Action::requeue(pause)
}

async fn reconcile(known: Arc<Deployment>, context: Arc<Context>) -> kube::Result<Action> {
    let namespace = known.namespace().unwrap_or_default();
    let deployments: Api<Deployment> = Api::namespaced(context.client.clone(), &namespace);
    // Asked for, not remembered: what is done depends on what is true now.
    let deployment = deployments.get_opt(&known.name_any()).await?;
    let Some(deployment) = deployment.filter(|one| one.metadata.deletion_timestamp.is_none())
    else {
        return Ok(Action::await_change());
    };
    let Some(selector) = owners::selector(Some(&deployment.spec.selector)) else {
        return Ok(Action::await_change());
    };
    let api: Api<ReplicaSet> = Api::namespaced(context.client.clone(), &namespace);
    let listed = api.list(&ListParams::default()).await?.items;
    let own = owners::claimed(&api, &deployment, &selector, listed, |_| true).await?;
    let mut rollout = Rollout::new(&context.client, &context.recorder, &deployment, own);
    let waits = rollout.advance().await?;
    let status = rollout.report(&deployments).await?;
    rollout.clean_up(&status).await?;
    context.backoff.succeeded(&ObjectRef::from_obj(&deployment));
    let late = status::look_again(&deployment, &status, Timestamp::now());
    let next = waits.then_some(RETRY).into_iter().chain(late).min();
    Ok(next.map_or_else(Action::await_change, Action::requeue))
}
