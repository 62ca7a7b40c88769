//! The consumer of the queue in use: applies what is delivered, acknowledges it afterwards,
//! and changes queues without applying anything twice or out of turn.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{FutureExt as _, StreamExt as _};
use lapin::Acker;
use lapin::message::Delivery;
use lapin::options::{
    BasicAckOptions, BasicCancelOptions, BasicConsumeOptions, BasicQosOptions, QueueDeclareOptions,
};
use lapin::protocol::{AMQPErrorKind, AMQPSoftError};
use lapin::types::FieldTable;
use lapin::{Channel, Connection, Consumer, ErrorKind};
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use super::Broken;
use super::memory::Memory;
use super::times::Applied;
use crate::message::Message;

/// A consumer and what it has been given.
pub(super) struct Intake {
    memory: Arc<Mutex<Memory>>,
    channel: Channel,
    consumer: Consumer,
    processing_time: Duration,
    /// Whether the broker takes what it sends for acknowledged.
    auto_ack: bool,
    /// How many messages may be applied before the acknowledgement that covers them.
    batch: u16,
    /// The latest message applied and not acknowledged, and how many there are.
    unacknowledged: Option<(Acker, u16)>,
}

impl Intake {
    /// Begins to consume a queue that exists.
    pub(super) async fn open(
        connection: &Connection,
        memory: Arc<Mutex<Memory>>,
        queue: &str,
    ) -> Result<Self, Broken> {
        let (prefetch, processing_time, auto_ack) = {
            let settings = &memory.lock().await.settings;
            (
                settings.prefetch,
                settings.processing_time,
                settings.manners.auto_ack,
            )
        };
        let channel = connection.create_channel().await?;
        channel
            .basic_qos(prefetch, BasicQosOptions::default())
            .await?;
        let consumer = consume(&channel, queue, auto_ack).await?;
        note_consumer(&memory, queue).await;
        // One acknowledgement for half of what may be handed out keeps the broker's window
        // open. A worker that takes its time over a message acknowledges each one.
        let batch = if processing_time.is_zero() {
            prefetch.div_ceil(2)
        } else {
            1
        };
        Ok(Self {
            memory,
            channel,
            consumer,
            processing_time,
            auto_ack,
            batch,
            unacknowledged: None,
        })
    }

    /// Waits for a delivery. Cancel-safe.
    pub(super) async fn next(&mut self) -> Result<Delivery, Broken> {
        self.consumer
            .next()
            .await
            .ok_or(Broken::Cancelled)?
            .map_err(Broken::from)
    }

    /// Applies a delivery and those that are there already, up to a batch, and acknowledges
    /// them. Ends early, after the message in hand, when told to stop.
    pub(super) async fn take(
        &mut self,
        first: Delivery,
        stop: &CancellationToken,
    ) -> Result<(), Broken> {
        self.apply(first).await?;
        while !stop.is_cancelled() && self.waiting() < self.batch {
            match self.consumer.next().now_or_never() {
                Some(Some(Ok(delivery))) => self.apply(delivery).await?,
                Some(Some(Err(error))) => return Err(error.into()),
                Some(None) => {
                    self.acknowledge().await?;
                    return Err(Broken::Cancelled);
                }
                None => break,
            }
        }
        self.acknowledge().await
    }

    /// Consumes another queue instead.
    ///
    /// The order is what makes this exact. First the consumer is cancelled: once the broker
    /// has confirmed that, it hands out nothing more. Then everything that it had handed out
    /// is applied and acknowledged. Only then is the other queue consumed, so nothing of the
    /// old queue comes after something of the new one, and nothing is left behind that would
    /// be delivered again.
    pub(super) async fn change_to(
        &mut self,
        connection: &Connection,
        queue: &str,
        declare: bool,
        stop: &CancellationToken,
    ) -> Result<(), Broken> {
        if self.consumer.queue().as_str() == queue {
            return Ok(());
        }
        self.memory.lock().await.consuming = false;
        let tag = self.consumer.tag();
        self.channel
            .basic_cancel(tag, BasicCancelOptions::default())
            .await?;
        while let Some(delivery) = self.consumer.next().await {
            self.apply(delivery?).await?;
            if self.waiting() >= self.batch {
                self.acknowledge().await?;
            }
            if stop.is_cancelled() {
                break;
            }
        }
        self.acknowledge().await?;
        if stop.is_cancelled() {
            return Ok(());
        }
        if declare {
            declare_durable(connection, queue).await?;
        }
        // Not while frozen by a checkpoint.
        drop(self.memory.lock().await);
        self.consumer = consume(&self.channel, queue, self.auto_ack).await?;
        note_consumer(&self.memory, queue).await;
        Ok(())
    }

