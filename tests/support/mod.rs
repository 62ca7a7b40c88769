//! What the black-box tests stand on: a world (the sandbox, or a real cluster), an application in
//! it, and the real binaries.
//!
//! No test sleeps for luck: [`eventually`] looks until a deadline. Every application lives in a
//! namespace of its own, with a queue of its own, so tests run side by side.

#![allow(
    dead_code,
    unused_imports,
    reason = "each test binary uses a part of it"
)]

pub(crate) mod api;
pub(crate) mod app;
pub(crate) mod cli;
pub(crate) mod controller;
pub(crate) mod image;
pub(crate) mod inside;
pub(crate) mod recorder;
pub(crate) mod recording;
pub(crate) mod terminal;
pub(crate) mod world;

use std::time::{Duration, Instant};

pub(crate) use app::{App, Options, Owner};
pub(crate) use controller::Controller;
pub(crate) use recorder::Recorder;
pub(crate) use terminal::Terminal;
pub(crate) use world::World;

/// How long something that has to happen may take. Generous: these machines are shared.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// Looks until `look` gives something, or panics with `what` when the deadline is over.
pub(crate) async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let until = Instant::now() + DEADLINE;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < until, "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
