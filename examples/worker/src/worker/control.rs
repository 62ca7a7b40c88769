//! The control queue: declares it, and hands over what comes in, in order. Obeying it and
//! acknowledging it is the session's.

use std::time::Duration;

use futures_util::StreamExt as _;
use lapin::Acker;
use lapin::message::Delivery;
use lapin::options::{BasicConsumeOptions, BasicGetOptions, QueueDeclareOptions};
use lapin::types::FieldTable;
use lapin::{Channel, Connection};
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use crate::message::{Order, control_queue};

/// An order and the means to acknowledge it once it has been obeyed.
pub(super) struct Given {
    pub(super) order: Order,
    pub(super) acker: Acker,
}

/// What comes in over the control queue of one pod.
pub(super) struct Control {
    orders: mpsc::Receiver<lapin::Result<Given>>,
    _reader: AbortOnDropHandle<()>,
}

impl Control {
    /// Declares the queue and begins to consume it, or to poll it. Each order is handed over
    /// `delay` after it came.
    pub(super) async fn open(
        connection: &Connection,
        pod: &str,
        poll: Option<Duration>,
        delay: Duration,
    ) -> lapin::Result<Self> {
        let channel = connection.create_channel().await?;
        let queue = control_queue(pod);
        channel
            .queue_declare(
                queue.as_str().into(),
                QueueDeclareOptions::durable(),
                FieldTable::default(),
            )
            .await?;
        // One at a time: an order is finished before the next one is looked at.
        let (sender, orders) = mpsc::channel(1);
        let reader = match poll {
            None => {
                let consumer = channel
                    .basic_consume(
                        queue.as_str().into(),
                        "".into(),
                        BasicConsumeOptions::default(),
                        FieldTable::default(),
                    )
                    .await?;
                tokio::spawn(consume(channel, consumer, delay, sender))
            }
            Some(interval) => tokio::spawn(poll_queue(channel, queue, interval, delay, sender)),
        };
        Ok(Self {
            orders,
            _reader: AbortOnDropHandle::new(reader),
        })
    }

    /// The next order. `None` once the queue can give no more, as when it was deleted.
    /// Cancel-safe.
    pub(super) async fn next(&mut self) -> Option<lapin::Result<Given>> {
        self.orders.recv().await
    }
}

fn given(delivery: Delivery) -> Given {
    Given {
        order: Order::read(&delivery.data),
        acker: delivery.acker,
    }
}

/// Not a sleep of no time, which lasts to the next tick of the clock.
async fn pause(delay: Duration) {
    if !delay.is_zero() {
        tokio::time::sleep(delay).await;
    }
}

/// `_channel` is kept because a channel closes when its last handle is dropped.
async fn consume(
    _channel: Channel,
    mut consumer: lapin::Consumer,
    delay: Duration,
    sender: mpsc::Sender<lapin::Result<Given>>,
) {
    while let Some(delivery) = consumer.next().await {
        pause(delay).await;
        if sender.send(delivery.map(given)).await.is_err() {
            return;
        }
    }
}

/// Takes messages one by one, as applications do that look at their control queue only now
/// and then. In a task of its own, since a `basic.get` must not be given up half-way: the
/// message it brings would stay with a process that does not know of it.
async fn poll_queue(
    channel: Channel,
    queue: String,
    interval: Duration,
    delay: Duration,
    sender: mpsc::Sender<lapin::Result<Given>>,
) {
    let mut ticks = tokio::time::interval(interval.max(Duration::from_millis(1)));
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        loop {
            let got = match channel
                .basic_get(queue.as_str().into(), BasicGetOptions::default())
                .await
            {
                Ok(None) => break,
                Ok(Some(message)) => Ok(given(message.delivery)),
                Err(error) => Err(error),
            };
            let failed = got.is_err();
            pause(delay).await;
            if sender.send(got).await.is_err() || failed {
                return;
            }
        }
    }
}
