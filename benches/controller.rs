//! The controller at scale, in the sandbox: many resources that have ended, and many migrations of which
//! many are under way at once.
//!
//! `MS2M_BENCH_FINISHED` (10,000), `MS2M_BENCH_MIGRATIONS` (1,000) and `MS2M_BENCH_AT_ONCE` (50) change
//! what is measured. Prints memory, CPU, latencies and requests of the controller's process.

#![allow(clippy::print_stdout, reason = "a benchmark prints figures")]
#![allow(
    dead_code,
    reason = "it has the application in common with the tests and uses a part of it"
)]

#[path = "../tests/support/mod.rs"]
mod support;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::stream::iter;
use serde_json::json;
use support::api::Api;
use support::controller::{Controller, install_crd};
use support::{App, Options, World};

const MIGRATIONS: &str = "/apis/migration.ms2m.io/v1alpha1";

/// Requests at once, where many objects are made.
const SIDE_BY_SIDE: usize = 16;

fn number(name: &str, default: usize) -> usize {
    let given = std::env::var(name).ok().and_then(|text| text.parse().ok());
    given.unwrap_or(default)
}

fn main() {
    let finished = number("MS2M_BENCH_FINISHED", 10_000);
    let migrations = number("MS2M_BENCH_MIGRATIONS", 1_000);
    let at_once = number("MS2M_BENCH_AT_ONCE", 50);
    tokio::runtime::Runtime::new()
        .expect("a runtime")
        .block_on(bench(finished, migrations, at_once));
}

async fn bench(finished: usize, migrations: usize, at_once: usize) {
    let world = World::get();
    install_crd(world).await;
    let api = Api::of(world).await;
    let mut apps = vec![App::start("scale", &Options::default()).await];
    apps[0].make_secret().await;
    while apps.len() < at_once {
        apps.push(App::start_beside(&apps[0], &Options::default()).await);
    }
    make_finished(&api, &apps[0], finished).await;

    let limit = at_once.to_string();
    let limits = [
        "--max-at-once",
        limit.as_str(),
        "--max-per-node",
        limit.as_str(),
    ];
    let began = Instant::now();
    let controller = Controller::start(&apps[0], &limits).await;
    controller.leads().await;
    println!(
        "from start to leading, beside {finished} that have ended: {:.3} s",
        began.elapsed().as_secs_f64()
    );
    let process = Process::of(&controller);
    let before = process.cpu();
    tokio::time::sleep(Duration::from_secs(20)).await;
    println!(
        "at rest: {:.2} % of a core, {:.1} MiB",
        (process.cpu() - before) / 20.0 * 100.0,
        process.memory()
    );
    if migrations > 0 {
        move_all(&api, &apps, &controller, &process, migrations).await;
    }
}

/// Resources that have ended, as the controller leaves them.
async fn make_finished(api: &Api, app: &App, count: usize) {
    let path = format!(
        "{MIGRATIONS}/namespaces/{}/statefulmigrations",
        app.namespace
    );
    let path = &path;
    iter(0..count)
        .for_each_concurrent(SIDE_BY_SIDE, async |number| {
            let mut resource = app.resource(&format!("old-{number:05}"));
            resource["metadata"]["labels"] = json!({"migration.ms2m.io/ended": "true"});
            api.post(path, &resource).await;
        })
        .await;
}

