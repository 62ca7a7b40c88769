//! The engine's events, told three ways: as a log line, as a Kubernetes Event of the resource, and to
//! Prometheus. Never waits: what cannot be sent at once is queued, and Events are given up when the
//! queue is full.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::Event as KubeEvent;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::api::{Api, PostParams};
use kube::{Client, Resource};
use tokio::sync::mpsc;

use super::crew::{Crew, Key};
use super::metrics::Metrics;
use crate::api::{Phase, StatefulMigration};
use crate::migration::error::ErrorKind;
use crate::migration::event::{Event, EventKind, Reporter};
use crate::migration::summary::Summary;

/// How many Events may wait to be sent: all of some 100 migrations.
const QUEUE: usize = 1_000;

/// A note may have 1 kB (`events.k8s.io/v1`).
const NOTE: usize = 1_000;

/// Who sends Events.
pub(super) const CONTROLLER: &str = "ms2m-controller";

/// A way to have Events sent, in order, by one task.
#[derive(Clone)]
pub(super) struct Mail {
    queue: mpsc::Sender<KubeEvent>,
    instance: String,
}

impl Mail {
    /// Sends what is queued until nobody can queue any more.
    pub(super) fn start(client: Client, instance: String) -> Self {
        let (queue, mut waiting) = mpsc::channel::<KubeEvent>(QUEUE);
        tokio::spawn(async move {
            while let Some(event) = waiting.recv().await {
                let namespace = event.metadata.namespace.clone().unwrap_or_default();
                let events: Api<KubeEvent> = Api::namespaced(client.clone(), &namespace);
                // They only help: one that is lost stands in the log all the same.
                if let Err(error) = events.create(&PostParams::default(), &event).await {
                    tracing::debug!(%error, "an Event could not be sent");
                }
            }
        });
        Self { queue, instance }
    }

    fn send(&self, about: &ObjectReference, kind: &str, reason: &str, note: &str) {
        let now = Timestamp::now();
        let name = about.name.as_deref().unwrap_or(CONTROLLER);
        let event = KubeEvent {
            metadata: ObjectMeta {
                name: Some(format!("{name}.{:x}", now.as_nanosecond())),
                namespace: about.namespace.clone(),
                ..ObjectMeta::default()
            },
            type_: Some(kind.to_owned()),
            reason: Some(reason.to_owned()),
            action: Some("Migrate".to_owned()),
            note: Some(cut(note)),
            regarding: Some(about.clone()),
            reporting_controller: Some(CONTROLLER.to_owned()),
            reporting_instance: Some(self.instance.clone()),
            event_time: Some(MicroTime(now)),
            ..KubeEvent::default()
        };
        if self.queue.try_send(event).is_err() {
            tracing::warn!(
                reason,
                "too many Events wait to be sent: this one is given up"
            );
        }
    }
}

/// `note`, with no more characters than may be.
fn cut(note: &str) -> String {
    if note.len() <= NOTE {
        return note.to_owned();
    }
    let mut end = NOTE - '…'.len_utf8();
    while !note.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}…", &note[..end])
}

/// What is told of one migration.
pub(super) struct News {
    pub(super) key: Key,
    pub(super) about: ObjectReference,
    pub(super) mail: Mail,
    pub(super) metrics: Arc<Metrics>,
    pub(super) crew: Arc<Crew>,
}

impl News {
    /// Of this resource.
    pub(super) fn of(
        key: &Key,
        found: &StatefulMigration,
        mail: &Mail,
        metrics: &Arc<Metrics>,
        crew: &Arc<Crew>,
    ) -> Self {
        Self {
            key: key.clone(),
            about: found.object_ref(&()),
            mail: mail.clone(),
            metrics: Arc::clone(metrics),
            crew: Arc::clone(crew),
        }
    }

    pub(super) fn warn(&self, note: &str) {
        tracing::warn!("{note}");
        self.mail.send(&self.about, "Warning", "Attention", note);
    }

