//! [`KubeCluster`]: the port `Cluster`, each method a line or two; the work is in the files
//! beside it.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::{Api, ListParams};
use kube::{Client, ResourceExt};
use ms2m_transfer::event::Progress;

use super::checkpoint::checkpoint;
use super::journal::KubeJournal;
use super::known::{KnownNode, Nodes, trimmed};
use super::pages::{self, PAGE};
use super::retry::Retry;
use super::rights;
use super::transfer::{Following, MadeJob};
use super::view::{node_view, pod_view};
use super::watch::PodWatches;
use crate::migration::ports::{
    Adoption, Claim, Cluster, ImagePull, LetGoOrder, MissingPermission, NodeView, PodView,
    PortResult, ReceiverOrder, ReceiverState, Surroundings, TransferEnd, TransferOrder,
    TransferReadiness,
};

/// One namespace of a cluster. Clones share connections, watches and what was learnt.
#[derive(Clone)]
pub struct KubeCluster {
    pub(super) inner: Arc<Inner>,
}

pub(super) struct Inner {
    pub(super) client: Client,
    /// For checkpoint calls alone; see [`super::connect::from_config`].
    pub(super) checkpoints: Client,
    pub(super) namespace: String,
    pub(super) retry: Arc<Retry>,
    pub(super) watches: PodWatches,
    /// The last manifest read of each pod: some of it cannot change, and need not be read twice.
    manifests: Mutex<HashMap<String, Arc<Pod>>>,
    nodes: Mutex<Nodes>,
    pub(super) transfers: Mutex<Transfers>,
}

/// What is known of the transfer Jobs that this process has dealt with.
#[derive(Default)]
pub(super) struct Transfers {
    /// The Jobs made here.
    pub(super) made: HashMap<String, MadeJob>,
    /// Those that are followed.
    pub(super) following: HashMap<String, Following>,
    /// Jobs whose pod has ended.
    pub(super) ended: HashSet<String>,
}

impl KubeCluster {
    /// `checkpoints` must not retry by itself.
    pub(super) fn new(client: Client, checkpoints: Client, namespace: String) -> Self {
        let retry = Arc::new(Retry::default());
        let watches = PodWatches::new(client.clone(), &namespace, Arc::clone(&retry));
        Self {
            inner: Arc::new(Inner {
                client,
                checkpoints,
                namespace,
                retry,
                watches,
                manifests: Mutex::default(),
                nodes: Mutex::default(),
                transfers: Mutex::default(),
            }),
        }
    }

    /// The namespace.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.inner.namespace
    }

    /// The client of ordinary requests.
    #[must_use]
    pub fn client(&self) -> Client {
        self.inner.client.clone()
    }

    /// The journal in this namespace.
    #[must_use]
    pub fn journal(&self) -> KubeJournal {
        KubeJournal::new(
            self.inner.client.clone(),
            &self.inner.namespace,
            Arc::clone(&self.inner.retry),
        )
    }

    pub(super) fn pods(&self) -> Api<Pod> {
        Api::namespaced(self.inner.client.clone(), &self.inner.namespace)
    }

    /// The pod as it is now.
    pub(super) async fn read_pod(&self, name: &str) -> PortResult<Option<Arc<Pod>>> {
        let what = format!("read pod {name}");
        let pods = self.pods();
        let found = self.inner.retry.run(&what, || pods.get_opt(name)).await?;
        let mut manifests = lock(&self.inner.manifests);
        let Some(pod) = found else {
            manifests.remove(name);
            return Ok(None);
        };
        let pod = Arc::new(trimmed(pod));
        manifests.insert(name.to_owned(), Arc::clone(&pod));
        Ok(Some(pod))
    }

    async fn read_nodes(&self) -> PortResult<Vec<Node>> {
        let nodes: Api<Node> = Api::all(self.inner.client.clone());
        let retry = &self.inner.retry;
        let found = pages::all(retry, &nodes, ListParams::default(), "list nodes").await?;
        Ok(found.into_iter().map(trimmed).collect())
    }

    /// The nodes as they were listed last, the first time that this is asked, or as they are now.
    pub(super) async fn listed_nodes(&self) -> PortResult<Vec<Node>> {
        let listed = lock(&self.inner.nodes).take();
        match listed {
            Some(nodes) => Ok(nodes),
            None => self.read_nodes().await,
        }
    }

    /// What was learnt of a node, or what is to be learnt now.
    pub(super) async fn known_node(&self, name: &str) -> PortResult<Option<KnownNode>> {
        let known = lock(&self.inner.nodes).get(name);
        match known {
            Some(node) => Ok(Some(node)),
            None => Ok(self.find_node(name).await?.as_ref().map(KnownNode::of)),
        }
    }

    pub(super) async fn find_node(&self, name: &str) -> PortResult<Option<Node>> {
        let nodes: Api<Node> = Api::all(self.inner.client.clone());
        let what = format!("read node {name}");
        self.inner.retry.run(&what, || nodes.get_opt(name)).await
    }

    /// The pod as it was read last, or as it is now.
    pub(super) async fn known_pod(&self, name: &str) -> PortResult<Option<Arc<Pod>>> {
        let known = lock(&self.inner.manifests).get(name).cloned();
        match known {
            Some(pod) => Ok(Some(pod)),
            None => self.read_pod(name).await,
        }
    }
}

