//! The command line: arguments in, one front to the engine, words on stderr, data on stdout.
//!
//! - [`args`]: what can be typed; one file a command in [`commands`].
//! - [`settings`]: where a setting comes from when it was not typed.
//! - [`report`]: progress, from the engine's events.
//! - [`view`]: what people read on stdout.
//! - [`output`]: the formats of a result.
//! - [`ui`], [`failure`], [`exit`]: every byte of output, every failure, every exit code.
//! - `complete`: what a shell is answered that asks what may come next.
//! - `follow`: a migration that somebody else carries out, to its end.
//! - [`manifest`]: manifests of resources, checked without a cluster.
//! - `wire`: the only place that puts adapters and engine together.

pub mod args;
pub mod commands;
mod complete;
mod discover;
pub mod exit;
pub mod failure;
mod follow;
mod format;
pub mod interrupt;
pub mod manifest;
pub mod output;
pub mod report;
mod run;
mod screen;
pub mod settings;
pub mod ui;
pub mod view;
mod wire;

pub use args::command;
pub use run::main;
