//! What is noted in the status of a resource that was not begun: why it waits.

use kube::ResourceExt;

use super::work::Context;
use crate::api::{Phase, StatefulMigration, conditions};
use crate::migration::ports::{Clock, Journal};

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
