//! What Prometheus is told. The table at the end of this file is the list of the metrics' names.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

use crate::migration::error::{Error, ErrorKind};
use crate::migration::summary::Summary;

/// The phase of a migration.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfPhase {
    phase: &'static str,
}

/// How a migration has ended.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfResult {
    result: &'static str,
}

/// One migration.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfMigration {
    namespace: String,
    migration: String,
}

/// All metrics of a controller.
pub(super) struct Metrics {
    registry: Registry,
    migrations: Family<OfPhase, Gauge>,
    waiting: Gauge,
    stuck: Gauge,
    finished: Family<OfResult, Counter>,
    phase_duration: Family<OfPhase, Histogram, fn() -> Histogram>,
    downtime: Histogram,
    archive_bytes: Counter,
    layer_bytes: Counter,
    replayed: Counter,
    depth: Family<OfMigration, Gauge>,
    reconcile_duration: Histogram,
    reconcile_errors: Counter,
    leader: Gauge,
}

/// From 10 ms to about 11 minutes.
fn durations() -> Histogram {
    Histogram::new(exponential_buckets(0.01, 2.0, 17))
}

/// Upper ends of a look at a resource in seconds: most take a tenth of a millisecond.
const LOOKS: [f64; 14] = [
    0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
];

/// How a migration has ended, as the metric has it; `None` for what is not its end.
fn result_of(error: &Error) -> Option<&'static str> {
    match error.kind {
        ErrorKind::RolledBack | ErrorKind::InDoubt => Some("rolled_back"),
        ErrorKind::Interrupted | ErrorKind::TooLate => Some("aborted"),
        ErrorKind::Refused | ErrorKind::Usage => Some("refused"),
        ErrorKind::SourceLost => Some("source_lost"),
        ErrorKind::TargetLost => Some("target_lost"),
        ErrorKind::Unfinished
        | ErrorKind::Stuck
        | ErrorKind::LockLost
        | ErrorKind::Left
        | ErrorKind::TimedOut => None,
    }
}

/// What is seen of all migrations at the moment of a scrape.
#[derive(Debug, Clone, Default)]
pub(super) struct Census {
    /// How many are in each phase, of those that have not ended.
    pub(super) phases: Vec<(&'static str, i64)>,
    pub(super) waiting: i64,
    pub(super) stuck: i64,
}

impl Metrics {
    pub(super) fn new() -> Arc<Self> {
        let mut metrics = Self {
            registry: Registry::default(),
            migrations: Family::default(),
            waiting: Gauge::default(),
            stuck: Gauge::default(),
            finished: Family::default(),
            phase_duration: Family::new_with_constructor(durations),
            downtime: durations(),
            archive_bytes: Counter::<u64, AtomicU64>::default(),
            layer_bytes: Counter::default(),
            replayed: Counter::default(),
            depth: Family::default(),
            reconcile_duration: Histogram::new(LOOKS),
            reconcile_errors: Counter::default(),
            leader: Gauge::default(),
        };
        metrics.register();
        // All results are there from the start, so that a rate has something to begin with.
        for result in [
            "completed",
            "rolled_back",
            "aborted",
            "refused",
            "source_lost",
            "target_lost",
        ] {
            let _ = metrics.finished.get_or_create(&OfResult { result });
        }
        Arc::new(metrics)
    }

    fn register(&mut self) {
        let r = &mut self.registry;
        let version = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        r.register("ms2m_build", "The version of ms2m", version);
        r.register(
            "ms2m_migrations",
            "Migrations that have not ended, by phase",
            self.migrations.clone(),
        );
        r.register(
            "ms2m_migrations_waiting",
            "Migrations that wait for their turn",
            self.waiting.clone(),
        );
        r.register(
            "ms2m_stuck_migrations",
            "Migrations whose roll-back has failed: somebody has to look",
            self.stuck.clone(),
        );
        r.register(
            "ms2m_migrations_finished",
            "Migrations that have ended, by result",
            self.finished.clone(),
        );
        r.register(
            "ms2m_phase_duration_seconds",
            "How long the phases took",
            self.phase_duration.clone(),
        );
        r.register(
            "ms2m_downtime_seconds",
            "Time in which messages waited and no one took any",
            self.downtime.clone(),
        );
        r.register(
            "ms2m_archive_bytes",
            "Bytes of checkpoint archives",
            self.archive_bytes.clone(),
        );
        r.register(
            "ms2m_layer_bytes",
            "Bytes of checkpoint layers that were sent to registries",
            self.layer_bytes.clone(),
        );
        r.register(
            "ms2m_messages_replayed",
            "Messages that targets took from their replay queues",
            self.replayed.clone(),
        );
        r.register(
            "ms2m_replay_queue_depth",
            "Messages that wait in a replay queue",
            self.depth.clone(),
        );
        r.register(
            "ms2m_reconcile_duration_seconds",
            "How long looking at a resource took",
            self.reconcile_duration.clone(),
        );
        r.register(
            "ms2m_reconcile_errors",
            "Migrations and requests that failed and are tried again",
            self.reconcile_errors.clone(),
        );
        r.register(
            "ms2m_leader",
            "1 where this controller leads",
            self.leader.clone(),
        );
    }

