//! The target was lost after the source had gone: nobody is left with the pod's state, as after
//! any crash of a pod. What can be kept is the messages and a broker as it was found, so that
//! whatever starts in the pod's place finds its queue.

use std::time::Duration;

use super::run::Run;
use super::trouble::Trouble;
use crate::api::{HandoffStage as Stage, Phase, Time, conditions};
use crate::explain;
use crate::migration::error::{Error, ErrorKind};
use crate::migration::handoff::decide::DISMANTLE;
use crate::migration::handoff::names::control_queue;

impl Run {
    /// Puts what the target has not applied back into the primary queue, takes the gate out and
    /// closes the record. What fails is left to the next process.
    pub(super) async fn bury(&mut self, trouble: Trouble) -> Error {
        if let Err(left) = self.put_away().await {
            return left.into_error(ErrorKind::Unfinished).hint(format!(
                "pod {} is lost; run it again, what it had not applied goes back to queue {}: {}",
                self.target_pod(),
                self.names.queue,
                self.record.resume_command()
            ));
        }
        let hint = self.gone_as_after_a_crash(self.target_pod());
        let mut error = trouble.into_error(ErrorKind::TargetLost).hint(hint);
        error.undone.push(format!(
            "what the target had not applied waits in queue {} again",
            self.names.queue
        ));
        error.left.clone_from(&self.receipt().doubts);
        if let Err(Trouble::Failed(unsaved)) = self.close_lost(&error).await {
            self.warn(format!(
                "the journal still shows the migration as unfinished: {unsaved}"
            ));
        }
        error
    }

    /// What there is to do about a pod whose state is lost.
    pub(super) fn gone_as_after_a_crash(&self, pod: &str) -> String {
        let next = match &self.record.status.owner {
            Some(owner) => format!("{} {} starts an empty one", owner.kind, owner.name),
            None => "start it again as you would then".to_owned(),
        };
        format!("pod {pod} is gone as after a crash: {next}")
    }

    async fn put_away(&mut self) -> Result<(), Trouble> {
        // Between two handoffs, or after the second was undone, the broker is as it was found.
        if (Stage::Committing..Stage::TargetServes).contains(&self.stage()) {
            let (replay, gate) = (self.names.replay.clone(), self.names.gate.clone());
            let broker = std::sync::Arc::clone(&self.ports.broker);
            let gate_is_there = self
                .patiently("look for the gate", || broker.exchange_exists(&gate))
                .await?;
            // It goes only when everything was put back: an earlier process has done that.
            if gate_is_there {
                self.put_back_from(&replay).await?;
            }
            for effect in DISMANTLE {
                self.perform(effect).await?;
            }
        }
        self.clear_away().await?;
        if self.has_let_go() && !self.is_sequential() {
            self.remove_shadow().await?;
        }
        // It starts an empty pod in the place of the one that is lost, as after any crash.
        self.put_owner_back(None).await
    }

    /// What is left of the shadow: it has no owner that would clear it away.
    async fn remove_shadow(&self) -> Result<(), Trouble> {
        let takeover = self.record.status.takeover.as_ref();
        let shadow = takeover.map_or(self.target_pod(), |takeover| &takeover.shadow_pod);
        let (cluster, broker) = (&self.ports.cluster, &self.ports.broker);
        self.patiently("remove what is left of the shadow", || {
            cluster.remove_pod(shadow, None, Duration::ZERO)
        })
        .await?;
        let control = control_queue(shadow);
        self.patiently("delete a control queue", || {
            broker.delete_queue(&control, false)
        })
        .await
        .map(drop)
    }

    async fn close_lost(&mut self, error: &Error) -> Result<(), Trouble> {
        let now = self.ports.clock.now();
        self.enter(Phase::Failed);
        let text = explain::with_command(&error.to_string(), error.code);
        let status = &mut self.record.status;
        status.completion_time = Some(Time(now));
        status.message = Some(text.clone());
        let reason = conditions::reasons::TARGET_LOST;
        status.set_condition(conditions::FAILED, true, reason, &text, now);
        self.save().await
    }
}
