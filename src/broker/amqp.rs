//! The engine's port `Broker` over AMQP and, where it can be reached, the management API.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use lapin::options::{
    BasicPublishOptions, ExchangeBindOptions, ExchangeDeclareOptions, ExchangeDeleteOptions,
    ExchangeUnbindOptions, QueueBindOptions, QueueDeclareOptions, QueuePurgeOptions,
};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{BasicProperties, Confirmation, ExchangeKind};
use tokio::sync::Mutex;

use super::channels::{ANSWER, Channels};
use super::failure::port_error;
use super::management::Management;
use super::relay::relay;
use super::route::Route;
use super::url::BrokerUrl;
use super::{arguments, probe};
use crate::api::HandoffBinding;
use crate::migration::error::PortError;
use crate::migration::ports::{
    Broker, BrokerView, ConsumerView, Deletion, Destination, PortResult, QueueView,
};

/// How to reach the broker.
#[derive(Clone)]
pub struct Options {
    /// Its AMQP URL, credentials included.
    pub url: BrokerUrl,
    /// Its management API; on the broker's host at RabbitMQ's usual port if `None`.
    pub management: Option<url::Url>,
}

/// Size of a frame on the connection for all but messages that are moved. The client keeps buffers
/// for 64 of them: 8 MiB with RabbitMQ's usual 128 KiB, for requests of some hundred bytes. It takes
/// none that are smaller than these.
const SMALL_FRAMES: u32 = 8 * 1024;

/// An AMQP 0-9-1 broker. Connects when it is first used.
pub struct AmqpBroker {
    pub(super) channels: Channels,
    /// For messages that are moved: their headers have to fit into one frame, whatever its size.
    relays: Channels,
    pub(super) management: Result<Management, PortError>,
    /// How late each queue's count of unacknowledged messages is, once it was told: it is no
    /// earlier while the management API is silent.
    pub(super) lags: Mutex<HashMap<String, Duration>>,
}

impl AmqpBroker {
    /// A broker that is not connected yet.
    #[must_use]
    pub fn new(options: &Options) -> Self {
        Self {
            channels: Channels::new(options.url.clone().with_frames_of(SMALL_FRAMES)),
            relays: Channels::new(options.url.clone()),
            management: Management::new(&options.url, options.management.as_ref()),
            lags: Mutex::default(),
        }
    }

    /// The same broker, to which `route` knows the way.
    #[must_use]
    pub fn by(mut self, route: &Arc<dyn Route>) -> Self {
        self.channels.route = Some(Arc::clone(route));
        self.relays.route = Some(Arc::clone(route));
        if let Ok(management) = &mut self.management {
            management.route = Some(Arc::clone(route));
        }
        self
    }

    /// The queues that connections from one of these addresses consume, as the management API knows:
    /// a new consumer is in its list after some seconds.
    ///
    /// # Errors
    /// It cannot be asked, or refuses the user.
    pub async fn consumed_from(&self, addresses: &[String]) -> PortResult<Vec<String>> {
        match &self.management {
            Ok(management) => management.consumed_from(addresses).await,
            Err(error) => Err(error.clone()),
        }
    }

    /// Runs `work`; what the broker answers against it is an error.
    pub(super) async fn done<T>(
        &self,
        work: impl AsyncFnOnce(&lapin::Channel) -> lapin::Result<T>,
    ) -> PortResult<T> {
        self.channels
            .on_channel(work)
            .await?
            .map_err(|error| port_error(&error))
    }
}

#[async_trait]
impl Broker for AmqpBroker {
    fn connections(&self) -> u64 {
        // Those of relays are made when they are needed, and tell nothing.
        self.channels.connections()
    }