    fn waiting(&self) -> u16 {
        self.unacknowledged.as_ref().map_or(0, |(_, count)| *count)
    }

    /// Does the work of one message, then applies it in one piece.
    async fn apply(&mut self, delivery: Delivery) -> Result<(), Broken> {
        let message: Result<Message, _> = serde_json::from_slice(&delivery.data);
        if !self.processing_time.is_zero() {
            tokio::time::sleep(self.processing_time).await;
        }
        let mut memory = self.memory.lock().await;
        // The broker gives everything unacknowledged of a lost connection to the next one. To
        // apply it here as well, knowing that, would be to apply it twice.
        if delivery.acker.poisoned() {
            return Err(Broken::ConnectionLost);
        }
        match message {
            Ok(Message {
                publisher,
                seq,
                sent,
            }) => {
                let now = jiff::Timestamp::now();
                memory
                    .state
                    .apply(&publisher, seq, delivery.redelivered, now);
                let keep = memory.settings.keep_times;
                let applied = Applied {
                    publisher,
                    seq,
                    sent: sent.map(jiff::Timestamp::as_microsecond),
                    at: now.as_microsecond(),
                };
                memory.times.note(applied, keep);
            }
            Err(error) => {
                memory.state.unreadable += 1;
                tracing::warn!(%error, "ignored a message that is no numbered one");
            }
        }
        drop(memory);
        self.unacknowledged = Some((delivery.acker, self.waiting() + 1));
        Ok(())
    }

    /// Acknowledges everything applied so far.
    async fn acknowledge(&mut self) -> Result<(), Broken> {
        let Some((acker, _)) = self.unacknowledged.take() else {
            return Ok(());
        };
        if self.auto_ack {
            return Ok(());
        }
        let _running = self.memory.lock().await;
        // 'Multiple' covers all before it on this channel, all of which were applied before.
        if acker.ack(BasicAckOptions { multiple: true }).await? {
            Ok(())
        } else {
            Err(Broken::ConnectionLost)
        }
    }
}

async fn consume(channel: &Channel, queue: &str, auto_ack: bool) -> lapin::Result<Consumer> {
    let options = BasicConsumeOptions {
        no_ack: auto_ack,
        ..BasicConsumeOptions::default()
    };
    channel
        .basic_consume(queue.into(), "".into(), options, FieldTable::default())
        .await
}

async fn note_consumer(memory: &Mutex<Memory>, queue: &str) {
    let mut memory = memory.lock().await;
    queue.clone_into(&mut memory.queue);
    memory.consuming = true;
    tracing::info!(queue, "consuming");
}

/// Declares a replay queue as durable and without arguments. A queue that is there with
/// arguments is as good: the broker answers 406 then and closes the channel, so this is done
/// on one of its own.
async fn declare_durable(connection: &Connection, queue: &str) -> lapin::Result<()> {
    let channel = connection.create_channel().await?;
    let options = QueueDeclareOptions::durable();
    match channel
        .queue_declare(queue.into(), options, FieldTable::default())
        .await
    {
        Err(error) if is_precondition_failed(&error) => {
            tracing::info!(
                queue,
                "the queue was declared with other arguments, taken as it is"
            );
            Ok(())
        }
        other => other.map(drop),
    }
}

fn is_precondition_failed(error: &lapin::Error) -> bool {
    matches!(error.kind(), ErrorKind::ProtocolError(error)
        if *error.kind() == AMQPErrorKind::Soft(AMQPSoftError::PRECONDITIONFAILED))
}
