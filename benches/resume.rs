//! How long it takes from a killed `ms2m` to another one that goes on, in the sandbox.
//!
//! Prints, for each of several killed migrations, the seconds from the kill to the moment when the
//! next process has the lock and has read where the migration stands, and to the end of its first
//! effect; and the API requests up to there. Nothing is asserted but the audit: the figures are
//! for a person, in benches/README.md.

#![allow(clippy::print_stdout, reason = "printing is what a benchmark is for")]

#[path = "../tests/support/mod.rs"]
mod support;

use std::time::{Duration, Instant};

use serde_json::Value;
use support::{App, Options, World};

/// Migrations that are killed and measured. One more comes first, to warm up.
const ROUNDS: usize = 5;

fn main() {
    tokio::runtime::Runtime::new()
        .expect("a runtime")
        .block_on(measure());
}

async fn measure() {
    // A worker that takes its time over a backlog keeps its migration where it can be killed.
    let options = Options {
        environment: vec![("PROCESSING_TIME", "20ms".to_owned())],
        ..Options::default()
    };
    let app = App::start("bench-resume", &options).await;
    let mut published = app.publish(1).await;
    println!("{ROUNDS} killed migrations; seconds from the kill");
    println!("{:>8} {:>8}", "reads on", "goes on");
    let mut columns: [Vec<f64>; 2] = Default::default();
    let mut requests = Vec::new();
    for round in 0..=ROUNDS {
        // More than it can do until the kill, and no more than it can do after it.
        let producers = app.produce(200.0, Some(published));
        tokio::time::sleep(Duration::from_secs(1)).await;
        published = producers.stop().await;
        let (times, asked) = round_trip(&app, &format!("m-{round}")).await;
        if round == 0 {
            continue;
        }
        println!("{:>8.3} {:>8.3}", times[0], times[1]);
        for (column, time) in columns.iter_mut().zip(times) {
            column.push(time);
        }
        requests = asked;
    }
    let [reads, goes] = columns.map(median);
    println!("median");
    println!("{reads:>8.3} {goes:>8.3}");
    println!("requests of the last one: {}", requests.join(", "));
    app.assert_exact(&published, &app.pod).await;
    println!("audit: 0 lost, 0 doubled, 0 out of order");
    app.end().await;
}

/// Kills a migration, goes on with it, and rolls it back for the next round.
async fn round_trip(app: &App, name: &str) -> ([f64; 2], Vec<String>) {
    let mut arguments = app.migrate_arguments();
    arguments.extend(["--name".to_owned(), name.to_owned()]);
    let killed = app.start_ms2m(&arguments);
    killed.says("gate closed").await;
    let since = last_request(app.world).await;
    killed.signal("KILL").await;
    let begin = Instant::now();
    let resume = ["migrate", "--resume", name, "-n", &app.namespace];
    let resumed = app.start_ms2m(&resume.map(str::to_owned));
    resumed.says("going on to move").await;
    let reads = begin.elapsed().as_secs_f64();
    resumed.says("pulls the base image").await;
    let goes = begin.elapsed().as_secs_f64();
    let asked = requests_since(app.world, since).await;
    killed.outcome().await;
    resumed.signal("INT").await;
    resumed.outcome().await.expect_code(130);
    ([reads, goes], asked)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

async fn request_log(world: &World, since: u64) -> Vec<Value> {
    let path = format!("/sandbox/requests?since={since}");
    let text = world.kubectl(&["get", "--raw", &path]).await;
    let log: Value = serde_json::from_str(&text).expect("the sandbox tells its requests");
    log["log"].as_array().cloned().unwrap_or_default()
}

async fn last_request(world: &World) -> u64 {
    let log = request_log(world, 0).await;
    let numbers = log.iter().filter_map(|entry| entry["n"].as_u64());
    numbers.max().unwrap_or(0)
}

/// Requests of `ms2m` itself in their order, as `get leases`, up to its first effect.
async fn requests_since(world: &World, since: u64) -> Vec<String> {
    let mut asked = Vec::new();
    for entry in request_log(world, since).await {
        let agent = entry["userAgent"].as_str().unwrap_or_default();
        if !agent.starts_with("ms2m") || agent.starts_with("ms2m-sandbox") {
            continue;
        }
        let path = entry["path"].as_str().unwrap_or_default();
        let parts: Vec<&str> = path.split(['/', '?']).collect();
        let kind = KINDS.iter().find(|kind| parts.contains(kind));
        let verb = entry["verb"].as_str().unwrap_or_default();
        asked.push(format!("{verb} {}", kind.unwrap_or(&"other")));
        if asked.last().is_some_and(|it| it == "create pods") {
            break;
        }
    }
    asked
}

/// What the requests are named by.
const KINDS: [&str; 5] = [
    "pods",
    "nodes",
    "configmaps",
    "leases",
    "statefulmigrations",
];
