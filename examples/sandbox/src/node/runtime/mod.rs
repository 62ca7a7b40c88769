//! The container runtime of a node: runs images as processes, checkpoints and restores them,
//! as CRI-O or as containerd does it. It knows no Kubernetes API.

mod checkpoint;
mod config;
mod connections;
mod container;
mod create;
mod init;
mod logs;
mod mounts;
mod process;
mod restore;
mod rootfs;
mod user;

use std::collections::HashSet;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

pub use config::{ContainerConfig, InitConfig, Mount, PodIdentity, User};
pub use container::{Container, Exit};
pub use init::{container_init, enter_namespaces};
pub use logs::{Log, parse as parse_log_line};

use super::images::ImageStore;

/// Which container runtime a node pretends to have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Personality {
    /// CRI-O 1.36.3.
    #[default]
    Crio,
    /// containerd 2.1.9.
    Containerd,
}

impl Personality {
    /// What `status.nodeInfo.containerRuntimeVersion` says.
    pub fn version(self) -> &'static str {
        match self {
            Self::Crio => "cri-o://1.36.3",
            Self::Containerd => "containerd://2.1.9",
        }
    }

    /// The scheme of container ids.
    pub fn scheme(self) -> &'static str {
        match self {
            Self::Crio => "cri-o",
            Self::Containerd => "containerd",
        }
    }
}

/// The runtime of one node.
#[derive(Debug)]
pub struct Runtime {
    /// What it pretends to be.
    pub personality: Personality,
    /// The images of the node.
    pub images: Arc<ImageStore>,
    /// Where containers have their files.
    pub root: PathBuf,
    /// Checkpoint images that are being restored, by digest.
    pub(crate) restoring: Mutex<HashSet<String>>,
}

/// Why a container was not created, started, checkpointed or restored: the runtime's words, as
/// they appear in a status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuntimeError {
    /// The step that failed.
    pub step: Step,
    /// What the runtime says.
    pub message: String,
}

/// The step of a container's life in which something failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The call that creates a container. The kubelet says `CreateContainerError`.
    Create,
    /// The call that starts it. The kubelet says `RunContainerError`.
    Start,
    /// The start, after which the runtime keeps a container that has ended: reason
    /// `StartError`, exit code 128.
    DeadStart,
}

impl RuntimeError {
    /// A failed creation.
    pub fn create(message: impl Into<String>) -> Self {
        Self {
            step: Step::Create,
            message: message.into(),
        }
    }
}

impl fmt::Display for RuntimeError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

impl std::error::Error for RuntimeError {}
