//! Roll-back: from any stage before the commit point to the source serving and nothing left.
//!
//! A source that is gone by then is told as lost: nobody has its state.
//!
//! Each thing that is undone is told. What cannot be undone is a result of its own, in
//! [`super::stuck`].

use std::time::Duration;

use super::retry::Backoff;
use super::run::Run;
use super::trouble::Trouble;
use crate::api::{HandoffStage as Stage, Phase, Time, UndoStep, conditions};
use crate::explain;
use crate::migration::error::{Error, ErrorKind};
use crate::migration::event::EventKind;
use crate::migration::handoff::abort::{decide_back, may_have_closed};
use crate::migration::handoff::{Effect, Move, Seen, TargetPod};

/// The target's state is thrown away, so it gets no time to end.
const AT_ONCE: Duration = Duration::ZERO;

impl Run {
    /// Rolls back, and says what came of it.
    pub(super) async fn roll_back(&mut self, trouble: Trouble) -> Error {
        self.report(EventKind::UndoStarted {
            reason: trouble.reason(),
        });
        if !self.is_aborting() {
            // For whoever has to go on with it.
            self.record.status.message = Some(trouble.reason());
        }
        let mut undone = Vec::new();
        let result = self.undo(&mut undone).await;
        let mut error = match result {
            Ok(()) => self.rolled_back(trouble).await,
            Err(gone @ (Trouble::LockLost | Trouble::Left)) => {
                return gone.into_error(ErrorKind::Unfinished);
            }
            Err(undoing) => self.stuck(&trouble, &undoing).await,
        };
        error.undone = undone;
        if error.kind != ErrorKind::Stuck
            && let Err(Trouble::Failed(unsaved)) = self.close_rolled_back(&error).await
        {
            self.warn(format!(
                "the journal still shows the migration as unfinished: {unsaved}"
            ));
        }
        error
    }

    /// How a migration ends that is rolled back: the source serves again, unless it is gone.
    async fn rolled_back(&mut self, trouble: Trouble) -> Error {
        let error = trouble.into_error(ErrorKind::RolledBack);
        // Where that cannot be found out, it has answered a moment ago. And of a migration that had not begun
        // it is nobody's to say.
        let lost = self.record.is_begun() && self.source_is_lost().await.unwrap_or(false);
        let mut error = match (lost, self.has_doubts()) {
            (true, _) => {
                let hint = self.gone_as_after_a_crash(self.source_pod());
                // One on a node that is away may come back, and must not meet another.
                error.of_kind(ErrorKind::SourceLost).hint(format!(
                    "see first that node {} is there, or never comes back; {hint}",
                    self.source_node()
                ))
            }
            (false, true) => error.of_kind(ErrorKind::InDoubt),
            (false, false) => return error,
        };
        error.left.clone_from(&self.receipt().doubts);
        error
    }

    /// The order matters: the broker first, since that is where the service is.
    async fn undo(&mut self, undone: &mut Vec<String>) -> Result<(), Trouble> {
        self.undo_handoff(undone).await?;
        self.undo_letting_go(undone).await
    }

    /// Undoes the handoff that is under way, and clears away what it has made.
    pub(super) async fn undo_handoff(&mut self, undone: &mut Vec<String>) -> Result<(), Trouble> {
        if self.stage() > Stage::Untouched {
            self.handoff().aborting = true;
            self.save().await?;
            self.hand_back(undone).await?;
        }
        self.keep_place().await?;
        self.clear_away().await?;
        self.tell_undone(undone, "the pods and the Job of the migration are removed");
        Ok(())
    }

