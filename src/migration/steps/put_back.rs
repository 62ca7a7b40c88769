//! The roll-back with a source that does not obey: what it was told is taken back, and what is in
//! H goes back into the primary queue.

use super::run::Run;
use super::trouble::Trouble;
use crate::migration::error::PortError;
use crate::migration::handoff::headway::Headway;
use crate::migration::handoff::names::control_queue;
use crate::migration::handoff::topology::own_binding;
use crate::migration::ports::Destination;

impl Run {
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

    /// Moves what is in H to the primary queue, and opens the gate the moment that H is empty, or as empty
    /// as it gets.
    pub(super) async fn put_back(&mut self) -> Result<(), Trouble> {
        let hold = self.names.hold.clone();
        let moved = self.put_back_from(&hold).await?;
        self.step(format!(
            "put {moved} messages back into queue {}, since the source does not obey",
            self.names.queue
        ));
        Ok(())
    }

    /// The same for either replay queue; answers how many messages it was.
    pub(super) async fn put_back_from(&mut self, from: &str) -> Result<u64, Trouble> {
        let broker = std::sync::Arc::clone(&self.ports.broker);
        let exchange = self.names.put_back.clone();
        let binding = own_binding(&exchange);
        let to = Destination::Queue(self.names.queue.clone());
        self.patiently("declare an exchange", || {
            broker.ensure_fanout(&exchange, None)
        })
        .await?;
        self.patiently("bind the primary queue", || broker.bind(&binding, &to))
            .await?;
        let (moved, emptied) = self.put_back_while_it_gets_less(from, &exchange).await?;
        if !emptied {
            // Written down before the gate opens: whoever takes over then finds only older messages to put
            // back, and no reason to doubt.
            self.doubt(format!(
                "more messages came in than could be put back before the gate opened: newer ones of the same \
                 publisher may stand before older ones in queue {}",
                self.names.queue
            ));
            self.save().await?;
        }
        self.open_gate().await?;
        let late = self.move_to(from, &exchange, u64::MAX).await?;
        if late > 0 && emptied {
            self.doubt(format!(
                "{late} of the messages that were put back came in while the gate was opening: newer ones of the same \
                 publisher may stand before them in queue {}",
                self.names.queue
            ));
        }
        Ok(moved + late)
    }

    /// While the gate is closed, more comes in. Answers how many messages it was, and whether the queue was
    /// seen empty.
    async fn put_back_while_it_gets_less(
        &self,
        from: &str,
        exchange: &str,
    ) -> Result<(u64, bool), Trouble> {
        let queue = [from];
        let mut headway = Headway::default();
        let mut moved = 0;
        loop {
            let found = self
                .patiently("look at a replay queue", || {
                    self.ports.broker.queues(&queue)
                })
                .await?;
            let waiting = found.first().copied().flatten();
            let waiting = waiting.map_or(0, |queue| queue.ready);
            let Some(at_most) = headway.next_round(waiting) else {
                return Ok((moved, false));
            };
            let some = self.move_to(from, exchange, at_most).await?;
            moved += some;
            if some < at_most {
                return Ok((moved, true));
            }
        }
    }

    async fn move_to(&self, from: &str, exchange: &str, at_most: u64) -> Result<u64, Trouble> {
        let broker = &self.ports.broker;
        self.patiently("put messages back", || {
            broker.move_messages(from, exchange, at_most)
        })
        .await
    }
}
