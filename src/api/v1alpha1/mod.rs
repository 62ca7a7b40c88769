//! `migration.ms2m.io/v1alpha1`: the Rust types that the CRD is generated from.

mod config;
mod handoff;
mod phase;
mod receipt;
mod spec;
mod status;

pub use config::{
    BrokerCredentials, Compression, Handoff, MessageQueueConfig, SecretKeyRef, SecretSource,
    StaleIdentity, Strategy, Timeouts, TransferConfig,
};
pub use handoff::{
    ArgumentType, BindingArgument, HandoffBinding, HandoffStage, HandoffStatus, UndoStep,
};
pub use phase::Phase;
pub use receipt::Receipt;
pub use spec::{StatefulMigration, StatefulMigrationSpec};
pub use status::{OwnerStatus, StatefulMigrationStatus, TakeoverStatus};
