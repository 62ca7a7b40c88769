//! One run from nothing to a line of results: set up, load, move, look, audit, take away.

use std::time::Duration;

use color_eyre::eyre::{Result, WrapErr as _, bail};
use lapin::options::{BasicAckOptions, BasicGetOptions};
use ms2m_worker::audit::{self, Verdict};
use ms2m_worker::producer::Record;
use ms2m_worker::worker::Report;
use tokio::time::Instant;

use crate::app::{App, name_of};
use crate::figures::{Ages, Probe, ages, longest_gap, unavailable};
use crate::matrix::{Pace, Run, Way};
use crate::mover::{self, Moved};
use crate::observe::{Collected, Observer, Reach, Worker, collect, now, probe};
use crate::record::{Outcome, Row};
use crate::series::Series;
use crate::world::{PATIENCE, World};

/// How a run is made, besides what it is of.
#[derive(Clone, Copy, Debug)]
pub struct Manner {
    /// The times before and after.
    pub pace: Pace,
    /// How long a migration may take at most.
    pub limit: Duration,
    /// Messages that the harness itself takes from the queue and throws away, of the backlog: for its
    /// own test, since a column that never shows anything proves nothing.
    pub steal: u32,
}

/// How long the survivor's count must stand still before a message that is missing counts as lost.
const STANDSTILL: Duration = Duration::from_secs(3);

/// Makes a run. A failure of whatever kind is a row with its reason.
pub async fn measure(
    world: &mut World,
    run: &Run,
    manner: &Manner,
    number: &str,
) -> (Row, Option<Series>) {
    let mut row = Row::of(run);
    row.started = jiff::Timestamp::now().to_string();
    let controller = match run.case.way {
        Way::Controller => world.controller().await.map(Some),
        Way::Cli | Way::Mirror | Way::Recreate => Ok(None),
    };
    let controller = match controller {
        Ok(controller) => controller,
        Err(error) => return (failed(row, &error), None),
    };
    let mut app = App::named(world, run.case, number);
    let measured = Box::pin(with(world, &mut app, run, manner, controller, &mut row)).await;
    let ended = app.end().await;
    match measured {
        Ok(series) => {
            if let Err(error) = ended {
                // The figures are good all the same; the next run may not have the machine for itself.
                row.reason = format!("{} not taken away: {error:#}", row.reason);
            }
            (row, Some(series))
        }
        Err(error) => (failed(row, &error), None),
    }
}

