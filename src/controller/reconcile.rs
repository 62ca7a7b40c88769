//! Looks at one resource and does what it asks for, without waiting for a migration.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use kube::ResourceExt;
use kube::api::Api;
use kube::runtime::controller::Action;
use tokio::time::Instant;
use tracing::Instrument as _;

use super::crew::{Key, Turn};
use super::turn::{Obstacle, Place};
use super::wish::{Seen, Wish, wish};
use super::work::{Context, work};
use super::{note, object};
use crate::api::{DRIVEN_BY_LABEL, StatefulMigration, conditions};
use crate::migration::error::PortError;

/// The pause after a write that failed.
const AGAIN: Duration = Duration::from_secs(2);

/// Looks at a resource. Never fails: what did not come off is looked at again.
pub(super) async fn reconcile(
    found: Arc<StatefulMigration>,
    context: Arc<Context>,
) -> Result<Action, Infallible> {
    let began = Instant::now();
    let key = key_of(&found);
    let span = span_of(&key);
    let action = Box::pin(look(found, &context, key)).instrument(span).await;
    context.metrics.reconciled(began.elapsed());
    Ok(action)
}

/// Every line about a migration carries its name.
fn span_of((namespace, name): &Key) -> tracing::Span {
    // A migration outlives the look that began it.
    tracing::info_span!(parent: None, "migration", migration = format!("{namespace}/{name}"))
}

pub(super) fn key_of(found: &StatefulMigration) -> Key {
    (found.namespace().unwrap_or_default(), found.name_any())
}

async fn look(found: Arc<StatefulMigration>, context: &Arc<Context>, key: Key) -> Action {
    if found.labels().contains_key(DRIVEN_BY_LABEL) {
        return Action::await_change();
    }
    let seen = Seen::of(&found, context.crew.is_at_work(&key));
    match wish(seen) {
        Wish::Nothing => Action::await_change(),
        Wish::Begin => begin(found, context, key).await,
        Wish::GoOn => {
            let place = Place::of(&key.0, &found);
            take_up(found, context, key, place, true).await
        }
        Wish::End => end(found, context, key).await,
        Wish::Stop => {
            context.crew.stop(&key);
            Action::await_change()
        }
        Wish::Seal => seal(&found, context, &key, true).await,
        Wish::LetGo => seal(&found, context, &key, false).await,
    }
}

/// Rolls back, or ends, what nobody works on.
async fn end(found: Arc<StatefulMigration>, context: &Arc<Context>, key: Key) -> Action {
    let place = Place::of(&key.0, &found);
    let action = take_up(found, context, key.clone(), place, true).await;
    context.crew.stop(&key);
    action
}

/// Begins it when its turn has come. The source's node is asked for only then.
async fn begin(found: Arc<StatefulMigration>, context: &Arc<Context>, key: Key) -> Action {
    let mut place = Place::of(&key.0, &found);
    if context.crew.may_begin(&place).is_ok()
        && let Some(node) = node_of(context, &key.0, &found.spec.source_pod).await
    {
        place.add_node(&node);
    }
    take_up(found, context, key, place, false).await
}

/// The node of a pod; none where that cannot be seen, which the engine says then.
async fn node_of(context: &Context, namespace: &str, pod: &str) -> Option<String> {
    use k8s_openapi::api::core::v1::Pod;
    let pods: Api<Pod> = Api::namespaced(context.client(), namespace);
    pods.get_opt(pod).await.ok()??.spec?.node_name
}

async fn take_up(
    found: Arc<StatefulMigration>,
    context: &Arc<Context>,
    key: Key,
    place: Place,
    at_once: bool,
) -> Action {
    let created = found.creation_timestamp();
    let created = created.map_or(Timestamp::UNIX_EPOCH, |time| time.0);
    match context.crew.ask(&key, created, place, at_once) {
        Turn::Now(stop) => {
            let span = span_of(&key);
            tokio::spawn(work(Arc::clone(context), key, found, stop).instrument(span));
            Action::await_change()
        }
        Turn::Waits(obstacle) => {
            // It only helps, so nobody waits for it.
            let (context, span) = (Arc::clone(context), span_of(&key));
            tokio::spawn(
                async move { tell_waiting(&context, &found, &obstacle).await }.instrument(span),
            );
            Action::await_change()
        }
        Turn::Rests(rest) => Action::requeue(rest),
        Turn::Not => Action::await_change(),
    }
}

async fn tell_waiting(context: &Context, found: &StatefulMigration, obstacle: &Obstacle) {
    let reason = conditions::reasons::QUEUED;
    note::waits(context, found, reason, &obstacle.to_string()).await;
}

async fn seal(found: &StatefulMigration, context: &Context, key: &Key, ended: bool) -> Action {
    match object::let_go(&context.client(), key, found, ended).await {
        Ok(()) => {
            context.crew.forget(key);
            Action::await_change()
        }
        // The watch is about to show what it is now.
        Err(PortError::Conflict(_)) => Action::requeue(AGAIN),
        Err(error) => {
            tracing::warn!(%error, "it could not be let go");
            context.metrics.error();
            Action::requeue(AGAIN)
        }
    }
}