    async fn describe(&self) -> PortResult<BrokerView> {
        // The AMQP connection is what counts; the management API is a help.
        self.done(async |_| Ok(())).await?;
        let overview = match &self.management {
            Ok(management) => management
                .overview()
                .await
                .map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        Ok(match overview {
            Ok(overview) => BrokerView {
                product: overview.product(),
                management: None,
            },
            Err(why) => BrokerView {
                product: "an AMQP 0-9-1 broker".to_owned(),
                management: Some(why),
            },
        })
    }

    async fn queues(&self, names: &[&str]) -> PortResult<Vec<Option<QueueView>>> {
        self.look(names).await
    }

    async fn consumers(&self, queue: &str) -> PortResult<Option<Vec<ConsumerView>>> {
        let Ok(management) = &self.management else {
            return Ok(None);
        };
        Ok(management.consumers(queue).await.ok())
    }

    async fn limits(&self, queue: &str) -> PortResult<Option<Vec<String>>> {
        let Ok(management) = &self.management else {
            return Ok(None);
        };
        Ok(management.limits(queue).await.ok().flatten())
    }

    async fn exchange_exists(&self, name: &str) -> PortResult<bool> {
        let options = ExchangeDeclareOptions {
            passive: true,
            ..ExchangeDeclareOptions::default()
        };
        // The kind of an exchange is not looked at in a passive declare.
        let declared = self
            .done(async |channel| {
                channel
                    .exchange_declare(
                        short(name),
                        ExchangeKind::Fanout,
                        options,
                        FieldTable::default(),
                    )
                    .await
            })
            .await;
        match declared {
            Ok(()) => Ok(true),
            Err(PortError::NotFound(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn bindings(&self, queue: &str) -> PortResult<Option<Vec<HandoffBinding>>> {
        let Ok(management) = &self.management else {
            return Ok(None);
        };
        let Ok(told) = management.bindings(queue).await else {
            return Ok(None);
        };
        let mut bindings = Vec::with_capacity(told.len());
        for binding in told {
            // What it tells and cannot be taken over is an answer, not a silence.
            let arguments = probe::typed(&self.channels, management, queue, &binding).await?;
            bindings.push(HandoffBinding {
                exchange: binding.source,
                routing_key: binding.routing_key,
                arguments,
            });
        }
        Ok(Some(bindings))
    }

    async fn ensure_queue(&self, name: &str) -> PortResult<()> {
        // One that is there may have been declared by the application with arguments of its own.
        if self.passively(name).await?.is_some() {
            return Ok(());
        }
        let options = QueueDeclareOptions {
            durable: true,
            ..QueueDeclareOptions::default()
        };
        self.done(async |channel| {
            channel
                .queue_declare(short(name), options, FieldTable::default())
                .await
        })
        .await
        .map(|_| ())
    }

    async fn ensure_fanout(&self, name: &str, alternate: Option<&str>) -> PortResult<()> {
        let options = ExchangeDeclareOptions {
            durable: true,
            ..ExchangeDeclareOptions::default()
        };
        let mut arguments = FieldTable::default();
        if let Some(alternate) = alternate {
            arguments.insert(
                "alternate-exchange".into(),
                AMQPValue::LongString(alternate.into()),
            );
        }
        self.done(async |channel| {
            channel
                .exchange_declare(short(name), ExchangeKind::Fanout, options, arguments)
                .await
        })
        .await
    }

    async fn bind(&self, binding: &HandoffBinding, to: &Destination) -> PortResult<()> {
        let (from, key, arguments) = parts(binding)?;
        self.done(async |channel| match to {
            Destination::Queue(queue) => {
                channel
                    .queue_bind(
                        short(queue),
                        from,
                        key,
                        QueueBindOptions::default(),
                        arguments,
                    )
                    .await
            }
            Destination::Exchange(exchange) => {
                channel
                    .exchange_bind(
                        short(exchange),
                        from,
                        key,
                        ExchangeBindOptions::default(),
                        arguments,
                    )
                    .await
            }
        })
        .await
    }

    async fn unbind(&self, binding: &HandoffBinding, from: &Destination) -> PortResult<()> {
        let (source, key, arguments) = parts(binding)?;
        let unbound = self
            .done(async |channel| match from {
                Destination::Queue(queue) => {
                    channel
                        .queue_unbind(short(queue), source, key, arguments)
                        .await
                }
                Destination::Exchange(exchange) => {
                    let options = ExchangeUnbindOptions::default();
                    channel
                        .exchange_unbind(short(exchange), source, key, options, arguments)
                        .await
                }
            })
            .await;
        match unbound {
            // An end of it is gone, and the binding with it.
            Err(PortError::NotFound(_)) => Ok(()),
            other => other,
        }
    }

    async fn delete_queue(&self, name: &str, only_if_idle: bool) -> PortResult<Deletion> {
        if only_if_idle {
            self.delete_if_idle(name).await
        } else {
            self.delete(name, false).await
        }
    }

    async fn delete_exchange(&self, name: &str) -> PortResult<()> {
        let deleted = self
            .done(async |channel| {
                channel
                    .exchange_delete(short(name), ExchangeDeleteOptions::default())
                    .await
            })
            .await;
        match deleted {
            Err(PortError::NotFound(_)) => Ok(()),
            other => other,
        }
    }

    async fn purge_queue(&self, name: &str) -> PortResult<()> {
        self.done(async |channel| {
            channel
                .queue_purge(short(name), QueuePurgeOptions::default())
                .await
        })
        .await
        .map(|_| ())
    }

    async fn move_messages(&self, queue: &str, exchange: &str, at_most: u64) -> PortResult<u64> {
        let channel = self.relays.plain().await?;
        let moved = relay(&channel, queue, exchange, at_most, ANSWER).await;
        // Whatever was taken and not committed goes back to its place with the channel. One that
        // is not closed in time goes with its connection.
        let closed = tokio::time::timeout(ANSWER, channel.close(200, "done".into())).await;
        if !matches!(closed, Ok(Ok(()))) {
            self.relays.forget().await;
        }
        moved
    }

    async fn publish(&self, queue: &str, payload: &[u8]) -> PortResult<()> {
        const PERSISTENT: u8 = 2;
        let options = BasicPublishOptions {
            mandatory: true,
            ..BasicPublishOptions::default()
        };
        let properties = BasicProperties::default()
            .with_content_type("application/json".into())
            .with_delivery_mode(PERSISTENT);
        let confirmation = self
            .done(async |channel| {
                channel
                    .basic_publish(short(""), short(queue), options, payload, properties)
                    .await?
                    .await
            })
            .await?;
        match confirmation {
            Confirmation::Ack(None) => Ok(()),
            Confirmation::Ack(Some(_)) => {
                Err(PortError::NotFound(format!("queue {queue} is gone")))
            }
            Confirmation::Nack(_) | Confirmation::NotRequested => Err(PortError::Busy(format!(
                "the broker did not take a message for queue {queue}"
            ))),
        }
    }
}

pub(super) fn short(name: &str) -> ShortString {
    name.into()
}

fn parts(binding: &HandoffBinding) -> PortResult<(ShortString, ShortString, FieldTable)> {
    Ok((
        short(&binding.exchange),
        short(&binding.routing_key),
        arguments::table(&binding.arguments)?,
    ))
}
