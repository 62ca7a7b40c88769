//! What people type about `StatefulMigration` resources, against real API servers. Where a controller
//! would have a part, kubectl plays it.

#[path = "../support/mod.rs"]
mod support;

mod abort;
mod completion;
mod create;
mod delete;
mod retry;
mod rights;
mod stage;
mod status;
mod via_controller;
mod watch;
mod whole;