    /// The abort of the gate protocol, from where it stands to its end.
    async fn hand_back(&mut self, undone: &mut Vec<String>) -> Result<(), Trouble> {
        let mut done = 0;
        let mut backoff = Backoff::looks();
        self.watch.stage_begins(self.ports.clock.elapsed());
        self.watch.forget_orders();
        loop {
            let seen = self.look().await?;
            let step = self.handoff().undo;
            match decide_back(self.rules(), self.stage(), step, done, &seen) {
                Err(next) => {
                    self.begin_undo(next, &seen, undone).await?;
                    done = 0;
                    backoff.reset();
                }
                Ok(Move::Do(effect)) if self.is_of_this_moment(effect) => {
                    if self.try_open_gate().await? {
                        self.tell_undone_effect(effect, undone);
                        done += 1;
                        backoff.reset();
                    } else {
                        backoff.pause(&*self.ports.clock).await;
                    }
                }
                Ok(Move::Do(effect)) => {
                    self.see_order(effect, &seen).await?;
                    self.perform(effect).await?;
                    self.tell_undone_effect(effect, undone);
                    done += usize::from(effect.is_counted());
                    backoff.reset();
                }
                Ok(Move::Wait(waiting)) => {
                    self.watch.waits(waiting, self.ports.clock.elapsed());
                    backoff.pause(&*self.ports.clock).await;
                }
                Ok(Move::GiveUp(waiting)) => {
                    return Err(Trouble::failed(
                        format!("waited in vain for {waiting}"),
                        "it has not come to that",
                    ));
                }
                Ok(Move::Done | Move::Advance(_)) => return Ok(()),
            }
        }
    }

    /// Remembers the next step of the abort, so that whoever goes on with it begins there.
    async fn begin_undo(
        &mut self,
        next: UndoStep,
        seen: &Seen,
        undone: &mut Vec<String>,
    ) -> Result<(), Trouble> {
        self.watch.stage_begins(self.ports.clock.elapsed());
        if next == UndoStep::Reopen {
            self.watch.reopening_begins();
        }
        let served = next == UndoStep::Dismantle && may_have_closed(self.rules(), self.stage());
        if served && seen.primary.consumed {
            let words = format!(
                "pod {} consumes queue {} as before",
                self.source_pod(),
                self.names.queue
            );
            self.tell_undone(undone, &words);
        }
        self.handoff().undo = next;
        self.save().await
    }

    /// Ensures that the target pod is gone.
    pub(super) async fn remove_target(&mut self) -> Result<(), Trouble> {
        if !self.target_made() {
            return Ok(());
        }
        let target = self.target_pod().to_owned();
        let cluster = &self.ports.cluster;
        self.patiently("remove the target pod", || {
            cluster.remove_pod(&target, None, AT_ONCE)
        })
        .await?;
        self.watch.target = TargetPod::Lost;
        Ok(())
    }

    fn tell_undone_effect(&self, effect: Effect, undone: &mut Vec<String>) {
        let words = match effect {
            Effect::RemoveTarget if self.target_made() => {
                format!("target pod {} removed", self.target_pod())
            }
            Effect::OpenGate | Effect::PutBack => {
                format!("messages go to queue {} again", self.names.queue)
            }
            Effect::RestoreDirectWay => {
                format!("queue {} has its own bindings again", self.names.queue)
            }
            Effect::DeleteReplayQueues => "gate and replay queues removed".to_owned(),
            _ => return,
        };
        self.tell_undone(undone, &words);
    }

    pub(super) fn tell_undone(&self, undone: &mut Vec<String>, what: &str) {
        self.report(EventKind::Undone {
            what: what.to_owned(),
        });
        undone.push(what.to_owned());
    }

    async fn close_rolled_back(&mut self, error: &Error) -> Result<(), Trouble> {
        let now = self.ports.clock.now();
        self.enter(Phase::Failed);
        let text = explain::with_command(&error.to_string(), error.code);
        let status = &mut self.record.status;
        status.completion_time = Some(Time(now));
        status.message = Some(text.clone());
        if status.condition_holds(conditions::STUCK) {
            let cleared = "a later process has undone the rest";
            let reason = conditions::reasons::ROLLED_BACK;
            status.set_condition(conditions::STUCK, false, reason, cleared, now);
        }
        let reason = match error.kind {
            ErrorKind::SourceLost => conditions::reasons::SOURCE_LOST,
            _ => conditions::reasons::ROLLED_BACK,
        };
        status.set_condition(conditions::FAILED, true, reason, &text, now);
        self.save().await
    }
}
