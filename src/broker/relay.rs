//! Moving messages from a queue to an exchange, one transaction a message.
//!
//! RabbitMQ carries a transaction out in one piece when its commit arrives, and not at all when the
//! connection ends before: so whoever dies over it has neither lost nor doubled a message. Only a
//! broker that dies in the middle of a commit may have done half of it.

use lapin::Channel;
use lapin::options::{BasicAckOptions, BasicGetOptions, BasicPublishOptions};

/// Moves what is ready in `queue` to `exchange`, and answers how many messages it was.
pub(super) async fn relay(channel: &Channel, queue: &str, exchange: &str) -> lapin::Result<u64> {
    channel.tx_select().await?;
    let mut moved = 0;
    while let Some(message) = channel
        .basic_get(queue.into(), BasicGetOptions::default())
        .await?
    {
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
        moved += 1;
    }
    Ok(moved)
}
