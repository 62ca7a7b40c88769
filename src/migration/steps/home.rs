//! Sequential: a pod that cannot be restored on the target node is restored on its source node,
//! from the same image and under the same name.
//!
//! The source is gone by then, so this is the way forward with another node; what makes it safe is
//! that nothing was taken from R before the target was seen. It ends as a migration that was
//! rolled back.

use super::run::Run;
use super::trouble::Trouble;
use crate::api::{HandoffStage as Stage, Phase, Time, conditions};
use crate::migration::error::{Error, ErrorKind};
use crate::migration::event::EventKind;
use crate::migration::handoff::TargetPod;

impl Run {
    /// Whether the checkpoint can be restored once more, on the source node: nothing was taken from
    /// R, and it has not been tried there.
    pub(super) fn can_go_home(&self) -> bool {
        self.may_restore_again() && !self.record.status.returning
    }

    /// Sequential, with the source gone and R untouched.
    pub(super) fn may_restore_again(&self) -> bool {
        self.is_sequential() && self.stage() == Stage::SourceRemoved
    }

    /// Restores the pod on its source node because of `trouble`, and goes on to the end.
    pub(super) async fn go_home(&mut self, trouble: Trouble) -> Error {
        self.report(EventKind::UndoStarted {
            reason: trouble.reason(),
        });
        self.record.status.returning = true;
        self.record.status.message = Some(trouble.reason());
        let result = match self.make_room().await {
            Ok(()) => self.forward().await,
            Err(trouble) => Err(trouble),
        };
        match result {
            Ok(()) => self.returned(),
            Err(trouble) => self.not_returned(trouble),
        }
    }

    /// Ensures that there is no target, so that one can be made.
    pub(super) async fn make_room(&mut self) -> Result<(), Trouble> {
        self.remove_target().await?;
        self.handoff().target_made = false;
        self.watch.target = TargetPod::NotMade;
        self.watch.stage_begins(self.ports.clock.elapsed());
        self.save().await
    }

    /// How a migration ends that has brought its pod back.
    pub(super) fn returned(&mut self) -> Error {
        let (pod, node) = (self.source_pod(), self.target_node());
        let reason = self.record.status.message.clone().unwrap_or_default();
        let mut error = Error::new(
            ErrorKind::RolledBack,
            format!(
                "pod {pod} could not be moved to node {}",
                Self::known(self.record.status.target_node.as_ref())
            ),
        )
        .because(reason);
        error.undone.push(format!(
            "pod {pod} was restored on node {node} from its checkpoint, and serves"
        ));
        if self.has_doubts() {
            error = error.of_kind(ErrorKind::InDoubt);
            error.left.clone_from(&self.receipt().doubts);
        }
        error
    }

    fn not_returned(&self, trouble: Trouble) -> Error {
        self.unfinished(trouble)
            .hint("nothing is lost as long as the image and the queue are there")
    }

    /// Closes the record of a migration that has brought its pod back.
    pub(super) async fn close_returned(&mut self) -> Result<(), Trouble> {
        let now = self.ports.clock.now();
        let error = self.returned();
        for what in error.undone.clone() {
            self.report(EventKind::Undone { what });
        }
        let text = error.to_string();
        self.enter(Phase::Failed);
        let status = &mut self.record.status;
        status.completion_time = Some(Time(now));
        let reason = conditions::reasons::ROLLED_BACK;
        status.set_condition(conditions::FAILED, true, reason, &text, now);
        self.save().await
    }
}
