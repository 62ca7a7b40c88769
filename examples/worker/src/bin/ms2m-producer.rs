//! The producer's command line: reads arguments, calls the library, prints, exits.

use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use color_eyre::eyre::Result;
use ms2m_worker::audit::{self, Source};
use ms2m_worker::parse_duration;
use ms2m_worker::producer::{self, Record, Topology};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

/// Exit code of an audit that found something.
const NOT_EXACT: u8 = 1;

/// Exit code of a call that could not be carried out; clap uses it for bad arguments.
const FAILED: u8 = 2;

/// Publishes numbered messages with confirms, and audits what became of them.
///
/// Exit codes: 0 done, or the audit is exact; 1 the audit is not exact; 2 bad arguments, or
/// the broker, a file or the worker's state could not be had.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Publish, and record what the broker confirmed.
    ///
    /// Ends after --duration or --count, whichever comes first, or at SIGINT or SIGTERM.
    Run(RunArguments),
    /// Declare an exchange, a queue and the binding between them, all durable.
    Declare(Topology),
    /// Compare the record with the state of the worker that survived.
    Audit(AuditArguments),
}

#[derive(Args)]
struct RunArguments {
    #[command(flatten)]
    options: producer::Options,
    /// Publish until SIGINT or SIGTERM, which is also what happens without any limit.
    #[arg(long, conflicts_with_all = ["duration", "count"])]
    until_signal: bool,
    /// File to write the record to.
    #[arg(long)]
    record: PathBuf,
    /// Go on where the record in that file ends, if it is there.
    #[arg(long = "continue")]
    go_on: bool,
}

#[derive(Args)]
struct AuditArguments {
    /// Record of a run. Several are taken together.
    #[arg(long, required = true)]
    record: Vec<PathBuf>,
    #[command(flatten)]
    source: SourceArguments,
    /// How long the worker may take to apply what was confirmed.
    #[arg(long, default_value = "30s", value_parser = parse_duration)]
    wait: Duration,
    /// Let doubles pass that the broker marked as redelivered after a lost connection.
    #[arg(long)]
    allow_redelivered: bool,
    /// What to print.
    #[arg(long, short, default_value = "table")]
    output: Output,
}

#[derive(Args)]
#[group(required = true, multiple = false)]
struct SourceArguments {
    /// Address of the worker's /state.
    #[arg(long)]
    state_url: Option<String>,
    /// File with what /state answered.
    #[arg(long)]
    state_file: Option<PathBuf>,
    /// Shell command that prints what /state answers.
    #[arg(long)]
    state_command: Option<String>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Output {
    /// For people.
    Table,
    /// For scripts.
    Json,
}

fn main() -> Result<ExitCode> {
    color_eyre::install()?;
    rustls::crypto::aws_lc_rs::default_provider()
        .install_default()
        .expect("nothing has installed a provider before");
    let filter =
        EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn,lapin=off"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let done = runtime.block_on(async {
        match arguments.command {
            Command::Run(arguments) => publish(arguments).await,
            Command::Declare(topology) => {
                producer::declare(&topology).await?;
                Ok(ExitCode::SUCCESS)
            }
            Command::Audit(arguments) => audit(arguments).await,
        }
    });
    done.or_else(|error| {
        writeln!(std::io::stderr(), "error: {error:#}")?;
        Ok(ExitCode::from(FAILED))
    })
}

async fn publish(arguments: RunArguments) -> Result<ExitCode> {
    let path = &arguments.record;
    let before = if arguments.go_on && path.exists() {
        Some(Record::read(path)?)
    } else {
        None
    };
    // Written once before anything is published: a place that cannot be written to should
    // not show after the fact.
    before.clone().unwrap_or_default().write(path)?;
    let record = producer::run(&arguments.options, before, stop_on_signals()?).await?;
    record.write(path)?;
    let published: u64 = record.publishers.values().map(|log| log.published).sum();
    let returned: u64 = record
        .publishers
        .values()
        .map(|log| log.returned.len())
        .sum();
    let mut out = std::io::stdout().lock();
    writeln!(
        out,
        "{published} published, {} confirmed",
        record.confirmed()
    )?;
    if returned > 0 {
        writeln!(out, "{returned} came back: no queue is bound for them")?;
    }
    Ok(ExitCode::SUCCESS)
}

async fn audit(arguments: AuditArguments) -> Result<ExitCode> {
    let mut record = Record::default();
    for path in &arguments.record {
        record.publishers.extend(Record::read(path)?.publishers);
    }
    let SourceArguments {
        state_url,
        state_file,
        state_command,
    } = arguments.source;
    let source = state_url
        .map(Source::Url)
        .or(state_file.map(Source::File))
        .or(state_command.map(Source::Command))
        .expect("clap requires one of them");
    let options = audit::Options {
        allow_redelivered: arguments.allow_redelivered,
    };
    let (verdict, report) = audit::audit(&record, &source, arguments.wait, options).await?;
    let mut out = std::io::stdout().lock();
    match arguments.output {
        Output::Table => {
            write!(out, "{}", audit::table(&verdict))?;
            if let Some(gap) = report.longest_gap {
                writeln!(out, "longest time without a message applied: {} ms", gap.ms)?;
            }
        }
        Output::Json => {
            let mut json = serde_json::to_value(&verdict)?;
            json["longestGap"] = serde_json::to_value(report.longest_gap)?;
            json["pod"] = report.pod.into();
            writeln!(out, "{json:#}")?;
        }
    }
    Ok(if verdict.exact {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(NOT_EXACT)
    })
}

/// A token that the first SIGINT or SIGTERM cancels.
fn stop_on_signals() -> Result<CancellationToken> {
    let stop = CancellationToken::new();
    let (mut term, mut int) = (
        signal(SignalKind::terminate())?,
        signal(SignalKind::interrupt())?,
    );
    let token = stop.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = term.recv() => {}
            _ = int.recv() => {}
        }
        token.cancel();
    });
    Ok(stop)
}
