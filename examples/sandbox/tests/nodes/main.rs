//! The sandbox's nodes, with a real broker and a real registry: what kubelets do with pods, Jobs,
//! checkpoints and restores, what it looks like when that fails, and that nothing is left behind.
//!
//! All tests but those of the end share one sandbox, each in a namespace of its own.

mod checkpoints;
mod claims;
mod deployments;
mod ending;
mod faults;
mod jobs;
mod pods;
mod replica_sets;
mod restores;
mod services;
mod stateful_sets;
mod support;
mod volumes;
