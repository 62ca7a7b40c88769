//! Finalizing, after the commit: the target takes the source's place, the source and all that
//! ms2m has made go. There is only forward here, so nothing in this file is undone.

use std::time::Duration;

use jiff::Timestamp;

use super::run::Run;
use super::trouble::Trouble;
use crate::api::{HandoffStage, MicroTime, Phase, Receipt, Time, conditions};
use crate::migration::error::PortError;
use crate::migration::handoff::TargetPod;
use crate::migration::handoff::watch::Look;
use crate::migration::plan;
use crate::migration::ports::RestoreState;
use crate::migration::summary::{phase_seconds, seconds_text, seconds_value};

/// How long the target may take to be ready before the source goes in any case: it serves its
/// queue already, and a readiness probe that never passes must not keep two pods alive.
const READINESS: Duration = Duration::from_secs(30);

/// A pod that only pulls has nothing to lose.
const AT_ONCE: Duration = Duration::ZERO;

impl Run {
    /// Gives the target the source's labels, and removes the source. The one follows the other at
    /// once: a Service leads to both only in between.
    pub(super) async fn remove_source(&mut self) -> Result<(), Trouble> {
        let source = self.source_pod().to_owned();
        if !self.is_sequential() {
            let target = self.target_pod().to_owned();
            self.await_ready(&target).await?;
        }
        self.let_owner_go().await?;
        if !self.is_sequential() {
            self.hand_over_place().await?;
        }
        if self.find_source().await?.is_some() {
            self.delete_source(&source).await?;
            self.step(format!("source pod {source} removed"));
        }
        Ok(())
    }

    /// The target's labels. A ReplicaSet that finds one pod too many adopts the target by them, and
    /// removes the pod that it is told to.
    async fn hand_over_place(&self) -> Result<(), Trouble> {
        let cluster = &self.ports.cluster;
        if self.has_replica_set() && self.find_source().await?.is_some() {
            let uid = self.source_uid().unwrap_or_default();
            self.patiently("mark the source as the pod that goes", || {
                cluster.yield_place(self.source_pod(), uid)
            })
            .await?;
        }
        let target = self.target_pod();
        self.patiently("give the target the source's labels", || {
            cluster.hand_over_labels(target)
        })
        .await
    }

    /// Takes the mark of [`Run::hand_over_place`] back from a source that stays.
    pub(super) async fn keep_place(&self) -> Result<(), Trouble> {
        if !self.has_replica_set() || self.stage() < HandoffStage::Committing {
            return Ok(());
        }
        let (source, uid) = (self.source_pod(), self.source_uid().unwrap_or_default());
        let cluster = &self.ports.cluster;
        self.patiently("take the mark back from the source", || {
            cluster.keep_place(source, uid)
        })
        .await
    }

    /// Deletes it, and waits until it is gone. On a node that is gone nobody would ever confirm
    /// that, so there the pod is deleted by force. Should its process be alive all the same, it finds
    /// H, or a silent primary queue, until the gate opens.
    async fn delete_source(&mut self, source: &str) -> Result<(), Trouble> {
        let cluster = std::sync::Arc::clone(&self.ports.cluster);
        let uid = self.source_uid().map(str::to_owned);
        let grace = self.limits.source_grace;
        let node = self.source_node().to_owned();
        if !self.node_is_ready(&node).await? {
            self.warn(format!(
                "node {node} is not ready: source pod {source} is deleted by force; should the node come back, its \
                 process may run there for a moment until the kubelet ends it"
            ));
            return self
                .patiently("remove the source pod by force", || {
                    cluster.remove_pod(source, uid.as_deref(), AT_ONCE)
                })
                .await;
        }
        self.patiently("remove the source pod", || {
            cluster.remove_pod(source, uid.as_deref(), grace)
        })
        .await
    }

