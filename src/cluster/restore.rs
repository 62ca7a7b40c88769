//! The port `Restore`, by the one way that runtimes know today: a pod whose container's image is
//! the checkpoint.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;

use super::KubeCluster;
use super::naming::{CONTAINER, labels, role};
use super::start::{Start, start_of};
use super::target::{target_pod, with_base_image};
use crate::migration::error::PortError;
use crate::migration::ports::{PortResult, Restore, RestoreOrder, RestoreState};

/// How soon a pod in trouble is looked at again: its grace ends without any change to see.
const IN_TROUBLE: Duration = Duration::from_secs(1);

impl KubeCluster {
    /// The source pod, as long as it is the one that was checkpointed.
    async fn checkpointed(&self, order: &RestoreOrder) -> PortResult<Arc<Pod>> {
        let source = self
            .read_pod(&order.source_pod)
            .await?
            .ok_or_else(|| PortError::NotFound(format!("there is no pod {}", order.source_pod)))?;
        if source.uid().as_deref() != Some(order.source_uid.as_str()) {
            return Err(PortError::NotFound(format!(
                "pod {} is not the one that was checkpointed any more",
                order.source_pod
            )));
        }
        Ok(source)
    }

    /// Makes the target pod, with the base image as a volume where the node knows such volumes.
    async fn make_target(&self, target: Pod, order: &RestoreOrder) -> PortResult<Pod> {
        let Some(image) = self.image_for_volume(order).await? else {
            return self.ensure(&target).await;
        };
        let with = with_base_image(target.clone(), &order.container, image);
        match self.ensure(&with).await {
            // The volume is a precaution: a cluster that has it switched off, or forbidden by a
            // policy, restores without.
            Err(PortError::Invalid(words) | PortError::Denied(words)) => {
                tracing::debug!(words, "tried without the base image as a volume");
                self.ensure(&target).await
            }
            other => other,
        }
    }

    async fn image_for_volume<'a>(&self, order: &'a RestoreOrder) -> PortResult<Option<&'a str>> {
        let Some(image) = &order.base_image else {
            return Ok(None);
        };
        let target = self.known_node(&order.node).await?;
        Ok(target
            .is_some_and(|node| node.has_image_volumes)
            .then_some(image.as_str()))
    }
}

#[async_trait]
impl Restore for KubeCluster {
    async fn ensure_target(&self, order: &RestoreOrder) -> PortResult<()> {
        let source = match &order.kept_with {
            Some(set) => Arc::new(self.kept_source(&order.migration, set).await?),
            None => self.checkpointed(order).await?,
        };
        let target = self.make_target(target_pod(&source, order)?, order).await?;
        self.inner.watches.observe(target);
        Ok(())
    }

    async fn target(&self, migration: &str, name: &str) -> PortResult<RestoreState> {
        // A pod of that name that somebody else has made is not the target.
        let ours = labels(migration, role::TARGET);
        let is_ours = |pod: &Arc<Pod>| {
            ours.iter()
                .all(|(key, value)| pod.labels().get(key) == Some(value))
        };
        let found = self.inner.watches.current(name).await?;
        let Some(pod) = found.filter(is_ours) else {
            return Ok(RestoreState::Absent);
        };
        let container = pod.annotations().get(CONTAINER).map(String::as_str);
        Ok(match start_of(&pod, container) {
            Start::Running { ready } => {
                self.inner.watches.trouble(name, false);
                RestoreState::Running {
                    uid: pod.uid().unwrap_or_default(),
                    ready,
                }
            }
            Start::Starting(words) => {
                self.inner.watches.trouble(name, false);
                RestoreState::Starting(words)
            }
            Start::Ended(words) => RestoreState::Failed(words),
            Start::Trouble { words, grace } => {
                if self.inner.watches.trouble(name, true) >= grace {
                    RestoreState::Failed(words)
                } else {
                    RestoreState::Starting(words)
                }
            }
        })
    }

    async fn target_changed(&self, name: &str, limit: Duration) -> PortResult<()> {
        let in_trouble = self.inner.watches.in_trouble(name);
        let limit = if in_trouble {
            limit.min(IN_TROUBLE)
        } else {
            limit
        };
        self.inner.watches.changed(name, limit).await;
        Ok(())
    }
}
