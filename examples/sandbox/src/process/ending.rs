//! Ends a child process: politely first, then not.

use std::io;
use std::process::ExitStatus;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tokio::process::Child;

/// Sends `signal` to the child, and says whether it was still there to get it.
pub fn signal(child: &Child, signal: Signal) -> bool {
    pid_of(child).is_some_and(|pid| kill_process(pid, signal).is_ok())
}

/// Sends SIGTERM, waits up to `grace`, then kills the child's whole process group.
///
/// # Errors
/// When the child cannot be waited for.
pub async fn end(child: &mut Child, grace: Duration) -> io::Result<ExitStatus> {
    let group = pid_of(child);
    signal(child, Signal::TERM);
    let status = match tokio::time::timeout(grace, child.wait()).await {
        Ok(status) => status?,
        Err(_) => {
            child.start_kill()?;
            child.wait().await?
        }
    };
    // Helpers that the program left behind in its group. Mostly there are none, which is the
    // error that is ignored here.
    if let Some(group) = group {
        let _ = kill_process_group(group, Signal::KILL);
    }
    Ok(status)
}

fn pid_of(child: &Child) -> Option<Pid> {
    child
        .id()
        .and_then(|id| i32::try_from(id).ok())
        .and_then(Pid::from_raw)
}
