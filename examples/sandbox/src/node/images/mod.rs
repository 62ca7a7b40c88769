//! The images of a node: pulled from a registry, kept by digest, unpacked.

mod localhost;
mod pull;
mod store;
mod unpack;

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;

pub use localhost::Localhost;
pub use pull::{PullError, registry_is_local};
pub use store::ImageStore;

/// An image on a node.
#[derive(Clone, Debug)]
pub struct Image {
    /// The image id: the digest of the configuration.
    pub id: String,
    /// The digest of the manifest.
    pub digest: String,
    /// `registry/repository@digest`, under which it was pulled.
    pub repo_digest: String,
    /// Whether the manifest is an OCI one. The annotations of a Docker manifest are not read.
    pub oci: bool,
    /// The annotations of the manifest.
    pub annotations: BTreeMap<String, String>,
    /// The configuration.
    pub config: ImageConfig,
    /// Bytes of all layers, as they were transferred.
    pub size: u64,
    /// The unpacked layers.
    pub rootfs: PathBuf,
}

/// What a runtime reads of an image configuration.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct ImageConfig {
    /// CPU architecture in Go's words.
    pub architecture: String,
    /// Operating system in Go's words.
    pub os: String,
    /// How to run it.
    pub config: Execution,
    /// What it is made of.
    pub rootfs: Layers,
}

/// How an image is run.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Execution {
    /// User, `uid[:gid]` or names.
    pub user: String,
    /// Environment, `NAME=value`.
    pub env: Option<Vec<String>>,
    /// Program and first arguments.
    pub entrypoint: Option<Vec<String>>,
    /// Further arguments.
    pub cmd: Option<Vec<String>>,
    /// Working directory.
    pub working_dir: String,
}

/// The layers of an image.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Layers {
    /// Digests of the uncompressed layers.
    pub diff_ids: Vec<String>,
}
