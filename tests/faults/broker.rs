//! The broker gone for a while, in each phase and on the way back. A sandbox of its own, since
//! everybody there loses the broker; one case at a time.

use std::time::Duration;

use serde_json::json;

use crate::case::{Case, End, Kind};
use crate::place::Place;
use crate::support::Options;
use crate::trials::{Trials, Turns};
use crate::verdict::Excuses;

/// How the broker goes.
#[derive(Clone, Copy)]
enum Outage {
    /// In an orderly way, for so many seconds.
    Stop(u64),
    /// By SIGKILL, for so many seconds.
    Kill(u64),
}

/// What ms2m says when the moment has come, and how the broker goes then. It is not killed once the
/// gate has closed: RabbitMQ's older metadata store may lose a change of the last two seconds then,
/// the closing itself among them, which no order of steps can mend (`src/migration/steps/outage.rs`).
const MOMENTS: [(&str, &str, Outage); 9] = [
    ("at_the_start", "] moving ", Outage::Kill(3)),
    ("while_checkpointing", "] Checkpointing", Outage::Stop(3)),
    ("with_the_gate_closed", "gate closed", Outage::Stop(3)),
    ("after_the_checkpoint", "checkpoint taken", Outage::Stop(10)),
    ("while_transferring", "] Transferring", Outage::Stop(3)),
    ("while_restoring", "] Restoring", Outage::Stop(10)),
    ("while_replaying", "] Replaying", Outage::Stop(3)),
    ("with_the_gate_open_again", "gate opened", Outage::Stop(3)),
    ("after_the_commit", "committed:", Outage::Stop(3)),
];

pub(crate) fn add(trials: &mut Trials, turns: &Turns) {
    for (name, moment, outage) in MOMENTS {
        trials.add_in_turn(turns, format!("broker::gone_{name}"), move || {
            gone(name, moment, outage)
        });
    }
    for (kind, name, moment) in OWNED {
        let name = format!("broker::{}_gone_{name}", kind.name());
        trials.add_in_turn(turns, name, move || gone_while_owned(kind, moment));
    }
    trials.add_in_turn(turns, "broker::gone_on_the_way_back", gone_on_the_way_back);
    trials.add_in_turn(turns, "broker::gone_twice", gone_twice);
}

/// The moments that pods of an owner have on top.
const OWNED: [(Kind, &str, &str); 5] = [
    (Kind::Sequential, "after_the_commit", "committed:"),
    (
        Kind::Sequential,
        "with_the_gate_opening",
        "told the target START_REPLAY",
    ),
    (Kind::Sequential, "with_nobody_there", "target pod"),
    (Kind::Sequential, "while_replaying", "] Replaying"),
    (
        Kind::Takeover,
        "between_two_handoffs",
        "its state goes to pod",
    ),
];

async fn gone_while_owned(kind: Kind, moment: &str) {
    let mut case = Case::owned_at(Place::disturbed().await, "outage", kind).await;
    let mut running = case.migrate();
    assert!(running.says(moment).await, "'{moment}' was never said");
    take_away(&case, Outage::Stop(3)).await;
    let end = case.settle(running.outcome().await).await;
    case.ends_with(end, EXCUSES).await;
}

async fn start(name: &str) -> Case {
    Case::start_with(Place::disturbed().await, name, &Options::default(), 40.0).await
}

/// Takes the broker away and brings it back.
async fn take_away(case: &Case, outage: Outage) {
    let (how, seconds) = match outage {
        Outage::Stop(seconds) => ("stop", seconds),
        Outage::Kill(seconds) => ("kill", seconds),
    };
    let world = &case.place.world;
    world.order("/broker", json!({"do": how})).await;
    // This is the fault itself, and no wait for anything.
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    world.order("/broker", json!({"do": "start"})).await;
}

const EXCUSES: Excuses = Excuses { redelivered: true };

async fn gone(name: &str, moment: &str, outage: Outage) {
    let mut case = start(&name.replace('_', "-")).await;
    let mut running = case.migrate();
    assert!(running.says(moment).await, "'{moment}' was never said");
    take_away(&case, outage).await;
    let end = case.settle(running.outcome().await).await;
    // Whatever an outage makes of it, it is exact; most are sat out.
    case.ends_with(end, EXCUSES).await;
}

async fn gone_on_the_way_back() {
    let mut case = start("way-back").await;
    case.kubelet_fault("restore", "image not known", 100).await;
    let mut running = case.migrate();
    assert!(running.says("rolling back").await);
    take_away(&case, Outage::Stop(3)).await;
    let end = case.settle(running.outcome().await).await;
    assert_eq!(end, End::RolledBack);
    case.ends_with(end, EXCUSES).await;
}

async fn gone_twice() {
    let mut case = start("twice").await;
    let mut running = case.migrate();
    for moment in ["checkpoint taken", "] Replaying"] {
        assert!(running.says(moment).await, "'{moment}' was never said");
        take_away(&case, Outage::Stop(1)).await;
    }
    let end = case.settle(running.outcome().await).await;
    // Under load the broker may take longer to come back than the application is waited for.
    case.ends_with(end, EXCUSES).await;
}
