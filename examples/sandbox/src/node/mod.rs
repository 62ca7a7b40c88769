//! The nodes of the sandbox: a kubelet each, with images, containers and an address of its own.

mod addresses;
mod events;
mod faults;
pub mod images;
mod kubelet;
mod pod;
pub mod runtime;

pub use addresses::{Network, PodAddresses};
pub use events::{Recorder, Severity};
pub use faults::{Fault, Faults, Point};
pub use kubelet::{Error, LEASES, Node, NodeOptions, Setup, SetupOrder};
