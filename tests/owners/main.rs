//! Black-box tests of pods that belong to someone: the real binary moves them under load in the
//! sandbox, whose controllers fight a migration as the real ones do.

#[path = "../support/mod.rs"]
mod support;

mod deployment;
mod drain;
mod refuses;
mod scene;
mod stateful_set;
mod volumes;