    fn say(&self, reason: &str, note: &str) {
        tracing::info!(reason, "{note}");
        self.mail.send(&self.about, "Normal", reason, note);
    }

    fn complain(&self, reason: &str, note: &str) {
        tracing::warn!(reason, "{note}");
        self.mail.send(&self.about, "Warning", reason, note);
    }

    fn ended(&self) {
        self.metrics.replay_ended(&self.key);
    }
}

impl Reporter for News {
    fn report(&self, event: Event) {
        match event.kind {
            EventKind::Started {
                pod,
                from,
                to,
                resumed,
                back,
                ..
            } => {
                self.crew.is_bound_for(&self.key, &from);
                self.crew.is_bound_for(&self.key, &to);
                let way = format!("pod {pod} from node {from} to node {to}");
                match (resumed, back) {
                    (false, _) => self.say("Accepted", &format!("moves {way}")),
                    (true, false) => self.say("Resumed", &format!("goes on moving {way}")),
                    (true, true) => self.say("Resumed", &format!("goes on rolling back: {way}")),
                }
            }
            // `Accepted` says it.
            EventKind::PhaseStarted {
                phase: Phase::Pending,
            } => {}
            EventKind::PhaseStarted { phase } => {
                self.say(phase.name(), &format!("phase {phase} begins"));
            }
            EventKind::PhaseFinished { phase, seconds } => {
                self.metrics.phase_took(phase.name(), seconds);
                tracing::info!(phase = phase.name(), seconds, "phase ended");
            }
            EventKind::Step { phase, what } => tracing::info!(phase = phase.name(), "{what}"),
            EventKind::Warning { message } => self.warn(&message),
            EventKind::Transfer(progress) => tracing::debug!(
                archive_bytes = progress.archive_bytes,
                sent_bytes = progress.sent_bytes,
                "transfer"
            ),
            EventKind::Replay { depth, .. } => {
                self.metrics.replay(&self.key, depth);
                tracing::debug!(depth, "replay");
            }
            EventKind::Committed => self.say("Committed", "from here on there is only forward"),
            EventKind::UndoStarted { reason } => {
                self.complain("RollingBack", &format!("rolling back: {reason}"));
            }
            EventKind::Undone { what } => tracing::info!("undone: {what}"),
            EventKind::UndoFailed { what, cause } => {
                self.complain("UndoFailed", &format!("{what}: {cause}"));
            }
            EventKind::Completed { summary } => {
                self.metrics.completed(&summary);
                self.ended();
                self.say("Completed", &receipt(&summary));
                for doubt in &summary.doubts {
                    self.complain("InDoubt", doubt);
                }
            }
            EventKind::Failed { error } => {
                self.metrics.failed(&error);
                self.ended();
                if !matches!(error.kind, ErrorKind::Left) {
                    self.complain(reason_of(error.kind), &error.line());
                }
            }
        }
    }
}

fn receipt(summary: &Summary) -> String {
    format!(
        "pod {} serves on node {}: {:.1} s in all, {:.2} s of downtime, {} messages replayed",
        summary.target_pod,
        summary.target_node,
        summary.total_seconds,
        summary.downtime_seconds,
        summary.messages_replayed
    )
}

fn reason_of(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::Usage | ErrorKind::Refused => "Refused",
        ErrorKind::RolledBack => "RolledBack",
        ErrorKind::Interrupted => "Aborted",
        ErrorKind::Unfinished => "Unfinished",
        ErrorKind::Stuck => "Stuck",
        ErrorKind::LockLost | ErrorKind::Left => "LockLost",
        ErrorKind::TooLate => "TooLate",
        ErrorKind::SourceLost => "SourceLost",
        ErrorKind::TargetLost => "TargetLost",
        ErrorKind::TimedOut => "TimedOut",
        ErrorKind::InDoubt => "InDoubt",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_cut_where_a_character_ends() {
        assert_eq!(cut("short"), "short");
        let long = "ä".repeat(1_000);
        let cut = cut(&long);
        assert!(cut.len() <= NOTE && cut.ends_with('…'), "{}", cut.len());
    }
}
