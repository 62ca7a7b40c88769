//! The whole sandbox: everything started in the right order, and ended without a trace.

mod directory;
mod images;
mod nodes;
mod preconditions;

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use color_eyre::eyre::{Result, WrapErr as _};
use kube::Client;
use serde::Serialize;

use crate::apiserver::{self, ApiServer};
use crate::control::{Control, ControlState};
use crate::controllers::Controllers;
use crate::node::runtime::Personality;
use crate::node::{Faults, Network};
use crate::services::{Broker, Registry};
use crate::storage::Storage;

pub use directory::{Directory, janitor};
pub use nodes::Nodes;
pub use preconditions::check_namespaces;

/// What a sandbox is started with.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where everything is kept; a temporary directory if absent.
    pub dir: Option<PathBuf>,
    /// The nodes by name, and what their runtimes pretend to be.
    pub nodes: Vec<(String, Personality)>,
    /// The binary of the worker's image; without one there is no such image.
    pub worker_binary: Option<PathBuf>,
    /// The binary of the transfer image; without one there is no such image.
    pub transfer_binary: Option<PathBuf>,
    /// The first pause before a kubelet tries again what failed.
    pub backoff: Duration,
}

/// Where everything of a running sandbox is found. This is the line on standard output.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Info {
    /// Path of the administrator's kubeconfig.
    pub kubeconfig: PathBuf,
    /// URL of the Kubernetes API.
    pub api_server: String,
    /// AMQP URL of the broker, with credentials that may do everything.
    pub broker_url: String,
    /// AMQP URL with credentials that may do nothing.
    pub powerless_broker_url: String,
    /// URL of the broker's management API. The broker's credentials serve.
    pub management_url: String,
    /// `host:port` of the registry, in plain HTTP.
    pub registry: String,
    /// The image of the reference worker.
    pub worker_image: Option<String>,
    /// The image of the transfer binary.
    pub transfer_image: Option<String>,
    /// URL where faults of nodes, broker and registry are ordered.
    pub control_url: String,
    /// The sandbox's directory.
    pub dir: PathBuf,
    /// The names of the nodes.
    pub nodes: Vec<String>,
    /// How containers are checkpointed, and why so.
    pub checkpoint: String,
}

/// A running sandbox.
pub struct Sandbox {
    info: Info,
    api: ApiServer,
    broker: Arc<Broker>,
    registry: Arc<Registry>,
    nodes: Arc<Nodes>,
    controllers: Controllers,
    control: Control,
    directory: Directory,
}

impl Sandbox {
    /// Starts everything and waits until all of it is ready.
    ///
    /// # Errors
    /// When something is not installed, not permitted, or does not start.
    pub async fn start(options: Options) -> Result<Self> {
        preconditions::containers_can_run().await?;
        let network = Network::take().wrap_err("failed to find addresses for the sandbox")?;
        let network = Arc::new(network);
        let directory = Directory::create(options.dir.as_deref()).await?;
        let root = directory.path().to_owned();
        let (broker_dir, registry_dir) = (root.join("broker"), root.join("registry"));
        let services = network.services();
        let registry_and_images = async {
            let registry = Registry::start(&registry_dir, services).await?;
            let images = images::push_own(&options, &registry.host()).await?;
            Ok::<_, color_eyre::Report>((registry, images))
        };
        let cluster = start_cluster(&options, &network, &root);
        let (broker, (registry, images), (api, nodes, faults, controllers)) = tokio::try_join!(
            async { Ok(Broker::start(&broker_dir, services).await?) },
            registry_and_images,
            cluster,
        )?;
        let (broker, registry) = (Arc::new(broker), Arc::new(registry));
        let control = Control::start(
            services,
            ControlState {
                faults,
                nodes: Arc::clone(&nodes),
                broker: Arc::clone(&broker),
                registry: Arc::clone(&registry),
            },
        )
        .await?;
        let kubeconfig = root.join("kubeconfig");
        fs::write(&kubeconfig, api.admin_kubeconfig())
            .and_then(|()| fs::set_permissions(&kubeconfig, fs::Permissions::from_mode(0o600)))
            .wrap_err("failed to write the kubeconfig")?;
        let info = Info {
            kubeconfig,
            api_server: api.url(),
            broker_url: broker.url(),
            powerless_broker_url: broker.powerless_url(),
            management_url: broker.management_url(),
            registry: registry.host(),
            worker_image: images.worker,
            transfer_image: images.transfer,
            control_url: control.url(),
            dir: root,
            nodes: options.nodes.into_iter().map(|(name, _)| name).collect(),
            checkpoint: preconditions::checkpoint_mechanism().await,
        };
        Ok(Self {
            info,
            api,
            broker,
            registry,
            nodes,
            controllers,
            control,
            directory,
        })
    }

    /// Where everything is found.
    pub fn info(&self) -> &Info {
        &self.info
    }

    /// Ends everything and removes every file.
    ///
    /// # Errors
    /// When a process cannot be waited for or the directory not be removed. Everything else is
    /// ended all the same.
    pub async fn stop(self) -> Result<()> {
        self.control.stop().await;
        self.controllers.stop().await;
        self.nodes.kill_all().await;
        self.api.shutdown().await;
        let (broker, registry) = tokio::join!(self.broker.shutdown(), self.registry.shutdown());
        let removed = self.directory.remove().await;
        broker?;
        registry?;
        removed
    }
}

type Cluster = (ApiServer, Arc<Nodes>, Arc<Faults>, Controllers);

async fn start_cluster(
    options: &Options,
    network: &Arc<Network>,
    root: &std::path::Path,
) -> Result<Cluster> {
    let api = ApiServer::start(apiserver::Options {
        listen: SocketAddr::new(network.services(), 0),
        ..apiserver::Options::default()
    })
    .await?;
    let url = api.url();
    let faults = Arc::<Faults>::default();
    let nodes = Nodes::start(
        options,
        Arc::clone(network),
        root,
        &url,
        Arc::clone(&faults),
    )
    .await?;
    let identified = |name: &str| client(&url, &format!("controller/{name}"), name);
    let controllers = Controllers::start(identified, Storage::new(root));
    Ok((api, Arc::new(nodes), faults, controllers))
}

/// A client of the sandbox's API server.
fn client(url: &str, token: &str, agent: &str) -> Client {
    let uri = url.parse().expect("the server's own URL is one");
    let mut config = kube::Config::new(uri);
    config.auth_info.token = Some(token.to_owned().into());
    // A creation whose answer was lost must not be sent again: controllers look first.
    config.default_retry = false;
    if let Ok(agent) = http::HeaderValue::from_str(agent) {
        config.headers.push((http::header::USER_AGENT, agent));
    }
    Client::try_from(config).expect("nothing in these settings can be refused")
}
