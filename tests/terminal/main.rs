//! What people see: `ms2m` on pseudo-terminals of several sizes, with a sandbox behind it.

#[path = "../support/mod.rs"]
mod support;

#[path = "../commands/stage.rs"]
mod stage;

mod migrate;
mod transcripts;
mod watch;
