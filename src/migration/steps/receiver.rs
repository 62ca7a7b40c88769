//! Direct transfers: the receiver on the target node that takes the checkpoint in a registry's place.
//!
//! Ensured before the checkpoint, so that it starts while the queue gets quiet. Let go once the target
//! runs, and removed with the rest at either end. What it has goes with it.

use std::net::SocketAddr;

use ms2m_transfer::direct::push_port;

use super::retry::Backoff;
use super::run::Run;
use super::trouble::Trouble;
use crate::explain;
use crate::migration::plan;
use crate::migration::ports::{DirectOrder, ReceiverOrder, ReceiverState};

impl Run {
    /// Whether there is no registry.
    pub(super) fn is_direct(&self) -> bool {
        self.direct_port().is_some()
    }

    fn direct_port(&self) -> Option<u16> {
        plan::direct_port(&self.record.spec)
    }

    /// Starts the receiver, if there is to be one. One that has the image already cannot be made
    /// again: it is only looked at.
    pub(super) async fn start_receiver(&mut self) -> Result<(), Trouble> {
        let Some(order) = self.receiver_order() else {
            return Ok(());
        };
        if self.record.status.checkpoint_image.is_some() {
            return self.await_receiver().await;
        }
        let cluster = &self.ports.cluster;
        let address = self
            .patiently("start the receiver on the target node", || {
                cluster.ensure_receiver(&order)
            })
            .await?;
        self.receiver = Some(SocketAddr::new(address, push_port(order.port)));
        self.step(format!("node {} gets a receiver", order.node));
        Ok(())
    }

    /// What the receiver waits for, if there is to be one and it does not run yet. At the
    /// checkpoint it is looked at once more.
    ///
    /// # Errors
    /// It will not run, or not any more.
    pub(super) async fn see_receiver(&self) -> Result<Option<String>, Trouble> {
        if !self.is_direct() {
            return Ok(None);
        }
        let (cluster, name) = (&self.ports.cluster, self.receiver_name());
        let state = self
            .patiently("look at the receiver", || cluster.receiver(&name))
            .await?;
        match state {
            ReceiverState::Running => Ok(None),
            ReceiverState::Starting(words) => Ok(Some(words)),
            ReceiverState::Failed(words) => Err(self.receiver_lost(&words)),
            ReceiverState::Absent => Err(self.receiver_lost("its pod is gone")),
        }
    }

    /// Waits until the receiver runs, if there is to be one.
    pub(super) async fn await_receiver(&self) -> Result<(), Trouble> {
        let began = self.ports.clock.elapsed();
        let mut backoff = Backoff::looks();
        loop {
            let Some(waits_for) = self.see_receiver().await? else {
                return Ok(());
            };
            if self.ports.clock.elapsed() - began > self.limits.restore {
                return Err(self.receiver_lost(&waits_for));
            }
            let clock = std::sync::Arc::clone(&self.ports.clock);
            self.unless_stopped(backoff.pause(&*clock)).await?;
        }
    }

    fn receiver_lost(&self, words: &str) -> Trouble {
        let (name, node) = (self.receiver_name(), self.target_node());
        let what = if self.record.status.checkpoint_image.is_some() {
            format!("receiver {name} on node {node}, which had the checkpoint, is lost")
        } else {
            format!("receiver {name} does not run on node {node}")
        };
        let trouble = Trouble::failed(what, words).or_code(&explain::TRANSFER_FAILED);
        if words.contains("free ports") || words.contains("in use") {
            return trouble.hint(
                "another direct transfer, or something else, has that port of the node: wait for it, or choose \
                 another one: --direct-port",
            );
        }
        trouble
    }

    /// Asks the receiver to go, once the node has what it had. It is seen off at the end.
    pub(super) async fn let_receiver_go(&self) {
        if !self.is_direct() {
            return;
        }
        let name = self.receiver_name();
        // What fails here is done at the end.
        let _ = self.ports.cluster.release_receiver(&name).await;
    }

    /// Ensures that the receiver is gone.
    pub(super) async fn remove_receiver(&self) -> Result<(), Trouble> {
        if !self.is_direct() {
            return Ok(());
        }
        let name = self.receiver_name();
        let cluster = &self.ports.cluster;
        self.patiently("remove the receiver", || cluster.remove_receiver(&name))
            .await
    }

    /// How the transfer Job reaches it.
    pub(super) fn direct_order(&self) -> Option<DirectOrder> {
        let receiver = self.receiver.filter(|_| self.is_direct())?;
        Some(DirectOrder {
            receiver,
            secret: self.receiver_name(),
        })
    }

    fn receiver_name(&self) -> String {
        self.object_name("receiver")
    }

    fn receiver_order(&self) -> Option<ReceiverOrder> {
        let spec = &self.record.spec;
        Some(ReceiverOrder {
            port: self.direct_port()?,
            name: self.receiver_name(),
            migration: self.record.name.clone(),
            node: self.target_node().to_owned(),
            image: plan::transfer_image(spec),
            repository: plan::receivers_repository(&self.handoff_name()),
            credentials_secret: self.credentials_secret(),
            // The queue gets quiet, the checkpoint is taken and sent, the target starts.
            deadline: self.limits.drain
                + self.limits.checkpoint
                + self.limits.transfer
                + self.limits.restore,
        })
    }
}
