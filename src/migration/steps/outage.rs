//! After the broker was away: the gate is put again as it has to be.
//!
//! An orderly restart loses nothing. But RabbitMQ with its older metadata store (Mnesia; measured on
//! 3.10) writes a changed binding to disk up to about two seconds late, so a broker that is killed
//! in that time comes back without the change. A gate that had just been closed is open then, and
//! until it is closed again messages reach the primary queue.

use super::run::Run;
use super::trouble::Trouble;
use crate::api::{HandoffStage as Stage, UndoStep};
use crate::explain;
use crate::migration::handoff::{Effect, Seen, out_of_turn};

/// What makes the gate whole and closed, whatever is there.
const CLOSED: [Effect; 6] = [
    Effect::DeclareExchanges,
    Effect::DeclareReplayQueues,
    Effect::BindReplayQueues,
    Effect::CloseGate,
    Effect::LeadThroughGate,
    Effect::CutDirectWay,
];

/// What makes it whole and open. While it is open more than one way to the queue does no harm.
const OPEN: [Effect; 1] = [Effect::OpenGate];

impl Run {
    /// Whether the broker may have been away since the last look, in whatever was done meanwhile: another
    /// connection had to be made. Or it was another process that looked last, and both may have gone
    /// together; where the opening of the gate comes next, it may have been that process.
    pub(super) fn may_have_been_away(&mut self) -> bool {
        let now = self.ports.broker.connections();
        match self.connections.replace(now) {
            Some(before) => before != now,
            None => !matches!(self.stage(), Stage::SourceRemoved | Stage::TargetRestored),
        }
    }

    /// Puts the gate as the present stage needs it.
    pub(super) async fn after_an_outage(&mut self) -> Result<(), Trouble> {
        let aborting = self.is_aborting();
        let stage = self.stage();
        let undo = self.handoff().undo;
        if aborting && matches!(undo, UndoStep::PutBack | UndoStep::Reopen) {
            // Open or closed, whichever it was: these steps open it themselves, when H is empty.
            return Ok(());
        }
        let opened = if aborting {
            undo >= UndoStep::Return
        } else {
            // The stage is written after it was opened, and another look may come in between.
            stage >= Stage::Reopened || self.was_reopened()
        };
        if !self.was_closed() || stage >= Stage::TargetServes || undo == UndoStep::Dismantle {
            // Its effects are all yet to be done, or are done again.
            return Ok(());
        }
        if opened {
            return self.rearrange_all(&OPEN).await;
        }
        let leaked = self.is_open().await?;
        if leaked != Some(false) && (self.opening_since.is_some() || self.may_be_reopened) {
            // It was being opened, at a moment at which nothing was left to drain. What has reached the
            // queue since would be behind newer messages were it closed again.
            return Ok(());
        }
        if leaked != Some(true) {
            return self.rearrange_all(&CLOSED).await;
        }
        let what = format!(
            "the broker came back without the closing of the gate, so messages have reached queue {} in mid-migration",
            self.names.queue
        );
        // With the source gone nobody shares that queue.
        let goes_on = aborting || stage.is_committed();
        self.doubt(if goes_on {
            format!("{what}: they may have been applied out of order")
        } else {
            format!(
                "{what}: they may have been applied out of order, and what the target took of them is lost with it"
            )
        });
        let leak = Trouble::failed(
            what,
            "a broker that is killed within two seconds of a change may have lost it",
        )
        .or_code(&explain::GATE_LEAKED);
        if !goes_on {
            self.handoff().aborting = true;
            self.record.status.message = Some(leak.reason());
        }
        // Before it is closed again: whoever takes over afterwards finds no reason to doubt, nor to
        // roll back.
        self.save().await?;
        self.rearrange_all(&CLOSED).await?;
        if goes_on { Ok(()) } else { Err(leak) }
    }

    /// Sees whether `effect` comes of a party that may have applied newer messages before older ones: one
    /// that has lost its connection when the gate was open and its replay queue not empty.
    ///
    /// Written down before the party is told, so that whoever takes over knows of it.
    pub(super) async fn see_order(&mut self, effect: Effect, seen: &Seen) -> Result<(), Trouble> {
        let Some(party) = out_of_turn(effect, seen) else {
            return Ok(());
        };
        // Where nobody can tell, it is said as well.
        if self.is_open_again().await? == Some(false) {
            return Ok(());
        }
        self.doubt(format!(
            "the {party} left its replay queue before it had finished it, when new messages went to queue {} \
             already: some may have been applied out of order, none is lost or applied twice",
            self.names.queue
        ));
        self.save().await
    }

    /// Whether the gate was closed and is open again, as far as that can be told: an earlier process may have
    /// opened it and not written that down. Only a broker with the management API tells.
    pub(super) async fn is_open_again(&self) -> Result<Option<bool>, Trouble> {
        let handoff = self.record.status.handoff.as_ref();
        let known = handoff.is_some_and(|handoff| {
            if handoff.aborting {
                handoff.undo >= UndoStep::Return
            } else {
                handoff.stage >= Stage::Reopened
            }
        });
        if known || self.was_reopened() {
            return Ok(Some(true));
        }
        // An attempt of this process may have succeeded, and its answer been lost.
        if !self.may_be_reopened && self.opening_since.is_none() {
            return Ok(Some(false));
        }
        self.is_open().await
    }

    async fn rearrange_all(&self, effects: &[Effect]) -> Result<(), Trouble> {
        for effect in effects {
            self.rearrange(*effect).await?;
        }
        Ok(())
    }

    /// Whether the gate leads to the primary queue; `None` where the broker does not tell.
    async fn is_open(&self) -> Result<Option<bool>, Trouble> {
        let queue = &self.names.queue;
        let bindings = self
            .patiently("look at the bindings", || self.ports.broker.bindings(queue))
            .await?;
        let open = |exchange: &str| exchange == self.names.gate;
        Ok(bindings.map(|bindings| bindings.iter().any(|binding| open(&binding.exchange))))
    }
}
