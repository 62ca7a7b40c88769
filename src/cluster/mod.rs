//! The Kubernetes API, as kube sees it: the ports `Cluster`, `Restore`, `Journal` and `Lock`.
//!
//! Builders of objects and readers of statuses are pure functions with tests beside them; what
//! sends requests is thin. Nothing here decides what a migration does next.

mod adapter;
mod amounts;
mod checkpoint;
mod connect;
mod environment;
mod error;
mod everywhere;
mod evidence;
mod image_pull;
mod inspect;
pub mod journal;
mod known;
pub mod migrations;
mod names;
pub mod naming;
mod node_pods;
mod objects;
mod owners;
mod pages;
mod placement;
mod pods;
mod probe;
mod ready;
mod receiver;
mod remedy;
mod restore;
mod retry;
pub mod rights;
mod start;
mod target;
mod transfer;
mod tunnel;
mod view;
mod watch;

pub use adapter::KubeCluster;
pub use connect::{ConnectOptions, connect};
pub use environment::{Surrounding, Variable};
pub(crate) use error::port_error;
pub use everywhere::Unended;
pub use inspect::{Answer, Gate, Trial};
pub use journal::{KubeJournal, Leadership};
pub use migrations::CONTROLLER_LABEL;
pub use names::Named;
pub use node_pods::{FoundPod, NodePods};
pub use objects::{Change, Kind, Which, Writing};
pub use probe::{PROBE_ROLE, ProbeOrder, Probed};
pub use rights::rbac_manifest;
pub use tunnel::{Noted, Notes, ServiceName, Tunnel, Tunnels, services_of};
