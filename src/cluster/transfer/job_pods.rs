//! The pod of one transfer Job as it changes. What the changes mean is not decided here.

use std::ops::ControlFlow::{self, Break, Continue};
use std::time::Duration;

use futures_util::{StreamExt, pin_mut};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::{Api, ListParams, WatchEvent, WatchParams};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};

use super::super::retry::with_jitter;

/// The deadline of a Job that has none, which ms2m never makes.
const ASSUMED_SECONDS: u64 = 3600;

/// How long the API server is asked to keep the watch open, and when its connection counts as
/// dead.
const WATCH_SECONDS: u32 = 60;
const DEAD_AFTER: Duration = Duration::from_secs(WATCH_SECONDS as u64 + 10);

/// What has to be known of a Job in order to follow it.
#[derive(Debug, Clone)]
pub(in super::super) struct MadeJob {
    /// A Job of the same name before it is another one, and so are its pods, which may still be there
    /// and go: the Job controller may even make one after that Job was deleted.
    uid: Option<String>,
    /// Its own deadline, from when it was made.
    pub(super) deadline: Duration,
}

impl MadeJob {
    /// As the API server has answered it.
    pub(in super::super) fn of(job: &Job) -> Self {
        let seconds = job.spec.as_ref().and_then(|it| it.active_deadline_seconds);
        let seconds = seconds.and_then(|it| u64::try_from(it).ok());
        Self {
            uid: job.uid(),
            deadline: Duration::from_secs(seconds.unwrap_or(ASSUMED_SECONDS)),
        }
    }

    fn has(&self, pod: &Pod) -> bool {
        pod.owner_references()
            .iter()
            .any(|owner| Some(&owner.uid) == self.uid.as_ref())
    }
}

/// The pods of one Job.
pub(super) struct PodsOf {
    pods: Api<Pod>,
    selector: String,
    job: MadeJob,
}

impl PodsOf {
    pub(super) fn new(pods: Api<Pod>, selector: String, job: MadeJob) -> Self {
        Self {
            pods,
            selector,
            job,
        }
    }

    /// Tells each state of the Job's pod, and `None` when it is gone. A Job with no second attempt has
    /// one pod; of several, the newest counts.
    pub(super) async fn run(self, see: mpsc::Sender<Option<Box<Pod>>>) {
        let list = ListParams::default().labels(&self.selector);
        let watch = WatchParams::default()
            .labels(&self.selector)
            .timeout(WATCH_SECONDS);
        let mut pause = Duration::from_millis(200);
        loop {
            let listed = timeout(DEAD_AFTER, self.pods.list(&list)).await;
            if let Ok(Ok(listed)) = listed {
                let version = listed.metadata.resource_version.clone();
                let newest = listed
                    .items
                    .into_iter()
                    .filter(|pod| self.job.has(pod))
                    .max_by_key(|pod| pod.metadata.creation_timestamp.clone());
                if see.send(newest.map(Box::new)).await.is_err() {
                    return;
                }
                if let Some(version) = version
                    && self.watch(&watch, version, &see).await.is_break()
                {
                    return;
                }
                pause = Duration::from_millis(200);
            }
            sleep(with_jitter(pause)).await;
            pause = (pause * 2).min(Duration::from_secs(3));
        }
    }

    /// Until the watch breaks and the pods have to be listed again.
    async fn watch(
        &self,
        params: &WatchParams,
        mut version: String,
        see: &mpsc::Sender<Option<Box<Pod>>>,
    ) -> ControlFlow<()> {
        loop {
            let watched = self.pods.watch(params, &version);
            let Ok(Ok(events)) = timeout(DEAD_AFTER, watched).await else {
                return Continue(());
            };
            pin_mut!(events);
            let begin = Instant::now();
            loop {
                let pod = match timeout(DEAD_AFTER, events.next()).await {
                    Ok(Some(Ok(WatchEvent::Added(pod) | WatchEvent::Modified(pod)))) => {
                        version = pod.resource_version().unwrap_or(version);
                        if !self.job.has(&pod) {
                            continue;
                        }
                        Some(pod)
                    }
                    Ok(Some(Ok(WatchEvent::Deleted(pod)))) => {
                        if !self.job.has(&pod) {
                            continue;
                        }
                        None
                    }
                    Ok(Some(Ok(WatchEvent::Bookmark(mark)))) => {
                        version = mark.metadata.resource_version;
                        continue;
                    }
                    // Over in an orderly way, and not at once: go on where it ended.
                    Ok(None) if begin.elapsed() > Duration::from_secs(1) => break,
                    _ => return Continue(()),
                };
                if see.send(pod.map(Box::new)).await.is_err() {
                    return Break(());
                }
            }
        }
    }
}
