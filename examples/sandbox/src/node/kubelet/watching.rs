//! Follows the pods that are bound to the node, and gives each a worker.

use std::sync::Arc;

use futures_util::TryStreamExt as _;
use k8s_openapi::api::core::v1::Pod;
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, ResourceExt as _};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{Kubelet, PodHandle};
use crate::node::pod::{PodContext, PodState, PodWorker, uid};

/// Runs until the task is dropped; the workers end with `stop`.
pub(super) async fn watch_pods(kubelet: Arc<Kubelet>, stop: CancellationToken) {
    let pods: Api<Pod> = Api::all(kubelet.client.clone());
    let mine = watcher::Config::default().fields(&format!("spec.nodeName={}", kubelet.name));
    let mut events = std::pin::pin!(watcher(pods, mine).default_backoff());
    let mut listed = Vec::new();
    loop {
        match events.try_next().await {
            Ok(Some(watcher::Event::Init)) => listed.clear(),
            Ok(Some(watcher::Event::InitApply(pod))) => {
                listed.push(uid(&pod));
                apply(&kubelet, pod, &stop);
            }
            // What was not in the list is gone since the watch broke.
            Ok(Some(watcher::Event::InitDone)) => forget_all_but(&kubelet, &listed),
            Ok(Some(watcher::Event::Apply(pod))) => apply(&kubelet, pod, &stop),
            Ok(Some(watcher::Event::Delete(pod))) => forget(&kubelet, &uid(&pod)),
            Ok(None) => return,
            Err(error) => tracing::warn!(node = kubelet.name, %error, "pods cannot be watched"),
        }
    }
}

fn apply(kubelet: &Arc<Kubelet>, pod: Pod, stop: &CancellationToken) {
    let (uid, pod) = (uid(&pod), Arc::new(pod));
    let mut pods = kubelet.pods.lock().expect("no holder panics");
    if let Some(handle) = pods.get(&uid) {
        handle.object.send_replace(pod);
        return;
    }
    let (sender, object) = watch::channel(Arc::clone(&pod));
    let handle = PodHandle {
        object: sender,
        state: Arc::new(watch::Sender::new(PodState::default())),
        gone: CancellationToken::new(),
    };
    let worker = PodWorker {
        context: PodContext {
            kubelet: Arc::clone(kubelet),
            pod,
            state: Arc::clone(&handle.state),
        },
        object,
        gone: handle.gone.clone(),
    };
    pods.insert(uid.clone(), handle);
    drop(pods);
    let (kubelet, stop) = (Arc::clone(kubelet), stop.clone());
    tokio::spawn(async move {
        // A node that loses its power does not end its pods in order.
        stop.run_until_cancelled(Box::pin(worker.run())).await;
        kubelet.pods.lock().expect("no holder panics").remove(&uid);
    });
}

/// The object of a pod is gone: its processes go too.
fn forget(kubelet: &Kubelet, uid: &str) {
    let pods = kubelet.pods.lock().expect("no holder panics");
    if let Some(handle) = pods.get(uid) {
        tracing::debug!(pod = handle.object.borrow().name_any(), "object gone");
        handle.gone.cancel();
    }
}

fn forget_all_but(kubelet: &Kubelet, listed: &[String]) {
    let unlisted: Vec<_> = {
        let pods = kubelet.pods.lock().expect("no holder panics");
        pods.keys()
            .filter(|uid| !listed.contains(uid))
            .cloned()
            .collect()
    };
    for uid in unlisted {
        forget(kubelet, &uid);
    }
}
