//! The port `Restore`, by the one way that runtimes know today: a pod whose container's image is
//! the checkpoint.

use std::time::Duration;

use async_trait::async_trait;
use kube::ResourceExt;

use super::KubeCluster;
use super::naming::CONTAINER;
use super::remedy::restore_words;
use super::start::{Start, start_of};
use super::target::target_pod;
use crate::migration::error::PortError;
use crate::migration::ports::{PortResult, Restore, RestoreOrder, RestoreState};

/// How soon a pod in trouble is looked at again: its grace ends without any change to see.
const IN_TROUBLE: Duration = Duration::from_secs(1);

#[async_trait]
impl Restore for KubeCluster {
    async fn ensure_target(&self, order: &RestoreOrder) -> PortResult<()> {
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
        let target = self.ensure(&target_pod(&source, order)?).await?;
        self.inner.watches.observe(target);
        Ok(())
    }

    async fn target(&self, name: &str) -> PortResult<RestoreState> {
        let Some(pod) = self.inner.watches.current(name).await? else {
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
            Start::Ended(words) => RestoreState::Failed(restore_words(&words)),
            Start::Trouble { words, grace } => {
                if self.inner.watches.trouble(name, true) >= grace {
                    RestoreState::Failed(restore_words(&words))
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
