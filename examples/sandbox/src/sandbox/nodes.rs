//! All nodes of the sandbox, which can be killed and started again.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use color_eyre::eyre::{Result, eyre};
use tokio::sync::Mutex;

use super::{Options, client};
use crate::node::runtime::{Container, Personality};
use crate::node::{Faults, Network, Node, NodeOptions, SetupOrder};
use crate::storage::Storage;

/// The nodes by name; those that are not running have no value.
pub struct Nodes {
    settings: Settings,
    running: Mutex<BTreeMap<String, Option<Node>>>,
}

/// What all nodes have in common.
struct Settings {
    root: PathBuf,
    api: String,
    backoff: std::time::Duration,
    faults: Arc<Faults>,
    network: Arc<Network>,
    nodes: Vec<(String, Personality)>,
}

impl Nodes {
    /// Starts all nodes of the options.
    pub(super) async fn start(
        options: &Options,
        network: Arc<Network>,
        root: &Path,
        api: &str,
        faults: Arc<Faults>,
    ) -> Result<Self> {
        let nodes = Self {
            settings: Settings {
                root: root.to_owned(),
                api: api.to_owned(),
                backoff: options.backoff,
                faults,
                network,
                nodes: options.nodes.clone(),
            },
            running: Mutex::default(),
        };
        for (name, _) in &options.nodes {
            nodes.start_one(name).await?;
        }
        Ok(nodes)
    }

    /// Starts a node that is not running, with what is left on its disk.
    ///
    /// # Errors
    /// When there is no such node or it does not start.
    pub async fn start_one(&self, name: &str) -> Result<()> {
        let settings = &self.settings;
        let (index, personality) = (0..)
            .zip(&settings.nodes)
            .find(|(_, (known, _))| known == name)
            .map(|(index, (_, personality))| (index, *personality))
            .ok_or_else(|| eyre!("there is no node {name}"))?;
        let mut running = self.running.lock().await;
        if matches!(running.get(name), Some(Some(_))) {
            return Ok(());
        }
        let (address, pods) = settings.network.node(index);
        let storage = Storage::new(&settings.root);
        let node = Node::start(NodeOptions {
            name: name.to_owned(),
            address,
            pods,
            dir: storage.node(name),
            storage,
            personality,
            client: client(&settings.api, &format!("node/{name}"), "kubelet"),
            faults: Arc::clone(&settings.faults),
            backoff: settings.backoff,
        })
        .await?;
        running.insert(name.to_owned(), Some(node));
        Ok(())
    }

    /// Lets a node fail as by a loss of power.
    ///
    /// # Errors
    /// When there is no such node.
    pub async fn kill(&self, name: &str) -> Result<()> {
        let mut running = self.running.lock().await;
        let node = running
            .get_mut(name)
            .ok_or_else(|| eyre!("there is no node {name}"))?;
        if let Some(node) = node.take() {
            node.kill().await;
        }
        Ok(())
    }

    /// Lets a running node say whether it is ready.
    ///
    /// # Errors
    /// When there is no such node or it is not running.
    pub async fn set_ready(&self, name: &str, ready: bool) -> Result<()> {
        let running = self.running.lock().await;
        let node = running.get(name).and_then(Option::as_ref);
        node.ok_or_else(|| eyre!("there is no running node {name}"))?
            .set_ready(ready);
        Ok(())
    }

    /// Tells the runtime of a running node whether localhost speaks plain HTTP.
    ///
    /// # Errors
    /// When there is no such node or it is not running.
    pub async fn set_insecure_localhost(&self, name: &str, insecure: bool) -> Result<()> {
        let running = self.running.lock().await;
        let node = running.get(name).and_then(Option::as_ref);
        node.ok_or_else(|| eyre!("there is no running node {name}"))?
            .set_insecure_localhost(insecure);
        Ok(())
    }

    /// Sets a running node up otherwise.
    ///
    /// # Errors
    /// When there is no such node, it is not running, or its files cannot be written.
    pub async fn set_up(&self, name: &str, order: SetupOrder) -> Result<()> {
        let running = self.running.lock().await;
        let node = running.get(name).and_then(Option::as_ref);
        node.ok_or_else(|| eyre!("there is no running node {name}"))?
            .set_up(order)?;
        Ok(())
    }

    /// Lets a running node collect the images that no container uses.
    ///
    /// # Errors
    /// When there is no such node or it is not running.
    pub async fn collect_images(&self, name: &str) -> Result<()> {
        let running = self.running.lock().await;
        let node = running.get(name).and_then(Option::as_ref);
        node.ok_or_else(|| eyre!("there is no running node {name}"))?
            .collect_images();
        Ok(())
    }

    /// A running container of a pod (`namespace/name`), wherever it is: the pod's first one
    /// unless another is named.
    ///
    /// # Errors
    /// When no running node has such a pod, or its container does not run.
    pub async fn container(&self, pod: &str, name: Option<&str>) -> Result<Arc<Container>> {
        let (namespace, pod_name) = pod
            .split_once('/')
            .ok_or_else(|| eyre!("{pod} is no namespace/name of a pod"))?;
        let running = self.running.lock().await;
        running
            .values()
            .flatten()
            .filter_map(|node| node.container(namespace, pod_name, name))
            .find(|container| container.running())
            .ok_or_else(|| eyre!("no such container of pod {pod} is running"))
    }

    /// Ends all nodes.
    pub(super) async fn kill_all(&self) {
        let mut running = self.running.lock().await;
        for node in running.values_mut().filter_map(Option::take) {
            node.kill().await;
        }
    }
}
