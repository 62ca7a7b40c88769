//! One migration in this process: what it knows, and the small things that every step needs.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use super::early::TransferJob;
use super::retry::Backoff;
use super::trouble::{Trouble, while_doing};
use crate::api::{
    HandoffStage, HandoffStatus, OwnerStatus, Phase, StatefulMigrationStatus, Strategy, Time,
    conditions,
};
use crate::migration::engine::Ports;
use crate::migration::error::PortError;
use crate::migration::event::{Event, EventKind, Reporter};
use crate::migration::handoff::abort::may_have_reopened;
use crate::migration::handoff::watch::Watch;
use crate::migration::handoff::{Names, Rules};
use crate::migration::limits::Limits;
use crate::migration::phase::is_legal;
use crate::migration::plan::{Plan, Request};
use crate::migration::ports::{Lock, PortResult};
use crate::migration::record::Record;
use crate::migration::summary::seconds_text;

/// How long a request that fails in passing is repeated: long enough for a broker or an API
/// server to restart.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a run listens to.
#[derive(Debug, Clone)]
pub(in crate::migration) struct Signals {
    /// Roll back, if it is before the commit point.
    pub(in crate::migration) stop: CancellationToken,
    /// Leave it as it stands, at the next moment at which nothing is under way.
    pub(in crate::migration) leave: CancellationToken,
}

/// One migration in this process.
pub(in crate::migration) struct Run {
    pub(super) ports: Ports,
    pub(super) reporter: Arc<dyn Reporter>,
    pub(super) limits: Limits,
    pub(super) stop: CancellationToken,
    pub(super) leave: CancellationToken,
    pub(super) lock: Arc<dyn Lock>,
    pub(super) record: Record,
    pub(super) names: Names,
    pub(super) watch: Watch,
    pub(super) began: Duration,
    /// When it was last looked whether the pods are there.
    pub(super) pods_seen: Option<Duration>,
    /// When this process saw the target's container run.
    pub(super) target_ran: Option<Duration>,
    /// The transfer Job of the handoff under way.
    pub(super) transfer: TransferJob,
    /// Where the receiver of a direct transfer listens, once this process has started it.
    pub(super) receiver: Option<SocketAddr>,
    /// Whether the transfer has seen to the archive on the source node.
    pub(super) archive_is_gone: bool,
    /// Whether it was said that there is only forward.
    pub(super) said_committed: bool,
    /// Connections to the broker at the last look of this process.
    pub(super) connections: Option<u64>,
    /// Whether an earlier process may have opened the gate of the handoff under way, and not written it down.
    pub(super) may_be_reopened: bool,
    /// Since when the gate could not be opened that was to be.
    pub(super) opening_since: Option<Duration>,
    /// Whether it was said that somebody has deleted the record.
    said_deleted: AtomicBool,
    /// Whether the target has not become ready, where it must before the source may go.
    pub(super) target_unready: bool,
    phase_began: Duration,
}

impl Run {
    /// The record of a migration that is about to begin.
    pub(in crate::migration) fn new_record(
        request: &Request,
        plan: &Plan,
        now: Timestamp,
    ) -> Record {
        let mut status = StatefulMigrationStatus {
            phase: Some(Phase::Pending),
            source_node: Some(plan.source_node.clone()),
            target_pod: Some(plan.target_pod.clone()),
            start_time: Some(Time(now)),
            strategy: Some(plan.strategy),
            source_pod_uid: Some(plan.source_uid.clone()),
            container: Some(plan.container.clone()),
            target_node: Some(plan.target_node.clone()),
            base_image: Some(plan.base_image.clone()),
            estimate: plan.estimate.clone(),
            owner: plan.owner.as_ref().map(|owner| OwnerStatus {
                kind: owner.kind.clone(),
                name: owner.name.clone(),
                let_go: false,
            }),
            handoff: Some(HandoffStatus {
                bindings: plan.bindings.clone(),
                ..HandoffStatus::default()
            }),
            ..StatefulMigrationStatus::default()
        };
        let text = "the spec and the world fit";
        status.set_condition(
            conditions::ACCEPTED,
            true,
            conditions::reasons::VALIDATED,
            text,
            now,
        );
        Record {
            name: request.name.clone(),
            namespace: request.namespace.clone(),
            created: now,
            spec: request.spec.clone(),
            status,
        }
    }

