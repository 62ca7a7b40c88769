//! When which worker applied which message, asked of every worker for as long as it is there: what the
//! source applied in its last moments goes with it.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::join_all;
use k8s_openapi::api::core::v1::Pod;
use kube::runtime::{WatchStreamExt as _, reflector, watcher};
use kube::{Api, Client, ResourceExt as _};
use ms2m_worker::worker::Times;
use tokio_util::sync::CancellationToken;

use super::reach::{Reach, Worker};
use super::seconds;
use crate::app::is_worker;
use crate::figures::Seen;

/// How long an answer is waited for. A frozen worker gives none; it is asked again.
const LIMIT: Duration = Duration::from_secs(1);

/// What was collected.
#[derive(Debug, Default)]
pub struct Collected {
    /// When each message was published and first applied by any worker.
    first: HashMap<(String, u64), Seen>,
    /// The place to go on from, by the uid of the pod.
    places: BTreeMap<String, u64>,
    /// Every application of a message: the pod's uid, published, applied.
    all: Vec<(String, f64, f64)>,
}

impl Collected {
    fn add(&mut self, uid: &str, times: Times) {
        let place = self.places.entry(uid.to_owned()).or_default();
        *place = times.from + times.applied.len() as u64;
        for message in times.applied {
            let Some(sent) = message.sent.map(seconds) else {
                continue;
            };
            let applied = seconds(message.at);
            self.all.push((uid.to_owned(), sent, applied));
            let key = (message.publisher, message.seq);
            let first = self.first.entry(key).or_insert(Seen { sent, applied });
            first.applied = first.applied.min(applied);
        }
    }

    /// Each message once, as it was first applied.
    pub fn messages(&self) -> Vec<Seen> {
        self.first.values().copied().collect()
    }

    /// Every application, by pod: what a pod has from the one that it was restored from is counted as
    /// the earlier one's.
    pub fn by_pod(&self) -> Vec<Vec<Seen>> {
        let mut known = std::collections::HashSet::new();
        let mut pods: Vec<(&str, Vec<Seen>)> = Vec::new();
        for (uid, sent, applied) in &self.all {
            if !known.insert((sent.to_bits(), applied.to_bits())) {
                continue;
            }
            let at = pods.iter().position(|(known, _)| known == uid);
            let at = at.unwrap_or_else(|| {
                pods.push((uid, Vec::new()));
                pods.len() - 1
            });
            pods[at].1.push(Seen {
                sent: *sent,
                applied: *applied,
            });
        }
        pods.into_iter().map(|(_, messages)| messages).collect()
    }
}

/// Asks until it is stopped, and once more then.
pub async fn collect(
    client: Client,
    reach: Reach,
    namespace: String,
    stop: CancellationToken,
) -> Collected {
    let (pods, writer) = reflector::store();
    let watch = watcher(
        Api::<Pod>::namespaced(client, &namespace),
        watcher::Config::default(),
    )
    .default_backoff()
    .reflect(writer)
    .touched_objects()
    .for_each(|_| std::future::ready(()));
    tokio::select! {
        () = watch => Collected::default(),
        collected = ask(&pods, &reach, &stop) => collected,
    }
}

async fn ask(pods: &reflector::Store<Pod>, reach: &Reach, stop: &CancellationToken) -> Collected {
    // Fails only if the writer is gone, and it is not.
    let _ = pods.wait_until_ready().await;
    let mut collected = Collected::default();
    loop {
        let last = stop.is_cancelled();
        let workers: Vec<(String, Worker)> = pods
            .state()
            .iter()
            .filter(|pod| is_worker(pod))
            .filter_map(|pod| Some((pod.uid()?, Worker::of(pod)?)))
            .collect();
        let asked = workers.iter().map(|(uid, worker)| {
            let since = collected.places.get(uid).copied().unwrap_or(0);
            async move {
                let path = format!("/applied?since={since}");
                let answer = reach.get(worker, &path, LIMIT).await?;
                let times: Times = serde_json::from_str(&answer).ok()?;
                Some((uid, times))
            }
        });
        for (uid, times) in join_all(asked).await.into_iter().flatten() {
            collected.add(uid, times);
        }
        if last {
            return collected;
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(reach.interval()) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    //! Tests of putting together what several workers tell.

    use super::*;

    fn times(from: u64, messages: &[(u64, i64, i64)]) -> Times {
        let message =
            |&(seq, sent, at): &(u64, i64, i64)| (String::from("p0"), seq, Some(sent), at).into();
        Times {
            from,
            applied: messages.iter().map(message).collect(),
        }
    }

    #[test]
    fn a_message_counts_when_it_was_first_applied_and_a_restored_worker_repeats_nothing() {
        let mut collected = Collected::default();
        collected.add("source", times(0, &[(1, 10, 20), (2, 30, 40)]));
        collected.add("target", times(0, &[(1, 10, 20), (2, 30, 90)]));
        collected.add("target", times(2, &[(3, 50, 95)]));
        assert_eq!(collected.places["target"], 3);
        let mut messages = collected.messages();
        messages.sort_by(|a, b| a.sent.total_cmp(&b.sent));
        let applied: Vec<f64> = messages.iter().map(|it| it.applied).collect();
        assert_eq!(applied, [20e-6, 40e-6, 95e-6]);
        let counts: Vec<usize> = collected.by_pod().iter().map(Vec::len).collect();
        assert_eq!(counts, [2, 2]);
    }
}
