//! `ms2m` moves a running, stateful, message-driven pod from one Kubernetes node to another:
//! its memory travels as a CRIU checkpoint in an OCI image, the messages that arrive meanwhile
//! wait in replay queues on the AMQP broker, and nothing is lost or applied twice.
//!
//! # The map
//! - [`api`]: the resource `StatefulMigration` and the words fixed with it.
//! - [`migration`]: the engine. Knows no client library; everything outside is a trait in
//!   [`migration::ports`].
//! - [`cluster`], [`broker`], [`registry`], [`clock`]: adapters, each implementing its ports.
//! - [`controller`]: the engine in the cluster, for `StatefulMigration` resources.
//! - [`explain`]: what each error code means; a leaf that all others may use.
//! - [`check`]: whether a cluster and a migration would do, as grouped results.
//! - [`discover`]: what a pod tells of its broker and its queue.
//! - [`install`]: what goes into a cluster for the controller, as objects and manifests.
//! - [`cli`]: the command line.
//!
//! # The rule of dependencies
//! They point inwards: `cli` and `controller` use the adapters and `migration`; the adapters use `migration`'s
//! ports and `api`; `migration` uses `api` and `explain`, and nothing else. A test sees to that.

pub mod api;
pub mod broker;
pub mod check;
pub mod cli;
pub mod clock;
pub mod cluster;
pub mod controller;
pub mod discover;
pub mod explain;
pub mod install;
pub mod migration;
pub mod registry;
