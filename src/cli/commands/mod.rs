//! One file a command: its arguments, whose doc comments are the help, above what it does.

pub mod abort;
pub mod check;
pub mod checkpoint;
pub mod completion;
pub mod controller;
pub mod crd;
pub mod create;
pub mod created;
pub mod delete;
pub mod drain;
pub mod explain;
pub mod install;
pub mod logs;
pub mod man;
pub mod migrate;
pub mod plan;
pub mod retry;
pub mod status;
mod subject;
pub mod support_bundle;
pub mod uninstall;
pub mod watch;
pub mod which;
