//! Drives the phases through the ports, emits events, can stop and go on anywhere.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::error::Error;
use super::event::Reporter;
use super::limits::Limits;
use super::plan::{Plan, Request};
use super::ports::{Broker, Clock, Cluster, Journal, Registry, Restore};
use super::summary::Summary;

/// Everything outside.
#[derive(Clone)]
pub struct Ports {
    /// The Kubernetes API.
    pub cluster: Arc<dyn Cluster>,
    /// Makes a running pod from a checkpoint.
    pub restore: Arc<dyn Restore>,
    /// The AMQP broker.
    pub broker: Arc<dyn Broker>,
    /// The OCI registry.
    pub registry: Arc<dyn Registry>,
    /// Where migrations are remembered.
    pub journal: Arc<dyn Journal>,
    /// Time.
    pub clock: Arc<dyn Clock>,
}

/// Drives one migration.
pub struct Engine {
    ports: Ports,
    reporter: Arc<dyn Reporter>,
    limits: Limits,
    stop: CancellationToken,
}

impl Engine {
    /// An engine that tells `reporter` what it does and rolls back when `stop` is cancelled
    /// before the commit point.
    pub fn new(
        ports: Ports,
        reporter: Arc<dyn Reporter>,
        limits: Limits,
        stop: CancellationToken,
    ) -> Self {
        Self {
            ports,
            reporter,
            limits,
            stop,
        }
    }

    /// Looks at the world and makes the plan; changes nothing.
    ///
    /// # Errors
    /// [`super::error::ErrorKind::Refused`] with the reason and the remedy.
    pub async fn plan(&self, request: &Request) -> Result<Plan, Error> {
        let _ = (request, &self.ports, &self.limits);
        Err(Error::refused("not yet"))
    }

    /// Moves the pod. An unfinished migration of the same pod is gone on with instead, if no
    /// other process works on it.
    ///
    /// # Errors
    /// Any kind; what was undone and what is left is in the error.
    pub async fn migrate(&self, request: &Request) -> Result<Summary, Error> {
        let _ = (request, &self.reporter, &self.stop);
        Err(Error::refused("not yet"))
    }
}
