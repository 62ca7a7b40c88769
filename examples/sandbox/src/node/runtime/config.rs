//! What a container is made of, as the kubelet tells the runtime, and as the runtime tells the
//! container's first process.

use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::node::images::Image;

/// The pod that a container belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PodIdentity {
    /// The pod's namespace.
    pub namespace: String,
    /// The pod's name.
    pub name: String,
    /// The pod's uid.
    pub uid: String,
}

/// Something of the node that a container sees at a path of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Mount {
    /// File or directory on the node.
    pub source: PathBuf,
    /// Absolute path in the container.
    pub destination: String,
    /// Whether the container may not write there.
    pub read_only: bool,
}

/// The user that a process runs as.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct User {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
    /// Further groups.
    #[serde(default)]
    pub additional_gids: Vec<u32>,
}

/// What the kubelet asks the runtime for.
#[derive(Clone, Debug)]
pub struct ContainerConfig {
    /// The pod.
    pub pod: PodIdentity,
    /// The container's name in the pod.
    pub name: String,
    /// How often it was started before.
    pub attempt: u32,
    /// The image, which is on the node.
    pub image: Arc<Image>,
    /// The image as the pod names it.
    pub image_name: String,
    /// Replaces the image's entrypoint.
    pub command: Vec<String>,
    /// Replaces the image's command.
    pub args: Vec<String>,
    /// The environment, which adds to the image's.
    pub env: Vec<(String, String)>,
    /// Replaces the image's working directory.
    pub working_dir: Option<String>,
    /// Replaces the image's user.
    pub run_as_user: Option<u32>,
    /// Replaces the image's group.
    pub run_as_group: Option<u32>,
    /// Further groups.
    pub supplemental_groups: Vec<u32>,
    /// The pod's mounts, those of the kubelet itself included.
    pub mounts: Vec<Mount>,
    /// The pod's host name.
    pub hostname: String,
    /// Where the log goes.
    pub log_path: PathBuf,
}

/// What the container's first process does before it becomes the container's program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InitConfig {
    /// The sandbox's process, with which the container ends.
    pub parent: u32,
    /// The root directory of the container, on the node.
    pub rootfs: PathBuf,
    /// FIFO for the error that keeps the program from running. It is closed without a word
    /// when the program runs.
    pub status: PathBuf,
    /// The host name in the UTS namespace.
    pub hostname: String,
    /// What is mounted besides `/proc` and `/dev`.
    pub mounts: Vec<Mount>,
    /// The user.
    pub user: User,
    /// Program and arguments.
    pub args: Vec<String>,
    /// The whole environment.
    pub env: Vec<(String, String)>,
    /// The working directory.
    pub cwd: String,
    /// Whether standard input is the checkpoint stream, which the program is to inherit under
    /// the number in the protocol's variable.
    pub checkpoint_stream: bool,
}
