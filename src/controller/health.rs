//! Whether this controller is alive and ready, and what a scrape shows of its migrations.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use kube::runtime::reflector::Store;
use tokio::sync::watch;
use tokio::time::Instant;

use super::crew::Crew;
use super::metrics::{Census, Metrics};
use crate::api::{Phase, StatefulMigration, conditions};

/// After so long without leadership a process that had it should have ended.
const OVERDUE: Duration = Duration::from_secs(60);

/// What a controller is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// It has not reached the API server yet.
    Starts,
    /// Another one leads; it can take over.
    StandsBy,
    /// It leads, and has not seen all resources yet.
    Syncs,
    /// It leads.
    Leads,
    /// It ends.
    Ends,
}

/// The state of a controller, for those who ask.
pub(super) struct Health {
    stage: watch::Sender<(Stage, Instant)>,
    pub(super) metrics: Arc<Metrics>,
    led: OnceLock<(Store<StatefulMigration>, Arc<Crew>)>,
}

impl Health {
    pub(super) fn new(metrics: Arc<Metrics>) -> Arc<Self> {
        let (stage, _) = watch::channel((Stage::Starts, Instant::now()));
        Arc::new(Self {
            stage,
            metrics,
            led: OnceLock::new(),
        })
    }

    pub(super) fn is_now(&self, stage: Stage) {
        self.metrics
            .leads(matches!(stage, Stage::Syncs | Stage::Leads));
        self.stage.send_replace((stage, Instant::now()));
        tracing::info!(stage = ?stage, "the controller's stage");
    }

    /// What it works on from now on.
    pub(super) fn leads(&self, store: Store<StatefulMigration>, crew: Arc<Crew>) {
        let _ = self.led.set((store, crew));
    }

    pub(super) fn is_alive(&self) -> Result<(), &'static str> {
        let (stage, since) = *self.stage.borrow();
        if stage == Stage::Ends && since.elapsed() > OVERDUE {
            return Err("it does not come to its end");
        }
        Ok(())
    }

    pub(super) fn is_ready(&self) -> Result<(), &'static str> {
        match self.stage.borrow().0 {
            Stage::StandsBy | Stage::Leads => Ok(()),
            Stage::Starts => Err("it has not reached the API server yet"),
            Stage::Syncs => Err("it has not seen all migrations yet"),
            Stage::Ends => Err("it ends"),
        }
    }

    pub(super) fn scrape(&self) -> Result<String, fmt::Error> {
        let census = match self.led.get() {
            Some((store, crew)) => census(store, crew),
            None => Census::default(),
        };
        self.metrics.text(&census)
    }
}

fn census(store: &Store<StatefulMigration>, crew: &Crew) -> Census {
    let mut phases: BTreeMap<Phase, i64> = [
        Phase::Pending,
        Phase::Checkpointing,
        Phase::Transferring,
        Phase::Restoring,
        Phase::Replaying,
        Phase::Finalizing,
    ]
    .map(|phase| (phase, 0))
    .into();
    let mut stuck = 0;
    for found in store.state() {
        let status = found.status.as_ref();
        let phase = status.and_then(|it| it.phase).unwrap_or_default();
        if let Some(count) = phases.get_mut(&phase) {
            *count += 1;
        }
        stuck += i64::from(status.is_some_and(|it| it.condition_holds(conditions::STUCK)));
    }
    let (_, waiting) = crew.counts();
    Census {
        phases: phases
            .into_iter()
            .map(|(phase, count)| (phase.name(), count))
            .collect(),
        waiting: i64::try_from(waiting).unwrap_or(i64::MAX),
        stuck,
    }
}
