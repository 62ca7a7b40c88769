//! How long a migration of a small worker takes in the sandbox, and whose time it is.
//!
//! Prints, for each of several migrations there and back: the total, the runtime's share (the
//! checkpoint call, the transfer of the bytes, the restore), what is left for ms2m and the
//! application's obedience, the downtime, the time between the checkpoint's answer and the request
//! for the target pod, and the API requests that ms2m made. Nothing is asserted but the audit: the
//! figures are for a person, in benches/README.md. `MS2M_BENCH_STATE` is the size of the worker's
//! incompressible state in bytes (64 KiB or so if it is not given).

#![allow(clippy::print_stdout, reason = "printing is what a benchmark is for")]

#[path = "../tests/support/mod.rs"]
mod support;

use std::collections::BTreeMap;

use serde_json::Value;
use support::{App, Options, World};

/// Migrations that are measured. One more comes first, to warm up.
const ROUNDS: usize = 10;

/// Messages a second while it is measured.
const RATE: f64 = 100.0;

fn main() {
    tokio::runtime::Runtime::new()
        .expect("a runtime")
        .block_on(measure());
}

async fn measure() {
    let state = std::env::var("MS2M_BENCH_STATE").ok();
    let options = Options {
        environment: state.map(|it| ("STATE_BYTES", it)).into_iter().collect(),
        ..Options::default()
    };
    let app = App::start("bench", &options).await;
    let producers = app.produce(RATE, None);
    println!(
        "{ROUNDS} migrations of a small worker at {RATE} messages a second; seconds, and requests"
    );
    println!(
        "{:>7} {:>10} {:>9} {:>9} {:>8} {:>9} {:>7} {:>9} {:>9}",
        "total",
        "checkpoint",
        "to target",
        "transfer",
        "restore",
        "reconnect",
        "own",
        "downtime",
        "requests"
    );
    let mut columns: [Vec<f64>; 9] = Default::default();
    let mut requests = BTreeMap::new();
    for round in 0..=ROUNDS {
        let (arguments, since) = (arguments(&app, round), last_request(app.world).await);
        let result = app.ms2m(&arguments).await.expect_code(0).json();
        if round == 0 {
            continue;
        }
        let log = own_requests_since(app.world, since).await;
        requests = counted(&log);
        let row = row(&result, to_target(&result, &log), log.len());
        print_row(&row);
        for (column, value) in columns.iter_mut().zip(row) {
            column.push(value);
        }
    }
    println!("median");
    print_row(&columns.map(median));
    println!("requests of the last one: {}", words(&requests));
    let record = producers.stop().await;
    // After a warm-up and an even number of rounds the worker has its shadow's name.
    let survivor = if ROUNDS.is_multiple_of(2) {
        &app.target
    } else {
        &app.pod
    };
    app.assert_exact(&record, survivor).await;
    println!("audit: 0 lost, 0 doubled, 0 out of order");
    app.end().await;
}

/// There in even rounds, back in odd ones.
fn arguments(app: &App, round: usize) -> Vec<String> {
    let mut arguments = app.migrate_arguments();
    if !round.is_multiple_of(2) {
        arguments[1].clone_from(&app.target);
        arguments[3].clone_from(&app.world.source_node);
    }
    arguments
}

fn row(result: &Value, to_target: f64, requests: usize) -> [f64; 9] {
    let seconds = |name: &str| result[name].as_f64().unwrap_or(f64::NAN);
    [
        seconds("totalSeconds"),
        seconds("checkpointCallSeconds"),
        to_target,
        seconds("transferRunSeconds"),
        seconds("restoreRunSeconds"),
        seconds("reconnectSeconds"),
        seconds("ownSeconds"),
        seconds("downtimeSeconds"),
        requests as f64,
    ]
}

fn print_row(
    [
        total,
        checkpoint,
        to_target,
        transfer,
        restore,
        reconnect,
        own,
        downtime,
        requests,
    ]: &[f64; 9],
) {
    println!(
        "{total:>7.3} {checkpoint:>10.3} {to_target:>9.3} {transfer:>9.3} {restore:>8.3} {reconnect:>9.3} {own:>7.3} {downtime:>9.3} {requests:>9.0}"
    );
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

async fn request_log(world: &World, since: u64) -> Value {
    let path = format!("/sandbox/requests?since={since}");
    let text = world.kubectl(&["get", "--raw", &path]).await;
    serde_json::from_str(&text).expect("the sandbox tells its requests")
}

async fn last_request(world: &World) -> u64 {
    let log = request_log(world, 0).await;
    log["log"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|entry| entry["n"].as_u64())
        .max()
        .unwrap_or(0)
}

/// Requests of `ms2m` itself.
async fn own_requests_since(world: &World, since: u64) -> Vec<Value> {
    let mut log = request_log(world, since).await;
    let mut own = log["log"].as_array_mut().map(std::mem::take);
    if let Some(own) = &mut own {
        own.retain(|entry| {
            let agent = entry["userAgent"].as_str().unwrap_or_default();
            agent.starts_with("ms2m") && !agent.starts_with("ms2m-sandbox")
        });
    }
    own.unwrap_or_default()
}

/// How many there are of each verb and kind.
fn counted(requests: &[Value]) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for entry in requests {
        let verb = entry["verb"].as_str().unwrap_or_default();
        *counts.entry(format!("{verb} {}", kind(entry))).or_insert(0) += 1;
    }
    counts
}

fn kind(entry: &Value) -> &str {
    let path = entry["path"].as_str().unwrap_or_default();
    let path = path.split('?').next().unwrap_or_default();
    let known = path.split('/').rev().find(|part| KINDS.contains(part));
    known.unwrap_or("other")
}

/// Seconds from the checkpoint's answer to the request for the target pod.
fn to_target(result: &Value, requests: &[Value]) -> f64 {
    let time = |entry: &Value| entry["time"].as_str()?.parse::<jiff::Timestamp>().ok();
    let checkpoint = requests.iter().position(|it| kind(it) == "checkpoint");
    let after = checkpoint.map_or(&[][..], |at| &requests[at..]);
    let target = after
        .iter()
        .find(|it| kind(it) == "pods" && it["verb"] == "create");
    let times = after.first().zip(target);
    let times = times.and_then(|(first, last)| Some((time(first)?, time(last)?)));
    times.map_or(f64::NAN, |(asked, made)| {
        let took = result["checkpointCallSeconds"].as_f64().unwrap_or(f64::NAN);
        (made - asked).total(jiff::Unit::Second).unwrap_or(f64::NAN) - took
    })
}

/// What the requests are counted by.
const KINDS: [&str; 9] = [
    "pods",
    "log",
    "jobs",
    "nodes",
    "checkpoint",
    "configmaps",
    "leases",
    "selfsubjectaccessreviews",
    "statefulmigrations",
];

fn words(counts: &BTreeMap<String, u64>) -> String {
    counts
        .iter()
        .map(|(kind, count)| format!("{count} {kind}"))
        .collect::<Vec<_>>()
        .join(", ")
}
