//! What is noted in the status of a resource that was not begun: why it waits.

use std::sync::Arc;

use futures_util::{StreamExt as _, stream};
use kube::ResourceExt;
use tokio::sync::mpsc::UnboundedReceiver;
use tracing::Instrument as _;

use super::crew::Key;
use super::reconcile::span_of;
use super::turn::Obstacle;
use super::work::Context;
use crate::api::{Phase, StatefulMigration, conditions};
use crate::migration::ports::{Clock, Journal};

/// How many notes are written at once: where many migrations are made at once, those that are under way
/// need the API server more.
const AT_ONCE: usize = 4;

/// A migration that waits for its turn.
pub(super) struct Waits {
    pub(super) key: Key,
    pub(super) found: Arc<StatefulMigration>,
    pub(super) obstacle: Obstacle,
}

/// Writes all notes that come. Never ends as long as the context lives.
pub(super) async fn write(context: &Context, mut wait: UnboundedReceiver<Waits>) {
    let coming = stream::poll_fn(move |task| wait.poll_recv(task));
    coming
        .for_each_concurrent(AT_ONCE, async |it| {
            if context.crew.is_at_work(&it.key) {
                return;
            }
            let reason = conditions::reasons::QUEUED;
            let text = it.obstacle.to_string();
            waits(context, &it.found, reason, &text)
                .instrument(span_of(&it.key))
                .await;
        })
        .await;
}

/// Notes why a migration waits, if that does not stand there already. It only helps: what cannot be
/// written is left.
pub(super) async fn waits(context: &Context, found: &StatefulMigration, reason: &str, text: &str) {
    let namespace = found.namespace().unwrap_or_default();
    let journal = context.journal(&namespace);
    let mut record = journal.found(found);
    let status = &mut record.status;
    let stands = status
        .conditions
        .iter()
        .any(|it| it.type_ == conditions::ACCEPTED && it.reason == reason && it.message == text);
    if stands && status.phase.is_some() {
        return;
    }
    status.phase = Some(Phase::Pending);
    status.message = Some(text.to_owned());
    let now = context.clock.now();
    status.set_condition_unknown(conditions::ACCEPTED, reason, text, now);
    if let Err(error) = journal.save(&record).await {
        tracing::debug!(%error, "it could not be noted why a migration waits");
    }
}