    pub(in crate::migration) fn new(
        ports: Ports,
        reporter: Arc<dyn Reporter>,
        limits: Limits,
        signals: Signals,
        lock: Arc<dyn Lock>,
        record: Record,
    ) -> Self {
        let now = ports.clock.elapsed();
        let names = Names::of(&record.spec.message_queue_config.queue_name);
        let mut watch = Watch::new(limits.clone(), now);
        if record.spec.force == Some(true) {
            watch.usual_consumers = None;
        }
        let may_be_reopened = record.status.handoff.as_ref().is_some_and(|found| {
            may_have_reopened(found.stage, found.aborting.then_some(found.undo))
        });
        Self {
            ports,
            reporter,
            limits,
            stop: signals.stop,
            leave: signals.leave,
            lock,
            record,
            names,
            watch,
            began: now,
            pods_seen: None,
            target_ran: None,
            transfer: TransferJob::Unknown,
            receiver: None,
            archive_is_gone: false,
            said_committed: false,
            connections: None,
            may_be_reopened,
            opening_since: None,
            said_deleted: AtomicBool::new(false),
            target_unready: false,
            phase_began: now,
        }
    }

    pub(super) fn report(&self, kind: EventKind) {
        let migration = self.record.name.clone();
        self.reporter.report(Event {
            time: self.ports.clock.now(),
            migration,
            kind,
        });
    }

    pub(super) fn step(&self, what: impl Into<String>) {
        let phase = self.phase();
        self.report(EventKind::Step {
            phase,
            what: what.into(),
        });
    }

    pub(super) fn warn(&self, message: impl Into<String>) {
        self.report(EventKind::Warning {
            message: message.into(),
        });
    }

    pub(super) fn phase(&self) -> Phase {
        self.record.status.phase.unwrap_or_default()
    }

    pub(super) fn handoff(&mut self) -> &mut HandoffStatus {
        self.record.status.handoff.get_or_insert_default()
    }

    pub(super) fn stage(&self) -> HandoffStage {
        self.record
            .status
            .handoff
            .as_ref()
            .map(|handoff| handoff.stage)
            .unwrap_or_default()
    }

    /// What was asked for, as far as it bears on the handoff.
    pub(super) fn rules(&self) -> Rules {
        let strategy = self.record.status.strategy.unwrap_or(Strategy::ShadowPod);
        Rules::of(&self.record.spec, strategy)
    }

    /// Whether the handoff is being undone.
    pub(super) fn is_aborting(&self) -> bool {
        self.record
            .status
            .handoff
            .as_ref()
            .is_some_and(|handoff| handoff.aborting)
    }

    /// Whether the target listens on the source's control queue.
    pub(super) fn has_stale_target(&self) -> bool {
        self.record
            .status
            .handoff
            .as_ref()
            .is_some_and(|handoff| handoff.stale_target)
    }

    /// Says that the present phase begins: once at the start, and after a take-over.
    pub(super) fn announce_phase(&mut self) {
        self.phase_began = self.ports.clock.elapsed();
        self.report(EventKind::PhaseStarted {
            phase: self.phase(),
        });
    }

    /// Ends the present phase and begins `next`, in memory: whoever calls it saves the record,
    /// together with whatever else belongs to that moment.
    ///
    /// The second handoff of a StatefulSet's pod is a part of the phase that it began in.
    ///
    /// # Panics
    /// When the table of the phases does not allow it, which would be a mistake in the engine.
    pub(super) fn enter(&mut self, next: Phase) {
        let phase = self.phase();
        if phase == next || self.is_takeover() && !next.is_final() {
            return;
        }
        assert!(is_legal(phase, next), "no way from phase {phase} to {next}");
        self.end_phase();
        self.record.status.phase = Some(next);
        if !next.is_final() {
            self.announce_phase();
        }
    }

    fn end_phase(&mut self) {
        let phase = self.phase();
        let seconds = (self.ports.clock.elapsed() - self.phase_began).as_secs_f64();
        let timings = &mut self.record.status.phase_timings;
        timings.insert(phase.name().to_owned(), seconds_text(seconds));
        self.report(EventKind::PhaseFinished { phase, seconds });
    }

    /// Writes the record. One that somebody has deleted is no reason to leave a gate closed: what is known
    /// here is enough to roll back, or to finish past the commit point.
    pub(super) async fn save(&self) -> Result<(), Trouble> {
        let has_to_end = self.is_aborting() || self.is_committed();
        self.patiently("write the journal", || async {
            match self.ports.journal.save(&self.record).await {
                Err(PortError::NotFound(_)) if has_to_end => {
                    self.say_deleted();
                    Ok(())
                }
                other => other,
            }
        })
        .await
    }

    fn say_deleted(&self) {
        if !self.said_deleted.swap(true, Ordering::Relaxed) {
            self.warn(format!(
                "the record of migration {} was deleted; this process ends the migration all the same, which no other \
                 one could",
                self.record.name
            ));
        }
    }