    pub(super) fn leads(&self, leads: bool) {
        self.leader.set(i64::from(leads));
    }

    pub(super) fn reconciled(&self, took: Duration) {
        self.reconcile_duration.observe(took.as_secs_f64());
    }

    pub(super) fn error(&self) {
        self.reconcile_errors.inc();
    }

    pub(super) fn phase_took(&self, phase: &'static str, seconds: f64) {
        let phase = self.phase_duration.get_or_create(&OfPhase { phase });
        phase.observe(seconds);
    }

    pub(super) fn replay(&self, key: &super::crew::Key, depth: u64) {
        let depth = i64::try_from(depth).unwrap_or(i64::MAX);
        self.depth.get_or_create(&of(key)).set(depth);
    }

    pub(super) fn replay_ended(&self, key: &super::crew::Key) {
        self.depth.remove(&of(key));
    }

    pub(super) fn completed(&self, summary: &Summary) {
        let completed = OfResult {
            result: "completed",
        };
        self.finished.get_or_create(&completed).inc();
        self.downtime.observe(summary.downtime_seconds);
        let count = |value: i64| u64::try_from(value).unwrap_or(0);
        self.archive_bytes.inc_by(count(summary.archive_bytes));
        self.layer_bytes.inc_by(count(summary.layer_bytes));
        self.replayed.inc_by(count(summary.messages_replayed));
    }

    pub(super) fn failed(&self, error: &Error) {
        match result_of(error) {
            Some(result) => {
                self.finished.get_or_create(&OfResult { result }).inc();
            }
            None => self.error(),
        }
    }

    /// The text of a scrape.
    pub(super) fn text(&self, census: &Census) -> Result<String, fmt::Error> {
        for (phase, count) in &census.phases {
            self.migrations
                .get_or_create(&OfPhase { phase })
                .set(*count);
        }
        self.waiting.set(census.waiting);
        self.stuck.set(census.stuck);
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

fn of((namespace, migration): &super::crew::Key) -> OfMigration {
    OfMigration {
        namespace: namespace.clone(),
        migration: migration.clone(),
    }
}

/// The metrics as they are asked for in queries: counters end with `_total`, and the version is that
/// of `ms2m_build_info`. Histograms have `_bucket`, `_sum` and `_count`.
pub const NAMES: [&str; 14] = [
    "ms2m_build_info",
    "ms2m_migrations",
    "ms2m_migrations_waiting",
    "ms2m_stuck_migrations",
    "ms2m_migrations_finished_total",
    "ms2m_phase_duration_seconds",
    "ms2m_downtime_seconds",
    "ms2m_archive_bytes_total",
    "ms2m_layer_bytes_total",
    "ms2m_messages_replayed_total",
    "ms2m_replay_queue_depth",
    "ms2m_reconcile_duration_seconds",
    "ms2m_reconcile_errors_total",
    "ms2m_leader",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scrape_has_every_metric_of_the_table() {
        let metrics = Metrics::new();
        let key = ("shop".to_owned(), "m".to_owned());
        metrics.replay(&key, 7);
        metrics.phase_took("Pending", 0.1);
        let census = Census {
            phases: vec![("Pending", 3)],
            waiting: 2,
            stuck: 0,
        };
        let text = metrics.text(&census).expect("it can be written");
        for name in NAMES {
            let found = text.lines().any(|line| {
                let rest = line.strip_prefix(name);
                rest.is_some_and(|rest| rest.starts_with(['{', ' ', '_']))
            });
            assert!(found, "no {name} in:\n{text}");
        }
        assert!(
            text.contains("ms2m_migrations{phase=\"Pending\"} 3"),
            "{text}"
        );
        assert!(
            text.contains("ms2m_migrations_finished_total{result=\"refused\"} 0"),
            "{text}"
        );
        metrics.replay_ended(&key);
        let text = metrics.text(&Census::default()).expect("it can be written");
        assert!(!text.contains("migration=\"m\""), "{text}");
    }
}
