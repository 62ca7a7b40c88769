//! A Kubernetes cluster on one machine for ms2m: an API server, nodes that run real processes,
//! a real broker and a real registry, all on loopback and in one directory.
//!
//! - [`apiserver`]: the Kubernetes API. Everything else talks to it over HTTP, as in a cluster.
//! - [`node`]: kubelets, images, and the container runtime with checkpoint and restore.
//! - [`controllers`]: scheduler, Jobs, claims, endpoints, node lifecycle.
//! - [`storage`]: where the data of persistent volumes lies.
//! - [`services`]: RabbitMQ and the image registry.
//! - [`image`]: images made of one static binary.
//! - [`control`]: where faults are ordered.
//! - [`sandbox`]: all of it together. [`cli`]: the command line.
//! - [`process`]: child processes that do not outlive the sandbox.
//!
//! It is for tests and demonstrations. It isolates containers from each other only as far as a
//! migration can tell the difference.

pub mod apiserver;
pub mod cli;
pub mod control;
pub mod controllers;
pub mod image;
pub mod node;
pub mod process;
pub mod sandbox;
pub mod services;
pub mod storage;
