//! Looks at one resource and sets to work what it asks for. A look waits for nothing, neither for a
//! migration nor for the API server: one that answers slowly would hold up the looks at all others.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use kube::ResourceExt;
use kube::api::Api;
use kube::runtime::controller::Action;
use tokio::time::Instant;
use tracing::Instrument as _;

use super::crew::{Free, Key, Turn};
use super::note::Waits;
use super::object;
use super::turn::Place;
use super::wish::{Seen, Wish, wish};
use super::work::{Context, work};
use crate::api::{DRIVEN_BY_LABEL, StatefulMigration};
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
    let pause = span.in_scope(|| look(found, &context, key));
    context.metrics.reconciled(began.elapsed());
    Ok(pause.map_or_else(Action::await_change, Action::requeue))
}

/// Every line about a migration carries its name.
pub(super) fn span_of((namespace, name): &Key) -> tracing::Span {
    // A migration outlives the look that began it.
    tracing::info_span!(parent: None, "migration", migration = format!("{namespace}/{name}"))
}

pub(super) fn key_of(found: &StatefulMigration) -> Key {
    (found.namespace().unwrap_or_default(), found.name_any())
}

/// How long until it is looked at again, if not only when it changes.
type Pause = Option<Duration>;

fn look(found: Arc<StatefulMigration>, context: &Arc<Context>, key: Key) -> Pause {
    if found.labels().contains_key(DRIVEN_BY_LABEL) {
        return None;
    }
    let seen = Seen::of(&found, context.crew.is_at_work(&key));
    match wish(seen) {
        Wish::Nothing => {
            context.crew.leaves_line(&key, created(&found));
            None
        }
        Wish::Begin => begin(found, context, key),
        Wish::GoOn => {
            let place = Place::of(&key.0, &found);
            take_up(found, context, key, place, true)
        }
        Wish::End => end(found, context, key),
        Wish::Stop => {
            context.crew.stop(&key);
            None
        }
        Wish::Seal => let_go(found, context, key, true),
        Wish::LetGo => let_go(found, context, key, false),
    }
}

/// Rolls back, or ends, what nobody works on.
fn end(found: Arc<StatefulMigration>, context: &Arc<Context>, key: Key) -> Pause {
    let place = Place::of(&key.0, &found);
    let pause = take_up(found, context, key.clone(), place, true);
    context.crew.stop(&key);
    pause
}

/// Begins it when its turn has come. The source's node is asked for only then. Whoever wants it ended
/// meanwhile is not overheard: that look takes it up itself, and this one finds it at work or at rest.
fn begin(found: Arc<StatefulMigration>, context: &Arc<Context>, key: Key) -> Pause {
    if let Some(rest) = context.crew.rest(&key) {
        return Some(rest);
    }
    let mut place = Place::of(&key.0, &found);
    let kept = match context.crew.keep_free(&key, created(&found), &place) {
        Free::Kept(kept) => kept,
        Free::Already => return None,
        Free::Not => return take_up(found, context, key, place, false),
    };
    let (begun, own) = (key.clone(), Arc::clone(context));
    beside(context, key, async move {
        if let Some(node) = node_of(&own, &begun.0, &found.spec.source_pod).await {
            place.add_node(&node);
        }
        let pause = take_up(found, &own, begun, place, false);
        drop(kept);
        pause
    });
    None
}

fn created(found: &StatefulMigration) -> Timestamp {
    let created = found.creation_timestamp();
    created.map_or(Timestamp::UNIX_EPOCH, |time| time.0)
}

/// Does what takes requests, and has the resource looked at again if that is what comes of it.
fn beside(context: &Arc<Context>, key: Key, work: impl Future<Output = Pause> + Send + 'static) {
    let (crew, span) = (Arc::clone(&context.crew), span_of(&key));
    let work = async move {
        if let Some(pause) = work.await {
            tokio::time::sleep(pause).await;
            crew.look_at(&key);
        }
    };
    tokio::spawn(work.instrument(span));
}

/// The node of a pod; none where that cannot be seen, which the engine says then.
async fn node_of(context: &Context, namespace: &str, pod: &str) -> Option<String> {
    use k8s_openapi::api::core::v1::Pod;
    let pods: Api<Pod> = Api::namespaced(context.client(), namespace);
    pods.get_opt(pod).await.ok()??.spec?.node_name
}

fn take_up(
    found: Arc<StatefulMigration>,
    context: &Arc<Context>,
    key: Key,
    place: Place,
    at_once: bool,
) -> Pause {
    match context.crew.ask(&key, created(&found), place, at_once) {
        Turn::Now(stop) => {
            let span = span_of(&key);
            tokio::spawn(work(Arc::clone(context), key, found, stop).instrument(span));
            None
        }
        Turn::Waits(obstacle) => {
            let waits = Waits {
                key,
                found,
                obstacle,
            };
            // Nobody writes any more when the controller ends.
            let _ = context.notes.send(waits);
            None
        }
        Turn::Rests(rest) => Some(rest),
        Turn::Not => None,
    }
}

fn let_go(found: Arc<StatefulMigration>, context: &Arc<Context>, key: Key, ended: bool) -> Pause {
    let (gone, own) = (key.clone(), Arc::clone(context));
    beside(context, key, async move {
        seal(&found, &own, &gone, ended).await
    });
    None
}

async fn seal(found: &StatefulMigration, context: &Context, key: &Key, ended: bool) -> Pause {
    match object::let_go(&context.client(), key, found, ended).await {
        Ok(()) => {
            context.crew.forget(key);
            None
        }
        // The watch is about to show what it is now.
        Err(PortError::Conflict(_)) => Some(AGAIN),
        Err(error) => {
            tracing::warn!(%error, "it could not be let go");
            context.metrics.error();
            Some(AGAIN)
        }
    }
}
