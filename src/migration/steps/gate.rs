//! The broker's part: looking at the queues, and the effects on gate, R, H and control queues.

use std::sync::atomic::{AtomicBool, Ordering};

use super::run::Run;
use super::trouble::Trouble;
use crate::api::{Handoff, HandoffBinding, HandoffStage as Stage, MicroTime};
use crate::migration::error::PortError;
use crate::migration::event::EventKind;
use crate::migration::handoff::names::{ControlMessage, control_queue};
use crate::migration::handoff::watch::Look;
use crate::migration::handoff::{Effect, Message, Party, Seen, topology};
use crate::migration::ports::{Deletion, QueueView};

impl Run {
    /// Looks at the broker.
    pub(super) async fn look(&mut self) -> Result<Seen, Trouble> {
        let source_control = self.control_of(Party::Source);
        let target_control = self.control_of(Party::Target);
        let failed = AtomicBool::new(false);
        let look = self
            .patiently("look at the queues", || async {
                let names = [
                    self.names.queue.as_str(),
                    &self.names.replay,
                    &self.names.hold,
                    &source_control,
                    &target_control,
                ];
                let queues = self.ports.broker.queues(&names).await;
                failed.fetch_or(queues.is_err(), Ordering::Relaxed);
                let queues = queues?;
                let queue = |index: usize| queues.get(index).copied().flatten();
                let primary = queue(0).ok_or_else(|| {
                    PortError::NotFound(format!("queue {} is gone", self.names.queue))
                })?;
                Ok(Look {
                    at: self.ports.clock.elapsed(),
                    primary,
                    replay: queue(1).unwrap_or_default(),
                    hold: queue(2).unwrap_or_default(),
                    source_orders: waiting(queue(3)),
                    target_orders: waiting(queue(4)),
                    source_listeners: queue(3).map_or(0, |queue| queue.consumers),
                })
            })
            .await?;
        let failed = failed.load(Ordering::Relaxed);
        if failed {
            // The time in which the broker was away is nobody's fault.
            self.watch.stage_begins(look.at);
        }
        if self.may_have_been_away() || failed {
            self.after_an_outage().await?;
        }
        self.say_depth(&look);
        self.note_absence(&look);
        self.look_after_the_pods(&look).await?;
        if self.is_aborting() {
            self.watch.headway(&look);
        }
        let limit = self.patience_of_stage();
        Ok(self.watch.seen(&look, limit))
    }

    fn say_depth(&mut self, look: &Look) {
        // Sequentially there is nobody to replay it before.
        let first = if self.is_sequential() {
            Stage::TargetRestored
        } else {
            Stage::TargetAttached
        };
        if !(first..Stage::Returning).contains(&self.stage()) {
            return;
        }
        let depth = look.replay.ready + look.replay.unacknowledged.unwrap_or(0);
        let peak = self.watch.peak(depth);
        self.report(EventKind::Replay {
            depth,
            peak,
            rate: self.watch.take_rate(),
        });
    }

    /// Carries out an effect that concerns the broker alone.
    pub(super) async fn perform_at_broker(&mut self, effect: Effect) -> Result<(), Trouble> {
        match effect {
            Effect::OpenGate => self.open_gate().await,
            Effect::CloseGate => self.close_gate().await,
            Effect::Unsay => self.unsay().await,
            Effect::PutBack => self.put_back().await,
            Effect::DeleteReplayQueues => self.delete_replay_queues().await,
            Effect::Tell(party, message) => self.tell(party, message).await,
            Effect::Checkpoint
            | Effect::SendCheckpoint
            | Effect::StartTarget
            | Effect::RemoveSource
            | Effect::RemoveTarget => {
                unreachable!("{effect:?} does not concern the broker alone")
            }
            rearrangement => self.rearrange(rearrangement).await,
        }
    }

    /// Carries out what `effect` asks of the broker's exchanges, queues and bindings.
    pub(super) async fn rearrange(&self, effect: Effect) -> Result<(), Trouble> {
        for request in topology::requests(effect, &self.names, self.own_bindings()) {
            self.patiently(&request.purpose(), || {
                request.carry_out(&*self.ports.broker)
            })
            .await?;
        }
        Ok(())
    }

    pub(super) async fn open_gate(&mut self) -> Result<(), Trouble> {
        self.rearrange(Effect::OpenGate).await?;
        self.note_opening();
        Ok(())
    }

    /// Whether `effect` is right at the moment that was seen, and perhaps not at a later one: what
    /// comes after it is not repeated, but decided anew. So it is with the opening of a gate that was
    /// closed. While the broker is away, messages are published nowhere; when it is back they go to R
    /// or H again, and whoever drains that starts on the primary queue by habit. To open the gate then
    /// would give it the newest messages first.
    pub(super) fn is_of_this_moment(&self, effect: Effect) -> bool {
        let gate = self.rules().handoff == Handoff::Gate;
        effect == Effect::OpenGate && gate && self.was_closed()
    }

