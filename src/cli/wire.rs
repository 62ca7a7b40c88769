//! The only place that puts adapters and engine together.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use kube::config::Kubeconfig;
use tokio_util::sync::CancellationToken;
use url::Url;

use super::args::GlobalArgs;
use super::failure::refused;
use super::settings::migration::Settings;
use crate::api::TransferConfig;
use crate::broker::{self, AmqpBroker, BrokerUrl, Detour, Route, Trouble};
use crate::clock::SystemClock;
use crate::cluster::{self, ConnectOptions, KubeCluster, KubeJournal, Noted, Tunnels};
use crate::explain;
use crate::migration::engine::{Engine, Ports};
use crate::migration::error::Error;
use crate::migration::event::Reporter;
use crate::migration::plan::closest;
use crate::migration::ports::{Cluster, PortResult};
use crate::registry::OciRegistry;

/// A cluster that can be asked, and one namespace of it.
#[derive(Clone)]
pub(super) struct Reached {
    /// The Kubernetes API.
    pub(super) cluster: Arc<KubeCluster>,
    /// Where migrations are remembered.
    pub(super) journal: Arc<KubeJournal>,
    /// Ways to a broker inside the cluster.
    pub(super) ways: Arc<Ways>,
    /// The namespace.
    pub(super) namespace: String,
    /// The kubeconfig's context in use, if there is one.
    pub(super) context: Option<String>,
}

impl Reached {
    /// Makes the clients that the flags ask for. No request goes out yet.
    pub(super) async fn connect(global: &GlobalArgs) -> Result<Self, Error> {
        let options = ConnectOptions {
            kubeconfig: global.kubeconfig.clone(),
            context: global.context.clone(),
            namespace: global.namespace.clone(),
            user_agent: None,
        };
        let cluster = cluster::connect(&options)
            .await
            .map_err(|error| refused("failed to find the cluster", &error))?;
        Ok(Self {
            journal: Arc::new(cluster.journal()),
            ways: Arc::new(Ways::into(&cluster)),
            namespace: cluster.namespace().to_owned(),
            context: context(global),
            cluster: Arc::new(cluster),
        })
    }

    /// Another namespace of the same cluster.
    pub(super) fn in_namespace(&self, namespace: &str) -> Self {
        if namespace == self.namespace {
            return self.clone();
        }
        let cluster = self.cluster.in_namespace(namespace);
        Self {
            journal: Arc::new(cluster.journal()),
            ways: Arc::new(Ways::into(&cluster)),
            namespace: namespace.to_owned(),
            context: self.context.clone(),
            cluster: Arc::new(cluster),
        }
    }

    /// An engine with everything that it needs. Broker and registry are connected when they are
    /// first used.
    pub(super) fn engine(
        &self,
        settings: &Settings,
        reporter: Arc<dyn Reporter>,
        stop: CancellationToken,
    ) -> Result<Engine, Error> {
        let broker = self.broker(&settings.broker, settings.management.as_ref());
        let registry = registry(&settings.transfer)?;
        let ports = Ports {
            cluster: self.cluster.clone(),
            restore: self.cluster.clone(),
            broker: Arc::new(broker),
            registry: Arc::new(registry),
            journal: self.journal.clone(),
            clock: Arc::new(SystemClock::new()),
        };
        Ok(Engine::new(ports, reporter, settings.limits.clone(), stop))
    }

    /// A broker that is connected when it is first used, through the API server where its name is a
    /// Service's and leads nowhere from here.
    pub(super) fn broker(&self, url: &BrokerUrl, management: Option<&Url>) -> AmqpBroker {
        let route: Arc<dyn Route> = self.ways.clone();
        AmqpBroker::new(&broker::Options {
            url: url.clone(),
            management: management.cloned(),
        })
        .by(&route)
    }

    /// The refusal for a pod that is not there, with the nearest one that is.
    pub(super) async fn no_such_pod(&self, pod: &str) -> Error {
        let error = Error::refused(format!(
            "there is no pod {pod} in namespace {}",
            self.namespace
        ))
        .code(&explain::POD_UNFIT);
        match self.cluster.pod_names().await {
            Ok(names) => match closest(pod, names.iter().map(String::as_str)) {
                Some(name) => error.hint(format!("did you mean {name}?")),
                None => error.hint("name the namespace with --namespace if it is another one"),
            },
            Err(cause) => refused(error.what, &cause).or_code(&explain::POD_UNFIT),
        }
    }
}

/// The registries, as the operator reaches them.
pub(super) fn registry(transfer: &TransferConfig) -> Result<OciRegistry, Error> {
    OciRegistry::new(transfer.plain_http.unwrap_or_default())
        .map_err(|error| refused("failed to set up the registry's client", &error))
}

/// The context that decides which section of the configuration file counts. A kubeconfig that
/// cannot be read has none; connecting says why it cannot.
fn context(global: &GlobalArgs) -> Option<String> {
    global.context.clone().or_else(|| {
        let kubeconfig = match &global.kubeconfig {
            Some(path) => Kubeconfig::read_from(path),
            None => Kubeconfig::read(),
        };
        kubeconfig.ok()?.current_context
    })
}

/// The cluster's tunnels as ways to a broker.
pub(super) struct Ways {
    /// The tunnels.
    pub(super) tunnels: Tunnels,
    /// What became of the latest connection by each, by host and port.
    troubles: Mutex<HashMap<(String, u16), Trouble>>,
}

impl Ways {
    fn into(cluster: &KubeCluster) -> Self {
        Self {
            tunnels: cluster.tunnels(),
            troubles: Mutex::default(),
        }
    }

    fn trouble(&self, host: &str, port: u16) -> Trouble {
        let mut all = self.troubles.lock().unwrap_or_else(PoisonError::into_inner);
        all.entry((host.to_owned(), port)).or_default().clone()
    }
}

#[async_trait]
impl Route for Ways {
    async fn detour(&self, host: &str, port: u16) -> PortResult<Option<Detour>> {
        let trouble = self.trouble(host, port);
        let notes = || {
            let trouble = trouble.clone();
            Box::new(move |noted: Noted| trouble.note(noted)) as cluster::Notes
        };
        let tunnel = self.tunnels.to(host, port, notes).await?;
        Ok(tunnel.map(|tunnel| Detour {
            address: tunnel.address,
            words: format!("port-forward to {}", tunnel.service),
            trouble,
        }))
    }
}
