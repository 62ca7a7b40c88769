//! What the broker lets the user do, tried without effect: on names that are not there, and with a
//! queue of this connection's own that goes with it.
//!
//! RabbitMQ looks at permissions before it looks whether anything is there (rabbit_channel), and its
//! patterns know names alone, whether of queues or exchanges.

use lapin::options::{
    BasicGetOptions, BasicPublishOptions, ExchangeUnbindOptions, QueueDeclareOptions,
    QueueDeleteOptions, QueuePurgeOptions,
};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel};

use super::amqp::{AmqpBroker, short};
use crate::migration::error::PortError;
use crate::migration::handoff::Names;
use crate::migration::handoff::names::control_queue;
use crate::migration::ports::PortResult;

impl AmqpBroker {
    /// What a migration of `pod` and its `queue` takes and the broker does not let the user do, in the broker's own
    /// words; empty if it lets him do all.
    ///
    /// # Errors
    /// The broker does not answer.
    pub async fn refusals(
        &self,
        pod: &str,
        exchange: &str,
        queue: &str,
    ) -> PortResult<Vec<String>> {
        let names = Names::of(queue);
        // Nothing is bound by it, so nothing is unbound.
        let key = format!("ms2m-check-{:016x}", rand::random::<u64>());
        let own = format!("{queue}.{key}");
        let mut refused = Vec::new();
        note(
            &mut refused,
            self.done(async |it| uses(it, &own).await).await,
        )?;
        // The source's control queue goes with the source. Nothing has this name.
        let control = format!("{}.{key}", control_queue(pod));
        let tried = self.done(async |it| {
            let options = QueueDeleteOptions::default();
            it.queue_delete(short(&control), options).await.map(drop)
        });
        note(&mut refused, tried.await)?;
        // A roll-back takes back what a source was told that does not listen.
        let tried = self.done(async |it| {
            let options = QueuePurgeOptions::default();
            it.queue_purge(short(&control), options).await.map(drop)
        });
        note(&mut refused, tried.await)?;
        for (from, to) in [
            (exchange, &names.gate),
            (exchange, &names.put_back),
            (names.gate.as_str(), &names.fanout),
        ] {
            let tried = self.done(async |it| try_unbind(it, from, to, &key).await);
            note(&mut refused, tried.await)?;
        }
        for (from, to) in [
            (exchange, queue),
            (names.gate.as_str(), queue),
            (names.fanout.as_str(), names.replay.as_str()),
            (names.fanout.as_str(), names.hold.as_str()),
        ] {
            let tried = self.done(async |it| {
                it.queue_unbind(short(to), short(from), short(&key), FieldTable::default())
                    .await
            });
            note(&mut refused, tried.await)?;
        }
        Ok(refused)
    }
}

/// Makes, fills, reads and deletes a queue of this connection's own.
async fn uses(channel: &Channel, name: &str) -> lapin::Result<()> {
    let options = QueueDeclareOptions {
        exclusive: true,
        auto_delete: true,
        ..QueueDeclareOptions::default()
    };
    let queue = || short(name);
    channel
        .queue_declare(queue(), options, FieldTable::default())
        .await?;
    channel
        .basic_publish(
            short(""),
            queue(),
            BasicPublishOptions::default(),
            b"{}",
            BasicProperties::default(),
        )
        .await?
        .await?;
    channel
        .basic_get(queue(), BasicGetOptions { no_ack: true })
        .await?;
    channel
        .queue_delete(queue(), QueueDeleteOptions::default())
        .await?;
    Ok(())
}

async fn try_unbind(channel: &Channel, from: &str, to: &str, key: &str) -> lapin::Result<()> {
    channel
        .exchange_unbind(
            short(to),
            short(from),
            short(key),
            ExchangeUnbindOptions::default(),
            FieldTable::default(),
        )
        .await
}

/// Keeps a refusal; what is not there is what was expected.
fn note(refused: &mut Vec<String>, tried: PortResult<()>) -> PortResult<()> {
    match tried {
        Ok(()) | Err(PortError::NotFound(_)) => Ok(()),
        Err(PortError::Denied(words)) => {
            if !refused.contains(&words) {
                refused.push(words);
            }
            Ok(())
        }
        Err(error) => Err(error),
    }
}
