//! The nodes of the sandbox: a kubelet each, with images, containers and an address of its own.

pub mod images;
pub mod runtime;
