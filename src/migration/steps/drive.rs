//! From wherever the migration stands to its end: decide, do, remember, look again.

use std::time::Duration;

use super::retry::Backoff;
use super::run::Run;
use super::trouble::Trouble;
use crate::api::{HandoffStage as Stage, MicroTime, Phase, conditions};
use crate::explain::{self, Code};
use crate::migration::error::{Error, ErrorKind};
use crate::migration::event::EventKind;
use crate::migration::handoff::names::control_queue;
use crate::migration::handoff::{
    Effect, Message, Move, Party, Seen, TargetPod, Waiting, decide, needs_look,
};
use crate::migration::summary::Summary;

/// How long a roll-back waits for the application at least: what it was told on the way there it
/// may obey late.
const WAY_BACK: Duration = Duration::from_secs(90);

impl Run {
    /// Drives the migration to one of its ends: forward, or back if that is not possible.
    pub(in crate::migration) async fn drive(&mut self, resumed: bool) -> Result<Summary, Error> {
        self.say_started(resumed);
        self.announce_phase();
        self.say_committed();
        let aborting = self.handoff().aborting;
        let outcome = if aborting {
            let reason = self.record.status.message.clone();
            let reason = reason.unwrap_or_else(|| "it did not get to the end".to_owned());
            Err(Trouble::failed(
                "an earlier process began to roll back",
                reason,
            ))
        } else {
            self.forward().await
        };
        match outcome {
            Ok(()) if self.record.status.returning => {
                let returned = self.returned();
                Err(self.fail(returned))
            }
            Ok(()) => Ok(self.conclude()),
            Err(trouble) => Err(self.not_completed(trouble).await),
        }
    }

    fn say_started(&self, resumed: bool) {
        let stopped = self.stop.is_cancelled() && !self.is_committed();
        let status = &self.record.status;
        self.report(EventKind::Started {
            namespace: self.record.namespace.clone(),
            pod: self.source_pod().to_owned(),
            container: self.container().to_owned(),
            from: self.source_node().to_owned(),
            to: self.target_node().to_owned(),
            target_pod: self.target_pod().to_owned(),
            strategy: status.strategy.unwrap_or(crate::api::Strategy::ShadowPod),
            resumed,
            back: stopped || self.is_aborting(),
        });
    }

    fn conclude(&self) -> Summary {
        let summary = Summary::of(&self.record);
        self.report(EventKind::Completed {
            summary: Box::new(summary.clone()),
        });
        summary
    }

    async fn not_completed(&mut self, trouble: Trouble) -> Error {
        let error = match trouble {
            Trouble::LockLost | Trouble::Left => trouble.into_error(ErrorKind::Unfinished),
            trouble if !self.stage().is_committed() || self.can_return().await => {
                if self.is_takeover() {
                    self.undo_takeover(trouble).await
                } else {
                    self.roll_back(trouble).await
                }
            }
            trouble if self.can_go_home() => self.go_home(trouble).await,
            trouble if self.is_bereft() => self.bury(trouble).await,
            trouble => self.unfinished(trouble),
        };
        self.fail(error)
    }

    fn fail(&self, error: Error) -> Error {
        self.report(EventKind::Failed {
            error: Box::new(error.clone()),
        });
        error
    }

    /// After the commit point there is only forward: what is left is left for the next process.
    pub(super) fn unfinished(&self, trouble: Trouble) -> Error {
        let again = format!(
            "run it again, it goes on from here: {}",
            self.record.resume_command()
        );
        let mut error = trouble.into_error(ErrorKind::Unfinished).hint(again);
        if self.may_restore_again() {
            error.left.push(format!(
                "pod {} is not there: its state is in image {}, its messages wait in queue {}",
                self.source_pod(),
                Self::known(self.record.status.checkpoint_image.as_ref()),
                self.names.replay
            ));
            return error;
        }
        error.left.push(format!(
            "pod {} has taken over; pod {} and the queues, exchanges and bindings of the handoff on queue {} may \
             still be there",
            self.target_pod(),
            self.source_pod(),
            self.names.queue
        ));
        error
    }

    /// The phase of the replay, unless it has begun: a target that goes by the source's name is
    /// heard of only when the source is gone.
    fn enter_replaying(&mut self) {
        if self.phase() == Phase::Restoring {
            self.enter(Phase::Replaying);
        }
    }

    /// Whether there is a way back from the commit point itself: the source was not touched, and there
    /// is no target that could go on.
    async fn can_return(&mut self) -> bool {
        if self.stage() == Stage::Committing && self.is_aborting() {
            // An earlier process has begun to, and the target is gone or about to go.
            return true;
        }
        let hopeless = self.watch.target == TargetPod::Lost || self.target_unready;
        if self.stage() != Stage::Committing || !(hopeless || self.is_sequential()) {
            return false;
        }
        matches!(self.find_source().await, Ok(Some(pod)) if !pod.terminating)
    }