    /// What comes of `request`, as long as it may be made at all.
    async fn attempt<T>(
        &self,
        request: impl Future<Output = PortResult<T>>,
    ) -> Result<PortResult<T>, Trouble> {
        if !self.lock.is_held() {
            return Err(Trouble::LockLost);
        }
        if self.leave.is_cancelled() {
            return Err(Trouble::Left);
        }
        tokio::select! {
            biased;
            () = self.lock.lost() => Err(Trouble::LockLost),
            result = request => Ok(result),
        }
    }

    /// Does `request` once; `false` if it failed in passing. One that has failed since `since` fails
    /// for good once patience has ended.
    pub(super) async fn once(
        &self,
        what: &str,
        since: Option<Duration>,
        request: impl Future<Output = PortResult<()>>,
    ) -> Result<bool, Trouble> {
        let result = self.attempt(request).await?;
        let waited = since.map_or(Duration::ZERO, |it| self.ports.clock.elapsed() - it);
        match result {
            Ok(()) => Ok(true),
            Err(error) if error.is_transient() && waited < PATIENCE => {
                if since.is_none() {
                    self.warn(format!("could not {what} yet: {error}"));
                }
                Ok(false)
            }
            Err(error) => Err(while_doing(format!("could not {what}"))(error)),
        }
    }

    /// Does `request` until it succeeds, fails for good, or patience ends. It must be idempotent.
    pub(super) async fn patiently<T, F, Fut>(&self, what: &str, request: F) -> Result<T, Trouble>
    where
        F: Fn() -> Fut,
        Fut: Future<Output = PortResult<T>>,
    {
        let mut backoff = Backoff::retries();
        let began = self.ports.clock.elapsed();
        let mut warned = false;
        loop {
            match self.attempt(request()).await? {
                Ok(value) => return Ok(value),
                Err(PortError::Fenced(words)) => {
                    self.warn(words);
                    return Err(Trouble::LockLost);
                }
                Err(error)
                    if error.is_transient() && self.ports.clock.elapsed() - began < PATIENCE =>
                {
                    if !warned {
                        self.warn(format!("could not {what} yet, trying on: {error}"));
                        warned = true;
                    }
                    backoff.pause(&*self.ports.clock).await;
                }
                Err(error) => return Err(while_doing(format!("could not {what}"))(error)),
            }
        }
    }

    /// Whether it may go on at all.
    pub(super) fn may_go_on(&self) -> Result<(), Trouble> {
        if self.stop.is_cancelled() && !self.is_committed() {
            return Err(Trouble::Stopped);
        }
        Ok(())
    }

    /// Waits for `work`, unless somebody asks to stop (before the commit point), this process is to
    /// leave, or the lock is lost.
    pub(super) async fn unless_stopped<T>(
        &self,
        work: impl Future<Output = T>,
    ) -> Result<T, Trouble> {
        let stoppable = !self.is_committed();
        tokio::select! {
            biased;
            () = self.lock.lost() => Err(Trouble::LockLost),
            () = self.leave.cancelled() => Err(Trouble::Left),
            () = self.stop.cancelled(), if stoppable => Err(Trouble::Stopped),
            result = work => Ok(result),
        }
    }

    /// A name for something that belongs to the handoff under way and plays `role`.
    pub(super) fn object_name(&self, role: &str) -> String {
        format!("{}-{role}", self.handoff_name())
    }

    /// The migration's name; another one for its second handoff.
    pub(super) fn handoff_name(&self) -> String {
        let name = &self.record.name;
        if self.is_takeover() {
            format!("{name}-takeover")
        } else {
            name.clone()
        }
    }

    /// A field of the status that is set when the record is made.
    pub(super) fn known(field: Option<&String>) -> &str {
        field.map_or("", String::as_str)
    }

    /// The pod that serves before the handoff under way.
    pub(super) fn source_pod(&self) -> &str {
        match &self.record.status.takeover {
            Some(takeover) => &takeover.shadow_pod,
            None => &self.record.spec.source_pod,
        }
    }

    pub(super) fn source_uid(&self) -> Option<&str> {
        match &self.record.status.takeover {
            Some(takeover) => Some(&takeover.shadow_pod_uid),
            None => self.record.status.source_pod_uid.as_deref(),
        }
    }

    pub(super) fn target_pod(&self) -> &str {
        Self::known(self.record.status.target_pod.as_ref())
    }

    pub(super) fn source_node(&self) -> &str {
        let status = &self.record.status;
        Self::known(if self.is_takeover() {
            status.target_node.as_ref()
        } else {
            status.source_node.as_ref()
        })
    }

    /// The node that the target is to run on now.
    pub(super) fn target_node(&self) -> &str {
        let status = &self.record.status;
        Self::known(if status.returning {
            status.source_node.as_ref()
        } else {
            status.target_node.as_ref()
        })
    }

    pub(super) fn container(&self) -> &str {
        Self::known(self.record.status.container.as_ref())
    }
}
