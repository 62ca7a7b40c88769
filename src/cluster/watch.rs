//! Pods that are waited for are watched, each by one watch that lives as long as its pod: reading
//! their state costs no request, and no change is missed between two looks.
//!
//! A watch begins where the list that read its pod was made, never at the pod's own resource
//! version: that one is as old as the pod's last change, and an API server that has compacted its
//! history since (etcd: after five minutes) answers such a watch with 410 each time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::{StreamExt, pin_mut};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, ListParams, WatchEvent, WatchParams};
use kube::{Client, ResourceExt};
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep, timeout};

use super::known::trimmed;
use super::retry::{Retry, with_jitter};
use crate::migration::ports::PortResult;

/// How long the API server is asked to keep one watch open. Short, since a connection that died
/// without a word is only noticed after it.
const WATCH_SECONDS: u32 = 60;

/// After so long without the end of a watch its connection is dead.
const DEAD_AFTER: Duration = Duration::from_secs(WATCH_SECONDS as u64 + 10);

/// The pause before a watch that broke at once is made again.
const BROKEN_PAUSE: Duration = Duration::from_millis(500);

/// A pod as last seen; `None` once it is gone.
type Seen = Option<Arc<Pod>>;

/// One watch, and what its reader knows of it.
struct Watched {
    seen: watch::Receiver<Seen>,
    task: AbortHandle,
    /// Since when the pod has been in trouble that may pass.
    trouble_since: Option<Instant>,
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The watched pods of a namespace.
pub(super) struct PodWatches {
    pods: Api<Pod>,
    retry: Arc<Retry>,
    entries: Mutex<HashMap<String, Watched>>,
}

impl PodWatches {
    pub(super) fn new(client: Client, namespace: &str, retry: Arc<Retry>) -> Self {
        Self {
            pods: Api::namespaced(client, namespace),
            retry,
            entries: Mutex::new(HashMap::new()),
        }
    }

    /// Watches `pod` from the state that was written just now.
    pub(super) fn observe(&self, pod: Pod) -> Arc<Pod> {
        let from = pod.resource_version();
        self.observe_from(pod, from)
    }

    /// Watches `pod` from a resource version at which it was as it is given here.
    fn observe_from(&self, pod: Pod, from: Option<String>) -> Arc<Pod> {
        let name = pod.name_any();
        let pod = Arc::new(trimmed(pod));
        let (tell, seen) = watch::channel(Some(Arc::clone(&pod)));
        let task = tokio::spawn(keep(
            self.pods.clone(),
            name.clone(),
            from,
            Arc::clone(&self.retry),
            tell,
        ));
        let watched = Watched {
            seen,
            task: task.abort_handle(),
            trouble_since: None,
        };
        self.lock().insert(name, watched);
        pod
    }

    /// The pod as it is now.
    pub(super) async fn current(&self, name: &str) -> PortResult<Seen> {
        if let Some(seen) = self.live(name) {
            return Ok(seen);
        }
        let (found, at) = read(&self.pods, name, &self.retry).await?;
        Ok(found.map(|pod| self.observe_from(pod, at)))
    }

    /// Returns when the pod has changed since [`Self::current`] last told its state, or after
    /// `limit`.
    pub(super) async fn changed(&self, name: &str, limit: Duration) {
        let seen = self.lock().get(name).map(|it| it.seen.clone());
        let Some(mut seen) = seen else {
            // There is no such pod, so there is nothing to watch.
            sleep(with_jitter(BROKEN_PAUSE).min(limit)).await;
            return;
        };
        // An error means that the watch has ended: the next look tells why.
        let _ = timeout(limit, seen.changed()).await;
    }

    /// Waits until the pod is gone, or is another one of the same name. `false` after `limit`.
    pub(super) async fn gone(&self, name: &str, uid: &str, limit: Duration) -> PortResult<bool> {
        let end = Instant::now() + limit;
        loop {
            let pod = self.current(name).await?;
            if pod.is_none_or(|pod| pod.uid().as_deref() != Some(uid)) {
                return Ok(true);
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(false);
            }
            self.changed(name, left).await;
        }
    }

