//! The kubelet of one node: registers the node, runs the pods that are bound to it, and serves
//! logs and checkpoints.

mod checkpoint;
mod heartbeat;
mod host;
mod logs;
mod node_object;
mod server;
mod setup;
mod stats;
mod volumes;
mod watching;

use std::collections::HashMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::{Client, ResourceExt as _};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::{CancellationToken, DropGuard};

pub use heartbeat::LEASES;
pub use setup::{Setup, SetupOrder};

use super::addresses::PodAddresses;
use super::events::Recorder;
use super::faults::Faults;
use super::images::{ImageStore, Localhost};
use super::pod::PodState;
use super::runtime::{Container, Personality, PodIdentity, Runtime};
use crate::storage::Storage;
use volumes::VolumesInUse;

/// What a node is started with.
pub struct NodeOptions {
    /// The node's name.
    pub name: String,
    /// Its address, which is the kubelet's too.
    pub address: IpAddr,
    /// The addresses of its pods.
    pub pods: PodAddresses,
    /// The node's own file system.
    pub dir: PathBuf,
    /// All disks of the sandbox.
    pub storage: Storage,
    /// The runtime it pretends to have.
    pub personality: Personality,
    /// A client of the API server with the node's identity.
    pub client: Client,
    /// Ordered faults.
    pub faults: Arc<Faults>,
    /// The first pause before something that failed is tried again; ten seconds in a kubelet.
    pub backoff: Duration,
}

/// What everything on a node shares.
pub(crate) struct Kubelet {
    pub(crate) name: String,
    pub(crate) address: IpAddr,
    pub(crate) addresses: PodAddresses,
    pub(crate) dir: PathBuf,
    pub(crate) client: Client,
    pub(crate) runtime: Runtime,
    pub(crate) recorder: Recorder,
    pub(crate) faults: Arc<Faults>,
    pub(crate) backoff: Duration,
    pub(crate) storage: Storage,
    pub(crate) volumes: VolumesInUse,
    /// By uid.
    pub(crate) pods: Mutex<HashMap<String, PodHandle>>,
    /// Whether the node says that it is ready.
    pub(crate) ready: watch::Sender<bool>,
    /// How it is set up.
    pub(crate) setup: watch::Sender<Setup>,
}

/// A pod that the node runs.
pub(crate) struct PodHandle {
    pub(crate) object: watch::Sender<Arc<Pod>>,
    pub(crate) state: Arc<watch::Sender<PodState>>,
    pub(crate) gone: CancellationToken,
}

/// A running node. Its containers end with it.
pub struct Node {
    kubelet: Arc<Kubelet>,
    tasks: JoinSet<()>,
    stop: DropGuard,
}

/// Why a node did not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The kubelet's port or directory is not to be had.
    #[error("failed to start node {name}")]
    Io {
        /// The node.
        name: String,
        /// The cause.
        source: std::io::Error,
    },
    /// The API server does not take the node.
    #[error("failed to register node {name}")]
    Register {
        /// The node.
        name: String,
        /// The cause.
        source: Box<kube::Error>,
    },
}

impl Node {
    /// Starts a node and registers it; it is Ready when this returns.
    ///
    /// # Errors
    /// When its port or directory is not to be had or the API server does not take it.
    pub async fn start(options: NodeOptions) -> Result<Self, Error> {
        let name = options.name.clone();
        let io = |source| Error::Io {
            name: name.clone(),
            source,
        };
        let listener = TcpListener::bind((options.address, 0)).await.map_err(io)?;
        let port = listener.local_addr().map_err(io)?.port();
        let kubelet = Arc::new(Kubelet::new(options).map_err(io)?);
        let register = async {
            // A node without a lease is taken for dead.
            heartbeat::renew(&kubelet).await?;
            node_object::register(&kubelet, port).await
        };
        register.await.map_err(|source| Error::Register {
            name: name.clone(),
            source: Box::new(source),
        })?;
        let stop = CancellationToken::new();
        let mut tasks = JoinSet::new();
        tasks.spawn(server::serve(Arc::clone(&kubelet), listener));
        tasks.spawn(heartbeat::beat(Arc::clone(&kubelet), port));
        tasks.spawn(watching::watch_pods(Arc::clone(&kubelet), stop.clone()));
        Ok(Self {
            kubelet,
            tasks,
            stop: stop.drop_guard(),
        })
    }

    /// The node's name.
    pub fn name(&self) -> &str {
        &self.kubelet.name
    }

    /// Lets the node say that it is ready, or that it is not. Its pods run on.
    pub fn set_ready(&self, ready: bool) {
        self.kubelet.ready.send_replace(ready);
    }

    /// Tells the runtime whether localhost speaks plain HTTP, as CRI-O's `registries.conf` does.
    pub fn set_insecure_localhost(&self, insecure: bool) {
        self.kubelet
            .runtime
            .images
            .localhost()
            .set_insecure(insecure);
    }

