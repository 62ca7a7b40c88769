//! A node that loses its power, the source's or the target's, in each phase. Each case has a node
//! of its own to lose.

use serde_json::json;

use crate::case::{Case, End};
use crate::place::{Place, VICTIMS};
use crate::support::{Options, Owner};
use crate::trials::Trials;
use crate::verdict::Excuses;

/// Whose node.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Whose {
    Source,
    Target,
}

use Whose::{Source, Target};

/// Name, the words of ms2m at which the node goes, whose it is, and the end that there must be
/// while it is gone. Where there is none, the survivor would be on that very node.
const CASES: [(&str, &str, Whose, Option<End>); 10] = [
    (
        "target_s_node_while_checkpointing",
        "] Checkpointing",
        Target,
        Some(End::RolledBack),
    ),
    (
        "target_s_node_while_transferring",
        "] Transferring",
        Target,
        Some(End::RolledBack),
    ),
    (
        "target_s_node_while_restoring",
        "target pod",
        Target,
        Some(End::RolledBack),
    ),
    (
        "target_s_node_while_replaying",
        "target restored",
        Target,
        Some(End::RolledBack),
    ),
    (
        "source_s_node_while_checkpointing",
        "] Checkpointing",
        Source,
        None,
    ),
    (
        "source_s_node_while_transferring",
        "] Transferring",
        Source,
        None,
    ),
    (
        "source_s_node_while_restoring",
        "target pod",
        Source,
        Some(End::Completed),
    ),
    (
        "source_s_node_after_the_commit",
        "committed:",
        Source,
        Some(End::Completed),
    ),
    (
        "sequential_target_s_node_while_restoring",
        "target pod",
        Target,
        Some(End::RolledBack),
    ),
    (
        "sequential_source_s_node_after_the_commit",
        "committed:",
        Source,
        Some(End::Completed),
    ),
];

pub(crate) fn add(trials: &mut Trials) {
    for ((name, moment, whose, end), victim) in CASES.into_iter().zip(VICTIMS) {
        trials.add(format!("node::{name}"), move || {
            power_loss(name, moment, whose, victim, end)
        });
    }
}

async fn power(case: &Case, node: &str, running: bool) {
    case.place
        .world
        .order("/node", json!({"node": node, "running": running}))
        .await;
}

async fn power_loss(name: &str, moment: &str, whose: Whose, victim: &str, expected: Option<End>) {
    let place = Place::shared().await;
    let world = &place.world;
    let nodes = match whose {
        Source => (victim.to_owned(), world.target_node.clone()),
        Target => (world.source_node.clone(), victim.to_owned()),
    };
    let sequential = name.starts_with("sequential");
    let options = Options {
        nodes: Some(nodes),
        owner: if sequential {
            Owner::StatefulSet
        } else {
            Owner::Nobody
        },
        ..Options::default()
    };
    let case = Case::start_with(place, &name.replace('_', "-"), &options, 40.0).await;
    let mut case = case.with(&["--obey-timeout", "10s"]);
    // Nobody can delete anything on a node that is gone: ms2m says so, with the path.
    case.archive_may_stay = whose == Source;
    // Until the node is back.
    case.source_may_be_lost = expected.is_none();
    let mut running = case.migrate();
    assert!(running.says(moment).await, "'{moment}' was never said");
    power(&case, victim, false).await;
    let outcome = running.outcome().await;
    let words = format!("{outcome:?}");
    if expected.is_none() {
        // Whatever it came to: with its node the source comes back, without its memory.
        power(&case, victim, true).await;
        let end = case.settle(outcome).await;
        let survivor = case.survivor(end).to_owned();
        case.serves(&survivor).await;
        case.nothing_is_left(end).await;
        return case.clear().await;
    }
    let end = case.settle(outcome).await;
    assert_eq!(Some(end), expected, "{words}");
    let survivor = case.survivor(end).to_owned();
    case.serves(&survivor).await;
    // What the lost node still has to say is said once it is back.
    power(&case, victim, true).await;
    case.ends_with(end, Excuses { redelivered: true }).await;
}
