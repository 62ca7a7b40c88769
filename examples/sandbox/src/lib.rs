//! A Kubernetes cluster on one machine.
