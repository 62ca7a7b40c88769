//! Restoring: the target pod from the checkpoint image.
//!
//! Ensures a running target. Undone by removing it.

use std::time::Duration;

use super::retry::Backoff;
use super::run::Run;
use super::trouble::Trouble;
use crate::api::{Phase, conditions};
use crate::explain;
use crate::migration::error::PortError;
use crate::migration::handoff::TargetPod;
use crate::migration::ports::{ImagePull, RestoreOrder, RestoreState};

/// How long one wait for a change lasts before it is looked again all the same.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// How often a pod in the target's place is removed before that is given up.
const ATTEMPTS: u32 = 5;

/// How long it rests when it cannot watch.
const AFTER_A_BROKEN_WATCH: Duration = Duration::from_millis(200);

impl Run {
    /// Sends the checkpoint unless that was done, and sees that the target node has the base
    /// image: from then on nothing but the target pod is missing.
    pub(super) async fn send_checkpoint(&mut self) -> Result<(), Trouble> {
        if self.record.status.checkpoint_image.is_none() {
            self.transfer().await?;
        }
        let node = self.target_node().to_owned();
        self.while_node_lives(&node, self.await_base_image())
            .await?;
        self.enter(Phase::Restoring);
        if self.is_sequential() {
            // The source goes before there is a target: by then the image is all that there is.
            self.save().await?;
            return self.claim_set().await;
        }
        // Else it is saved with the target's making, which follows.
        Ok(())
    }

    /// Where the source is gone, or was a shadow, the target is made as the StatefulSet's pod was.
    fn kept_with(&self) -> Option<String> {
        let kept = self.is_sequential() || self.is_takeover();
        let owner = self.record.status.owner.as_ref();
        owner.filter(|_| kept).map(|owner| owner.name.clone())
    }

    /// Starts the target from the checkpoint.
    pub(super) async fn start_target(&mut self) -> Result<(), Trouble> {
        // Back on the source node the base image is there.
        if !self.record.status.returning {
            self.send_checkpoint().await?;
        }
        let node = self.target_node().to_owned();
        // The set has to be ours at the commit, when it is late to wait for others.
        if !self.is_sequential() && !self.is_takeover() {
            self.claim_set().await?;
        }
        // Remembered before it is made: it must not be made twice.
        if !self.target_made() {
            self.handoff().target_made = true;
            self.save().await?;
        }
        let order = self.restore_order();
        let began = self.ports.clock.elapsed();
        self.make_target(&order).await?;
        self.step(format!(
            "target pod {} made on node {}",
            order.target_pod, order.node
        ));
        self.while_node_lives(&node, self.await_target()).await?;
        let took = (self.ports.clock.elapsed() - began).as_secs_f64();
        self.add_seconds(|receipt| &mut receipt.restore_run, took);
        let now = self.ports.clock.now();
        let text = format!("pod {} runs on node {}", order.target_pod, order.node);
        let reason = conditions::reasons::TARGET_RUNNING;
        self.record
            .status
            .set_condition(conditions::RESTORED, true, reason, &text, now);
        self.target_ran = Some(self.ports.clock.elapsed());
        self.let_receiver_go().await;
        self.watch.target = TargetPod::Present;
        self.watch.side_by_side(self.ports.clock.elapsed());
        self.watch.stage_begins(self.ports.clock.elapsed());
        self.step("target restored and running");
        Ok(())
    }

    /// Makes the target pod. Where it has the name of a StatefulSet's pod, somebody may have put the
    /// set back meanwhile, which made an empty pod: it goes, and the set once more.
    async fn make_target(&mut self, order: &RestoreOrder) -> Result<(), Trouble> {
        if order.kept_with.is_none() {
            return self
                .patiently("make the target pod", || {
                    self.ports.restore.ensure_target(order)
                })
                .await;
        }
        let clock = std::sync::Arc::clone(&self.ports.clock);
        let (mut backoff, mut attempts) = (Backoff::retries(), 0);
        loop {
            let made = self
                .patiently("make the target pod", || async {
                    match self.ports.restore.ensure_target(order).await {
                        Err(PortError::Conflict(words)) => Ok(Err(words)),
                        other => other.map(Ok),
                    }
                })
                .await?;
            let Err(words) = made else {
                return Ok(());
            };
            attempts += 1;
            if attempts > ATTEMPTS {
                let what = format!("could not make target pod {}", order.target_pod);
                return Err(Trouble::failed(what, words));
            }
            self.let_owner_go().await?;
            self.remove_intruder(&order.target_pod, &words).await?;
            backoff.pause(&*clock).await;
        }
    }

    async fn remove_intruder(&self, pod: &str, words: &str) -> Result<(), Trouble> {
        let (restore, cluster) = (&self.ports.restore, &self.ports.cluster);
        let ours = self
            .patiently("look at the target pod", || {
                restore.target(&self.record.name, pod)
            })
            .await?;
        if ours != RestoreState::Absent {
            // A conflict in passing.
            return Ok(());
        }
        self.warn(format!(
            "pod {pod} is removed, should somebody else have made it: {words}"
        ));
        self.patiently("remove a pod that is in the way", || {
            cluster.remove_pod(pod, None, Duration::ZERO)
        })
        .await
    }

