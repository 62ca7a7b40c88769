//! What the tests share: a broker, a worker as a process, an application's queues.

pub(crate) mod broker;
pub(crate) mod process;

use std::process::Child;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use lapin::options::{
    BasicGetOptions, BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions,
};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties};
use ms2m_worker::message::control_queue;
use ms2m_worker::producer::{self, Options, Record, Topology};
use rustix::process::{Pid, Signal, kill_process};
use tokio_util::sync::CancellationToken;

/// How long anything may take that should take moments.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Sends a signal to a child process.
pub(crate) fn signal(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).expect("the child is there");
}

/// A number that no other call gets.
pub(crate) fn unique() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// An exchange, a queue bound to it, and a connection to meddle with them.
pub(crate) struct App {
    pub(crate) url: String,
    pub(crate) exchange: String,
    pub(crate) queue: String,
    pub(crate) channel: Channel,
    _connection: Connection,
}

impl App {
    /// Declares an application's topology under names of its own.
    pub(crate) async fn declare(url: &str) -> Self {
        let number = unique();
        let (exchange, queue) = (format!("app{number}"), format!("app{number}.in"));
        producer::declare(&Topology {
            amqp_url: url.to_owned(),
            exchange: exchange.clone(),
            exchange_type: producer::ExchangeType::Topic,
            queue: queue.clone(),
            routing_key: "in.#".to_owned(),
            quorum: false,
        })
        .await
        .expect("declares");
        let connection = Connection::connect(url, ConnectionProperties::default())
            .await
            .expect("connects");
        let channel = connection.create_channel().await.expect("opens a channel");
        channel
            .confirm_select(ConfirmSelectOptions::default())
            .await
            .expect("confirms");
        Self {
            url: url.to_owned(),
            exchange,
            queue,
            channel,
            _connection: connection,
        }
    }

    /// Options to publish a number of messages as fast as the broker takes them.
    pub(crate) fn publish(&self, count: u64) -> Options {
        Options {
            amqp_url: self.url.clone(),
            exchange: self.exchange.clone(),
            routing_key: "in.x".to_owned(),
            publishers: 1,
            prefix: "p".to_owned(),
            rate: 0.0,
            duration: None,
            count: Some(count),
            window: 100,
        }
    }

    /// Publishes, and fails the test if not everything was confirmed.
    pub(crate) async fn published(&self, options: &Options) -> Record {
        let record = producer::run(options, None, CancellationToken::new()).await;
        let record = record.expect("publishes");
        assert!(
            record
                .publishers
                .values()
                .all(|log| log.unconfirmed.is_empty()),
            "{record:?}"
        );
        record
    }

    /// Declares a replay queue, as `ms2m` and the worker do.
    pub(crate) async fn replay_queue(&self) -> String {
        let queue = format!("{}.ms2m-replay", self.queue);
        let options = QueueDeclareOptions::durable();
        self.channel
            .queue_declare(queue.as_str().into(), options, FieldTable::default())
            .await
            .expect("declares");
        queue
    }

    /// Gives an order to a pod, as `ms2m` does.
    pub(crate) async fn order(&self, pod: &str, order: serde_json::Value) {
        self.send(&control_queue(pod), order.to_string().as_bytes())
            .await;
    }

    /// Publishes one message straight to a queue and waits for the confirm.
    pub(crate) async fn send(&self, queue: &str, body: &[u8]) {
        let properties = BasicProperties::default()
            .with_delivery_mode(2)
            .with_content_type("application/json".into());
        let options = BasicPublishOptions {
            mandatory: true,
            ..Default::default()
        };
        let confirm = self
            .channel
            .basic_publish("".into(), queue.into(), options, body, properties)
            .await
            .expect("publishes")
            .await
            .expect("is confirmed");
        assert!(
            confirm.is_ack() && confirm.take_message().is_none(),
            "no queue {queue}"
        );
    }

    /// Takes everything out of the primary queue, and puts back what `change` makes of it.
    pub(crate) async fn tamper(&self, change: impl FnOnce(&mut Vec<Vec<u8>>)) {
        let mut bodies = Vec::new();
        let options = BasicGetOptions { no_ack: true };
        while let Some(message) = self
            .channel
            .basic_get(self.queue.as_str().into(), options)
            .await
            .expect("gets")
        {
            bodies.push(message.delivery.data);
        }
        change(&mut bodies);
        for body in bodies {
            self.send(&self.queue, &body).await;
        }
    }

    /// How many messages are ready in a queue and how many consumers are on it.
    pub(crate) async fn depth(&self, queue: &str) -> (u32, u32) {
        let options = QueueDeclareOptions {
            passive: true,
            ..Default::default()
        };
        let queue = self
            .channel
            .queue_declare(queue.into(), options, FieldTable::default())
            .await
            .expect("the queue is there");
        (queue.message_count(), queue.consumer_count())
    }

    /// Waits until a queue has so many consumers.
    pub(crate) async fn consumers(&self, queue: &str, count: u32) {
        let deadline = Instant::now() + PATIENCE;
        while self.depth(queue).await.1 != count {
            assert!(
                Instant::now() < deadline,
                "{queue} never had {count} consumers"
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}
