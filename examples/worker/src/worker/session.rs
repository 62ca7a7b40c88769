//! One connection to the broker, from connecting until it is lost or the worker stops.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::select_all;
use lapin::message::Delivery;
use lapin::options::BasicAckOptions;
use lapin::{Connection, ConnectionProperties};
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use super::control::{Control, Given};
use super::intake::Intake;
use super::manners::Manners;
use super::memory::Memory;
use super::{Broken, address, identity};
use crate::message::Order;

/// How long a connection attempt may take. A broker that is there answers in milliseconds; one
/// that swallows packets must not hold the worker.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);

/// How long to wait for the broker's good-bye. It has everything that matters before.
const CLOSE_LIMIT: Duration = Duration::from_millis(500);

/// Consumes over one connection. Returns when told to stop.
///
/// Each connection begins on the primary queue and under the name that the pod has now: the
/// process may have been restored elsewhere since the last one.
pub(super) async fn run(
    memory: &Arc<Mutex<Memory>>,
    stop: &CancellationToken,
) -> Result<(), Broken> {
    let (settings, pod) = {
        let mut memory = memory.lock().await;
        if !memory.settings.manners.cache_pod_name {
            memory.pod = identity::pod_name(&memory.settings.hostname_file, &memory.pod);
        }
        (memory.settings.clone(), memory.pod.clone())
    };
    let manners = settings.manners;
    let properties = ConnectionProperties::default().with_connection_name(pod.as_str().into());
    // Under the name that the pod's files tell, whatever the worker calls itself.
    let name = identity::pod_name(&settings.hostname_file, &pod);
    let own = identity::pod_address(&settings.hosts_file, &name);
    let connecting = address::connect(&settings.amqp_url, properties, own);
    let connection = tokio::select! {
        () = stop.cancelled() => return Ok(()),
        connected = tokio::time::timeout(CONNECT_LIMIT, connecting) => {
            connected.map_err(|_| Broken::NoAnswer)??
        }
    };
    let control = Control::open(
        &connection,
        &pod,
        settings.control_poll,
        manners.control_delay,
    )
    .await?;
    tracing::info!(pod, "connected");
    let mut intakes = Vec::new();
    for _ in 0..manners.consumers {
        intakes.push(Intake::open(&connection, Arc::clone(memory), &settings.queue).await?);
    }
    let session = Session {
        connection,
        control,
        intakes,
        primary: settings.queue,
        manners,
        stop,
    };
    // Boxed because it holds a delivery and the buffers of several calls.
    Box::pin(session.work()).await
}

struct Session<'a> {
    connection: Connection,
    control: Control,
    /// One, in a worker that keeps the contract.
    intakes: Vec<Intake>,
    primary: String,
    manners: Manners,
    stop: &'a CancellationToken,
}

impl Session<'_> {
    async fn work(mut self) -> Result<(), Broken> {
        while !self.stop.is_cancelled() {
            tokio::select! {
                // Orders first: a worker that never catches up must obey as well.
                biased;
                () = self.stop.cancelled() => {}
                order = self.control.next() => {
                    self.obey(order.ok_or(Broken::Cancelled)??).await?;
                }
                (delivery, at) = next(&mut self.intakes) => {
                    self.intakes[at].take(delivery?, self.stop).await?;
                }
            }
        }
        // What was handed out and not applied goes back to the queue with the connection.
        let close = self.connection.close(200, "stopping".into());
        if tokio::time::timeout(CLOSE_LIMIT, close).await.is_err() {
            tracing::warn!("the broker did not answer the good-bye");
        }
        Ok(())
    }

    /// Obeys, and acknowledges when that is done: an order that the worker dies over is given
    /// to it again.
    async fn obey(&mut self, given: Given) -> Result<(), Broken> {
        let stop = self.stop;
        match &given.order {
            Order::StartReplay { .. } if self.manners.ignore_start_replay => {
                tracing::info!("told to replay, and ignored it");
            }
            Order::StartReplay { queue } => {
                tracing::info!(queue, "told to replay");
                self.change_to(queue).await?;
            }
            Order::EndReplay if self.manners.drop_on_end_replay => {
                tracing::info!("told to end the replay, and dropped the connection");
                given.acker.ack(BasicAckOptions::default()).await?;
                return Err(Broken::Dropped);
            }
            Order::EndReplay => {
                tracing::info!("told to end the replay");
                let primary = self.primary.clone();
                self.change_to(&primary).await?;
            }
            Order::Unknown(kind) => tracing::info!(kind, "ignored an unknown order"),
        }
        if stop.is_cancelled() {
            return Ok(());
        }
        if given.acker.ack(BasicAckOptions::default()).await? {
            Ok(())
        } else {
            Err(Broken::ConnectionLost)
        }
    }

    async fn change_to(&mut self, queue: &str) -> Result<(), Broken> {
        // The primary is the operator's: it is consumed, never declared.
        let declare = *queue != self.primary;
        for intake in &mut self.intakes {
            intake
                .change_to(&self.connection, queue, declare, self.stop)
                .await?;
        }
        Ok(())
    }
}

/// The next delivery of any consumer, and which one's it is. Cancel-safe.
async fn next(intakes: &mut [Intake]) -> (Result<Delivery, Broken>, usize) {
    let all = intakes.iter_mut().map(|intake| Box::pin(intake.next()));
    let (delivery, at, _) = select_all(all).await;
    (delivery, at)
}
