//! The worker's entry point: how the process begins and what ends it, nothing else.

use std::io::IsTerminal as _;

use clap::Parser;
use color_eyre::eyre::{Result, WrapErr as _};
use ms2m_worker::snapshot::{Begin, ProcessEnd};
use ms2m_worker::worker::{Settings, Worker};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

/// Reference worker of the ms2m consumer contract.
///
/// Consumes a queue, applies each message to its state in memory, acknowledges it afterwards,
/// and obeys the queue ms2m.control.<pod name>.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(flatten)]
    settings: Settings,
}

fn main() -> Result<()> {
    color_eyre::install()?;
    rustls::crypto::aws_lc_rs::default_provider()
        .install_default()
        .expect("nothing has installed a provider before");
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?
        .block_on(run())
}

async fn run() -> Result<()> {
    let mut runtime = ProcessEnd::inherited()?;
    // The first word decides whether arguments and environment are read at all: a restored
    // process goes on with those of its first start.
    let begin = match &mut runtime {
        Some(end) => end.begin().await?,
        None => Begin::Start,
    };
    let worker = match begin {
        Begin::Start => Worker::new(Arguments::parse().settings),
        Begin::Restore(image) => Worker::restore(image)?,
    };
    let filter = EnvFilter::try_new(&worker.settings().log).wrap_err("RUST_LOG is no filter")?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    let stop = stop_on_signals()?;
    worker.run(runtime, stop).await?;
    Ok(())
}

/// A token that SIGTERM and SIGINT cancel. As process 1 of a container it would get neither
/// without asking.
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
        tracing::info!("told to stop");
        token.cancel();
    });
    Ok(stop)
}
