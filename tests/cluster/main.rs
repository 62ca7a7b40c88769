//! The adapter to Kubernetes: against a bare socket where requests are counted, and against the
//! sandbox's API server where its answers matter. No kubelet and no controller runs here: the
//! tests play both.

mod abort;
mod checkpoint;
mod journal;
mod kubelet;
mod lease;
mod once;
mod pods;
mod requests;
mod restore;
mod rights;
mod server;
mod transfer;
