//! Pods that belong to someone, moved in the sandbox under load by each strategy: the total, the
//! downtime by the receipt, and the processing gap as it is seen from outside, without trusting
//! ms2m: the longest time in which no pod of the application applied a message.
//!
//! `MS2M_BENCH_RUNS` (5) and `MS2M_BENCH_RATE` (50 messages a second) change what is measured.

#![allow(clippy::print_stdout, reason = "a benchmark prints figures")]
#![allow(
    dead_code,
    reason = "it has the scenes in common with the tests and uses a part of them"
)]

#[path = "../tests/owners/scene.rs"]
mod scene;
#[path = "../tests/support/mod.rs"]
mod support;

use std::time::{Duration, Instant};

use ms2m_worker::audit::Source;
use scene::Set;

/// What one run has taken, in seconds.
struct Figures {
    total: f64,
    downtime: f64,
    gap: f64,
}

fn number(name: &str, default: f64) -> f64 {
    let given = std::env::var(name).ok().and_then(|text| text.parse().ok());
    given.unwrap_or(default)
}

fn main() {
    let runs = number("MS2M_BENCH_RUNS", 5.0) as usize;
    let rate = number("MS2M_BENCH_RATE", 50.0);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    println!("{runs} runs each at {rate} messages a second; median (worst), in seconds");
    println!(
        "{:<28} {:>15} {:>15} {:>15}",
        "", "total", "downtime", "gap"
    );
    for (name, deployment, more) in [
        ("StatefulSet, Sequential", false, &[][..]),
        (
            "StatefulSet, ShadowPod",
            false,
            &["--strategy", "shadow-pod"][..],
        ),
        ("Deployment, ShadowPod", true, &[][..]),
    ] {
        let mut all = Vec::new();
        for _ in 0..runs {
            all.push(runtime.block_on(run(deployment, more, rate)));
        }
        let of = |figure: fn(&Figures) -> f64| show(all.iter().map(figure).collect());
        println!(
            "{name:<28} {:>15} {:>15} {:>15}",
            of(|it| it.total),
            of(|it| it.downtime),
            of(|it| it.gap)
        );
    }
}

async fn run(deployment: bool, more: &[&str], rate: f64) -> Figures {
    let mut set = if deployment {
        Set::start_deployment("bench").await
    } else {
        Set::start("bench", 1, |_| {}).await
    };
    set.produce(rate).await;
    let app = &set.pods[0];
    let (to, shadow) = (set.elsewhere(app).await, format!("{}-shadow", app.pod));
    let arguments = [&["--to", to.as_str()], more].concat();
    let moving = app.migrate(&arguments);
    let names = [app.pod.as_str(), shadow.as_str()];
    let (outcome, gap) = longest_gap_during(&set, &names, moving).await;
    let summary = outcome.expect_code(0).json();
    let seconds = |field: &str| summary[field].as_f64().expect("seconds");
    let figures = Figures {
        total: seconds("totalSeconds"),
        downtime: seconds("downtimeSeconds"),
        gap,
    };
    set.all_exact().await;
    set.end().await;
    figures
}

/// Does `work`, and says how long at most none of these pods applied anything meanwhile.
async fn longest_gap_during<T>(
    set: &Set,
    pods: &[&str],
    work: impl Future<Output = T>,
) -> (T, f64) {
    let mut work = std::pin::pin!(work);
    let (mut longest, mut last, mut best) = (Duration::ZERO, Instant::now(), 0);
    loop {
        let looked = tokio::time::timeout(Duration::ZERO, &mut work).await;
        for pod in pods {
            let count = count(set, pod).await;
            if count > best {
                best = count;
                longest = longest.max(last.elapsed());
                last = Instant::now();
            }
        }
        if let Ok(result) = looked {
            return (result, longest.as_secs_f64());
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// How many messages a pod has applied, from its own address: pods of the sandbox have one on
/// this machine.
async fn count(set: &Set, pod: &str) -> u64 {
    let Some(found) = set.get("pod", pod).await else {
        return 0;
    };
    let Some(address) = found["status"]["podIP"].as_str() else {
        return 0;
    };
    let source = Source::Url(format!("http://{address}:8080/state"));
    source.fetch().await.map_or(0, |report| report.state.count)
}

fn show(mut values: Vec<f64>) -> String {
    values.sort_by(f64::total_cmp);
    let median = values[values.len() / 2];
    let worst = values[values.len() - 1];
    format!("{median:.3} ({worst:.3})")
}
