//! What a check asks the API server beyond what a migration does: who asks, what the kubelets can do,
//! what admission would say. Nothing is changed: pods are made in a dry run only.

mod admission;
mod kubelet;
mod memory;
mod ports;
mod remedies;

use std::time::Duration;

use k8s_openapi::api::authentication::v1::SelfSubjectReview;
use kube::api::{Api, PostParams};

pub use admission::Trial;
pub(super) use admission::admission_answer;
pub use kubelet::Gate;

use super::KubeCluster;
use super::rights::{self, Permission};
use crate::migration::ports::PortResult;

/// How long any one of these answers may take.
pub(super) const LIMIT: Duration = Duration::from_secs(10);

/// So many images a kubelet tells of at most, unless it is configured otherwise
/// (`nodeStatusMaxImages`).
const IMAGES_TOLD: usize = 50;

/// What came of something that was tried without effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It would work.
    Yes,
    /// It would not.
    No {
        /// The other side's words.
        words: String,
        /// What to do about it, a line each.
        remedies: Vec<String>,
    },
    /// Nobody could tell, for this reason.
    Unknown(String),
}

impl KubeCluster {
    /// The API server's version, as `v1.36.2`.
    ///
    /// # Errors
    /// It cannot be reached, or does not tell.
    pub async fn server_version(&self) -> PortResult<String> {
        let (retry, client) = (&self.inner.retry, &self.inner.client);
        let what = "ask for the API server's version";
        let info = retry.run(what, || client.apiserver_version()).await?;
        Ok(info.git_version)
    }

    /// The name that the API server knows the caller by.
    ///
    /// # Errors
    /// It does not tell: Kubernetes does so since 1.28.
    pub async fn caller(&self) -> PortResult<String> {
        let api: Api<SelfSubjectReview> = Api::all(self.inner.client.clone());
        let review = SelfSubjectReview::default();
        let parameters = PostParams::default();
        let answer = self
            .inner
            .retry
            .run("ask who the caller is", || api.create(&parameters, &review))
            .await?;
        let user = answer.status.and_then(|status| status.user_info);
        Ok(user.and_then(|user| user.username).unwrap_or_default())
    }

    /// Every right of the command line, and what the caller lacks of it.
    ///
    /// # Errors
    /// The API server does not answer.
    pub async fn permissions(&self) -> PortResult<Vec<Permission>> {
        let inner = &self.inner;
        rights::review(&inner.client, &inner.retry, &inner.namespace).await
    }

    /// Whether `node` has `image`; `None` when that is not named by digest, or the node does not tell of
    /// all of its images.
    ///
    /// # Errors
    /// The node cannot be read.
    pub async fn has_image(&self, node: &str, image: &str) -> PortResult<Option<bool>> {
        let Some((_, digest)) = image.split_once('@') else {
            return Ok(None);
        };
        let node = self.find_node(node).await?;
        let images = node
            .and_then(|node| node.status)
            .and_then(|status| status.images)
            .unwrap_or_default();
        let mut names = images.iter().flat_map(|it| it.names.iter().flatten());
        if names.any(|name| name == image || name.ends_with(digest)) {
            return Ok(Some(true));
        }
        let told_all = !images.is_empty() && images.len() < IMAGES_TOLD;
        Ok(told_all.then_some(false))
    }
}
