//! The adapter to Kubernetes, against a bare socket where requests are counted.

mod checkpoint;
mod once;
