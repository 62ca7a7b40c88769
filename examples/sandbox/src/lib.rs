//! A Kubernetes cluster on one machine for ms2m.

pub mod image;
pub mod node;
pub mod process;
pub mod services;