    /// Sets the node up otherwise.
    ///
    /// # Errors
    /// When one of its files cannot be written.
    pub fn set_up(&self, order: SetupOrder) -> std::io::Result<()> {
        host::change(&self.kubelet.dir, &order.files)?;
        self.kubelet.setup.send_modify(|setup| setup.change(order));
        Ok(())
    }

    /// A container of one of its pods, the pod's first one unless another is named. Nothing if
    /// the node has no such container.
    pub fn container(
        &self,
        namespace: &str,
        pod: &str,
        name: Option<&str>,
    ) -> Option<Arc<Container>> {
        let (pod, state) = self.kubelet.find(namespace, pod)?;
        let first = || Some(pod.spec.as_ref()?.containers.first()?.name.as_str());
        let name = name.or_else(first)?;
        state.containers.get(name)?.container.clone()
    }

    /// Removes the images that none of its containers was made of, as a kubelet does when its disk
    /// is full.
    pub fn collect_images(&self) {
        let containers = self.kubelet.containers();
        let in_use = containers.iter().map(|it| it.image.digest.clone());
        self.kubelet.runtime.images.collect(&in_use.collect());
    }

    /// Ends the node as a power failure does: its processes are killed, and nobody is told.
    pub async fn kill(mut self) {
        let containers = self.kubelet.containers();
        self.tasks.shutdown().await;
        // The workers are dropped, so that none starts again what is killed now.
        drop(self.stop);
        for container in containers {
            container.signal(rustix::process::Signal::KILL);
            if let Some(mut exit) = container.exit() {
                // The channel closes with the process's end at the latest.
                let _ = exit.wait_for(Option::is_some).await;
            }
        }
    }
}

impl Kubelet {
    fn new(options: NodeOptions) -> std::io::Result<Self> {
        let dir = options.dir;
        make_directories(&dir)?;
        host::furnish(&dir, options.personality)?;
        Ok(Self {
            recorder: Recorder::new(options.client.clone(), "kubelet", Some(&options.name)),
            runtime: Runtime {
                personality: options.personality,
                images: Arc::new(ImageStore::new(
                    &dir.join("var/lib/images"),
                    Localhost::new(
                        options.address,
                        options.personality == Personality::Containerd,
                    ),
                )),
                root: dir.join("run/containers"),
                restoring: Mutex::default(),
            },
            name: options.name,
            address: options.address,
            addresses: options.pods,
            dir,
            client: options.client,
            faults: options.faults,
            backoff: options.backoff,
            storage: options.storage,
            volumes: VolumesInUse::default(),
            pods: Mutex::default(),
            ready: watch::Sender::new(true),
            setup: watch::Sender::new(Setup::default()),
        })
    }

    /// Says which volumes the node's pods have mounted.
    pub(crate) async fn report_volumes(&self) -> kube::Result<()> {
        node_object::report_volumes(self).await
    }

    /// The pod's directory on the node.
    pub(crate) fn pod_dir(&self, pod: &Pod) -> PathBuf {
        self.dir
            .join("var/lib/kubelet/pods")
            .join(pod.uid().unwrap_or_default())
    }

    /// Where the log of one start of a container goes.
    pub(crate) fn log_path(&self, pod: &PodIdentity, container: &str, attempt: u32) -> PathBuf {
        self.dir
            .join("var/log/pods")
            .join(format!("{}_{}_{}", pod.namespace, pod.name, pod.uid))
            .join(container)
            .join(format!("{attempt}.log"))
    }

    /// The state of a pod by its name. Of two pods of one name, an old one that is not gone yet
    /// and its successor, the successor's.
    pub(crate) fn find(&self, namespace: &str, name: &str) -> Option<(Arc<Pod>, PodState)> {
        let pods = self.pods.lock().expect("no holder panics");
        let mut found: Vec<_> = pods
            .values()
            .map(|handle| {
                (
                    Arc::clone(&handle.object.borrow()),
                    handle.state.borrow().clone(),
                )
            })
            .filter(|(pod, _)| {
                pod.namespace().as_deref() == Some(namespace) && pod.name_any() == name
            })
            .collect();
        found.sort_by_key(|(pod, _)| pod.metadata.deletion_timestamp.is_none());
        found.pop()
    }

    /// All containers of the node, running or not.
    fn containers(&self) -> Vec<Arc<Container>> {
        let pods = self.pods.lock().expect("no holder panics");
        let states = pods.values().map(|handle| handle.state.borrow().clone());
        states
            .flat_map(|state| state.containers.into_values())
            .filter_map(|state| state.container)
            .collect()
    }
}

fn make_directories(dir: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
    for path in [
        "var/lib/images",
        "var/lib/kubelet/pods",
        "var/log/pods",
        "run/containers",
    ] {
        std::fs::create_dir_all(dir.join(path))?;
    }
    let checkpoints = dir.join("var/lib/kubelet/checkpoints");
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&checkpoints)?;
    std::fs::set_permissions(checkpoints, std::fs::Permissions::from_mode(0o700))
}
