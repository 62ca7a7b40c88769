//! The producer: several publishers, each on a connection of its own, publish numbered
//! messages with confirms, and a record is kept of what the broker confirmed.
//!
//! What it is not: a load generator that cares for throughput. It publishes at a given rate
//! and never loses track of a number.

mod publisher;
mod record;
mod topology;

use std::time::Duration;

use clap::Args;
use tokio_util::sync::CancellationToken;

pub use record::{PublisherRecord, Record, RecordError};
pub use topology::{ExchangeType, Topology, declare};

use crate::parse_duration;
use publisher::Publisher;

/// What to publish, where, and how fast.
#[derive(Clone, Debug, Args)]
pub struct Options {
    /// Broker to publish to, amqp:// or amqps://.
    // Not shown in the help: it may hold a password.
    #[arg(long, env = "AMQP_URL", hide_env_values = true)]
    pub amqp_url: String,
    /// Exchange to publish to; an empty name is the default exchange.
    #[arg(long)]
    pub exchange: String,
    /// Routing key of every message.
    #[arg(long, default_value = "")]
    pub routing_key: String,
    /// How many publishers, each on a connection of its own.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    pub publishers: u16,
    /// The publishers' names begin with this, followed by their index.
    #[arg(long, default_value = "p")]
    pub prefix: String,
    /// Messages a second of all publishers together; 0 is as fast as confirms come back.
    #[arg(long, default_value_t = 100.0, value_parser = parse_rate)]
    pub rate: f64,
    /// End after this time.
    #[arg(long, value_parser = parse_duration)]
    pub duration: Option<Duration>,
    /// End after so many messages of all publishers together.
    #[arg(long)]
    pub count: Option<u64>,
    /// Messages that each publisher may have unconfirmed before it waits.
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..))]
    pub window: u32,
}

fn parse_rate(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(rate) if f64::is_finite(rate) && rate >= 0.0 => Ok(rate),
        _ => Err(format!("'{text}' is no rate: a number of at least 0 is")),
    }
}

/// Why there is nothing to record.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The broker could not be reached at the beginning, or refused what was asked. Later
    /// losses of the connection are no error: the publisher connects again.
    #[error("failed to reach or use the broker at {address}")]
    Broker {
        /// Host and port.
        address: String,
        /// The cause.
        source: lapin::Error,
    },
    /// A publisher's task has died.
    #[error("a publisher has died")]
    Died(#[from] tokio::task::JoinError),
}

impl Error {
    fn broker(url: &str, source: lapin::Error) -> Self {
        Self::Broker {
            address: crate::broker_address(url),
            source,
        }
    }
}

/// Publishes until the duration or the count is reached, or until told to stop, and waits for
/// the confirms of what is on its way.
///
/// `before` is the record of an earlier run: each publisher that it knows goes on where that
/// ended, so that the record that comes out covers both.
///
/// # Errors
/// When the broker cannot be reached or has no such exchange at the beginning.
pub async fn run(
    options: &Options,
    before: Option<Record>,
    stop: CancellationToken,
) -> Result<Record, Error> {
    let began = jiff::Timestamp::now();
    let stop = ends_after(stop, options.duration);
    let mut known = before.unwrap_or_default();
    let mut tasks = Vec::new();
    for index in 0..options.publishers {
        let name = format!("{}{index}", options.prefix);
        let log = known.publishers.remove(&name).unwrap_or_default();
        let publisher = Publisher::new(options, index, name, log);
        tasks.push(tokio::spawn(publisher.run(stop.clone())));
    }
    // Publishers of the earlier run that publish nothing now stay in the record.
    let mut record = Record {
        began: known.began.or(Some(began)),
        ended: None,
        publishers: known.publishers,
    };
    for task in tasks {
        match task.await? {
            Ok((name, log)) => {
                record.publishers.insert(name, log);
            }
            Err(source) => {
                stop.cancel();
                return Err(Error::broker(&options.amqp_url, source));
            }
        }
    }
    record.ended = Some(jiff::Timestamp::now());
    Ok(record)
}

/// A token cancelled with `stop`, or after a time.
fn ends_after(stop: CancellationToken, duration: Option<Duration>) -> CancellationToken {
    let ends = stop.child_token();
    if let Some(duration) = duration {
        let token = ends.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = tokio::time::sleep(duration) => token.cancel(),
                () = token.cancelled() => {}
            }
        });
    }
    ends
}
