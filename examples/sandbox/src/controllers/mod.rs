//! The built-in controllers that a migration meets. Each is a client of the API server like any
//! other and a loop of its own: it watches, and makes the world as the objects say.

mod backoff;
mod deployment;
mod disruption;
mod endpoints;
mod hash;
mod host_ports;
mod job;
mod job_memory;
mod job_status;
mod node_lifecycle;
mod owners;
mod pods;
mod replica_set;
mod report;
mod scheduler;
mod scheduling;
mod stateful_set;
mod storage;

use std::time::Duration;

use futures_util::{Stream, StreamExt as _, stream};
use kube::runtime::{WatchStreamExt as _, reflector, watcher};
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::task::AbortOnDropHandle;

use crate::storage::Storage;

/// The running controllers. They end when this is dropped.
#[derive(Debug)]
pub struct Controllers {
    tasks: JoinSet<()>,
}

impl Controllers {
    /// Starts all controllers. `client` makes a client for the controller of that name, and
    /// `disks` is where the data of volumes lies.
    pub fn start(client: impl Fn(&str) -> Client, disks: Storage) -> Self {
        let mut tasks = JoinSet::new();
        tasks.spawn(scheduler::run(client("scheduler")));
        tasks.spawn(job::run(client("job-controller")));
        tasks.spawn(deployment::run(client("deployment-controller")));
        tasks.spawn(replica_set::run(client("replicaset-controller")));
        tasks.spawn(stateful_set::run(client("statefulset-controller")));
        tasks.spawn(node_lifecycle::run(client("node-controller")));
        tasks.spawn(disruption::run(client("disruption-controller")));
        tasks.spawn(endpoints::run(client("endpointslice-controller")));
        storage::start(&mut tasks, &client, disks);
        Self { tasks }
    }

    /// Ends the controllers.
    pub async fn stop(mut self) {
        self.tasks.shutdown().await;
    }
}

/// Keeps a copy of all objects of a kind up to date, and gives a word when it has changed: one for all
/// changes since the last one was taken.
///
/// The copy is kept by a task of its own, which ends with the stream. A controller that took the
/// changes one by one between its looks at the world would act on an ever older copy where there
/// are more of them than it has looks.
fn observe<K>(api: Api<K>) -> (reflector::Store<K>, impl Stream<Item = ()> + Send)
where
    K: Resource<DynamicType = ()>
        + Clone
        + std::fmt::Debug
        + DeserializeOwned
        + Send
        + Sync
        + 'static,
{
    let (store, writer) = reflector::store();
    let (news, mut changes) = mpsc::channel(1);
    let task = tokio::spawn(async move {
        let events = watcher(api, watcher::Config::default())
            .default_backoff()
            .reflect(writer);
        let mut events = std::pin::pin!(events);
        while let Some(event) = events.next().await {
            match event {
                // There is a word already where there is no room for another.
                Ok(_) => drop(news.try_send(())),
                Err(error) => {
                    tracing::warn!(kind = %K::kind(&()), %error, "objects cannot be watched");
                }
            }
        }
    });
    let task = AbortOnDropHandle::new(task);
    let changes = stream::poll_fn(move |context| {
        let _lives_as_long = &task;
        changes.poll_recv(context)
    });
    (store, changes)
}

/// What the API server said, without what kube adds.
fn words(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(answer) => answer.message.clone(),
        other => other.to_string(),
    }
}

/// How soon a controller tries again what the API server refused.
const RETRY: Duration = Duration::from_millis(300);