#[async_trait]
impl Cluster for KubeCluster {
    async fn pod(&self, name: &str) -> PortResult<Option<PodView>> {
        Ok(self.read_pod(name).await?.map(|pod| pod_view(&pod)))
    }

    async fn pod_names(&self) -> PortResult<Vec<String>> {
        let pods = self.pods();
        let params = ListParams::default().limit(PAGE);
        let list = self
            .inner
            .retry
            .run("list pods", || pods.list_metadata(&params))
            .await?;
        Ok(list.iter().map(ResourceExt::name_any).collect())
    }

    async fn nodes(&self) -> PortResult<Vec<NodeView>> {
        let nodes = self.read_nodes().await?;
        let views = nodes.iter().map(node_view).collect();
        lock(&self.inner.nodes).learn(nodes);
        Ok(views)
    }

    async fn node(&self, name: &str) -> PortResult<Option<NodeView>> {
        Ok(self.find_node(name).await?.as_ref().map(node_view))
    }

    async fn missing_permissions(&self, owner: Option<&str>) -> PortResult<Vec<MissingPermission>> {
        let inner = &self.inner;
        rights::missing(&inner.client, &inner.retry, &inner.namespace, owner).await
    }

    async fn surroundings(&self, pod: &PodView, crowd: bool) -> PortResult<Surroundings> {
        self.look_around(pod, crowd).await
    }

    async fn checkpoint(
        &self,
        node: &str,
        pod: &str,
        container: &str,
        limit: Duration,
    ) -> PortResult<String> {
        let client = &self.inner.checkpoints;
        checkpoint(client, &self.inner.namespace, node, pod, container, limit).await
    }

    async fn ensure_image_pull(
        &self,
        migration: &str,
        name: &str,
        node: &str,
        image: &str,
        source_pod: &str,
    ) -> PortResult<()> {
        self.make_image_pull(migration, name, node, image, source_pod)
            .await
    }

    async fn image_pull(&self, name: &str) -> PortResult<ImagePull> {
        self.see_image_pull(name).await
    }

    async fn ensure_receiver(&self, order: &ReceiverOrder) -> PortResult<IpAddr> {
        self.make_receiver(order).await
    }

    async fn receiver(&self, name: &str) -> PortResult<ReceiverState> {
        self.see_receiver(name).await
    }

    async fn release_receiver(&self, name: &str) -> PortResult<()> {
        self.let_receiver_go(name).await
    }

    async fn remove_receiver(&self, name: &str) -> PortResult<()> {
        self.unmake_receiver(name).await
    }

    async fn ensure_transfer(&self, order: &TransferOrder) -> PortResult<()> {
        self.make_transfer(order).await
    }

    async fn transfer_ready(&self, name: &str) -> PortResult<TransferReadiness> {
        self.followed(name).ready().await
    }

    async fn follow_transfer(
        &self,
        name: &str,
        progress: &(dyn Fn(Progress) + Send + Sync),
    ) -> PortResult<TransferEnd> {
        let end = self.followed(name).end(progress).await?;
        if matches!(end, TransferEnd::Reported(_)) {
            lock(&self.inner.transfers).ended.insert(name.to_owned());
        }
        Ok(end)
    }

    async fn remove_transfer(&self, name: &str) -> PortResult<()> {
        self.unmake_transfer(name).await
    }

    async fn remove_pod(&self, name: &str, uid: Option<&str>, grace: Duration) -> PortResult<()> {
        self.delete_pod(name, uid, grace).await
    }

    async fn belongings(&self, migration: &str, transfer: &str) -> PortResult<Vec<String>> {
        self.see_belongings(migration, transfer).await
    }

    async fn claim_set(&self, order: &LetGoOrder) -> PortResult<Claim> {
        self.keep(order).await
    }

    async fn let_go(&self, order: &LetGoOrder) -> PortResult<()> {
        self.let_pods_go(order).await
    }

    async fn take_back(
        &self,
        migration: &str,
        set: &str,
        pod: Option<&str>,
    ) -> PortResult<Adoption> {
        self.have_pods_back(migration, set, pod).await
    }

    async fn yield_place(&self, pod: &str, uid: &str) -> PortResult<()> {
        self.mark_to_go(pod, uid).await
    }

    async fn keep_place(&self, pod: &str, uid: &str) -> PortResult<()> {
        self.unmark(pod, uid).await
    }

    async fn hand_over_labels(&self, target_pod: &str) -> PortResult<()> {
        self.give_labels(target_pod).await
    }
}

/// Nothing that holds one of these locks can panic half-way through a change.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