/// With what figures there are.
fn failed(mut row: Row, error: &color_eyre::Report) -> Row {
    row.outcome = Outcome::Failed;
    row.reason = one_line(&format!("{error:#}"));
    row
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

async fn with(
    world: &World,
    app: &mut App<'_>,
    run: &Run,
    manner: &Manner,
    controller: Option<u32>,
    row: &mut Row,
) -> Result<Series> {
    app.start().await.wrap_err("not set up")?;
    let reach = Reach::of(world)?;
    let applied = {
        let (client, reach, namespace) =
            (world.client.clone(), reach.clone(), app.namespace.clone());
        Observer::start(|stop| collect(client, reach, namespace, stop))
    };
    let probes = {
        let (client, reach, namespace) =
            (world.client.clone(), reach.clone(), app.namespace.clone());
        Observer::start(|stop| probe(client, reach, namespace, stop))
    };
    let producers = app.produce();
    tokio::time::sleep(manner.pace.warm_up).await;
    let mut records = Vec::new();
    if run.case.backlog > 0 {
        records.push(app.publish(run.case.backlog).await?);
    }
    steal(app, manner.steal).await?;

    let since = world.last_request().await;
    let (case, pace) = (&run.case, &manner.pace);
    let moved = mover::migrate(world, app, case, pace, controller, manner.limit).await?;
    if let (Some(since), Way::Cli | Way::Controller | Way::Mirror) = (since, run.case.way) {
        row.requests = world.own_requests_since(since).await;
    }
    note_move(row, &moved);

    tokio::time::sleep(manner.pace.after).await;
    let until = now();
    records.push(producers.stop().await.wrap_err("not published")?);
    let record = together(records);
    row.published = Some(record.publishers.values().map(|it| it.published).sum());
    row.confirmed = Some(record.confirmed());
    let survivor = survivor(app, &reach, &moved).await;
    let verdict = match survivor {
        Some(worker) => settled(&record, &reach, &worker).await,
        None => None,
    };
    // Before anything fails: what was seen is worth having in any case.
    let (probes, collected) = (probes.end().await?, applied.end().await?);
    note_seen(row, &moved, until, &probes, &collected);
    let Some(verdict) = verdict else {
        bail!("no worker shows its state; {}", row.reason);
    };
    note_verdict(row, &verdict);
    Ok(Series::of(&moved, &collected))
}

/// Takes messages from the queue and throws them away.
async fn steal(app: &App<'_>, count: u32) -> Result<()> {
    if count == 0 {
        return Ok(());
    }
    let connection = app.connect().await?;
    let channel = connection.create_channel().await?;
    for _ in 0..count {
        let until = Instant::now() + PATIENCE;
        loop {
            let options = BasicGetOptions::default();
            let got = channel.basic_get(app.queue.as_str().into(), options);
            if let Some(message) = got.await? {
                message
                    .delivery
                    .acker
                    .ack(BasicAckOptions::default())
                    .await?;
                break;
            }
            if Instant::now() > until {
                bail!("there is nothing in the queue to steal");
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    Ok(connection.close(200, "done".into()).await?)
}

fn together(records: Vec<Record>) -> Record {
    let mut all = Record::default();
    for record in records {
        all.publishers.extend(record.publishers);
    }
    all
}

/// The worker whose state counts: of those that are not going, the one that ms2m names as the target,
/// else the one that has applied the most.
async fn survivor(app: &App<'_>, reach: &Reach, moved: &Moved) -> Option<Worker> {
    let until = Instant::now() + PATIENCE;
    while Instant::now() < until {
        let mut best: Option<(bool, u64, Worker)> = None;
        for pod in app.pods().await.unwrap_or_default() {
            let Some(worker) = Worker::of(&pod) else {
                continue;
            };
            if pod.metadata.deletion_timestamp.is_some() {
                continue;
            }
            if let Some(report) = report(reach, &worker).await {
                let target = moved.summary.as_ref().map(|it| it.target_pod.as_str());
                let named = target == Some(name_of(&pod).as_str());
                let this = (named, report.state.count, worker);
                let better = best
                    .as_ref()
                    .is_none_or(|it| (it.0, it.1) < (this.0, this.1));
                if better {
                    best = Some(this);
                }
            }
        }
        if let Some((_, _, worker)) = best {
            return Some(worker);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    None
}

async fn report(reach: &Reach, worker: &Worker) -> Option<Report> {
    let text = reach.get(worker, "/state", Duration::from_secs(5)).await?;
    serde_json::from_str(&text).ok()
}

/// What the audit finds once nothing more comes: the ending is not ms2m's to say.
async fn settled(record: &Record, reach: &Reach, worker: &Worker) -> Option<Verdict> {
    const COMPLETE: Duration = Duration::from_millis(500);
    let (mut count, mut since) = (None, Instant::now());
    let until = since + PATIENCE;
    let mut found = None;
    while Instant::now() < until {
        if let Some(report) = report(reach, worker).await {
            if count != Some(report.state.count) {
                (count, since) = (Some(report.state.count), Instant::now());
            }
            let verdict = audit::compare(record, &report.state, audit::Options::default());
            let enough = if verdict.lost == 0 {
                COMPLETE
            } else {
                STANDSTILL
            };
            found = Some(verdict);
            if since.elapsed() >= enough {
                break;
            }
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    found
}

/// Seconds to a tenth of a millisecond: less is noise.
fn rounded(seconds: f64) -> f64 {
    (seconds * 1e4).round() / 1e4
}

fn note_move(row: &mut Row, moved: &Moved) {
    row.exit_code = moved.exit_code;
    row.wall = Some(rounded(moved.ended - moved.began));
    row.cpu = moved.used.map(|used| used.cpu);
    row.memory_bytes = moved.used.map(|used| used.memory);
    row.outcome = match &moved.failure {
        Some(_) => Outcome::Failed,
        None => Outcome::Completed,
    };
    row.reason = one_line(moved.failure.as_deref().unwrap_or_default());
    let Some(summary) = &moved.summary else {
        return;
    };
    row.total = Some(summary.total_seconds);
    row.pending = summary.phase("Pending");
    row.checkpointing = summary.phase("Checkpointing");
    row.transferring = summary.phase("Transferring");
    row.restoring = summary.phase("Restoring");
    row.replaying = summary.phase("Replaying");
    row.finalizing = summary.phase("Finalizing");
    row.downtime = Some(summary.downtime_seconds);
    row.doubts = Some(summary.doubts.len() as u64);
    row.replayed = Some(summary.messages_replayed);
    row.archive_bytes = Some(summary.archive_bytes);
    row.moved_bytes = Some(summary.layer_bytes);
    if !summary.doubts.is_empty() {
        row.reason = one_line(&summary.doubts.join("; "));
    }
}

fn note_seen(row: &mut Row, moved: &Moved, until: f64, probes: &[Probe], collected: &Collected) {
    let (began, ended) = (moved.began, moved.ended);
    let found = unavailable(probes);
    row.unavailable = Some(rounded(found.total));
    row.unavailable_longest = Some(rounded(found.longest));
    row.probes = Some(probes.len() as u64);
    row.probes_unanswered = Some(found.requests);
    let messages = collected.messages();
    row.gap = Some(rounded(longest_gap(&messages, began, f64::INFINITY)));
    row.gap_before = Some(rounded(longest_gap(&messages, 0.0, began)));
    let set = |ages: Option<Ages>| {
        let of = |value: fn(Ages) -> f64| ages.map(value).map(rounded);
        (of(|it| it.p50), of(|it| it.p99), of(|it| it.max))
    };
    (row.age_before_p50, row.age_before_p99, row.age_before_max) = set(ages(&messages, 0.0, began));
    (row.age_during_p50, row.age_during_p99, row.age_during_max) =
        set(ages(&messages, began, ended));
    (row.age_after_p50, row.age_after_p99, row.age_after_max) = set(ages(&messages, ended, until));
}

fn note_verdict(row: &mut Row, verdict: &Verdict) {
    row.applied = Some(verdict.applied);
    row.lost = Some(verdict.lost);
    row.doubled = Some(verdict.doubled);
    row.out_of_order = Some(verdict.out_of_order);
    row.exact = Some(verdict.exact);
}
