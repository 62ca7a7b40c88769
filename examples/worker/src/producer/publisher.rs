//! One publisher: publishes its numbers in order over a connection of its own, and keeps
//! account of the confirms, over lost connections too.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesOrdered;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions, ExchangeDeclareOptions};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, Confirmation, Connection, ConnectionProperties};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{Options, PublisherRecord};
use crate::message::Message;

/// How long to wait before connecting again.
const RECONNECT_DELAY: Duration = Duration::from_millis(500);

/// How long the broker may take to answer: one that is just going accepts a connection and says nothing
/// more.
const ANSWER: Duration = Duration::from_secs(10);

/// How long to wait for the last confirms once nothing more is published.
const LAST_CONFIRMS: Duration = Duration::from_secs(10);

/// AMQP's delivery mode of a message that survives the broker.
const PERSISTENT: u8 = 2;

type Confirms =
    FuturesOrdered<Pin<Box<dyn Future<Output = (u64, lapin::Result<Confirmation>)> + Send>>>;

pub(super) struct Publisher {
    options: Options,
    name: String,
    log: PublisherRecord,
    /// Numbers that wait for their confirm, in order.
    open: std::collections::VecDeque<u64>,
    /// The time between two messages; none when as fast as possible.
    interval: Option<Duration>,
    /// How long after the others this publisher begins, so that they take turns.
    offset: Duration,
    /// The number to end with.
    end: u64,
}

/// What comes of `work`; silence is a lost connection.
async fn in_time<T>(work: impl Future<Output = lapin::Result<T>>) -> lapin::Result<T> {
    match tokio::time::timeout(ANSWER, work).await {
        Ok(result) => result,
        Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "the broker does not answer").into()),
    }
}

impl Publisher {
    pub(super) fn new(options: &Options, index: u16, name: String, log: PublisherRecord) -> Self {
        let (index, publishers) = (u64::from(index), u64::from(options.publishers));
        // The first few publishers take what does not divide evenly.
        let share = |count: u64| count / publishers + u64::from(index < count % publishers);
        let interval = (options.rate > 0.0)
            .then(|| Duration::from_secs_f64(f64::from(options.publishers) / options.rate));
        let offset = interval.map_or(Duration::ZERO, |interval| {
            interval.mul_f64(
                f64::from(u16::try_from(index).unwrap_or(0)) / f64::from(options.publishers),
            )
        });
        Self {
            end: options
                .count
                .map_or(u64::MAX, |count| log.published + share(count)),
            options: options.clone(),
            name,
            log,
            open: std::collections::VecDeque::new(),
            interval,
            offset,
        }
    }

    /// Publishes until the end or until told to stop. Fails only if the first connection does.
    pub(super) async fn run(
        mut self,
        stop: CancellationToken,
    ) -> lapin::Result<(String, PublisherRecord)> {
        let mut connected = in_time(self.connect()).await?;
        loop {
            match Box::pin(self.publish_over(&connected.1, &stop)).await {
                Ok(()) => {
                    // Everything is confirmed: what the broker thinks of the good-bye is moot.
                    drop(in_time(connected.0.close(200, "done".into())).await);
                    break;
                }
                Err(error) => tracing::warn!(publisher = self.name, %error, "connection lost"),
            }
            let Some(again) = self.reconnect(&stop).await else {
                break;
            };
            connected = again;
        }
        // Those of an earlier run stay: nothing came for them either.
        for seq in self.open {
            self.log.unconfirmed.insert(seq);
        }
        Ok((self.name, self.log))
    }

    async fn connect(&self) -> lapin::Result<(Connection, Channel)> {
        let properties =
            ConnectionProperties::default().with_connection_name(self.name.as_str().into());
        let connection = Connection::connect(&self.options.amqp_url, properties).await?;
        let channel = connection.create_channel().await?;
        if !self.options.exchange.is_empty() {
            // Asked at once: publishing to an exchange that is not there fails later, and
            // without saying for which message.
            let exists = ExchangeDeclareOptions {
                passive: true,
                ..Default::default()
            };
            channel
                .exchange_declare(
                    self.options.exchange.as_str().into(),
                    lapin::ExchangeKind::Direct,
                    exists,
                    FieldTable::default(),
                )
                .await?;
        }
        channel
            .confirm_select(ConfirmSelectOptions::default())
            .await?;
        Ok((connection, channel))
    }

