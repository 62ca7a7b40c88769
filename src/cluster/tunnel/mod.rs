//! Ways from a workstation to a Service inside the cluster: the API server's port-forward.
//!
//! A name is taken for a Service's only where it cannot be anything else: this process is in no
//! pod, the name does not resolve here, and the cluster has a Service of that name. The name is
//! looked up first, since that is what everybody without a tunnel gets by with: no request and no
//! right more than before. A name that does resolve may lead to another machine than the Service,
//! but then it is what was typed, and every other program here would go there too.
//!
//! One listener on loopback for each port; every connection to it is forwarded anew, to a pod that
//! is ready then. A connection that breaks is a connection that broke, for whoever made it: what
//! to do about it is the caller's.

mod forward;
mod name;
mod pods;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::sync::Mutex;

use forward::Forward;
pub use forward::{Noted, Notes};
pub use name::{ServiceName, services_of};

use super::KubeCluster;
use super::rights::{self, Permission};
use crate::migration::error::PortError;
use crate::migration::ports::PortResult;

/// How long the machine's resolver may take. One that is cut off from its servers answers nothing,
/// and then the name does not resolve here.
const RESOLVING: Duration = Duration::from_secs(5);

/// The tunnels of this process into one cluster, made when they are first needed and kept.
pub struct Tunnels {
    cluster: KubeCluster,
    /// By host and port; `None` for those that need none.
    known: Mutex<HashMap<(String, u16), Option<Tunnel>>>,
}

/// A tunnel to one port of a Service.
#[derive(Debug, Clone)]
pub struct Tunnel {
    /// Where its connections begin.
    pub address: SocketAddr,
    /// Where they end.
    pub service: ServiceName,
}

/// What a name leads to.
#[derive(Debug)]
enum Found {
    /// It resolves, or is no name of a Service.
    Elsewhere,
    /// A Service of the cluster.
    Service(ServiceName),
    /// Nothing at all.
    Nothing,
}

impl KubeCluster {
    /// Tunnels into this cluster. Names without a namespace are Services of this one's.
    #[must_use]
    pub fn tunnels(&self) -> Tunnels {
        Tunnels {
            cluster: self.clone(),
            known: Mutex::default(),
        }
    }

    /// What the caller lacks of the rights that a tunnel to a Service in `namespace` takes.
    ///
    /// # Errors
    /// The API server does not answer.
    pub async fn tunnel_permissions(&self, namespace: &str) -> PortResult<Vec<Permission>> {
        let inner = &self.inner;
        rights::review_of_tunnel(&inner.client, &inner.retry, namespace).await
    }
}

impl Tunnels {
    /// The tunnel to `host` at `port`; `None` where none is needed. `notes` learns what becomes of
    /// its connections, when it is made here.
    ///
    /// # Errors
    /// The name does not resolve, and it cannot be seen whether it is a Service's;
    /// [`PortError::NotFound`] for a name that can be nothing else and is nobody's.
    pub async fn to(
        &self,
        host: &str,
        port: u16,
        notes: impl FnOnce() -> Notes,
    ) -> PortResult<Option<Tunnel>> {
        if in_a_pod() {
            return Ok(None);
        }
        let mut known = self.known.lock().await;
        let key = (host.to_owned(), port);
        if let Some(tunnel) = known.get(&key) {
            return Ok(tunnel.clone());
        }
        let tunnel = match self.find(host).await? {
            Found::Elsewhere => None,
            Found::Service(service) => {
                tracing::info!(
                    "{host}:{port} does not resolve here and is a {service}: connections go by port-forward"
                );
                let cluster = self.cluster.clone();
                let forward = Forward::new(cluster, service.clone(), port, notes());
                Some(Tunnel {
                    address: forward.listen().await?,
                    service,
                })
            }
            Found::Nothing if name::is_certain(host) => return Err(nobody(host, self.namespace())),
            // It may come to be something.
            Found::Nothing => return Ok(None),
        };
        known.insert(key, tunnel.clone());
        Ok(tunnel)
    }

    /// The Service that `host` would be reached by; `None` where no tunnel is needed. Where it may
    /// not be looked at it is the likeliest one: the rights on it are what lacks then.
    pub async fn service_of(&self, host: &str) -> Option<ServiceName> {
        if in_a_pod() {
            return None;
        }
        match self.find(host).await {
            Ok(Found::Service(service)) => Some(service),
            Ok(Found::Elsewhere | Found::Nothing) => None,
            Err(_) => services_of(host, self.namespace()).into_iter().next(),
        }
    }

    fn namespace(&self) -> &str {
        &self.cluster.inner.namespace
    }

    async fn find(&self, host: &str) -> PortResult<Found> {
        let services = services_of(host, self.namespace());
        if services.is_empty() || resolves(host).await {
            return Ok(Found::Elsewhere);
        }
        for service in services {
            if self.exists(&service).await? {
                return Ok(Found::Service(service));
            }
        }
        Ok(Found::Nothing)
    }

    async fn exists(&self, service: &ServiceName) -> PortResult<bool> {
        let found = forward::read(&self.cluster, service).await;
        found.map(|it| it.is_some()).map_err(|error| {
            let words = format!(
                "its host does not resolve here, and whether it is a Service of the cluster cannot be seen: {error}"
            );
            match error {
                PortError::Denied(_) => PortError::Denied(words),
                _ => PortError::Unreachable(words),
            }
        })
    }
}

/// Whether this process runs in a pod, where the cluster's names resolve by themselves.
fn in_a_pod() -> bool {
    std::env::var_os("KUBERNETES_SERVICE_HOST").is_some()
}

async fn resolves(host: &str) -> bool {
    let looked_up = tokio::time::timeout(RESOLVING, tokio::net::lookup_host((host, 0))).await;
    looked_up.is_ok_and(|found| found.is_ok_and(|mut addresses| addresses.next().is_some()))
}

fn nobody(host: &str, namespace: &str) -> PortError {
    let names: Vec<String> = services_of(host, namespace)
        .iter()
        .map(|it| format!("{} in namespace {}", it.name, it.namespace))
        .collect();
    PortError::NotFound(format!(
        "its host does not resolve here, and there is no Service {}",
        names.join(", nor ")
    ))
}
