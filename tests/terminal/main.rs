//! What people see: `ms2m` on pseudo-terminals of several sizes, with a sandbox behind it.

#[path = "../support/mod.rs"]
mod support;

#[path = "../commands/stage.rs"]
#[allow(
    dead_code,
    reason = "it is that of another test, which uses more of it"
)]
mod stage;

mod migrate;
mod transcripts;
mod watch;
