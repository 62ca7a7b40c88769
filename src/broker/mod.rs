//! The adapter for AMQP 0-9-1 brokers: [`AmqpBroker`] implements the engine's port `Broker`.
//!
//! AMQP itself tells how many messages are ready and how many consumers there are; bindings and
//! unacknowledged messages come from RabbitMQ's management API, where it can be reached.

mod amqp;
mod arguments;
mod channels;
mod failure;
mod management;
mod probe;
mod queues;
mod relay;
mod route;
mod trial;
pub mod url;

pub use amqp::{AmqpBroker, Options};
pub use route::{Detour, Route, Trouble};
pub use url::{BrokerUrl, BrokerUrlError};
