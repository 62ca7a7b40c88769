//! The smallest worker that `ms2m` can move: everything the consumer contract asks for.

use futures_util::StreamExt as _;
use lapin::message::Delivery;
use lapin::options::{
    BasicAckOptions, BasicCancelOptions, BasicConsumeOptions, BasicQosOptions, QueueDeclareOptions,
};
use lapin::types::FieldTable;
use lapin::{Channel, Connection, ConnectionProperties, Consumer, Result};

#[tokio::main]
async fn main() {
    let variable = |name| std::env::var(name).expect("AMQP_URL and QUEUE are set");
    let (url, queue) = (variable("AMQP_URL"), variable("QUEUE"));
    let mut state = Vec::new(); // What the application holds in memory, and a migration moves.
    loop {
        // Read anew for each connection: after a migration the name is another one, and the
        // environment still has the old one.
        let pod = std::fs::read_to_string("/etc/hostname").expect("the pod has a name");
        let lost = work(&url, &queue, pod.trim(), &mut |message| state.push(message)).await;
        tracing::warn!(?lost, "no connection to the broker");
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    }
}

/// Applies what comes over one connection, until it is lost.
pub(crate) async fn work(
    url: &str,
    primary: &str,
    pod: &str,
    apply: &mut (dyn FnMut(Vec<u8>) + Send),
) -> Result<()> {
    let connection = Connection::connect(url, ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;
    channel.basic_qos(50, BasicQosOptions::default()).await?;
    let control = format!("ms2m.control.{pod}");
    declare(&channel, &control).await?;
    let mut orders = consume(&channel, &control).await?;
    let mut messages = consume(&channel, primary).await?;
    loop {
        tokio::select! {
            message = messages.next() => {
                let Some(message) = message else { return Ok(()) };
                finish(message?, apply).await?;
            }
            order = orders.next() => {
                let Some(order) = order.transpose()? else { return Ok(()) };
                if let Some(queue) = queue_to_consume(&order.data, primary) {
                    // First no more of the old queue, then finish what came of it, and only
                    // then the new one: nothing is applied twice or out of turn.
                    channel.basic_cancel(messages.tag(), BasicCancelOptions::default()).await?;
                    while let Some(message) = messages.next().await {
                        finish(message?, apply).await?;
                    }
                    if queue != primary {
                        declare(&channel, &queue).await?;
                    }
                    messages = consume(&channel, &queue).await?;
                }
                order.ack(BasicAckOptions::default()).await?;
            }
        }
    }
}

/// The queue that an order names; `None` for orders of a type that is not known (yet).
fn queue_to_consume(order: &[u8], primary: &str) -> Option<String> {
    let order: serde_json::Value = serde_json::from_slice(order).ok()?;
    match order["type"].as_str()? {
        "START_REPLAY" => order["payload"]["queue"].as_str().map(str::to_owned),
        "END_REPLAY" => Some(primary.to_owned()),
        _ => None,
    }
}

/// Applies a message and acknowledges it, in this order.
async fn finish(mut message: Delivery, apply: &mut (dyn FnMut(Vec<u8>) + Send)) -> Result<()> {
    apply(std::mem::take(&mut message.data));
    message.ack(BasicAckOptions::default()).await.map(drop)
}

async fn declare(channel: &Channel, queue: &str) -> Result<()> {
    let options = QueueDeclareOptions::durable();
    channel
        .queue_declare(queue.into(), options, FieldTable::default())
        .await
        .map(drop)
}

async fn consume(channel: &Channel, queue: &str) -> Result<Consumer> {
    let options = BasicConsumeOptions::default();
    channel
        .basic_consume(queue.into(), "".into(), options, FieldTable::default())
        .await
}
