//! Ctrl-C, SIGTERM and a closed terminal at each step boundary: before the commit everything is
//! as it was, after it the migration is finished.

use serde_json::json;

use crate::boundary::{hold_write, is_held};
use crate::case::{Case, End, Kind};
use crate::trials::Trials;

/// Walkers side by side: each takes every so-many-th boundary.
const WALKERS: usize = 4;

/// A write is held for so long: the signal is heard meanwhile.
const HELD_MS: u64 = 1_000;

const SIGNALS: [&str; 3] = ["INT", "TERM", "HUP"];

pub(crate) fn add(trials: &mut Trials) {
    for first in 1..=WALKERS {
        for kind in [Kind::Bare, Kind::Sequential, Kind::ReplicaSet] {
            let name = format!("abort::{}_at_each_boundary_from_{first}", kind.name());
            trials.add(name, move || walk(kind, first));
        }
    }
}

async fn walk(kind: Kind, first: usize) {
    let mut boundary = first;
    while aborted_at(kind, boundary).await {
        boundary += WALKERS;
    }
}

/// Interrupts `ms2m` while its write number `boundary` is under way. `false` when it ended before.
async fn aborted_at(kind: Kind, boundary: usize) -> bool {
    let case = Case::owned(&format!("abort-{boundary}"), kind).await;
    let fault = hold_write(&case, boundary, false, json!({"delayMs": HELD_MS})).await;
    let mut running = case.migrate();
    let held = is_held(&case, boundary, &mut running).await;
    let committed = running.has_said("committed:") || !held;
    if held {
        running.signal(SIGNALS[boundary % SIGNALS.len()]).await;
    }
    let outcome = running.outcome().await;
    case.cancel(fault).await;
    let end = match outcome.code {
        Some(0) => End::Completed,
        Some(130) => End::RolledBack,
        _ => panic!("boundary {boundary}: {outcome:?}"),
    };
    // The very write of the commit point may be the one that was held.
    let at_commit = !committed && outcome.stderr.contains("committed:");
    assert!(
        end == End::RolledBack || committed || at_commit,
        "boundary {boundary}: interrupted before the commit, and completed: {outcome:?}"
    );
    case.ends_well(end).await;
    held
}
