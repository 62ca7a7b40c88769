//! The work inside the phases: one file a step, with what it ensures and how it is undone.
//!
//! [`Run`] is one migration in this process: its record, its ports, and what is remembered
//! between two looks at the broker. Every step may be repeated, by this process or another.

mod back;
mod bury;
mod checkpoint;
mod drive;
mod early;
mod finish;
mod gate;
mod home;
mod outage;
pub(super) mod owner;
mod pods;
mod prepare;
mod put_back;
mod receipt;
mod receiver;
mod restore;
mod retry;
mod run;
mod stuck;
mod takeover;
mod transfer;
mod trouble;

pub(super) use run::{Run, Signals};
