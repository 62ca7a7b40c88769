//! `ms2m controller`: carries out `StatefulMigration` resources with the same engine as the command
//! line. Knows no phase by itself.
//!
//! - `wish`: what a resource asks for. `turn`: which migration may begin. Both are pure.
//! - `crew`: which migrations are at work, wait and rest.
//! - `reconcile`: looks at one resource; `work` carries it out; `object` and `note` write to it.
//! - `news`, `metrics`, `health`, `server`: what the controller tells.
//! - `run`: leads, serves and ends.
//!
//! A migration is one task of this process from its turn to its end, in which all its phases follow
//! one another; meanwhile changes of its resource only stop it. What is not under way is not
//! remembered: all that counts stands in the resource.

mod crew;
mod health;
mod metrics;
mod news;
mod note;
mod object;
mod reconcile;
mod run;
mod secrets;
mod server;
mod turn;
mod wish;
mod work;

pub use metrics::NAMES as METRICS;
pub use run::{Options, run};
pub use turn::Limits;
