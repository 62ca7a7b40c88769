//! Which pods of a namespace ever came and went.

use std::sync::{Arc, Mutex, PoisonError};

use futures_util::TryStreamExt as _;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use kube::api::{ListParams, WatchEvent, WatchParams};
use tokio::task::JoinSet;

use super::Scene;

/// A watch of all pods of a namespace, from one moment on.
pub(crate) struct Record {
    changes: Arc<Mutex<Vec<Change>>>,
    _watch: JoinSet<()>,
}

/// A pod that came or went.
#[derive(Clone, Debug)]
struct Change {
    came: bool,
    pod: String,
}

impl Record {
    /// Records from now on.
    pub(crate) async fn of(scene: &Scene) -> Self {
        let pods = scene.api::<Pod>();
        let listed = pods.list(&ListParams::default()).await.expect("are listed");
        let version = listed.metadata.resource_version.unwrap_or_default();
        let changes = Arc::<Mutex<Vec<Change>>>::default();
        let seen = Arc::clone(&changes);
        let mut watch = JoinSet::new();
        watch.spawn(async move {
            let events = pods
                .watch(&WatchParams::default(), &version)
                .await
                .expect("can be watched");
            let mut events = std::pin::pin!(events);
            while let Some(event) = events.try_next().await.expect("is not cut") {
                let (came, pod) = match event {
                    WatchEvent::Added(pod) => (true, pod),
                    WatchEvent::Deleted(pod) => (false, pod),
                    _ => continue,
                };
                let pod = pod.name_any();
                let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
                seen.push(Change { came, pod });
            }
        });
        Self {
            changes,
            _watch: watch,
        }
    }

    /// The names of the pods that came, in their order.
    pub(crate) fn came(&self) -> Vec<String> {
        self.of_kind(true)
    }

    /// The names of the pods that went, in their order.
    pub(crate) fn went(&self) -> Vec<String> {
        self.of_kind(false)
    }

    /// All that happened, in its order: `+` and the name of a pod that came, `-` and that of one
    /// that went.
    pub(crate) fn order(&self) -> Vec<String> {
        let changes = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
        let word = |change: &Change| {
            let sign = if change.came { '+' } else { '-' };
            format!("{sign}{}", change.pod)
        };
        changes.iter().map(word).collect()
    }

    fn of_kind(&self, came: bool) -> Vec<String> {
        let changes = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
        let changes = changes.iter().filter(|change| change.came == came);
        changes.map(|change| change.pod.clone()).collect()
    }
}