    /// How long the pod has been in trouble, counted from the first time that this was said.
    pub(super) fn trouble(&self, name: &str, in_trouble: bool) -> Duration {
        let mut entries = self.lock();
        let Some(entry) = entries.get_mut(name) else {
            return Duration::ZERO;
        };
        if !in_trouble {
            entry.trouble_since = None;
            return Duration::ZERO;
        }
        entry
            .trouble_since
            .get_or_insert_with(Instant::now)
            .elapsed()
    }

    /// Whether [`Self::trouble`] counts.
    pub(super) fn in_trouble(&self, name: &str) -> bool {
        self.lock()
            .get(name)
            .is_some_and(|it| it.trouble_since.is_some())
    }

    /// What the live watch of that pod has seen last. A watch that ended knows nothing any more.
    fn live(&self, name: &str) -> Option<Seen> {
        let mut entries = self.lock();
        let entry = entries.get_mut(name)?;
        let ended = entry.seen.has_changed().is_err();
        let seen = entry.seen.borrow_and_update().clone();
        if ended {
            entries.remove(name);
            // That the pod is gone is the last thing that its watch tells, and is told once.
            return seen.is_none().then_some(None);
        }
        Some(seen)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Watched>> {
        // Nothing that holds it can panic half-way through a change.
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keeps `tell` up to date until the pod is gone or cannot be read any more.
async fn keep(
    pods: Api<Pod>,
    name: String,
    mut version: Option<String>,
    retry: Arc<Retry>,
    tell: watch::Sender<Seen>,
) {
    loop {
        let begin = Instant::now();
        let Some(from) = version.take() else {
            match read(&pods, &name, &retry).await {
                Ok((Some(pod), at)) => {
                    version = at;
                    tell.send_replace(Some(Arc::new(trimmed(pod))));
                    continue;
                }
                Ok((None, _)) => {
                    tell.send_replace(None);
                    return;
                }
                // The sender goes with this task: the next look asks anew and gets the error.
                Err(_) => return,
            }
        };
        match follow(&pods, &name, &from, &tell).await {
            Ended::PodGone => {
                tell.send_replace(None);
                return;
            }
            Ended::Resume(at) => version = Some(at),
            Ended::ReadAgain => {}
        }
        if begin.elapsed() < BROKEN_PAUSE {
            sleep(with_jitter(BROKEN_PAUSE)).await;
        }
    }
}

/// The pod, and the resource version of the list it was read with: what a watch of it begins at.
async fn read(
    pods: &Api<Pod>,
    name: &str,
    retry: &Retry,
) -> PortResult<(Option<Pod>, Option<String>)> {
    let only = only(name);
    let params = ListParams::default().fields(&only);
    let what = format!("read pod {name}");
    let list = retry.run(&what, || pods.list(&params)).await?;
    let at = list.metadata.resource_version.filter(|it| !it.is_empty());
    Ok((list.items.into_iter().next(), at))
}

/// Selects the pod of that name.
fn only(name: &str) -> String {
    format!("metadata.name={name}")
}

/// How a watch ended.
enum Ended {
    /// The pod was deleted.
    PodGone,
    /// The watch was over; go on from this resource version.
    Resume(String),
    /// The watch failed, or is too old to be resumed.
    ReadAgain,
}

async fn follow(pods: &Api<Pod>, name: &str, from: &str, tell: &watch::Sender<Seen>) -> Ended {
    let params = WatchParams::default()
        .fields(&only(name))
        .timeout(WATCH_SECONDS);
    let Ok(Ok(events)) = timeout(DEAD_AFTER, pods.watch(&params, from)).await else {
        return Ended::ReadAgain;
    };
    pin_mut!(events);
    let mut version = from.to_owned();
    loop {
        match timeout(DEAD_AFTER, events.next()).await {
            Ok(Some(Ok(WatchEvent::Added(pod) | WatchEvent::Modified(pod)))) => {
                version = pod.resource_version().unwrap_or(version);
                tell.send_replace(Some(Arc::new(trimmed(pod))));
            }
            Ok(Some(Ok(WatchEvent::Deleted(_)))) => return Ended::PodGone,
            Ok(Some(Ok(WatchEvent::Bookmark(mark)))) => version = mark.metadata.resource_version,
            Ok(None) => return Ended::Resume(version),
            Ok(Some(Ok(WatchEvent::Error(_)) | Err(_))) | Err(_) => return Ended::ReadAgain,
        }
    }
}
