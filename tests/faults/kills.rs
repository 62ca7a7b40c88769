//! `ms2m` killed at each step boundary, and in between, and started again.

use serde_json::json;

use crate::boundary::{hold_write, is_held};
use crate::calls::direct;
use crate::case::{Case, Kind};
use crate::trials::Trials;

/// Walkers side by side: each takes every so-many-th boundary.
const WALKERS: usize = 4;

/// A write is held for so long, which is enough to be seen and killed over.
const HELD_MS: u64 = 4_000;

/// The number of the first walker's ports where checkpoints go directly to the target's node.
const DIRECT: usize = 40;

pub(crate) fn add(trials: &mut Trials) {
    for first in 1..=WALKERS {
        trials.add(
            format!("kills::before_each_boundary_from_{first}"),
            move || walk(Kind::Bare, Vec::new(), first, false),
        );
        trials.add(
            format!("kills::after_each_boundary_from_{first}"),
            move || walk(Kind::Bare, Vec::new(), first, true),
        );
        // The others share most of their steps with a pod that nobody owns.
        for kind in [Kind::Sequential, Kind::Takeover, Kind::ReplicaSet] {
            let name = format!("kills::{}_after_each_boundary_from_{first}", kind.name());
            trials.add(name, move || walk(kind, Vec::new(), first, true));
        }
        trials.add(
            format!("kills::direct_after_each_boundary_from_{first}"),
            move || walk(Kind::Bare, direct(DIRECT + 2 * first), first, true),
        );
    }
    for first in 1..=WALKERS {
        trials.add(format!("kills::after_each_line_from_{first}"), move || {
            walk_lines(first)
        });
    }
}

async fn walk_lines(first: usize) {
    let mut line = first;
    while killed_after_line(line).await {
        line += WALKERS;
    }
}

/// Kills `ms2m` as soon as it has said so many lines. `false` when it ended before.
async fn killed_after_line(line: usize) -> bool {
    let mut case = Case::owned(&format!("kill-line-{line}"), Kind::Bare).await;
    let mut running = case.migrate();
    let said = running.says_lines(line).await;
    if said {
        running.signal("KILL").await;
        // The call for the checkpoint may have been its last.
        case.archive_may_stay = true;
    }
    let end = case.settle(running.outcome().await).await;
    case.ends_well(end).await;
    said
}

async fn walk(kind: Kind, arguments: Vec<String>, first: usize, after: bool) {
    let mut boundary = first;
    while killed_at(kind, &arguments, boundary, after).await {
        boundary += WALKERS;
    }
}

/// Kills `ms2m` while its write number `boundary` is under way: before it is carried out, or after
/// that and before `ms2m` knows. `false` when it ended before.
async fn killed_at(kind: Kind, arguments: &[String], boundary: usize, after: bool) -> bool {
    let mut case = Case::owned(&format!("kill-{boundary}"), kind).await;
    case.arguments.extend_from_slice(arguments);
    let fault = hold_write(&case, boundary, after, json!({"delayMs": HELD_MS})).await;
    let mut running = case.migrate();
    let held = is_held(&case, boundary, &mut running).await;
    if held {
        running.signal("KILL").await;
        // The call for the checkpoint may have been its last.
        case.archive_may_stay = true;
    }
    case.cancel(fault).await;
    let end = case.settle(running.outcome().await).await;
    case.ends_well(end).await;
    held
}
