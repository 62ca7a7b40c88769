//! The roll-back with a source that is gone or does not obey: what it was told is taken back, and what is in
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
            "put {moved} messages back into queue {}, since the source does not take them",
            self.names.queue
        ));
        Ok(())
    }

    /// The same for either replay queue; answers how many messages it was.
    ///
    /// Each doubt is written down before what it is about is done: whoever takes over then finds nothing
    /// to tell it by.
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
        let known = self.is_open_again().await?;
        if known.is_none() && self.waiting_in(from).await? > 0 {
            self.doubt_order(
                "messages are to be put back, and an earlier process may have opened the gate, which a broker without \
                 the management API does not tell",
            )
            .await?;
        }
        let (moved, doubted) = if known == Some(true) {
            (0, false)
        } else {
            self.put_back_before_opening(from, &exchange).await?
        };
        self.open_gate().await?;
        Ok(moved + self.put_back_late(from, &exchange, doubted).await?)
    }

    /// Answers how many messages it was, and whether more are left.
    async fn put_back_before_opening(
        &mut self,
        from: &str,
        exchange: &str,
    ) -> Result<(u64, bool), Trouble> {
        let (moved, emptied) = self.put_back_while_it_gets_less(from, exchange).await?;
        if !emptied {
            self.doubt_order("more messages came in than could be put back before the gate opened")
                .await?;
        }
        Ok((moved, !emptied))
    }

    /// With the gate open what is left is finite, and older than what goes to the primary queue.
    async fn put_back_late(
        &mut self,
        from: &str,
        exchange: &str,
        mut doubted: bool,
    ) -> Result<u64, Trouble> {
        let mut moved = 0;
        loop {
            let waiting = self.waiting_in(from).await?;
            if waiting == 0 {
                return Ok(moved);
            }
            if !doubted {
                self.doubt_order("messages were put back when the gate had opened")
                    .await?;
                doubted = true;
            }
            moved += self.move_to(from, exchange, waiting).await?;
        }
    }

    /// Writes down that order may be broken, and why.
    async fn doubt_order(&mut self, why: &str) -> Result<(), Trouble> {
        self.doubt(format!(
            "{why}: newer ones of the same publisher may stand before older ones in queue {}",
            self.names.queue
        ));
        self.save().await
    }

    /// While the gate is closed, more comes in. Answers how many messages it was, and whether the queue was
    /// seen empty.
    async fn put_back_while_it_gets_less(
        &self,
        from: &str,
        exchange: &str,
    ) -> Result<(u64, bool), Trouble> {
        let mut headway = Headway::default();
        let mut moved = 0;
        loop {
            let waiting = self.waiting_in(from).await?;
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

    /// How many messages are ready in a replay queue.
    async fn waiting_in(&self, replay: &str) -> Result<u64, Trouble> {
        let queue = [replay];
        let found = self
            .patiently("look at a replay queue", || {
                self.ports.broker.queues(&queue)
            })
            .await?;
        Ok(found
            .first()
            .copied()
            .flatten()
            .map_or(0, |queue| queue.ready))
    }

    async fn move_to(&self, from: &str, exchange: &str, at_most: u64) -> Result<u64, Trouble> {
        let broker = &self.ports.broker;
        self.patiently("put messages back", || {
            broker.move_messages(from, exchange, at_most)
        })
        .await
    }
}
