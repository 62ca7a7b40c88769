//! `ms2m-sandbox up`

use std::io::Write as _;
use std::process::ExitCode;

use clap::Args;
use color_eyre::eyre::Result;

use super::options::{SandboxArgs, banner};
use super::signals::end_asked;
use crate::sandbox::Sandbox;

/// Run a sandbox until it is interrupted.
///
/// When everything is ready one line of JSON on standard output says where it is found.
#[derive(Debug, Args)]
pub(super) struct Up {
    #[command(flatten)]
    sandbox: SandboxArgs,
    /// End when standard input is closed, as it is when the calling program ends.
    #[arg(long)]
    until_stdin_closes: bool,
}

pub(super) async fn run(command: Up) -> Result<ExitCode> {
    let options = command.sandbox.options()?;
    let mut end = std::pin::pin!(end_asked(command.until_stdin_closes));
    let sandbox = tokio::select! {
        started = Sandbox::start(options) => started?,
        // What was started so far dies with this process.
        asked = &mut end => return asked.map(|()| ExitCode::SUCCESS).map_err(Into::into),
    };
    let info = sandbox.info();
    std::io::stderr().write_all(banner(info).as_bytes())?;
    let line = serde_json::to_string(info)?;
    // Flushed at once: somebody is waiting for it.
    writeln!(std::io::stdout(), "{line}").and_then(|()| std::io::stdout().flush())?;
    end.await?;
    sandbox.stop().await?;
    Ok(ExitCode::SUCCESS)
}
