//! Where a setting comes from: flag, environment, annotation on the pod, configuration file,
//! default, in this order.
//!
//! [`table`] has every setting once and drives resolution, messages and the reference alike;
//! [`flags`] is how they are typed; [`value`] reads and shows values; [`config`] reads the file;
//! [`layers`] resolves.

pub mod config;
pub mod flags;
pub mod layers;
pub mod migration;
pub mod table;
pub mod value;

pub use config::Config;
pub use layers::{Layers, Origin, Resolved};
pub use table::{SETTINGS, Setting};
