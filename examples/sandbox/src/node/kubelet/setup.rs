//! How a node is set up, as far as a checkpoint depends on it: its kubelet's feature gate, the rights
//! of the API server's own identity, what it tells of itself, and its files (`host`). What it tells is
//! only told: the node behaves as it always does.

use std::collections::BTreeMap;

use serde::Deserialize;

/// A node's set-up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setup {
    /// Whether the feature gate `ContainerCheckpoint` is on.
    pub container_checkpoint: bool,
    /// Whether the API server's identity is one of `system:masters`, as it was before kubeadm 1.36.1.
    /// Otherwise the kubelet asks whether it may.
    pub api_server_is_admin: bool,
    /// What the node tells of its runtime, instead of the truth.
    pub runtime_version: Option<String>,
    /// What the node tells of its kernel, instead of the truth.
    pub kernel_version: Option<String>,
    /// What the node tells of its CPU's architecture, instead of the truth.
    pub architecture: Option<String>,
    /// Whether its runtime knows the digests of images. It does not of those that were loaded on the
    /// node by hand; a container started of one has the image's id for `imageID`.
    pub image_digests: bool,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            container_checkpoint: true,
            api_server_is_admin: true,
            runtime_version: None,
            kernel_version: None,
            architecture: None,
            image_digests: true,
        }
    }
}

/// What is to change of it; what is absent stays. An empty text is the truth again.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct SetupOrder {
    container_checkpoint: Option<bool>,
    api_server_is_admin: Option<bool>,
    runtime_version: Option<String>,
    kernel_version: Option<String>,
    architecture: Option<String>,
    image_digests: Option<bool>,
    /// Files by their paths on the node; those without a text are removed.
    #[serde(default)]
    pub(super) files: BTreeMap<String, Option<String>>,
}

impl Setup {
    /// Changes what `order` says.
    pub(super) fn change(&mut self, order: SetupOrder) {
        let told = |text: String| (!text.is_empty()).then_some(text);
        if let Some(on) = order.container_checkpoint {
            self.container_checkpoint = on;
        }
        if let Some(admin) = order.api_server_is_admin {
            self.api_server_is_admin = admin;
        }
        if let Some(version) = order.runtime_version {
            self.runtime_version = told(version);
        }
        if let Some(version) = order.kernel_version {
            self.kernel_version = told(version);
        }
        if let Some(architecture) = order.architecture {
            self.architecture = told(architecture);
        }
        if let Some(known) = order.image_digests {
            self.image_digests = known;
        }
    }
}
