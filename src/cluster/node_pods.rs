//! The pods of one node, of a namespace or of all: for commands that empty a node. A migration
//! itself looks at its own pod alone.

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use kube::api::{Api, ListParams};

use super::KubeCluster;
use super::naming::role;
use super::pages;
use super::view::pod_view;
use crate::api::ROLE_LABEL;
use crate::migration::ports::{PodView, PortResult};

/// Which pods of a node are looked for.
#[derive(Debug, Clone, Copy)]
pub struct NodePods<'a> {
    /// The node.
    pub node: &'a str,
    /// Those of all namespaces, not only of the cluster's own.
    pub everywhere: bool,
    /// Those with these labels.
    pub selector: Option<&'a str>,
}

/// A pod that was found on a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundPod {
    /// Its namespace.
    pub namespace: String,
    /// The pod.
    pub pod: PodView,
    /// Whether it is one that ms2m made to work for a migration, and not a target.
    pub helper: bool,
}

impl KubeCluster {
    /// Another namespace of the same cluster, over the same connections.
    #[must_use]
    pub fn in_namespace(&self, namespace: &str) -> Self {
        if namespace == self.namespace() {
            return self.clone();
        }
        self.fresh(namespace)
    }

    /// The same, which shares nothing but connections: what it remembers of pods and Jobs goes with
    /// it.
    #[must_use]
    pub fn fresh(&self, namespace: &str) -> Self {
        Self::new(
            self.inner.client.clone(),
            self.inner.checkpoints.clone(),
            namespace.to_owned(),
        )
    }

    /// The pods of a node, by namespace and name.
    ///
    /// # Errors
    /// They cannot be listed.
    pub async fn pods_on(&self, wanted: NodePods<'_>) -> PortResult<Vec<FoundPod>> {
        let pods: Api<Pod> = if wanted.everywhere {
            Api::all(self.inner.client.clone())
        } else {
            self.pods()
        };
        let field = format!("spec.nodeName={}", wanted.node);
        let mut params = ListParams::default().fields(&field);
        if let Some(selector) = wanted.selector {
            params = params.labels(selector);
        }
        let what = format!("list the pods of node {}", wanted.node);
        let listed = pages::all(&self.inner.retry, &pods, params, &what).await?;
        let mut found: Vec<_> = listed.iter().map(found_pod).collect();
        found.sort_by(|one, other| {
            (&one.namespace, &one.pod.name).cmp(&(&other.namespace, &other.pod.name))
        });
        Ok(found)
    }
}

fn found_pod(pod: &Pod) -> FoundPod {
    let role = pod.labels().get(ROLE_LABEL).map(String::as_str);
    FoundPod {
        namespace: pod.namespace().unwrap_or_default(),
        pod: pod_view(pod),
        helper: matches!(
            role,
            Some(role::TRANSFER | role::IMAGE_PULL | role::RECEIVER)
        ),
    }
}
