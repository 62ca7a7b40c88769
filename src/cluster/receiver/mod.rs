//! The receiver of a direct transfer: a pod on the target node that takes the checkpoint image, and
//! the Secret by which it and the transfer Job know each other. Made, looked at, removed.
//!
//! The pod comes first and owns the Secret: should nobody be there to remove them, the garbage
//! collector takes the one away with the other.

mod pod;
mod secret;

use std::net::IpAddr;

use k8s_openapi::api::core::v1::{Pod, Secret};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, PostParams};

use super::KubeCluster;
use super::error::is_already_exists;
use super::pods::absent_is_fine;
use super::start::{Start, start_of};
use crate::migration::error::PortError;
use crate::migration::ports::{PortResult, ReceiverOrder, ReceiverState};

pub(super) use secret::sender_volume;

/// What the receiver has is encrypted with a key that ends with it: it has nothing to finish.
pub(super) const GRACE: std::time::Duration = std::time::Duration::from_secs(1);

impl KubeCluster {
    fn secrets(&self) -> Api<Secret> {
        Api::namespaced(self.inner.client.clone(), &self.inner.namespace)
    }

    pub(super) async fn make_receiver(&self, order: &ReceiverOrder) -> PortResult<IpAddr> {
        let address = self.node_address(&order.node).await?;
        if self.inner.watches.current(&order.name).await?.is_none() {
            // One of an earlier pod belongs to that one, and goes with it.
            self.delete_secret(&order.name).await?;
        }
        let pod = self.ensure(&pod::receiver_pod(order)).await?;
        self.make_secret(order, &pod).await?;
        self.inner.watches.observe(pod);
        Ok(address)
    }

    /// Ensures the Secret. Nobody reads it but the kubelets, so one that is there is left as it is:
    /// the pod may have mounted it.
    async fn make_secret(&self, order: &ReceiverOrder, pod: &Pod) -> PortResult<()> {
        let owner = OwnerReference {
            api_version: "v1".to_owned(),
            kind: "Pod".to_owned(),
            name: pod.name_any(),
            uid: pod.uid().unwrap_or_default(),
            ..OwnerReference::default()
        };
        let wanted = secret::secret(order, owner)
            .map_err(|error| PortError::Invalid(format!("no certificates: {error}")))?;
        let (secrets, parameters) = (self.secrets(), PostParams::default());
        let what = format!("make Secret {}", order.name);
        self.inner
            .retry
            .run(&what, || async {
                match secrets.create(&parameters, &wanted).await {
                    Ok(_) => Ok(()),
                    Err(error) if is_already_exists(&error) => Ok(()),
                    Err(error) => Err(error),
                }
            })
            .await
    }

    /// The address by which other nodes reach a node, which pods in its network have too.
    async fn node_address(&self, name: &str) -> PortResult<IpAddr> {
        let node = self.known_node(name).await?;
        node.and_then(|node| node.address).ok_or_else(|| {
            PortError::NotFound(format!(
                "node {name} has no address of the type InternalIP, at which a direct transfer could reach it"
            ))
        })
    }

    pub(super) async fn see_receiver(&self, name: &str) -> PortResult<ReceiverState> {
        let Some(pod) = self.inner.watches.current(name).await? else {
            return Ok(ReceiverState::Absent);
        };
        Ok(match start_of(&pod, None) {
            Start::Ended(words) => ReceiverState::Failed(words),
            Start::Trouble { words, grace } => {
                if self.inner.watches.trouble(name, true) >= grace {
                    ReceiverState::Failed(words)
                } else {
                    ReceiverState::Starting(words)
                }
            }
            Start::Starting(words) => {
                self.inner.watches.trouble(name, false);
                ReceiverState::Starting(words)
            }
            Start::Running { .. } => {
                self.inner.watches.trouble(name, false);
                ReceiverState::Running
            }
        })
    }

    /// Asks for the end of both, and does not wait for it.
    pub(super) async fn let_receiver_go(&self, name: &str) -> PortResult<()> {
        self.ask_to_end(name, None, GRACE).await?;
        self.delete_secret(name).await
    }

    pub(super) async fn unmake_receiver(&self, name: &str) -> PortResult<()> {
        self.delete_pod(name, None, GRACE).await?;
        self.delete_secret(name).await
    }

    async fn delete_secret(&self, name: &str) -> PortResult<()> {
        let (secrets, params) = (self.secrets(), DeleteParams::default());
        let what = format!("delete Secret {name}");
        self.inner
            .retry
            .run(&what, || async {
                absent_is_fine(secrets.delete(name, &params).await)
            })
            .await?;
        Ok(())
    }
}
