//! Finalizing, after the commit: the target takes the source's place, the source and all that
//! ms2m has made go. There is only forward here, so nothing in this file is undone.

use std::time::Duration;

use super::run::Run;
use super::trouble::Trouble;
use crate::api::{HandoffStage, Phase, Time, conditions};
use crate::explain;
use crate::migration::error::PortError;
use crate::migration::handoff::TargetPod;
use crate::migration::ports::RestoreState;

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
                    )
                    .or_code(&explain::TARGET_ENDED));
                }
                RestoreState::Absent => {
                    self.watch.target = TargetPod::Lost;
                    return Err(Trouble::failed(
                        format!("target pod {target} is gone after the commit"),
                        "somebody has deleted it",
                    )
                    .or_code(&explain::TARGET_ENDED));
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
        let (pull, transfer, receiver) =
            tokio::join!(pull, self.remove_transfer(), self.remove_receiver());
        pull.and(transfer).and(receiver)?;
        tokio::join!(self.discard_archive(), self.delete_image());
        Ok(())
    }

    /// A checkpoint image holds the process's memory, and nothing needs it any more: the target's
    /// container is never started twice. What the registry does not allow is said, not fatal.
    pub(super) async fn delete_image(&self) {
        let status = &self.record.status;
        // A transfer that was cut off may have pushed all the same: then only the tag is known.
        let tag = self.tagged_image();
        let image = status.checkpoint_image.as_ref().unwrap_or(&tag);
        // A transfer that was started early sends an archive before anybody has told its path.
        let (mirrored, closed) = (HandoffStage::Mirroring, HandoffStage::Closed);
        let sent =
            status.checkpoint_id.is_some() || self.stage() == mirrored || self.stage() >= closed;
        // What a receiver had is gone with it.
        if self.is_direct() || self.keeps_checkpoint() || !sent {
            return;
        }
        match self.ports.registry.delete(image).await {
            Err(PortError::NotFound(_)) if status.checkpoint_image.is_none() => {}
            Ok(()) | Err(PortError::NotFound(_)) => self.step(format!("checkpoint image {image} deleted")),
            Err(error) => self.warn(format!(
                "the checkpoint image could not be deleted from here ({error}); it holds the memory of the process, \
                 so delete it yourself: {image}"
            )),
        }
    }
}