    /// What a process that takes over needs to know of the target.
    pub(super) async fn recall_target(&mut self) -> Result<(), Trouble> {
        if !self.target_made() {
            return Ok(());
        }
        let name = self.target_pod().to_owned();
        let state = self
            .patiently("look at the target pod", || {
                self.ports.restore.target(&self.record.name, &name)
            })
            .await?;
        if self.may_restore_again()
            && matches!(state, RestoreState::Absent | RestoreState::Failed(_))
        {
            // Nothing was taken from R, so another attempt is as good as the first.
            return self.make_room().await;
        }
        self.watch.target = match state {
            // Ensured by its name, so starting it again changes nothing.
            RestoreState::Starting(_) => TargetPod::NotMade,
            RestoreState::Running { .. } => TargetPod::Present,
            // An absent one may have run and taken messages from R before it went.
            RestoreState::Absent | RestoreState::Failed(_) => TargetPod::Lost,
        };
        if self.watch.target == TargetPod::Present {
            self.watch.side_by_side(self.ports.clock.elapsed());
        }
        Ok(())
    }

    /// CRI-O never pulls the base image by itself, and containerd does so without credentials.
    async fn await_base_image(&self) -> Result<(), Trouble> {
        let name = self.pull_pod();
        let began = self.ports.clock.elapsed();
        let mut backoff = Backoff::looks();
        loop {
            let state = self
                .patiently("look at the pull of the base image", || {
                    self.ports.cluster.image_pull(&name)
                })
                .await?;
            match state {
                ImagePull::Present => break,
                // An earlier process has removed it after the pull.
                ImagePull::Absent => break,
                ImagePull::Failed(words) => {
                    let what = format!("node {} could not pull the base image", self.target_node());
                    return Err(Trouble::failed(what, words)
                        .or_code(&explain::IMAGE_PULL)
                        .hint("the target node must be able to pull the source container's image by digest"));
                }
                ImagePull::Pulling => {}
            }
            if self.ports.clock.elapsed() - began > self.limits.restore {
                let what = format!("node {} has not pulled the base image", self.target_node());
                let waited = format!("waited {} s", self.limits.restore.as_secs());
                return Err(Trouble::failed(what, waited).or_code(&explain::IMAGE_PULL));
            }
            let clock = std::sync::Arc::clone(&self.ports.clock);
            self.unless_stopped(backoff.pause(&*clock)).await?;
        }
        Ok(())
    }

    async fn await_target(&self) -> Result<(), Trouble> {
        let name = self.target_pod();
        let node = self.target_node();
        let began = self.ports.clock.elapsed();
        loop {
            let waits_for = match self
                .patiently("look at the target pod", || {
                    self.ports.restore.target(&self.record.name, name)
                })
                .await?
            {
                RestoreState::Running { .. } => return Ok(()),
                RestoreState::Failed(words) => {
                    return Err(Trouble::failed(
                        format!("pod {name} could not be restored on node {node}"),
                        words,
                    )
                    .or_code(&explain::RESTORE_FAILED));
                }
                RestoreState::Absent => {
                    return Err(Trouble::failed(
                        format!("target pod {name} is gone"),
                        "somebody has deleted it",
                    )
                    .or_code(&explain::TARGET_ENDED));
                }
                RestoreState::Starting(words) => words,
            };
            if self.ports.clock.elapsed() - began > self.limits.restore {
                let what = format!(
                    "pod {name} did not start on node {node} within {} s",
                    self.limits.restore.as_secs()
                );
                return Err(Trouble::failed(what, waits_for).or_code(&explain::RESTORE_FAILED));
            }
            let changed = self.ports.restore.target_changed(name, LOOK_AGAIN);
            if self.unless_stopped(changed).await?.is_err() {
                // A watch that breaks is no verdict on the target: it is looked at again.
                self.unless_stopped(self.ports.clock.sleep(AFTER_A_BROKEN_WATCH))
                    .await?;
            }
        }
    }

    fn restore_order(&self) -> RestoreOrder {
        RestoreOrder {
            migration: self.record.name.clone(),
            source_pod: self.source_pod().to_owned(),
            source_uid: self.source_uid().unwrap_or_default().to_owned(),
            kept_with: self.kept_with(),
            labelled: self.is_sequential(),
            target_pod: self.target_pod().to_owned(),
            node: self.target_node().to_owned(),
            container: self.container().to_owned(),
            image: Self::known(self.record.status.checkpoint_image.as_ref()).to_owned(),
            base_image: self.base_image_by_digest(),
            credentials_secret: self.credentials_secret(),
        }
    }

    /// A tag may have moved since.
    fn base_image_by_digest(&self) -> Option<String> {
        let image = self.record.status.base_image.clone();
        image.filter(|image| image.contains('@'))
    }
}
