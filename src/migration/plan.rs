//! Observed facts → a validated [`Plan`]: the only way into the engine.
//!
//! Pure: it reads nothing and changes nothing. What it refuses, it refuses with the remedy.

use serde::Serialize;

use crate::api::{HandoffBinding, StatefulMigrationSpec, Strategy};

/// What somebody wants.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// Name of the migration.
    pub name: String,
    /// The pod's namespace.
    pub namespace: String,
    /// What to move, where to, and how. The broker's URL is without a password.
    pub spec: StatefulMigrationSpec,
}

/// A migration that fits the world as it was seen: every choice made, every name settled.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// Name of the migration.
    pub name: String,
    /// The pod's namespace.
    pub namespace: String,
    /// The pod that moves.
    pub source_pod: String,
    /// Its uid.
    pub source_uid: String,
    /// The node that it leaves.
    pub source_node: String,
    /// The container that is moved.
    pub container: String,
    /// Its image by digest.
    pub base_image: String,
    /// The node that it goes to.
    pub target_node: String,
    /// Name of the target pod.
    pub target_pod: String,
    /// How.
    pub strategy: Strategy,
    /// The primary queue.
    pub queue: String,
    /// Its bindings, which the gate takes over.
    pub bindings: Vec<HandoffBinding>,
    /// Reference that the checkpoint is pushed to.
    pub checkpoint_image: String,
    /// Image of the transfer Job.
    pub transfer_image: String,
    /// What the operator should know before it begins.
    pub warnings: Vec<String>,
}
