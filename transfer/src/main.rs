//! Entry point: set-up, signals and exit code, nothing else.

mod arrival;
mod authorities;
mod body;
mod cli;
mod credentials;
mod failure;
mod file;
mod frame;
mod image;
mod layer;
mod look;
mod manifests;
mod pace;
mod pack;
mod piece;
mod pieces;
mod probe;
mod proxies;
mod receive;
mod registry;
mod reporter;
mod retry;
mod sender;
mod session;
mod stream;
mod tape;
mod transfer;
mod upload;

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use clap::Parser;
use ms2m_transfer::event::{Event, Waiting};
use ms2m_transfer::{Failed, Pushed, Report, archive, env, metadata, reference};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing_subscriber::EnvFilter;

use crate::arrival::Awaited;
use crate::cli::{Cli, Settings};
use crate::failure::Failure;
use crate::layer::Counters;
use crate::reporter::Reporter;

/// The most often that progress is reported.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(100);

fn main() -> ExitCode {
    let reporter = Reporter::new(Instant::now());
    set_up();
    match std::env::args_os().nth(1) {
        Some(word) if word == "receive" => return receive::main(),
        Some(word) if word == "probe" => return look::main(),
        _ => {}
    }
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) if !error.use_stderr() => error.exit(),
        Err(error) => return usage_error(&reporter, &error),
    };
    let termination_log = cli.termination_log();
    let result = cli.settings().and_then(|settings| {
        authorities::ensure()?;
        run(settings, &reporter)
    });
    conclude(&reporter, &termination_log, result)
}

fn set_up() {
    // Fixed on purpose: at lower levels the libraries write headers and URLs.
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new("warn,ms2m_transfer=info"))
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .init();
    rustls::crypto::aws_lc_rs::default_provider()
        .install_default()
        .expect("nothing else installs a provider");
}

/// A command line that clap refuses is reported as every failure is: in a pod nobody reads stderr
/// first.
fn usage_error(reporter: &Reporter, error: &clap::Error) -> ExitCode {
    let _ = error.print();
    let first = error.to_string();
    let what = first.lines().next().unwrap_or_default();
    let what = what.trim_start_matches("error: ").trim_end_matches(':');
    let failure = Failure::config(what, "see ms2m-transfer --help");
    let log = std::env::var_os(env::TERMINATION_LOG)
        .filter(|path| !path.is_empty())
        .unwrap_or_else(|| env::TERMINATION_LOG_DEFAULT.into());
    let report = Report::Failed(Failed::from(&failure));
    reporter.finish(report, &PathBuf::from(log));
    ExitCode::from(ms2m_transfer::ExitCode::from(failure.code).code())
}

fn run(mut settings: Settings, reporter: &Reporter) -> Result<Pushed, Failure> {
    if settings.discard {
        return Err(file::discard_only(&settings.archive));
    }
    // One thread for the network, and one more while there is a layer to make.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| {
            Failure::config(
                format!("the process cannot start: {error}"),
                "raise the container's limits",
            )
        })?;
    let result = runtime.block_on(until_signal(&mut settings, reporter));
    // A read from a dead disk never returns; it must not hold the process.
    runtime.shutdown_background();
    file::discard(&settings, result.as_ref().err());
    result
}

/// The signals that end the process.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> Result<Self, Failure> {
        let both = signal(SignalKind::terminate())
            .and_then(|terminate| Ok((terminate, signal(SignalKind::interrupt())?)));
        let (terminate, interrupt) = both.map_err(|error| {
            Failure::config(
                format!("signals cannot be handled: {error}"),
                "raise the container's limits",
            )
        })?;
        Ok(Self {
            terminate,
            interrupt,
        })
    }

    async fn any(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Waits for the archive, if it is yet to come.
async fn await_archive(
    settings: &mut Settings,
    reporter: &Reporter,
    signals: &mut Signals,
) -> Result<(), Failure> {
    let Some(prefix) = settings.archive_prefix.clone() else {
        return Ok(());
    };
    let unreadable = |error| file::unreadable(&prefix, &error);
    let awaited = Awaited::from_now(&prefix).map_err(unreadable)?;
    reporter.event(&Event::Waiting(Waiting {
        prefix: prefix.display().to_string(),
    }));
    tokio::select! {
        arrived = awaited.arrives() => {
            settings.archive = arrived.map_err(unreadable)?;
            Ok(())
        }
        () = signals.any() => {
            // One that has come at the last moment is not wanted any more, and must not stay.
            settings.archive = awaited.look().ok().flatten().unwrap_or_default();
            Err(Failure::interrupted())
        }
    }
}

/// Does the transfer, reporting progress, until it ends or a signal says so.
async fn until_signal(settings: &mut Settings, reporter: &Reporter) -> Result<Pushed, Failure> {
    let mut signals = Signals::new()?;
    // Before the archive is waited for: what is wrong with its settings is said before there is one.
    let registry = transfer::registry(settings, reporter)?;
    await_archive(settings, reporter, &mut signals).await?;
    let counters = Arc::new(Counters::default());
    let mut work = Box::pin(transfer::push(settings, &registry, reporter, &counters));
    let mut ticks = tokio::time::interval(PROGRESS_INTERVAL);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut shown = 0;
    loop {
        tokio::select! {
            result = &mut work => return result,
            () = signals.any() => return Err(Failure::interrupted()),
            _ = ticks.tick() => {
                let seen = counters.read.load(Ordering::Relaxed)
                    + counters.sent.load(Ordering::Relaxed);
                if seen != shown {
                    reporter.progress(&counters);
                    shown = seen;
                }
            }
        }
    }
}

fn conclude(
    reporter: &Reporter,
    termination_log: &std::path::Path,
    result: Result<Pushed, Failure>,
) -> ExitCode {
    let (report, code) = match result {
        Ok(pushed) => {
            tracing::info!("pushed {} in {:.2} s", pushed.image, pushed.seconds);
            (Report::Pushed(pushed), ms2m_transfer::ExitCode::Pushed)
        }
        Err(failure) => {
            let _ = writeln!(std::io::stderr(), "{failure}");
            let code = failure.code.into();
            (Report::Failed(Failed::from(&failure)), code)
        }
    };
    reporter.finish(report, termination_log);
    ExitCode::from(code.code())
}
