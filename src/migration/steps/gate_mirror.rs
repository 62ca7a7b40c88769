//! What the handoff `Mirror` and a source that does not obey need at the broker beyond the gate:
//! R beside the primary queue, and H back into it.

use super::gate::own_binding;
use super::run::Run;
use super::trouble::Trouble;
use crate::migration::error::PortError;
use crate::migration::handoff::names::control_queue;
use crate::migration::ports::Destination;

impl Run {
    /// Binds R to the producers' exchange beside the primary queue.
    pub(super) async fn mirror_replay(&self) -> Result<(), Trouble> {
        let to = Destination::Queue(self.names.replay.clone());
        for binding in self.own_bindings() {
            self.patiently("bind the replay queue beside the primary queue", || {
                self.ports.broker.bind(binding, &to)
            })
            .await?;
        }
        self.step(format!(
            "new messages go to {} as well as to {}",
            self.names.replay, self.names.queue
        ));
        Ok(())
    }

    /// The reverse.
    pub(super) async fn unmirror_replay(&self) -> Result<(), Trouble> {
        let from = Destination::Queue(self.names.replay.clone());
        for binding in self.own_bindings() {
            self.patiently("unbind the replay queue", || {
                self.ports.broker.unbind(binding, &from)
            })
            .await?;
        }
        Ok(())
    }

    /// Takes back what the source was told and has not read.
    pub(super) async fn unsay(&self) -> Result<(), Trouble> {
        let control = control_queue(self.source_pod());
        self.patiently("empty the source's control queue", || async {
            match self.ports.broker.purge_queue(&control).await {
                // An application that has none was told nothing.
                Err(PortError::NotFound(_)) => Ok(()),
                other => other,
            }
        })
        .await
    }

    /// Moves what is in H to the primary queue, and opens the gate the moment that H is empty.
    pub(super) async fn put_back(&mut self) -> Result<(), Trouble> {
        let broker = std::sync::Arc::clone(&self.ports.broker);
        let (exchange, hold) = (self.names.put_back.clone(), self.names.hold.clone());
        let (binding, to) = (
            own_binding(&exchange),
            Destination::Queue(self.names.queue.clone()),
        );
        self.patiently("declare an exchange", || {
            broker.ensure_fanout(&exchange, None)
        })
        .await?;
        self.patiently("bind the primary queue", || {
            broker.bind(&binding, &to)
        })
        .await?;
        let moved = self
            .patiently("put messages back", || broker.move_messages(&hold, &exchange))
            .await?;
        self.open_gate().await?;
        let late = self
            .patiently("put messages back", || broker.move_messages(&hold, &exchange))
            .await?;
        self.step(format!(
            "put {} messages back into queue {}, since the source does not obey",
            moved + late,
            self.names.queue
        ));
        if late > 0 {
            self.warn(format!(
                "{late} of the messages that were put back came in while the gate was opening: newer ones of the same \
                 publisher may stand before them in queue {}",
                self.names.queue
            ));
        }
        Ok(())
    }
}
