//! `ms2m-evaluate run`

use std::collections::HashSet;
use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::process::{ExitCode, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::Args;
use color_eyre::eyre::{Result, WrapErr as _};
use indicatif::{ProgressBar, ProgressStyle};
use ms2m_worker::parse_duration;

use super::selection::Selection;
use crate::matrix::{Case, Pace, Run, Way, estimate, plan};
use crate::measure::{Manner, measure};
use crate::record::{Outcome, Results, Row};
use crate::world::{Places, World};

/// Run what is not in the results yet.
#[derive(Debug, Args)]
pub(super) struct RunArgs {
    #[command(flatten)]
    selection: Selection,
    /// Directory of the results, which is made if need be: runs.csv, and series/ with the messages of
    /// the first repetition of each case.
    #[arg(long, default_value = "evaluation")]
    out: PathBuf,
    /// Say what would be run, in its order, and how long that takes; run nothing.
    #[arg(long)]
    dry_run: bool,
    /// How long a migration may take before it counts as failed.
    #[arg(long, default_value = "5m", value_parser = parse_duration)]
    limit: Duration,
    /// Runs in each new sandbox, and at the start on a cluster, that are not counted: the first one pulls
    /// images and makes everything's first connection.
    #[arg(long, default_value_t = 1)]
    discard: u32,
    /// Throw away so many messages of the backlog: to see that a loss shows.
    #[arg(long, default_value_t = 0, hide = true)]
    steal: u32,
    #[command(flatten)]
    cluster: ClusterArgs,
}

/// A cluster to run on, in place of a sandbox.
#[derive(Debug, Args)]
struct ClusterArgs {
    /// Run on this cluster.
    #[arg(long, requires_all = ["nodes", "broker_url", "registry", "worker_image"])]
    kubeconfig: Option<PathBuf>,
    /// Two nodes of it, between which pods are moved.
    #[arg(long, value_delimiter = ',', value_name = "NODE,NODE", num_args = 2)]
    nodes: Vec<String>,
    /// Its broker, amqp://USER:PASSWORD@HOST; prefer the environment.
    #[arg(long, env = "MS2M_BROKER_URL", hide_env_values = true)]
    broker_url: Option<String>,
    /// The broker as pods reach it, where that is another address.
    #[arg(long, env = "MS2M_BROKER_URL_IN_PODS", hide_env_values = true)]
    broker_url_in_pods: Option<String>,
    /// The broker's management API [default: port 15672 of the broker's host].
    #[arg(long, env = "MS2M_MANAGEMENT_URL", hide_env_values = true)]
    management_url: Option<String>,
    /// Its registry, as registry.example.com.
    #[arg(long)]
    registry: Option<String>,
    /// The registry speaks plain HTTP.
    #[arg(long)]
    registry_plain_http: bool,
    /// Image of the reference worker there.
    #[arg(long)]
    worker_image: Option<String>,
    /// Image of the transfer Job there [default: ms2m's].
    #[arg(long)]
    transfer_image: Option<String>,
}

impl ClusterArgs {
    fn places(&self) -> Option<Places> {
        let text = |given: &Option<String>| given.clone().unwrap_or_default();
        Some(Places {
            kubeconfig: self.kubeconfig.clone()?,
            broker_url: text(&self.broker_url),
            broker_url_in_pods: self.broker_url_in_pods.clone(),
            management_url: text(&self.management_url),
            registry: text(&self.registry),
            worker_image: text(&self.worker_image),
            transfer_image: text(&self.transfer_image),
            nodes: self.nodes.clone(),
            plain_http: self.registry_plain_http,
        })
    }

    async fn world(&self) -> Result<World> {
        match self.places() {
            Some(places) => World::cluster(places).await,
            None => World::sandbox().await,
        }
    }
}

/// Runs after which a sandbox is made anew, so that none is measured in one that has grown old.
const RUNS_A_WORLD: usize = 50;

pub(super) async fn run(args: RunArgs) -> Result<ExitCode> {
    let directory = args.out.display();
    if !args.dry_run {
        std::fs::create_dir_all(args.out.join("series"))
            .wrap_err_with(|| format!("failed to make {directory}"))?;
    }
    let path = args.out.join("runs.csv");
    let (results, rows) = if args.dry_run && !path.exists() {
        (None, Vec::new())
    } else {
        let (results, rows) = Results::open(&path)?;
        (Some(results), rows)
    };
    let seed = args.selection.seed;
    let seed = seed.or_else(|| rows.last().map(|row| row.seed));
    let seed = seed.unwrap_or_else(by_the_clock);
    let done: HashSet<Run> = rows.iter().map(Row::run).collect();
    let pace = args.selection.pace();
    let mut runs = plan(&args.selection.cases(), args.selection.repetitions, seed);
    let all = runs.len();
    runs.retain(|run| !done.contains(run));
    say(&format!(
        "seed {seed}: {all} runs, {} of them done; the rest takes about {}",
        all - runs.len(),
        hours(seconds_of(&runs, &pace))
    ))?;
    let Some(results) = results.filter(|_| !args.dry_run) else {
        for run in &runs {
            say(&format!("{run}  {:.0} s", estimate(&run.case, &pace)))?;
        }
        return Ok(ExitCode::SUCCESS);
    };
    let mut session = Session {
        manner: Manner {
            pace,
            limit: args.limit,
            steal: args.steal,
        },
        seed,
        commit: commit(),
        results,
        failed: 0,
        bar: bar(seconds_of(&runs, &pace)),
        args,
    };
    let mut interrupted = std::pin::pin!(tokio::signal::ctrl_c());
    for chunk in runs.chunks(RUNS_A_WORLD) {
        let done = tokio::select! {
            done = Box::pin(session.make(chunk)) => done,
            // What it began goes with the sandbox; on a cluster its namespace stays.
            _ = &mut interrupted => {
                session.bar.abandon();
                say("interrupted: what is done is kept, and the same command goes on")?;
                return Ok(ExitCode::from(130));
            }
        };
        done?;
    }
    session.bar.finish();
    say(&format!("{} runs, {} failed", runs.len(), session.failed))?;
    Ok(ExitCode::SUCCESS)
}

/// What all runs of one call have in common.
struct Session {
    args: RunArgs,
    manner: Manner,
    seed: u64,
    commit: String,
    results: Results,
    failed: usize,
    bar: ProgressBar,
}

impl Session {
    async fn make(&mut self, runs: &[Run]) -> Result<()> {
        let mut world = self.args.cluster.world().await?;
        let kind = if world.is_sandbox() {
            "sandbox"
        } else {
            "cluster"
        };
        for (at, first) in (0..self.args.discard).zip(runs.iter().cycle()) {
            self.bar.set_message("warming up");
            let warm_up = Run {
                case: Case {
                    rate: 20,
                    way: Way::Cli,
                    state_bytes: 0,
                    backlog: 0,
                    ..first.case
                },
                repetition: 0,
            };
            let manner = Manner {
                steal: 0,
                ..self.manner
            };
            Box::pin(measure(
                &mut world,
                &warm_up,
                &manner,
                &number(&format!("discarded-{at}")),
            ))
            .await;
        }
        for (at, run) in runs.iter().enumerate() {
            self.bar.set_message(run.to_string());
            let number = number(&at.to_string());
            let measured = measure(&mut world, run, &self.manner, &number);
            let (mut row, series) = Box::pin(measured).await;
            row.seed = self.seed;
            row.commit.clone_from(&self.commit);
            row.world = kind.to_owned();
            self.results.add(&row)?;
            if let Some(series) = series.filter(|_| run.repetition == 1) {
                let name = format!("series/{run}.json");
                series.write(&self.args.out.join(name))?;
            }
            self.failed += usize::from(row.outcome == Outcome::Failed);
            let took = estimate(&run.case, &self.manner.pace);
            self.bar.inc(took.round() as u64);
            self.tell(&row)?;
        }
        world.end().await;
        Ok(())
    }

    fn tell(&self, row: &Row) -> Result<()> {
        let seconds = |value: Option<f64>| value.map_or("-".to_owned(), |it| format!("{it:.3}"));
        let exact = match row.exact {
            Some(true) => "exact",
            Some(false) => "NOT EXACT",
            None => "not audited",
        };
        let line = format!(
            "{}: {} s, gap {} s, {exact} {}",
            row.run(),
            seconds(row.total.or(row.wall)),
            seconds(row.gap),
            row.reason
        );
        self.bar.suspend(|| say(line.trim_end()))
    }
}

/// Tells what is made for a run from everything else on a cluster and at a broker.
fn number(at: &str) -> String {
    format!("{}-{at}", std::process::id())
}

fn seconds_of(runs: &[Run], pace: &Pace) -> f64 {
    runs.iter().map(|run| estimate(&run.case, pace)).sum()
}

/// Progress by estimated seconds, not by runs, which differ. Off a terminal it draws nothing.
fn bar(seconds: f64) -> ProgressBar {
    let bar = ProgressBar::new(seconds.round() as u64);
    let style = ProgressStyle::with_template("{percent:>3}% {wide_bar} {eta} left  {msg}");
    if let Ok(style) = style {
        bar.set_style(style);
    }
    if std::io::stderr().is_terminal() {
        bar.enable_steady_tick(Duration::from_millis(500));
    }
    bar
}

fn say(line: &str) -> Result<()> {
    Ok(writeln!(std::io::stderr(), "{line}")?)
}

fn hours(seconds: f64) -> String {
    let minutes = (seconds / 60.0).ceil() as u64;
    format!("{} h {} min", minutes / 60, minutes % 60)
}

fn by_the_clock() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}

/// The commit of the directory that this is called in; empty where there is none.
fn commit() -> String {
    let git = std::process::Command::new("git")
        .args(["describe", "--always", "--dirty", "--abbrev=9"])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output();
    let words = git.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    words.unwrap_or_default()
}
