//! The broker gone for a while, in each phase and on the way back. A sandbox of its own, since
//! everybody there loses the broker; one case at a time.

use std::time::Duration;

use lapin::options::QueueBindOptions;
use lapin::types::FieldTable;
use lapin::{Connection, ConnectionProperties};
use serde_json::{Value, json};

use crate::case::{Case, End, Kind};
use crate::place::Place;
use crate::support::cli::Outcome;
use crate::support::{Options, eventually};
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

/// A target that is there while messages leak would take some of them, and they would be lost with it when it is
/// rolled back, as ms2m says: it comes so many seconds late, which is long after the broker is back however
/// slow the machine is, and which nobody waits for.
const LATE: u64 = 100;

/// How long writes of the record are held back.
const HELD_MS: u64 = 5_000;

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
    trials.add_in_turn(
        turns,
        "broker::back_with_an_open_gate_before_the_commit",
        async || {
            let case = start("leak").await;
            case.restores_late_by(LATE).await;
            back_with_an_open_gate(case, "gate closed", End::RolledBack).await;
        },
    );
    trials.add_in_turn(
        turns,
        "broker::back_with_an_open_gate_and_another_process",
        back_with_an_open_gate_and_another_process,
    );
    trials.add_in_turn(
        turns,
        "broker::back_with_an_open_gate_and_killed_as_it_is_seen",
        back_with_an_open_gate_and_killed,
    );
    // The whole restore comes after it, since the source goes first.
    trials.add_in_turn(
        turns,
        "broker::back_with_an_open_gate_after_the_commit",
        async || {
            let case = Case::owned_at(Place::disturbed().await, "leak", Kind::Sequential).await;
            back_with_an_open_gate(case, "committed:", End::Completed).await;
        },
    );
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
    let outcome = running.outcome().await;
    finds_no_leak(&outcome);
    let end = case.settle(outcome).await;
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
    let outcome = running.outcome().await;
    finds_no_leak(&outcome);
    let end = case.settle(outcome).await;
    // Whatever an outage makes of it, it is exact; most are sat out.
    case.ends_with(end, EXCUSES).await;
}

/// What a broker says that has lost the closing of the gate.
const LEAK: &str = "the broker came back without the closing of the gate";

/// A broker that is stopped in an orderly way loses nothing, and a gate that ms2m has opened itself is no leak.
fn finds_no_leak(outcome: &Outcome) {
    assert!(!outcome.stderr.contains(LEAK), "{outcome:?}");
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

/// As where a broker that was killed has lost the closing of the gate: when it is back, messages reach the
/// primary queue in mid-migration. In which order they were applied nobody can know then, and nobody is told
/// that all is well.
async fn back_with_an_open_gate(case: Case, moment: &str, expected: End) {
    let mut running = case.migrate();
    assert!(running.says(moment).await, "'{moment}' was never said");
    open_the_gate(&case).await;
    take_away(&case, Outage::Stop(1)).await;
    ends_in_doubt(case, running.outcome().await, expected).await;
}

/// The same with the process gone that closed the gate, as when it ran on the broker's machine.
async fn back_with_an_open_gate_and_another_process() {
    let case = start("leak").await;
    case.restores_late_by(LATE).await;
    let mut running = case.migrate();
    assert!(running.says("checkpoint taken").await);
    running.signal("KILL").await;
    running.outcome().await;
    open_the_gate(&case).await;
    let outcome = case.migrate().outcome().await;
    ends_in_doubt(case, outcome, End::RolledBack).await;
}

/// The same with the process killed once it has written its doubt down and closed the gate again, before its
/// next write: the one that takes over finds nothing amiss.
async fn back_with_an_open_gate_and_killed() {
    let case = start("leak").await;
    case.restores_late_by(LATE).await;
    let mut running = case.migrate();
    assert!(running.says("checkpoint taken").await);
    open_the_gate(&case).await;
    let world = &case.place.world;
    world.order("/broker", json!({"do": "stop"})).await;
    let fault = case.hold_back("patch", "/configmaps", false, HELD_MS).await;
    world.order("/broker", json!({"do": "start"})).await;
    let doubt_is_written = async || {
        let records = case.records().await;
        let doubts = |record: &Value| !record["status"]["receipt"]["doubts"].is_null();
        records.iter().any(doubts).then_some(())
    };
    eventually("the doubt in the record", doubt_is_written).await;
    let leak = format!("binding {0}.ms2m-gate -> {0} by", case.app.queue);
    let gate_is_closed = async || {
        let found = case.app.broker_listing().await;
        let leaks = found.iter().any(|binding| binding.starts_with(&leak));
        (!leaks).then_some(())
    };
    eventually("the gate closed again", gate_is_closed).await;
    running.signal("KILL").await;
    case.cancel(fault).await;
    running.outcome().await;
    let outcome = case.migrate().outcome().await;
    ends_in_doubt(case, outcome, End::RolledBack).await;
}

async fn ends_in_doubt(mut case: Case, outcome: Outcome, expected: End) {
    assert_eq!(outcome.code, Some(11), "{outcome:?}");
    assert!(outcome.stderr.contains(LEAK), "{outcome:?}");
    let end = case.settle(outcome).await;
    assert_eq!(end, expected);
    let survivor = case.survivor(end).to_owned();
    case.serves(&survivor).await;
    // Their order is what is in doubt.
    let verdict = case.verdict(&survivor, EXCUSES).await;
    assert_eq!((verdict.lost, verdict.doubled), (0, 0), "{verdict:?}");
    case.nothing_is_left(end).await;
    case.clear().await;
}

/// Lets the closed gate lead to the primary queue.
pub(crate) async fn open_the_gate(case: &Case) {
    let url = &case.place.world.places.broker_url;
    let connection = Connection::connect(url, ConnectionProperties::default()).await;
    let connection = connection.expect("the broker is there");
    let channel = connection.create_channel().await.expect("a channel");
    let gate = format!("{}.ms2m-gate", case.app.queue);
    let (queue, options) = (case.app.queue.as_str(), QueueBindOptions::default());
    channel
        .queue_bind(
            queue.into(),
            gate.into(),
            "".into(),
            options,
            FieldTable::default(),
        )
        .await
        .expect("it is bound");
    connection.close(200, "done".into()).await.expect("it ends");
}
