//! A Kubernetes cluster on one machine.

pub mod apiserver;
