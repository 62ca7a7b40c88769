//! The engine: six phases, the gate handoff, roll-back, one event stream.
//!
//! It knows no kube, lapin, oci_client or clap: everything outside comes in through
//! [`ports`], everything to be told goes out as [`event`]s. Decisions are pure functions over
//! observed facts ([`plan`], [`handoff`]); effects are small and may be repeated.

pub mod carry;
pub mod engine;
pub mod error;
pub mod estimate;
pub mod event;
pub mod handoff;
pub mod limits;
mod look;
pub mod phase;
pub mod plan;
pub mod ports;
pub mod record;
pub mod recover;
mod steps;
pub mod summary;
