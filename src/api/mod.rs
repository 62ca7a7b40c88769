//! The resource `StatefulMigration` and the words that are fixed with it.
//!
//! Field names are a contract: a manifest written for MS2M applies unchanged. Nothing here acts;
//! the engine is in [`crate::migration`].

pub mod conditions;
pub mod v1alpha1;

pub use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, Time};
pub use v1alpha1::{
    ArgumentType, BindingArgument, BrokerCredentials, Compression, Handoff, HandoffBinding,
    HandoffStage, HandoffStatus, MessageQueueConfig, OwnerStatus, Phase, Receipt, SecretKeyRef,
    SecretSource, StaleIdentity, StatefulMigration, StatefulMigrationSpec, StatefulMigrationStatus,
    Strategy, TakeoverStatus, Timeouts, TransferConfig, UndoStep,
};

/// API group of the resource, and prefix of every label and annotation that ms2m sets or reads.
pub const GROUP: &str = "migration.ms2m.io";

/// Label on everything that ms2m creates in a cluster; its value is the migration's name.
pub const MIGRATION_LABEL: &str = "migration.ms2m.io/migration";

/// Label that says what part an object plays: `journal`, `kept`, `transfer`, `image-pull` or
/// `target`.
pub const ROLE_LABEL: &str = "migration.ms2m.io/role";

/// Label on a `StatefulMigration` that has ended and needs nobody any more, with the value `true`:
/// the controller does not even watch it.
pub const ENDED_LABEL: &str = "migration.ms2m.io/ended";

/// Label on a `StatefulMigration`: who drives it, if not the controller.
pub const DRIVEN_BY_LABEL: &str = "migration.ms2m.io/driven-by";

/// Value of [`DRIVEN_BY_LABEL`]: the command line does, and no controller may. Whoever takes the
/// label away hands the migration to the controller.
pub const DRIVEN_BY_CLI: &str = "cli";

/// Annotation on a `StatefulMigration`: the failed one that it tries again.
pub const RETRY_OF: &str = "migration.ms2m.io/retry-of";

/// Finalizer of a `StatefulMigration` that the controller carries out: it does not go before it was
/// rolled back or finished.
pub const FINALIZER: &str = "migration.ms2m.io/finish";

/// The `CustomResourceDefinition` as generated from the Rust types.
pub fn crd()
-> k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition {
    <StatefulMigration as kube::CustomResourceExt>::crd()
}
