//! A sandbox for all tests, and a scene in it for each.

mod hand;
mod kubectl;
mod programs;
mod record;
mod scene;
mod world;

use std::time::Duration;

pub(crate) use hand::{by_hand, end, owner, pods, relabel, uid};
pub(crate) use programs::{ACTOR, SANDBOX, pack_checkpoint, push_actor, worker_binary};
pub(crate) use record::Record;
pub(crate) use scene::{Scene, condition, container, message, pod, reason, waiting};
pub(crate) use world::{World, world};

/// Longer than anything here takes, even on a loaded machine.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// Tries until there is something, or the deadline has passed.
pub(crate) async fn wait_for<T>(what: &str, mut attempt: impl AsyncFnMut() -> Option<T>) -> T {
    let found = tokio::time::timeout(DEADLINE, async {
        loop {
            if let Some(found) = attempt().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    found
        .await
        .unwrap_or_else(|_| panic!("{what}: not within {DEADLINE:?}"))
}