    /// Whether the target is lost when the source is gone already.
    fn is_bereft(&self) -> bool {
        // Between two handoffs the shadow is all that there is.
        let between = self.stage() == Stage::Dismantled && self.needs_takeover();
        (between || (Stage::Committing..Stage::TargetServes).contains(&self.stage()))
            && self.watch.target == TargetPod::Lost
            && !self.may_restore_again()
    }

    pub(super) async fn forward(&mut self) -> Result<(), Trouble> {
        self.may_go_on()?;
        self.prepare().await?;
        if self.stage() < Stage::Dismantled {
            self.hand_over().await?;
        }
        if self.needs_takeover() {
            self.begin_takeover().await?;
            self.hand_over().await?;
        }
        self.finish().await
    }

    /// The gate protocol from the present stage to its end.
    async fn hand_over(&mut self) -> Result<(), Trouble> {
        self.await_transfer().await?;
        if self.stage() < Stage::Checkpointed {
            // The transfer sends as soon as there is an archive.
            self.await_receiver().await?;
        }
        // Saved with the first stage, before anything at the broker is touched.
        if self.phase() == Phase::Pending {
            self.enter(Phase::Checkpointing);
        }
        let mut done = 0;
        let mut backoff = Backoff::looks();
        loop {
            self.may_go_on()?;
            let stage = self.stage();
            let seen = if needs_look(stage, done) {
                self.look().await?
            } else {
                Seen::default()
            };
            if stage == Stage::TargetRestored && seen.replay.consumed {
                // The target works: nothing that the set could do to it would be worse than a crash.
                self.put_owner_back_early().await?;
            }
            match decide(self.rules(), stage, done, &seen) {
                Move::Do(effect) if self.is_of_this_moment(effect) => {
                    if self.try_open_gate().await? {
                        done += 1;
                        backoff.reset();
                    } else {
                        backoff
                            .pause(&*std::sync::Arc::clone(&self.ports.clock))
                            .await;
                    }
                }
                Move::Do(effect) => {
                    self.see_order(effect, &seen).await?;
                    self.perform(effect).await?;
                    done += usize::from(effect.is_counted());
                    backoff.reset();
                }
                Move::Advance(next) => {
                    self.advance(next, &seen).await?;
                    done = 0;
                    backoff.reset();
                }
                Move::Wait(waiting) => {
                    self.watch.waits(waiting, self.ports.clock.elapsed());
                    let clock = std::sync::Arc::clone(&self.ports.clock);
                    self.unless_stopped(backoff.pause(&*clock)).await?;
                }
                Move::GiveUp(waiting) => return Err(self.given_up(waiting)),
                Move::Done => return Ok(()),
            }
        }
    }

    /// Remembers that a stage is complete, and enters the phase that it begins.
    async fn advance(&mut self, next: Stage, seen: &Seen) -> Result<(), Trouble> {
        let now = self.ports.clock.elapsed();
        self.handoff().stage = next;
        if next == Stage::Committing && seen.target_stale {
            self.handoff().stale_target = true;
            // It was told on a control queue that it does not read.
            self.watch.forget_orders();
        }
        if next == Stage::Committing {
            self.handoff().leaving_time = Some(MicroTime(self.ports.clock.now()));
        }
        self.watch.stage_begins(now);
        self.note_stage(next);
        match next {
            Stage::SourceDiverted => self.enter(Phase::Transferring),
            Stage::TargetAttached => self.enter_replaying(),
            // Sequential: there is no target yet.
            Stage::Committing if self.is_sequential() => {}
            Stage::Committing => {
                self.enter_replaying();
                self.enter(Phase::Finalizing);
            }
            Stage::TargetRestored => self.enter_replaying(),
            Stage::Returning => self.enter(Phase::Finalizing),
            _ => {}
        }
        self.save().await?;
        self.say_committed();
        Ok(())
    }

    /// Says once that the commit point is passed, in whichever process.
    fn say_committed(&mut self) {
        if self.is_committed() && !self.said_committed {
            self.said_committed = true;
            self.report(EventKind::Committed);
        }
    }

    fn note_stage(&mut self, stage: Stage) {
        let now = self.ports.clock.now();
        match stage {
            Stage::SourceDiverted => self.note_cut_pause(now),
            Stage::TargetSeen | Stage::TargetRestored => self.note_reconnect(),
            Stage::Returning => {
                let reason = conditions::reasons::REPLAY_QUEUE_DRAINED;
                let text = format!(
                    "queue {} was empty with nothing unacknowledged",
                    self.names.replay
                );
                self.record
                    .status
                    .set_condition(conditions::CAUGHT_UP, true, reason, &text, now);
                self.note_replayed();
            }
            Stage::TargetServes => self.note_handoff_pause(now),
            _ => {}
        }
    }

