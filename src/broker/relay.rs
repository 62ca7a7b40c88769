//! Moving messages from a queue to an exchange, one transaction a message.
//!
//! RabbitMQ carries a transaction out in one piece when its commit arrives, and not at all when the
//! connection ends before: so whoever dies over it has neither lost nor doubled a message. Only a
//! broker that dies in the middle of a commit may have done half of it.

use std::time::Duration;

use lapin::Channel;
use lapin::options::{BasicAckOptions, BasicGetOptions, BasicPublishOptions};

use super::channels::silence;
use super::failure::port_error;
use crate::migration::ports::PortResult;

/// Moves what is ready in `queue` to `exchange`, and answers how many messages it was. No single
/// one may take longer than `limit`.
pub(super) async fn relay(
    channel: &Channel,
    queue: &str,
    exchange: &str,
    limit: Duration,
) -> PortResult<u64> {
    in_time(limit, channel.tx_select()).await?;
    let mut moved = 0;
    while in_time(limit, relay_one(channel, queue, exchange)).await? {
        moved += 1;
    }
    Ok(moved)
}

async fn in_time<T>(
    limit: Duration,
    work: impl Future<Output = lapin::Result<T>>,
) -> PortResult<T> {
    match tokio::time::timeout(limit, work).await {
        Ok(done) => done.map_err(|error| port_error(&error)),
        Err(_) => Err(silence()),
    }
}

/// Whether there was one to move.
async fn relay_one(channel: &Channel, queue: &str, exchange: &str) -> lapin::Result<bool> {
    let options = BasicGetOptions::default();
    let Some(message) = channel.basic_get(queue.into(), options).await? else {
        return Ok(false);
    };
    let delivery = message.delivery;
    channel
        .basic_publish(
            exchange.into(),
            delivery.routing_key.clone(),
            BasicPublishOptions::default(),
            &delivery.data,
            delivery.properties.clone(),
        )
        .await?;
    delivery.acker.ack(BasicAckOptions::default()).await?;
    channel.tx_commit().await?;
    Ok(true)
}
