//! What a kubelet knows of a pod that it runs. The status that others see is made of it.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;

use crate::node::runtime::Container;

/// One pod.
#[derive(Clone, Debug, Default)]
pub(crate) struct PodState {
    /// Its address, once it has one.
    pub ip: Option<IpAddr>,
    /// When the kubelet took it up.
    pub started: Option<Timestamp>,
    /// Whether its volumes and its address are there.
    pub sandbox_ready: bool,
    /// Init containers and containers, by name.
    pub containers: BTreeMap<String, ContainerState>,
    /// Why the kubelet has ended the pod by itself (reason, message).
    pub failed: Option<(String, String)>,
}

/// One container of a pod.
#[derive(Clone, Debug)]
pub(crate) struct ContainerState {
    /// What it does now.
    pub now: Now,
    /// How it ended before.
    pub last: Option<Terminated>,
    /// How often it was started again.
    pub restarts: u32,
    /// Whether its readiness probe succeeds.
    pub ready: bool,
    /// Whether its startup probe has succeeded.
    pub started: bool,
    /// Whether it has been started at all; before that a wait has its first reason.
    pub image: Option<ImageShown>,
    /// The container that there is, running or ended.
    pub container: Option<Arc<Container>>,
    /// The log of the one before.
    pub previous_log: Option<PathBuf>,
}

/// The image in a container's status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ImageShown {
    /// `image`.
    pub name: String,
    /// `imageID`.
    pub id: String,
}

/// What a container does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Now {
    /// It waits to be started.
    Waiting {
        /// The kubelet's word.
        reason: String,
        /// More words.
        message: Option<String>,
    },
    /// Its process is there.
    Running {
        /// Since when.
        since: Timestamp,
    },
    /// Its process has ended.
    Terminated(Terminated),
}

/// How a container ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Terminated {
    /// Exit code; 128 plus the signal if there was one.
    pub code: i32,
    /// `Completed`, `Error`, `StartError`.
    pub reason: String,
    /// The termination message.
    pub message: Option<String>,
    /// When it was started.
    pub started: Option<Timestamp>,
    /// When it ended.
    pub finished: Timestamp,
    /// With the runtime's scheme.
    pub container_id: String,
}

impl ContainerState {
    /// A container that is not there yet.
    pub(crate) fn new(reason: &str) -> Self {
        Self {
            now: Now::waiting(reason, None),
            last: None,
            restarts: 0,
            ready: false,
            started: false,
            image: None,
            container: None,
            previous_log: None,
        }
    }

    /// Whether its process is there.
    pub(crate) fn running(&self) -> bool {
        matches!(self.now, Now::Running { .. })
    }

    /// How it ended, if it has.
    pub(crate) fn terminated(&self) -> Option<&Terminated> {
        match &self.now {
            Now::Terminated(terminated) => Some(terminated),
            Now::Waiting { .. } | Now::Running { .. } => None,
        }
    }
}

impl Now {
    /// Waiting for `reason`.
    pub(crate) fn waiting(reason: &str, message: Option<String>) -> Self {
        Self::Waiting {
            reason: reason.to_owned(),
            message,
        }
    }
}