    /// How long the wait of the present stage may take.
    pub(super) fn patience_of_stage(&self) -> Duration {
        match self.stage() {
            // Half-way back is the worst place to stop at.
            _ if self.is_aborting() => self.limits.obey.max(WAY_BACK),
            Stage::Closed | Stage::CutoverClosed => self.limits.drain,
            _ => self.limits.obey,
        }
    }

    /// What is carried out, one effect at a time.
    pub(super) async fn perform(&mut self, effect: Effect) -> Result<(), Trouble> {
        match effect {
            Effect::Checkpoint => {
                self.see_receiver().await?;
                self.checkpoint().await
            }
            Effect::SendCheckpoint => self.send_checkpoint().await,
            Effect::StartTarget => self.start_target().await,
            Effect::RemoveSource => self.remove_source().await,
            Effect::RemoveTarget => self.remove_target().await,
            Effect::Tell(Party::Source, Message::StartReplay)
                if self.stage() == Stage::Checkpointed && !self.is_aborting() =>
            {
                self.perform_at_broker(effect).await?;
                // The Job needs nothing but the archive: it starts while the source obeys.
                self.start_transfer().await
            }
            at_the_broker => self.perform_at_broker(at_the_broker).await,
        }
    }

    fn given_up(&self, waiting: Waiting) -> Trouble {
        if waiting == Waiting::TargetThere {
            let what = format!("target pod {} has ended or is gone", self.target_pod());
            return Trouble::failed(
                what,
                "it is never started twice, since its state would go back in time",
            )
            .or_code(&explain::TARGET_ENDED);
        }
        if waiting == Waiting::SourceThere {
            return Trouble::failed(
                format!("source pod {} has ended or is gone", self.source_pod()),
                "there is no checkpoint of it yet, and so no state to move",
            )
            .or_code(&explain::POD_GONE)
            .hint(format!(
                "see what became of it: kubectl get events -n {} --field-selector involvedObject.name={}",
                self.record.namespace,
                self.source_pod()
            ));
        }
        let queue = &self.names.queue;
        let limit = self.patience_of_stage();
        let trouble = Trouble::failed(
            format!("waited for {waiting}"),
            format!("it has not come to that within {} s", limit.as_secs()),
        )
        .or_code(code_of(waiting));
        match waiting {
            Waiting::PrimaryQuiet => trouble
                .hint(format!(
                    "if messages still arrive in queue {queue}, its producers publish to the default exchange or \
                     over a binding that ms2m does not see"
                ))
                .hint("if the source is only slow, give it more time: --drain-timeout"),
            Waiting::SourceListens | Waiting::SourceOnHold | Waiting::SourceOnPrimary => trouble
                .hint(format!(
                    "does the application listen on queue {} and obey START_REPLAY and END_REPLAY?",
                    control_queue(self.source_pod())
                ))
                .hint("one that does not can be moved with --handoff mirror; see what that cannot promise first"),
            Waiting::TargetListens => Trouble::failed(
                "the restored process listens on the source's control queue: it keeps the pod's name that it read before \
                 the checkpoint",
                format!("queue {queue} has it as a consumer, and its order still waits in {}", control_queue(self.target_pod())),
            )
            .or_code(&explain::STALE_IDENTITY)
            .hint("let the application read its pod's name from /etc/hostname on each reconnect")
            .hint("or let ms2m stop the source first, with no way back from there: --stale-identity stop-source"),
            Waiting::TargetConnects | Waiting::TargetOnReplay | Waiting::TargetOnPrimary => trouble.hint(format!(
                "does the application read its pod's name from /etc/hostname when it reconnects, and listen on queue {}?",
                control_queue(self.target_pod())
            )),
            Waiting::PrimaryUnconsumed => trouble.hint(format!(
                "something consumes queue {queue} besides the pod: its messages would be lost to the target"
            )),
            _ => trouble,
        }
    }
}

/// What explains that this has not come in time.
fn code_of(waiting: Waiting) -> Code {
    match waiting {
        Waiting::PrimaryQuiet => &explain::QUEUE_NOT_QUIET,
        Waiting::SourceListens | Waiting::SourceOnHold | Waiting::SourceOnPrimary => {
            &explain::SOURCE_SILENT
        }
        Waiting::PrimaryUnconsumed => &explain::QUEUE_CONSUMED,
        _ => &explain::TARGET_SILENT,
    }
}
