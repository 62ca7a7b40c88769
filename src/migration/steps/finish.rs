//! Finalizing, after the commit: the target takes the source's place, the source and all that
//! ms2m has made go. There is only forward here, so nothing in this file is undone.

use std::time::Duration;

use jiff::Timestamp;

use super::run::Run;
use super::trouble::Trouble;
use crate::api::{MicroTime, Phase, Receipt, Time, conditions};
use crate::migration::error::PortError;
use crate::migration::handoff::TargetPod;
use crate::migration::plan;
use crate::migration::ports::RestoreState;
use crate::migration::summary::{phase_seconds, seconds_text, seconds_value};

/// How long the target may take to be ready before the source goes in any case: it serves its
/// queue already, and a readiness probe that never passes must not keep two pods alive.
const READINESS: Duration = Duration::from_secs(30);

/// A pod that only pulls has nothing to lose.
const AT_ONCE: Duration = Duration::ZERO;

impl Run {
    /// Gives the target the source's labels, and removes the source.
    pub(super) async fn remove_source(&mut self) -> Result<(), Trouble> {
        let (source, target) = (self.source_pod().to_owned(), self.target_pod().to_owned());
        self.await_ready(&target).await?;
        let cluster = &self.ports.cluster;
        self.patiently("give the target the source's labels", || {
            cluster.hand_over_labels(&target)
        })
        .await?;
        if self.find_source().await?.is_some() {
            self.delete_source(&source).await?;
            self.step(format!("source pod {source} removed"));
        }
        Ok(())
    }

    /// Deletes it, and waits until it is gone. On a node that is gone nobody would ever confirm
    /// that, so there the pod is deleted by force. Should its process be alive all the same, it finds
    /// H, or a silent primary queue, until the gate opens.
    async fn delete_source(&mut self, source: &str) -> Result<(), Trouble> {
        let cluster = std::sync::Arc::clone(&self.ports.cluster);
        let uid = self.record.status.source_pod_uid.clone();
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
                    self.ports.restore.target(target)
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
        self.warn(format!(
            "pod {target} serves its queue but is not ready after {} s",
            READINESS.as_secs()
        ));
        Ok(())
    }

    /// Clears away what is left in the cluster and the registry, and closes the record.
    pub(super) async fn finish(&mut self) -> Result<(), Trouble> {
        self.clear_away().await?;
        let now = self.ports.clock.now();
        let (target, node) = (self.target_pod().to_owned(), self.target_node().to_owned());
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
            &self.record.name,
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
        let receipt = self.receipt();
        receipt.cut_pause = seconds_text(pause);
        receipt.downtime_by = by.to_owned();
    }

    /// The time around the commit in which messages waited and nobody took any.
    pub(super) fn note_handoff_pause(&mut self, now: Timestamp) {
        let since = self.handoff().reopened_time.clone();
        let seen = self.watch.pauses().handoff();
        let (pause, by) = seen_or_noted(seen, since, now);
        let receipt = self.receipt();
        receipt.handoff_pause = seconds_text(pause);
        let both = seconds_value(&receipt.cut_pause) + pause;
        receipt.downtime = seconds_text(both);
        if by == NOTED || receipt.downtime_by.is_empty() {
            receipt.downtime_by = by.to_owned();
        }
    }

    /// How long the application took until it consumed again.
    pub(super) fn note_reconnect(&mut self) {
        if let Some(ran) = self.target_ran {
            let took = self.ports.clock.elapsed().saturating_sub(ran);
            self.receipt().reconnect = seconds_text(took.as_secs_f64());
        }
    }

    /// What R came to: it was seen empty, with nothing unacknowledged.
    pub(super) fn note_replayed(&mut self) {
        let (replayed, counted) = self.watch.replayed();
        let receipt = self.receipt();
        receipt.messages_replayed = i64::try_from(replayed).unwrap_or(i64::MAX);
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
