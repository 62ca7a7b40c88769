//! Declares what an application of this kind has: an exchange, a queue, a binding.

use clap::{Args, ValueEnum};
use lapin::options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Connection, ConnectionProperties};

use super::Error;

/// An exchange and a queue bound to it, both durable.
#[derive(Clone, Debug, Args)]
pub struct Topology {
    /// Broker to declare at, amqp:// or amqps://.
    // Not shown in the help: it may hold a password.
    #[arg(long, env = "AMQP_URL", hide_env_values = true)]
    pub amqp_url: String,
    /// Exchange that producers publish to.
    #[arg(long)]
    pub exchange: String,
    /// Its type.
    #[arg(long, default_value = "topic")]
    pub exchange_type: ExchangeType,
    /// Queue that the worker consumes.
    #[arg(long)]
    pub queue: String,
    /// Key by which the queue is bound.
    #[arg(long, default_value = "")]
    pub routing_key: String,
    /// Declare a replicated quorum queue instead of a classic one.
    #[arg(long)]
    pub quorum: bool,
}

/// The types of exchange that a queue is bound to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ExchangeType {
    /// By patterns in the key.
    Topic,
    /// By the key.
    Direct,
    /// Whatever the key.
    Fanout,
}

/// Declares exchange, queue and binding. What is there already in the same manner stays.
///
/// # Errors
/// When the broker cannot be reached, or has one of them with other properties.
pub async fn declare(topology: &Topology) -> Result<(), Error> {
    declare_all(topology)
        .await
        .map_err(|source| Error::broker(&topology.amqp_url, source))
}

async fn declare_all(topology: &Topology) -> lapin::Result<()> {
    let properties = ConnectionProperties::default();
    let connection = Connection::connect(&topology.amqp_url, properties).await?;
    let channel = connection.create_channel().await?;
    let (exchange, queue) = (topology.exchange.as_str(), topology.queue.as_str());
    let kind = match topology.exchange_type {
        ExchangeType::Topic => lapin::ExchangeKind::Topic,
        ExchangeType::Direct => lapin::ExchangeKind::Direct,
        ExchangeType::Fanout => lapin::ExchangeKind::Fanout,
    };
    let durable = ExchangeDeclareOptions {
        durable: true,
        ..Default::default()
    };
    channel
        .exchange_declare(exchange.into(), kind, durable, FieldTable::default())
        .await?;
    let mut arguments = FieldTable::default();
    if topology.quorum {
        arguments.insert(
            "x-queue-type".into(),
            AMQPValue::LongString("quorum".into()),
        );
    }
    channel
        .queue_declare(queue.into(), QueueDeclareOptions::durable(), arguments)
        .await?;
    channel
        .queue_bind(
            queue.into(),
            exchange.into(),
            topology.routing_key.as_str().into(),
            QueueBindOptions::default(),
            FieldTable::default(),
        )
        .await?;
    connection.close(200, "declared".into()).await
}
