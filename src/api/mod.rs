//! The resource `StatefulMigration` and the words that are fixed with it.
//!
//! Field names are a contract: a manifest written for MS2M applies unchanged. Nothing here acts;
//! the engine is in [`crate::migration`].

pub mod conditions;
pub mod v1alpha1;

pub use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, Time};
pub use v1alpha1::{
    ArgumentType, BindingArgument, Compression, Handoff, HandoffBinding, HandoffStage,
    HandoffStatus, MessageQueueConfig, OwnerStatus, Phase, Receipt, StaleIdentity,
    StatefulMigration, StatefulMigrationSpec, StatefulMigrationStatus, Strategy, TakeoverStatus,
    TransferConfig, UndoStep,
};

/// API group of the resource, and prefix of every label and annotation that ms2m sets or reads.
pub const GROUP: &str = "migration.ms2m.io";

/// Label on everything that ms2m creates in a cluster; its value is the migration's name.
pub const MIGRATION_LABEL: &str = "migration.ms2m.io/migration";

/// Label that says what part an object plays: `journal`, `kept`, `transfer`, `image-pull` or
/// `target`.
pub const ROLE_LABEL: &str = "migration.ms2m.io/role";

/// The `CustomResourceDefinition` as generated from the Rust types.
pub fn crd()
-> k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition {
    <StatefulMigration as kube::CustomResourceExt>::crd()
}
