//! Reference worker and producer of the consumer contract, and the audit that proves a
//! migration exact.
//!
//! What it is not: a part of `ms2m`. The engine knows none of it and moves any application
//! that keeps the contract; this one exists to show how little that takes, and to be audited.
//!
//! - [`snapshot`]: how a process without CRIU leaves an image of its memory, both ends of it.

pub mod snapshot;