    async fn await_ready(&mut self, target: &str) -> Result<(), Trouble> {
        let began = self.ports.clock.elapsed();
        while self.ports.clock.elapsed() - began < READINESS {
            match self
                .patiently("look at the target pod", || {
                    self.ports.restore.target(&self.record.name, target)
                })
                .await?
            {
                RestoreState::Running { ready: true, .. } => return Ok(()),
                RestoreState::Running { .. } | RestoreState::Starting(_) => {}
                RestoreState::Failed(words) => {
                    self.watch.target = TargetPod::Lost;
                    return Err(Trouble::failed(
                        format!("target pod {target} has ended after the commit"),
                        words,
                    ));
                }
                RestoreState::Absent => {
                    self.watch.target = TargetPod::Lost;
                    return Err(Trouble::failed(
                        format!("target pod {target} is gone after the commit"),
                        "somebody has deleted it",
                    ));
                }
            }
            let changed = self
                .ports
                .restore
                .target_changed(target, Duration::from_secs(5));
            // A watch that breaks is no reason to stop here: it is looked again.
            let _ = self.unless_stopped(changed).await?;
        }
        if self.has_replica_set() {
            // It would remove the pod that is not ready, which is the target.
            self.target_unready = true;
            return Err(Trouble::failed(
                format!(
                    "pod {target} serves its queue but is not ready after {} s",
                    READINESS.as_secs()
                ),
                "its ReplicaSet removes a pod that is not ready before any other",
            )
            .hint(format!(
                "see why it is not ready: kubectl describe pod {target}"
            )));
        }
        self.warn(format!(
            "pod {target} serves its queue but is not ready after {} s",
            READINESS.as_secs()
        ));
        Ok(())
    }

    /// Clears away what is left in the cluster and the registry, and closes the record.
    pub(super) async fn finish(&mut self) -> Result<(), Trouble> {
        let target = self.target_pod().to_owned();
        self.put_owner_back(Some(&target)).await?;
        self.clear_away().await?;
        if self.record.status.returning {
            return self.close_returned().await;
        }
        let now = self.ports.clock.now();
        let node = self.target_node().to_owned();
        let text = format!("pod {target} serves on node {node}");
        self.enter(Phase::Completed);
        self.note_total(now);
        let status = &mut self.record.status;
        status.completion_time = Some(Time(now));
        status.message = Some(text.clone());
        status.set_condition(
            conditions::COMPLETED,
            true,
            conditions::reasons::TARGET_SERVES,
            &text,
            now,
        );
        self.save().await
    }

    /// Removes the helpers of the migration: the pod that pulled, the Job, the image.
    pub(super) async fn clear_away(&self) -> Result<(), Trouble> {
        let pull_pod = self.pull_pod();
        let cluster = &self.ports.cluster;
        let pull = self.patiently("remove the pod that pulled the base image", || {
            cluster.remove_pod(&pull_pod, None, AT_ONCE)
        });
        let (pull, transfer) = tokio::join!(pull, self.remove_transfer());
        pull.and(transfer)?;
        tokio::join!(self.discard_archive(), self.delete_image());
        Ok(())
    }

    /// A checkpoint image holds the process's memory, and nothing needs it any more: the target's
    /// container is never started twice. What the registry does not allow is said, not fatal.
    async fn delete_image(&self) {
        let status = &self.record.status;
        // A transfer that was cut off may have pushed all the same: then only the tag is known.
        let tag = plan::checkpoint_image(
            &self.record.spec.checkpoint_image_repository,
            &self.handoff_name(),
        );
        let image = status.checkpoint_image.as_ref().unwrap_or(&tag);
        if self.keeps_checkpoint() || status.checkpoint_id.is_none() {
            return;
        }
        match self.ports.registry.delete(image).await {
            Ok(()) | Err(PortError::NotFound(_)) => self.step(format!("checkpoint image {image} deleted")),
            Err(error) => self.warn(format!(
                "the checkpoint image could not be deleted from here ({error}); it holds the memory of the process, \
                 so delete it yourself: {image}"
            )),
        }
    }

    /// The time around the checkpoint in which messages waited and nobody took any.
    pub(super) fn note_cut_pause(&mut self, now: Timestamp) {
        let since = self.handoff().closed_time.clone();
        let seen = self.watch.pauses().cut();
        let (pause, by) = seen_or_noted(seen, since, now);
        self.add_seconds(|receipt| &mut receipt.cut_pause, pause);
        self.note_downtime_by(by);
    }

    /// Sequential: the time from the moment at which the source began to go until the target was
    /// seen on R.
    pub(super) fn note_absence(&mut self, look: &Look) {
        let there = self.stage() == HandoffStage::TargetRestored && look.replay.consumers > 0;
        if !there || !self.is_sequential() || !self.receipt().absence_pause.is_empty() {
            return;
        }
        let since = self.handoff().leaving_time.clone();
        let pause = seconds_since(since, self.ports.clock.now());
        self.receipt().absence_pause = seconds_text(pause);
    }

