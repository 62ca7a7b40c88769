//! ShadowPod for a StatefulSet: the pod has moved under the shadow's name; a second handoff by the
//! same protocol, on the target node, gives its state to a pod with the set's own name.
//!
//! The set is gone since the first handoff's commit, so there is only forward: should this handoff
//! fail, it is undone by itself, the shadow serves on, and the next process tries again.

use super::early::TransferJob;
use super::run::Run;
use super::trouble::Trouble;
use crate::api::{HandoffStatus, TakeoverStatus};
use crate::migration::error::{Error, ErrorKind};
use crate::migration::event::EventKind;
use crate::migration::handoff::TargetPod;
use crate::migration::ports::RestoreState;

impl Run {
    /// Whether this is the second handoff.
    pub(super) fn is_takeover(&self) -> bool {
        self.record.status.takeover.is_some()
    }

    /// Whether a second handoff is due once the first is through.
    pub(super) fn needs_takeover(&self) -> bool {
        self.has_let_go() && !self.is_sequential() && !self.is_takeover()
    }

    /// From the first handoff to the second: the shadow is the source now.
    pub(super) async fn begin_takeover(&mut self) -> Result<(), Trouble> {
        let shadow = self.target_pod().to_owned();
        let state = self
            .patiently("look at the shadow", || {
                self.ports.restore.target(&self.record.name, &shadow)
            })
            .await?;
        let RestoreState::Running { uid, .. } = state else {
            if matches!(state, RestoreState::Absent | RestoreState::Failed(_)) {
                self.watch.target = TargetPod::Lost;
            }
            return Err(Trouble::failed(
                format!("pod {shadow} is not running"),
                "it cannot take over the identity of the StatefulSet's pod",
            ));
        };
        self.clear_away().await?;
        self.record.status.target_pod = Some(self.record.spec.source_pod.clone());
        self.record.status.takeover = Some(TakeoverStatus {
            shadow_pod: shadow.clone(),
            shadow_pod_uid: uid,
        });
        self.reset_handoff();
        self.save().await?;
        self.start_receiver().await?;
        self.step(format!(
            "pod {shadow} serves on node {}; its state goes to pod {} of the StatefulSet now",
            self.target_node(),
            self.target_pod()
        ));
        self.start_transfer_early().await
    }

    /// A handoff that has not begun.
    fn reset_handoff(&mut self) {
        let bindings = self.handoff().bindings.clone();
        self.record.status.handoff = Some(HandoffStatus {
            bindings,
            ..HandoffStatus::default()
        });
        self.record.status.checkpoint_id = None;
        self.record.status.checkpoint_image = None;
        self.may_be_reopened = false;
        self.transfer = TransferJob::Unknown;
        self.receiver = None;
        self.archive_is_gone = false;
        self.target_ran = None;
        self.watch.begin_again(self.ports.clock.elapsed());
    }

    /// The second handoff has failed before its commit point: the shadow serves as before, and the
    /// migration is left for another attempt.
    pub(super) async fn undo_takeover(&mut self, trouble: Trouble) -> Error {
        self.report(EventKind::UndoStarted {
            reason: trouble.reason(),
        });
        let mut undone = Vec::new();
        let undo = self.undo_handoff(&mut undone).await;
        let mut error = match undo {
            Ok(()) => match self.shadow_is_lost().await {
                Ok(true) => {
                    let mut error = self.bury(trouble).await;
                    undone.append(&mut error.undone);
                    error.undone = undone;
                    return error;
                }
                Ok(false) => self.leave_for_another_attempt(trouble).await,
                Err(unseen) => unseen.into_error(ErrorKind::Unfinished),
            },
            Err(gone @ (Trouble::LockLost | Trouble::Left)) => {
                return gone.into_error(ErrorKind::Unfinished);
            }
            Err(undoing) => return self.stuck(&trouble, &undoing).await,
        };
        error.undone = undone;
        error.left.push(format!(
            "pod {} has moved and serves under that name; StatefulSet {} is not there, its manifest is kept",
            self.source_pod(),
            self.record
                .status
                .owner
                .as_ref()
                .map_or("", |owner| owner.name.as_str()),
        ));
        error.hint(format!(
            "run it again, it goes on from here: {}",
            self.record.resume_command()
        ))
    }

    async fn leave_for_another_attempt(&mut self, trouble: Trouble) -> Error {
        self.reset_handoff();
        self.watch.target = TargetPod::NotMade;
        match self.save().await {
            Ok(()) => trouble.into_error(ErrorKind::Unfinished),
            Err(unsaved) => unsaved.into_error(ErrorKind::Unfinished),
        }
    }

    /// A shadow that has crashed need not be waited for.
    pub(super) async fn sees_shadow(&self) -> Result<(), Trouble> {
        if !self.shadow_is_lost().await? {
            return Ok(());
        }
        Err(Trouble::failed(
            format!("pod {} has ended or is gone", self.source_pod()),
            "it was to give its state to the StatefulSet's pod",
        ))
    }

    /// Whether the shadow has crashed, and the state with it. One on a node that is away may come
    /// back.
    async fn shadow_is_lost(&self) -> Result<bool, Trouble> {
        let ended = |phase: &str| matches!(phase, "Succeeded" | "Failed");
        let shadow = self.find_source().await?;
        Ok(shadow.is_none_or(|pod| ended(&pod.phase)))
    }

    /// Whether there is only forward: past the commit point, or in the second handoff.
    pub(super) fn is_committed(&self) -> bool {
        self.stage().is_committed() || self.is_takeover()
    }
}