    /// Opens the gate in one attempt; `false` if that failed in passing.
    pub(super) async fn try_open_gate(&mut self) -> Result<bool, Trouble> {
        for request in topology::requests(Effect::OpenGate, &self.names, self.own_bindings()) {
            let since = self.opening_since;
            let tried = request.carry_out(&*self.ports.broker);
            if !self.once(&request.purpose(), since, tried).await? {
                let now = self.ports.clock.elapsed();
                self.opening_since.get_or_insert(now);
                return Ok(false);
            }
        }
        self.opening_since = None;
        self.note_opening();
        Ok(true)
    }

    fn note_opening(&mut self) {
        if self.was_closed() {
            self.watch.gate_reopened(self.ports.clock.elapsed());
            self.handoff().reopened_time = Some(MicroTime(self.ports.clock.now()));
            self.step(format!(
                "gate opened: new messages go to queue {} again",
                self.names.queue
            ));
        }
    }

    async fn close_gate(&mut self) -> Result<(), Trouble> {
        self.rearrange(Effect::CloseGate).await?;
        self.watch.gate_closed(self.ports.clock.elapsed());
        self.handoff().closed_time = Some(MicroTime(self.ports.clock.now()));
        self.step(format!(
            "gate closed: new messages wait in {} and {}",
            self.names.replay, self.names.hold
        ));
        Ok(())
    }

    fn own_bindings(&self) -> &[HandoffBinding] {
        self.record
            .status
            .handoff
            .as_ref()
            .map_or(&[], |handoff| &handoff.bindings)
    }

    /// The queue of the party that stays is deleted only if nothing is in it and nobody on it;
    /// the other's holds copies of what has been applied elsewhere.
    async fn delete_replay_queues(&self) -> Result<(), Trouble> {
        let (kept, dropped, gone_pod) = if self.is_aborting() {
            (&self.names.hold, &self.names.replay, self.target_pod())
        } else if self.has_stale_target() {
            // The target listens on the source's; its own is the one that nobody reads.
            (&self.names.replay, &self.names.hold, self.target_pod())
        } else {
            (&self.names.replay, &self.names.hold, self.source_pod())
        };
        // Where both go by one name, whoever stays listens there.
        let control = (self.source_pod() != self.target_pod()).then(|| control_queue(gone_pod));
        // Only a queue that the closed gate has led to can hold what is not elsewhere.
        let only_if_idle = self.was_closed();
        let broker = &self.ports.broker;
        self.patiently("delete a replay queue", || async {
            match broker.delete_queue(kept, only_if_idle).await? {
                Deletion::Gone => Ok(()),
                Deletion::InUse => Err(PortError::Busy(format!("queue {kept} is still in use"))),
            }
        })
        .await?;
        self.patiently("delete a replay queue", || {
            broker.delete_queue(dropped, false)
        })
        .await?;
        if let Some(control) = control {
            self.patiently("delete a control queue", || {
                broker.delete_queue(&control, false)
            })
            .await?;
        }
        self.step(format!(
            "gate and replay queues of queue {} removed",
            self.names.queue
        ));
        Ok(())
    }

    /// Whether messages have been led past the primary queue.
    pub(super) fn was_closed(&self) -> bool {
        self.record
            .status
            .handoff
            .as_ref()
            .is_some_and(|handoff| handoff.closed_time.is_some())
    }

    /// Whether this handoff has opened the gate again.
    pub(super) fn was_reopened(&self) -> bool {
        self.record
            .status
            .handoff
            .as_ref()
            .is_some_and(|handoff| handoff.reopened_time.is_some())
    }

    /// The control queue on which a party is told.
    fn control_of(&self, party: Party) -> String {
        match party {
            Party::Target if !self.has_stale_target() => control_queue(self.target_pod()),
            Party::Source | Party::Target => control_queue(self.source_pod()),
        }
    }

    async fn tell(&mut self, party: Party, message: Message) -> Result<(), Trouble> {
        let own_queue = match party {
            Party::Source => &self.names.hold,
            Party::Target => &self.names.replay,
        };
        let control = self.control_of(party);
        let (body, words) = match message {
            Message::Ping => (ControlMessage::ping().body(), "PING".to_owned()),
            Message::StartReplay => (
                ControlMessage::start_replay(own_queue).body(),
                format!("START_REPLAY({own_queue})"),
            ),
            Message::EndReplay => (ControlMessage::end_replay().body(), "END_REPLAY".to_owned()),
        };
        let broker = &self.ports.broker;
        self.patiently("declare a control queue", || broker.ensure_queue(&control))
            .await?;
        self.patiently("tell the application", || broker.publish(&control, &body))
            .await?;
        self.step(format!("told the {party} {words}"));
        self.watch.told(party, message, self.ports.clock.elapsed());
        Ok(())
    }
}

/// Orders in a control queue that the application has not dealt with.
fn waiting(control: Option<QueueView>) -> u64 {
    control.map_or(0, |queue| queue.ready + queue.unacknowledged.unwrap_or(0))
}
