//! The command line: one file a command.

mod report;
mod run;
mod selection;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use color_eyre::eyre::Result;

/// Measure migrations over message rates and configurations, and audit each.
///
/// Runs are made in a sandbox, or on the cluster that --kubeconfig names, one after the other; results
/// are a line each in a CSV file, and what is there already is not run again.
#[derive(Debug, Parser)]
#[command(name = "ms2m-evaluate", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Run(Box<run::RunArgs>),
    Report(report::ReportArgs),
}

/// Runs the program.
///
/// # Errors
/// When the command fails; the report is for a person.
pub fn main() -> Result<ExitCode> {
    color_eyre::config::HookBuilder::default()
        .display_env_section(false)
        .install()?;
    // Fails only if there is one already, which is as good.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let cli = Cli::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        match cli.command {
            Command::Run(args) => Box::pin(run::run(*args)).await,
            Command::Report(args) => report::run(&args),
        }
    })
}
