//! The service as a client of it has it: every 10 ms a request to one of the endpoints that are ready,
//! each in turn, as whatever forwards to a Service would.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::runtime::{WatchStreamExt as _, reflector, watcher};
use kube::{Api, Client};
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::now;
use super::reach::{Reach, Worker};
use crate::figures::Probe;

/// How often.
const INTERVAL: Duration = Duration::from_millis(10);

/// How long an answer is waited for.
const LIMIT: Duration = Duration::from_secs(1);

/// Asks until it is stopped.
pub async fn probe(
    client: Client,
    reach: Reach,
    namespace: String,
    stop: CancellationToken,
) -> Vec<Probe> {
    let slices = Api::<EndpointSlice>::namespaced(client, &namespace);
    let (ready, writer) = reflector::store();
    let watch = watcher(slices, watcher::Config::default())
        .default_backoff()
        .reflect(writer)
        .touched_objects()
        .for_each(|_| std::future::ready(()));
    tokio::select! {
        () = watch => Vec::new(),
        probes = ask(&ready, &reach, &namespace, &stop) => probes,
    }
}

async fn ask(
    slices: &reflector::Store<EndpointSlice>,
    reach: &Reach,
    namespace: &str,
    stop: &CancellationToken,
) -> Vec<Probe> {
    // Fails only if the writer is gone, and it is not.
    let _ = slices.wait_until_ready().await;
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let (mut asked, mut probes, mut turn) = (JoinSet::new(), Vec::new(), 0_usize);
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            Some(Ok(probe)) = asked.join_next() => probes.push(probe),
            _ = ticks.tick() => {
                let endpoints = endpoints(&slices.state(), namespace);
                turn = turn.wrapping_add(1);
                match endpoints.get(turn % endpoints.len().max(1)) {
                    Some(endpoint) => {
                        let (reach, endpoint) = (reach.clone(), endpoint.clone());
                        asked.spawn(async move { one(&reach, &endpoint).await });
                    }
                    None => probes.push(Probe { at: now(), took: None }),
                }
            }
        }
    }
    probes.extend(asked.join_all().await);
    probes
}

async fn one(reach: &Reach, worker: &Worker) -> Probe {
    let (at, began) = (now(), Instant::now());
    let answer = reach.get(worker, "/healthz", LIMIT).await;
    Probe {
        at,
        took: answer.map(|_| began.elapsed().as_secs_f64()),
    }
}

/// The endpoints that take requests, in a fixed order.
fn endpoints(slices: &[Arc<EndpointSlice>], namespace: &str) -> Vec<Worker> {
    let mut found: Vec<Worker> = slices
        .iter()
        .flat_map(|slice| slice.endpoints.iter().flatten())
        .filter(|endpoint| {
            let conditions = endpoint.conditions.as_ref();
            conditions.and_then(|it| it.ready).unwrap_or(true)
        })
        .filter_map(|endpoint| {
            let target = endpoint.target_ref.as_ref();
            Some(Worker {
                namespace: namespace.to_owned(),
                name: target.and_then(|it| it.name.clone()).unwrap_or_default(),
                address: endpoint.addresses.first()?.clone(),
            })
        })
        .collect();
    found.sort_by(|a, b| a.name.cmp(&b.name));
    found
}