    /// Connects again for as long as it takes. After the order to stop it goes on for a
    /// while, if confirms are missing: then there is a message that nobody knows about.
    async fn reconnect(&self, stop: &CancellationToken) -> Option<(Connection, Channel)> {
        let mut give_up = None;
        loop {
            if stop.is_cancelled() {
                let deadline = *give_up.get_or_insert_with(|| Instant::now() + LAST_CONFIRMS);
                if self.open.is_empty() || Instant::now() >= deadline {
                    return None;
                }
            }
            tokio::time::sleep(RECONNECT_DELAY).await;
            match in_time(self.connect()).await {
                Ok(connected) => return Some(connected),
                Err(error) => tracing::debug!(publisher = self.name, %error, "no connection yet"),
            }
        }
    }

    /// Publishes again what has no confirm, then goes on, until the end and the last confirm.
    async fn publish_over(
        &mut self,
        channel: &Channel,
        stop: &CancellationToken,
    ) -> lapin::Result<()> {
        let mut confirms = Confirms::new();
        for seq in self.open.clone() {
            // Marked first: should this copy be cut off as well, it may have arrived.
            self.log.republished.insert(seq);
            confirms.push_back(self.publish(channel, seq).await?);
        }
        let window = self.options.window as usize;
        let mut due = Instant::now() + self.offset;
        while self.log.published < self.end && !stop.is_cancelled() {
            tokio::select! {
                biased;
                () = stop.cancelled() => {}
                Some((seq, confirm)) = confirms.next(), if !confirms.is_empty() => {
                    self.settle(seq, confirm?)?;
                }
                () = tokio::time::sleep_until(due), if self.open.len() < window => {
                    due += self.interval.unwrap_or(Duration::ZERO);
                    self.log.published += 1;
                    let seq = self.log.published;
                    self.open.push_back(seq);
                    confirms.push_back(self.publish(channel, seq).await?);
                }
            }
        }
        let last = async {
            while let Some((seq, confirm)) = confirms.next().await {
                self.settle(seq, confirm?)?;
            }
            Ok(())
        };
        tokio::time::timeout(LAST_CONFIRMS, last)
            .await
            .unwrap_or_else(|_| {
                tracing::warn!("the broker did not confirm everything in time");
                Ok(())
            })
    }

    async fn publish(
        &self,
        channel: &Channel,
        seq: u64,
    ) -> lapin::Result<Pin<Box<dyn Future<Output = (u64, lapin::Result<Confirmation>)> + Send>>>
    {
        let message = Message {
            publisher: self.name.clone(),
            seq,
            sent: Some(jiff::Timestamp::now()),
        };
        let body = serde_json::to_vec(&message).expect("a message has no value that JSON lacks");
        let properties = BasicProperties::default()
            .with_delivery_mode(PERSISTENT)
            .with_content_type("application/json".into());
        let confirm = in_time(channel.basic_publish(
            self.options.exchange.as_str().into(),
            self.options.routing_key.as_str().into(),
            // Mandatory: a message for which no queue is bound comes back instead of
            // vanishing with a confirm.
            BasicPublishOptions {
                mandatory: true,
                ..Default::default()
            },
            &body,
            properties,
        ))
        .await?;
        Ok(Box::pin(async move { (seq, confirm.await) }))
    }

    /// Counts a confirm in. One that says no is treated as a lost connection: everything that
    /// is open is published again, in order.
    fn settle(&mut self, seq: u64, confirm: Confirmation) -> lapin::Result<()> {
        let returned = match confirm {
            Confirmation::Ack(returned) => returned,
            Confirmation::Nack(_) | Confirmation::NotRequested => {
                let error = io::Error::other("the broker refused a message");
                return Err(error.into());
            }
        };
        if returned.is_some() {
            self.log.returned.insert(seq);
        }
        // They come in order, since they are waited for in order.
        if let Ok(at) = self.open.binary_search(&seq) {
            self.open.remove(at);
        }
        Ok(())
    }
}