    /// Seen is better than noted, and the whole is as good as its worst part.
    fn note_downtime_by(&mut self, by: &str) {
        let receipt = self.receipt();
        if by == NOTED || receipt.downtime_by.is_empty() {
            receipt.downtime_by = by.to_owned();
        }
    }

    /// Adds to a figure what this handoff has taken. The second handoff of a migration comes on top
    /// of the first.
    pub(super) fn add_seconds(&mut self, figure: fn(&mut Receipt) -> &mut String, seconds: f64) {
        let second = self.is_takeover();
        let figure = figure(self.receipt());
        let before = if second { seconds_value(figure) } else { 0.0 };
        *figure = seconds_text(before + seconds);
    }

    /// The time around the commit in which messages waited and nobody took any.
    pub(super) fn note_handoff_pause(&mut self, now: Timestamp) {
        let since = self.handoff().reopened_time.clone();
        let seen = self.watch.pauses().handoff();
        let (pause, by) = seen_or_noted(seen, since, now);
        self.add_seconds(|receipt| &mut receipt.handoff_pause, pause);
        let receipt = self.receipt();
        let all = [
            &receipt.cut_pause,
            &receipt.absence_pause,
            &receipt.handoff_pause,
        ];
        let all = all.map(|pause| seconds_value(pause)).iter().sum();
        receipt.downtime = seconds_text(all);
        self.note_downtime_by(by);
    }

    /// How long the application took until it consumed again.
    pub(super) fn note_reconnect(&mut self) {
        if let Some(ran) = self.target_ran {
            let took = self.ports.clock.elapsed().saturating_sub(ran);
            self.add_seconds(|receipt| &mut receipt.reconnect, took.as_secs_f64());
        }
    }

    /// What R came to: it was seen empty, with nothing unacknowledged.
    pub(super) fn note_replayed(&mut self) {
        let (replayed, counted) = self.watch.replayed();
        let replayed = i64::try_from(replayed).unwrap_or(i64::MAX);
        let second = self.is_takeover();
        let receipt = self.receipt();
        let before = if second { receipt.messages_replayed } else { 0 };
        receipt.messages_replayed = before.saturating_add(replayed);
        receipt.messages_left = 0;
        receipt.messages_routed = receipt.messages_replayed + receipt.messages_left;
        receipt.messages_replayed_by = if counted { "counted" } else { "estimated" }.to_owned();
    }

    fn note_total(&mut self, now: Timestamp) {
        let start = self
            .record
            .status
            .start_time
            .as_ref()
            .map_or(now, |start| start.0);
        // A start time has whole seconds in the journal; in one process its own clock is better.
        let by_clock = (self.ports.clock.elapsed() - self.began).as_secs_f64();
        let by_phases: f64 = phase_seconds(&self.record.status.phase_timings)
            .iter()
            .map(|(_, seconds)| seconds)
            .sum();
        let resumed = by_phases > by_clock + 0.5;
        let total = if resumed {
            (now - start).total(jiff::Unit::Second).unwrap_or(by_phases)
        } else {
            by_clock
        };
        self.receipt().total = seconds_text(total);
    }

    pub(super) fn receipt(&mut self) -> &mut Receipt {
        self.record.status.receipt.get_or_insert_default()
    }
}

/// How a pause is known: from looks at the queues.
const SEEN: &str = "seen";

/// How a pause is known that another process saw the beginning of: from the times in the journal,
/// which take in the work on what was left.
const NOTED: &str = "noted";

fn seen_or_noted(
    seen: Option<Duration>,
    since: Option<MicroTime>,
    now: Timestamp,
) -> (f64, &'static str) {
    match seen {
        Some(pause) => (pause.as_secs_f64(), SEEN),
        None => (seconds_since(since, now), NOTED),
    }
}

fn seconds_since(since: Option<MicroTime>, now: Timestamp) -> f64 {
    since
        .and_then(|since| (now - since.0).total(jiff::Unit::Second).ok())
        .unwrap_or(0.0)
        .max(0.0)
}