/// Each pod goes there and back, over and over.
async fn move_all(
    api: &Api,
    apps: &[App],
    controller: &Controller,
    process: &Process,
    count: usize,
) {
    let namespace = &apps[0].namespace;
    let path = format!("{MIGRATIONS}/namespaces/{namespace}/statefulmigrations");
    let since = requests(api, namespace, 0).await.0;
    let (began, cpu) = (Instant::now(), process.cpu());
    for number in 0..count {
        if number == apps.len() {
            // The way back is for those that are under way.
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        let app = &apps[number % apps.len()];
        let mut resource = app.resource(&format!("m-{number:05}"));
        resource["spec"]["timeouts"] = json!({"obey": "10m", "drain": "10m"});
        if number / apps.len() % 2 == 1 {
            resource["spec"]["sourcePod"] = json!(app.target);
            resource["spec"]["targetNode"] = json!(app.from);
        }
        api.post(&path, &resource).await;
    }
    let (mut since, mut asked, mut peak) = (since, BTreeMap::new(), 0.0_f64);
    loop {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let (last, more) = requests(api, namespace, since).await;
        since = last;
        for (what, times) in more {
            *asked.entry(what).or_insert(0) += times;
        }
        peak = peak.max(process.memory());
        let results = results(controller).await;
        let ended: f64 = results.values().sum();
        if ended as usize >= count {
            let seconds = began.elapsed().as_secs_f64();
            println!(
                "{count} migrations, {} at once: {seconds:.0} s, {results:?}",
                apps.len()
            );
            println!(
                "meanwhile: {:.1} % of a core, {:.3} s of CPU each, {peak:.1} MiB at most, {:.1} MiB at the end",
                (process.cpu() - cpu) / seconds * 100.0,
                (process.cpu() - cpu) / count as f64,
                process.memory()
            );
            break;
        }
    }
    tell_failures(api, &path).await;
    let own = |what: &str| {
        let standing = [
            "list statefulmigrations",
            "watch statefulmigrations",
            "update leases",
        ];
        !standing.contains(&what)
    };
    let all: u64 = asked
        .iter()
        .filter(|(what, _)| own(what))
        .map(|(_, times)| times)
        .sum();
    println!(
        "requests each, without the renewals of leases: {:.1}; renewals each: {:.1}",
        all as f64 / count as f64,
        *asked.get("update leases").unwrap_or(&0) as f64 / count as f64
    );
    for (what, times) in &asked {
        println!("  {what}: {:.1}", *times as f64 / count as f64);
    }
    let (_, text) = controller.get("/metrics").await;
    for share in [0.5, 0.99] {
        println!(
            "a look at a resource: {:.0} % within {} ms",
            share * 100.0,
            quantile(&text, "ms2m_reconcile_duration_seconds", share) * 1_000.0
        );
    }
}

/// Says why those that failed have failed.
async fn tell_failures(api: &Api, path: &str) {
    let list = api.get(path).await.expect("a list");
    for found in list["items"].as_array().into_iter().flatten() {
        if found["status"]["phase"] == "Failed" {
            println!(
                "{}: {}",
                found["metadata"]["name"], found["status"]["message"]
            );
        }
    }
}

/// The controller's requests since number `since`: the number of the last one, and how many there were
/// of each kind.
async fn requests(api: &Api, user: &str, since: u64) -> (u64, BTreeMap<String, u64>) {
    let path = format!("/sandbox/requests?since={since}&user={user}");
    let report = api.get(&path).await.expect("there is a log");
    assert!(
        since == 0 || report["dropped"] == 0,
        "the log has forgotten some"
    );
    let counts = report["counts"].as_object().cloned().unwrap_or_default();
    let counts = counts
        .into_iter()
        .map(|(what, times)| (what, times.as_u64().unwrap_or(0)));
    (report["last"].as_u64().unwrap_or(0), counts.collect())
}

/// How many have ended, by result.
async fn results(controller: &Controller) -> BTreeMap<String, f64> {
    let (_, text) = controller.get("/metrics").await;
    let lines = text.lines().filter_map(|line| {
        let rest = line.strip_prefix("ms2m_migrations_finished_total{result=\"")?;
        let (result, value) = rest.split_once("\"} ")?;
        Some((result.to_owned(), value.parse().ok()?))
    });
    lines.filter(|(_, value)| *value > 0.0).collect()
}

/// The upper end of the bucket in which that share of a histogram is reached.
fn quantile(text: &str, name: &str, share: f64) -> f64 {
    let prefix = format!("{name}_bucket{{le=\"");
    let buckets: Vec<(f64, f64)> = text
        .lines()
        .filter_map(|line| {
            let (end, count) = line.strip_prefix(&prefix)?.split_once("\"} ")?;
            let end = if end == "+Inf" {
                f64::INFINITY
            } else {
                end.parse().ok()?
            };
            Some((end, count.parse().ok()?))
        })
        .collect();
    let all = buckets.last().map_or(0.0, |(_, count)| *count);
    let found = buckets.iter().find(|(_, count)| *count >= all * share);
    found.map_or(f64::NAN, |(end, _)| *end)
}

/// A process as `/proc` shows it.
struct Process(u32);

impl Process {
    fn of(controller: &Controller) -> Self {
        Self(controller.running.id())
    }

    /// Seconds of CPU so far.
    fn cpu(&self) -> f64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.0)).expect("it runs");
        let (_, fields) = stat.rsplit_once(')').expect("the name is in brackets");
        let ticks: f64 = fields
            .split_whitespace()
            .skip(11)
            .take(2)
            .filter_map(|field| field.parse::<f64>().ok())
            .sum();
        ticks / rustix::param::clock_ticks_per_second() as f64
    }

    /// Memory in MiB: what is resident and its own.
    fn memory(&self) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.0)).expect("it runs");
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("RssAnon:"));
        let kib: f64 = line
            .and_then(|line| line.trim().strip_suffix(" kB"))
            .and_then(|text| text.trim().parse().ok())
            .expect("it is there");
        kib / 1024.0
    }
}
