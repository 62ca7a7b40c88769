//! Moving messages from a queue to an exchange, some in one transaction.
//!
//! RabbitMQ carries a transaction out in one piece when its commit arrives, and not at all when the
//! connection ends before: so whoever dies over it has neither lost nor doubled a message. Only a
//! broker that dies in the middle of a commit may have done half of it. A commit waits for the disk: with
//! some messages in each there are fewer commits to die in, and as much more in each.

use std::time::Duration;

use lapin::Channel;
use lapin::message::Delivery;
use lapin::options::{BasicAckOptions, BasicGetOptions, BasicPublishOptions};

use super::channels::silence;
use super::failure::port_error;
use crate::migration::ports::PortResult;

/// At most so many messages go in one transaction.
const MESSAGES: u64 = 100;

/// None is added to a transaction that has so many bytes in it, since this process and the broker hold them
/// until it ends.
const BYTES: usize = 1 << 20;

/// Moves what is ready in `queue` to `exchange`, `at_most` messages, and answers how many it was. No single
/// answer of the broker may take longer than `limit`.
pub(super) async fn relay(
    channel: &Channel,
    queue: &str,
    exchange: &str,
    at_most: u64,
    limit: Duration,
) -> PortResult<u64> {
    in_time(limit, channel.tx_select()).await?;
    let mut moved = 0;
    while moved < at_most {
        let wanted = MESSAGES.min(at_most - moved);
        let (some, bytes) = relay_some(channel, queue, exchange, wanted, limit).await?;
        moved += some;
        if some < wanted && bytes < BYTES {
            break;
        }
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

/// Moves `wanted` messages in one transaction, or as many as there are or as fit; answers how many, and how
/// many bytes.
///
/// All are taken before the first is published: a small packet that follows another one without an answer
/// between them may wait 40 ms on its way (Nagle's algorithm and a delayed acknowledgement of TCP; measured
/// through a proxy that does not set `TCP_NODELAY`), and so it does once, not for each message.
async fn relay_some(
    channel: &Channel,
    queue: &str,
    exchange: &str,
    wanted: u64,
    limit: Duration,
) -> PortResult<(u64, usize)> {
    let (mut taken, mut count, mut bytes) = (Vec::new(), 0, 0);
    while count < wanted && bytes < BYTES {
        let options = BasicGetOptions::default();
        let get = channel.basic_get(queue.into(), options);
        let Some(message) = in_time(limit, get).await? else {
            break;
        };
        count += 1;
        bytes += message.delivery.data.len();
        taken.push(message.delivery);
    }
    let Some(last) = taken.last() else {
        return Ok((0, 0));
    };
    for delivery in &taken {
        in_time(limit, publish(channel, exchange, delivery)).await?;
    }
    // Nothing else of this channel is unacknowledged.
    let all = BasicAckOptions { multiple: true };
    in_time(limit, last.acker.ack(all)).await?;
    in_time(limit, channel.tx_commit()).await?;
    Ok((count, bytes))
}

async fn publish(channel: &Channel, exchange: &str, delivery: &Delivery) -> lapin::Result<()> {
    channel
        .basic_publish(
            exchange.into(),
            delivery.routing_key.clone(),
            BasicPublishOptions::default(),
            &delivery.data,
            delivery.properties.clone(),
        )
        .await
        .map(drop)
}
