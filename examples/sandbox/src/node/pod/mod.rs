//! Pods on a node: what a kubelet does for one pod, from its volumes to its last status.

mod backoff;
mod claims;
mod context;
mod credentials;
mod env;
mod images;
mod mounts;
mod probe;
mod report;
mod state;
mod status;
mod supervise;
mod termination;
mod volumes;
mod watching;
mod worker;

pub(crate) use context::PodContext;
pub(crate) use state::{ContainerState, PodState};
pub(crate) use worker::{PodWorker, uid};
