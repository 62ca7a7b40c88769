//! A consumer that acknowledges what it has written down, and that leaves messages unacknowledged
//! when it goes, as a process does that is restarted.

use std::sync::Arc;

use futures_util::StreamExt;
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions};
use lapin::types::FieldTable;
use lapin::{Connection, ConnectionProperties};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::ledger::{Ledger, Message, Place};

/// What it has in hand at most; when it goes, nearly so many come back to the queue.
const PREFETCH: u16 = 20;

/// A consumer on a connection of its own.
pub(crate) struct Consumer {
    stop: CancellationToken,
    task: JoinHandle<lapin::Result<()>>,
}

impl Consumer {
    pub(crate) fn start(url: &str, place: Place, queue: &str, ledger: &Arc<Ledger>) -> Self {
        let (url, queue) = (url.to_owned(), queue.to_owned());
        let (ledger, stop) = (Arc::clone(ledger), CancellationToken::new());
        let token = stop.clone();
        let task = tokio::spawn(async move { consume(&url, place, &queue, &ledger, &token).await });
        Self { stop, task }
    }

    /// Ends it between two messages. What it had in hand is the queue's again.
    pub(crate) async fn stop(self) -> Result<(), String> {
        self.stop.cancel();
        let ended = self.task.await.map_err(|error| error.to_string())?;
        ended.map_err(|error| format!("a consumer: {error}"))
    }
}

async fn consume(
    url: &str,
    place: Place,
    queue: &str,
    ledger: &Ledger,
    stop: &CancellationToken,
) -> lapin::Result<()> {
    let connection = Connection::connect(url, ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;
    channel
        .basic_qos(PREFETCH, BasicQosOptions::default())
        .await?;
    let options = BasicConsumeOptions::default();
    let mut consumer = channel
        .basic_consume(queue.into(), "".into(), options, FieldTable::default())
        .await?;
    loop {
        let delivery = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            delivery = consumer.next() => delivery,
        };
        let Some(delivery) = delivery else { break };
        let delivery = delivery?;
        ledger.taken(place, read(&delivery.data));
        delivery.ack(BasicAckOptions::default()).await?;
    }
    // The acknowledgements go before it on the same channel, so none is lost.
    channel.close(200, "restarting".into()).await?;
    connection.close(200, "restarting".into()).await
}

fn read(body: &[u8]) -> Message {
    let text = std::str::from_utf8(body).expect("only this test's publishers publish here");
    let (publisher, number) = text.split_once(' ').expect("two numbers");
    (
        publisher.parse().expect("a number"),
        number.parse().expect("a number"),
    )
}
