//! `ms2m-sandbox run`

use std::ffi::OsString;
use std::io::Write as _;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{ExitCode, ExitStatus};
use std::time::Duration;

use clap::Args;
use color_eyre::eyre::{Result, WrapErr as _};
use tokio::process::Command;

use super::options::{SandboxArgs, banner};
use super::signals::end_asked;
use crate::process;
use crate::sandbox::{Info, Sandbox};

/// Run a command in a sandbox of its own, and pass its exit code on.
#[derive(Debug, Args)]
pub(super) struct Run {
    #[command(flatten)]
    sandbox: SandboxArgs,
    /// The command. It finds the sandbox by KUBECONFIG and MS2M_SANDBOX_… in its environment.
    #[arg(last = true, required = true)]
    command: Vec<OsString>,
}

pub(super) async fn run(run: Run) -> Result<ExitCode> {
    let options = run.sandbox.options()?;
    let mut end = std::pin::pin!(end_asked(false));
    let sandbox = tokio::select! {
        started = Sandbox::start(options) => started?,
        asked = &mut end => return asked.map(|()| ExitCode::from(130)).map_err(Into::into),
    };
    std::io::stderr().write_all(banner(sandbox.info()).as_bytes())?;
    let status = follow(&run.command, sandbox.info(), end).await;
    sandbox.stop().await?;
    Ok(exit_code(status?))
}

/// Runs the command to its end, which is asked for when the sandbox's is.
async fn follow(
    command: &[OsString],
    info: &Info,
    end: impl Future<Output = std::io::Result<()>>,
) -> Result<ExitStatus> {
    let mut child = Command::new(&command[0]);
    child.args(&command[1..]).kill_on_drop(true);
    for (name, value) in environment(info) {
        child.env(name, value);
    }
    let mut child = process::spawn(child)
        .await
        .wrap_err_with(|| format!("failed to run {}", command[0].display()))?;
    tokio::select! {
        status = child.wait() => Ok(status?),
        asked = end => {
            asked?;
            Ok(process::end(&mut child, Duration::from_secs(10)).await?)
        }
    }
}

fn environment(info: &Info) -> Vec<(&'static str, OsString)> {
    let mut environment = vec![
        ("KUBECONFIG", info.kubeconfig.clone().into_os_string()),
        ("MS2M_SANDBOX_API", info.api_server.clone().into()),
        ("MS2M_SANDBOX_BROKER_URL", info.broker_url.clone().into()),
        (
            "MS2M_SANDBOX_POWERLESS_BROKER_URL",
            info.powerless_broker_url.clone().into(),
        ),
        (
            "MS2M_SANDBOX_MANAGEMENT_URL",
            info.management_url.clone().into(),
        ),
        ("MS2M_SANDBOX_REGISTRY", info.registry.clone().into()),
        ("MS2M_SANDBOX_CONTROL_URL", info.control_url.clone().into()),
        ("MS2M_SANDBOX_DIR", info.dir.clone().into_os_string()),
    ];
    for (name, image) in [
        ("MS2M_SANDBOX_WORKER_IMAGE", &info.worker_image),
        ("MS2M_SANDBOX_TRANSFER_IMAGE", &info.transfer_image),
    ] {
        environment.extend(image.clone().map(|image| (name, image.into())));
    }
    environment
}

/// The command's own code, or as a shell has it 128 plus its signal.
fn exit_code(status: ExitStatus) -> ExitCode {
    let code = status
        .code()
        .or_else(|| status.signal().map(|signal| 128 + signal));
    ExitCode::from(code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1))
}
