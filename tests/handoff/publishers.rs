//! Publishers that never rest: numbered messages with confirms, each on a connection of its own.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::{BasicProperties, Confirmation, Connection, ConnectionProperties, PublisherConfirm};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::layout::Route;
use crate::ledger::Ledger;

/// How many of a publisher's messages may be on their way at a time.
const WINDOW: usize = 8;

/// Between two messages of a publisher: the test is about moments, not about load.
const PACE: Duration = Duration::from_millis(1);

/// Several publishers.
pub(crate) struct Publishers {
    stop: CancellationToken,
    failed: CancellationToken,
    tasks: Vec<JoinHandle<Result<(), String>>>,
}

impl Publishers {
    pub(crate) fn start(url: &str, count: usize, routes: &[Route], ledger: &Arc<Ledger>) -> Self {
        let (stop, failed) = (CancellationToken::new(), CancellationToken::new());
        let tasks = (0..count)
            .map(|index| {
                let (url, routes) = (url.to_owned(), routes.to_vec());
                let (ledger, stop) = (Arc::clone(ledger), stop.clone());
                let failed = failed.clone();
                tokio::spawn(async move {
                    let ended = publish(index, &url, &routes, &ledger, &stop)
                        .await
                        .unwrap_or_else(|error| Err(error.to_string()));
                    if ended.is_err() {
                        failed.cancel();
                    }
                    ended.map_err(|words| format!("publisher {index}: {words}"))
                })
            })
            .collect();
        Self {
            stop,
            failed,
            tasks,
        }
    }

    /// Cancelled once one of them has failed.
    pub(crate) fn failed(&self) -> CancellationToken {
        self.failed.clone()
    }

    /// Waits until everything that was sent is confirmed.
    pub(crate) async fn stop(self) -> Result<(), String> {
        self.stop.cancel();
        for task in self.tasks {
            task.await.map_err(|error| error.to_string())??;
        }
        Ok(())
    }
}

type OnTheWay = VecDeque<(u64, usize, PublisherConfirm)>;

async fn publish(
    index: usize,
    url: &str,
    routes: &[Route],
    ledger: &Ledger,
    stop: &CancellationToken,
) -> lapin::Result<Result<(), String>> {
    let connection = Connection::connect(url, ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;
    channel
        .confirm_select(ConfirmSelectOptions::default())
        .await?;
    let options = BasicPublishOptions {
        mandatory: true,
        ..BasicPublishOptions::default()
    };
    let mut on_the_way = OnTheWay::new();
    for number in 1.. {
        if stop.is_cancelled() {
            break;
        }
        let route = &routes[(index + usize::try_from(number).expect("it is small")) % routes.len()];
        let properties = BasicProperties::default()
            .with_delivery_mode(2)
            .with_headers(route.headers.clone());
        let body = format!("{index} {number}");
        let moment = ledger.moment();
        let confirm = channel
            .basic_publish(
                route.exchange.as_str().into(),
                route.key.into(),
                options,
                body.as_bytes(),
                properties,
            )
            .await?;
        on_the_way.push_back((number, moment, confirm));
        if let Err(words) = settle(index, &mut on_the_way, WINDOW, ledger).await? {
            return Ok(Err(words));
        }
        tokio::time::sleep(PACE).await;
    }
    let settled = settle(index, &mut on_the_way, 0, ledger).await?;
    connection.close(200, "done".into()).await?;
    Ok(settled)
}

/// Waits for confirms until no more than `most` are missing.
async fn settle(
    index: usize,
    on_the_way: &mut OnTheWay,
    most: usize,
    ledger: &Ledger,
) -> lapin::Result<Result<(), String>> {
    while on_the_way.len() > most {
        let Some((number, moment, confirm)) = on_the_way.pop_front() else {
            break;
        };
        match confirm.await? {
            Confirmation::Ack(None) => ledger.confirmed((index, number), moment),
            other => {
                return Ok(Err(format!("({index}, {number}) was not taken: {other:?}")));
            }
        }
    }
    Ok(Ok(()))
}
