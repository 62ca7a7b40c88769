//! Looking at queues and deleting them: what AMQP and the management API tell only together.

use std::collections::HashMap;
use std::time::Duration;

use lapin::options::{QueueDeclareOptions, QueueDeleteOptions};
use lapin::protocol::{AMQPErrorKind, AMQPHardError, AMQPSoftError};
use lapin::types::FieldTable;

use super::amqp::{AmqpBroker, short};
use super::failure::{is_refusal, port_error};
use super::management::Totals;
use crate::migration::error::PortError;
use crate::migration::ports::{Deletion, PortResult, QueueView};

/// What the management API tells of queues, by their names.
type Told = HashMap<String, Totals>;

impl AmqpBroker {
    /// The queues of these names, in their order.
    pub(super) async fn look(&self, names: &[&str]) -> PortResult<Vec<Option<QueueView>>> {
        self.look_closely(names).await.map(|(found, _)| found)
    }

    /// The same, and what the management API tells of them.
    async fn look_closely(&self, names: &[&str]) -> PortResult<(Vec<Option<QueueView>>, Told)> {
        let mut found = Vec::with_capacity(names.len());
        // Ready messages are counted before the unacknowledged ones: a message that is taken and
        // acknowledged in between is missed by neither.
        for name in names {
            found.push(self.passively(name).await?);
        }
        let totals = self.totals(names).await;
        let mut lags = self.lags.lock().await;
        for (name, queue) in names.iter().zip(&mut found) {
            let Some(queue) = queue else { continue };
            if let Some(totals) = totals.get(*name) {
                queue.unacknowledged = totals.unacknowledged();
                lags.insert((*name).to_owned(), totals.lag());
            }
            queue.lag = lags.get(*name).copied().unwrap_or_default();
        }
        Ok((found, totals))
    }

    /// What the management API tells of those of `names` that are there; nothing when it does not.
    async fn totals(&self, names: &[&str]) -> Told {
        let Ok(management) = &self.management else {
            return Told::new();
        };
        management.totals(names).await.unwrap_or_default()
    }

    /// What a passive declare tells; nothing if there is no such queue.
    pub(super) async fn passively(&self, name: &str) -> PortResult<Option<QueueView>> {
        let options = QueueDeclareOptions {
            passive: true,
            ..QueueDeclareOptions::default()
        };
        let declared = self
            .done(async |channel| {
                channel
                    .queue_declare(short(name), options, FieldTable::default())
                    .await
            })
            .await;
        match declared {
            Ok(queue) => Ok(Some(QueueView {
                ready: queue.message_count().into(),
                unacknowledged: None,
                lag: Duration::ZERO,
                consumers: queue.consumer_count().into(),
            })),
            Err(PortError::NotFound(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Deletes the queue if it has neither messages nor consumers.
    pub(super) async fn delete_if_idle(&self, name: &str) -> PortResult<Deletion> {
        // Quorum queues know no conditions, so it is looked first; classic ones check again
        // themselves.
        let (found, totals) = self.look_closely(&[name]).await?;
        match found.first().copied().flatten() {
            None => return Ok(Deletion::Gone),
            Some(queue) if is_in_use(queue) => return Ok(Deletion::InUse),
            Some(_) => {}
        }
        let conditional = totals.get(name).is_none_or(Totals::takes_conditions);
        self.delete(name, conditional).await
    }

    pub(super) async fn delete(&self, name: &str, conditional: bool) -> PortResult<Deletion> {
        let options = QueueDeleteOptions {
            if_unused: conditional,
            if_empty: conditional,
            nowait: false,
        };
        let deleted = self
            .channels
            .on_channel(async |channel| channel.queue_delete(short(name), options).await)
            .await?;
        let Err(error) = deleted else {
            return Ok(Deletion::Gone);
        };
        if is_refusal(
            &error,
            &AMQPErrorKind::Soft(AMQPSoftError::PRECONDITIONFAILED),
        ) {
            return Ok(Deletion::InUse);
        }
        if conditional && is_refusal(&error, &AMQPErrorKind::Hard(AMQPHardError::NOTIMPLEMENTED)) {
            // A queue of a type that nobody could tell beforehand. The connection is gone, and
            // made anew.
            return Box::pin(self.delete(name, false)).await;
        }
        match port_error(&error) {
            PortError::NotFound(_) => Ok(Deletion::Gone),
            error => Err(error),
        }
    }
}

fn is_in_use(queue: QueueView) -> bool {
    queue.ready > 0 || queue.consumers > 0 || queue.unacknowledged.unwrap_or(0) > 0
}
