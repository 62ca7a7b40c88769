//! The command line: one file a command. Those that only the sandbox itself calls are hidden.

mod image;
mod internal;
mod options;
mod run;
mod signals;
mod up;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use color_eyre::eyre::Result;

/// A Kubernetes cluster on one machine for ms2m.
///
/// Nodes run real processes from real images; broker and registry are Debian's. Everything is
/// on loopback and in one directory, and nothing is left behind.
#[derive(Debug, Parser)]
#[command(name = "ms2m-sandbox", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Up(up::Up),
    Run(run::Run),
    Image(image::Image),
    #[command(flatten)]
    Internal(internal::Internal),
}

/// Runs the program.
///
/// # Errors
/// When the command fails; the report is for a person.
pub fn main() -> Result<ExitCode> {
    let cli = Cli::parse();
    let command = match cli.command {
        // The first process of a container must have no threads, so nothing is set up for it.
        Command::Internal(command) => return internal::run(&command),
        command => command,
    };
    color_eyre::config::HookBuilder::default()
        .display_env_section(false)
        .install()?;
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_env("MS2M_SANDBOX_LOG")
                .unwrap_or_else(|_| "warn".into()),
        )
        .init();
    // Fails only if there is one already, which is as good.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let result = runtime.block_on(async {
        match command {
            Command::Up(command) => Box::pin(up::run(command)).await,
            Command::Run(command) => Box::pin(run::run(command)).await,
            Command::Image(command) => image::run(command).await,
            Command::Internal(_) => unreachable!("handled above"),
        }
    });
    // Threads that wait for something that never comes must not keep the process.
    runtime.shutdown_background();
    result
}
