//! The sandbox's API server, driven by what drives a real one: kube clients and kubectl.
//!
//! kubectl is found on the path, or named by the environment variable `KUBECTL`.

#[path = "apiserver/support.rs"]
mod support;

#[path = "apiserver/clients.rs"]
mod clients;
#[path = "apiserver/commands.rs"]
mod commands;
#[path = "apiserver/custom.rs"]
mod custom;
#[path = "apiserver/disturbances.rs"]
mod disturbances;
#[path = "apiserver/kubectl.rs"]
mod kubectl;
#[path = "apiserver/ownership.rs"]
mod ownership;
#[path = "apiserver/rights.rs"]
mod rights;
#[path = "apiserver/writes.rs"]
mod writes;
