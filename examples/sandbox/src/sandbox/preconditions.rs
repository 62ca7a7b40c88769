//! What the machine must allow, and what it offers.

use std::process::Stdio;
use std::time::Duration;

use color_eyre::Section as _;
use color_eyre::eyre::{Result, WrapErr as _, eyre};
use tokio::process::Command;

use crate::node::runtime::{User, enter_namespaces};
use crate::process::{spawn, this_program};

/// Tries in a process of its own whether containers can be run.
pub(super) async fn containers_can_run() -> Result<()> {
    let mut command = Command::new(this_program());
    command
        .arg("check-namespaces")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let child = spawn(command)
        .await
        .wrap_err("failed to check what the machine allows")?;
    let output = child.wait_with_output().await?;
    if output.status.success() {
        return Ok(());
    }
    let cause = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(eyre!("containers cannot be run here: {cause}"))
        .suggestion("run the sandbox as root")
        .suggestion(
            "or allow user namespaces: sysctl -w kernel.unprivileged_userns_clone=1 (Debian), kernel.apparmor_restrict_unprivileged_userns=0 (Ubuntu)",
        )
        .suggestion("or, inside a container: give it --privileged, or SYS_ADMIN without the seccomp profile")
}

/// Enters the namespaces of a container, and nothing more.
///
/// # Errors
/// When that is not permitted.
pub fn check_namespaces() -> std::io::Result<()> {
    enter_namespaces(&User::default()).map_err(|error| {
        if error.kind() != std::io::ErrorKind::InvalidInput {
            return error;
        }
        // The kernel keeps mounts private only where there is a mount to begin with.
        std::io::Error::other(
            "the root directory is no mount point, as in a chroot: bind-mount it onto itself first",
        )
    })
}

/// How containers are checkpointed, and why so.
pub(super) async fn checkpoint_mechanism() -> String {
    let mut command = Command::new("criu");
    command
        .arg("check")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let checked = async { spawn(command).await?.wait_with_output().await };
    let why = match tokio::time::timeout(Duration::from_secs(10), checked).await {
        Err(_) => "criu check does not end".to_owned(),
        Ok(Err(_)) => "criu is not installed".to_owned(),
        Ok(Ok(output)) if output.status.success() => {
            // CRIU brings a process back under its old process id and with its listening
            // addresses, which the source still has.
            "criu check passes, but source and target share one machine's process ids and addresses"
                .to_owned()
        }
        Ok(Ok(output)) => {
            let text = String::from_utf8_lossy(&output.stderr);
            let last = text.lines().last().unwrap_or("it says nothing").to_owned();
            format!("criu check fails: {last}")
        }
    };
    format!("the process's own snapshot of its memory ({why})")
}
