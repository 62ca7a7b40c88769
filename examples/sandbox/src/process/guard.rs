//! A small wrapper around other people's programs, so that they die with the sandbox even when
//! that is killed with SIGKILL. It is this very program, started again under another name.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;

use rustix::process::{Pid, Signal, getppid, set_parent_process_death_signal};
use tokio::process::Command;

/// This program, also when its file was replaced or deleted since it was started.
///
/// The path is looked up by the child between `fork` and `exec`, when it still runs the
/// parent's executable.
pub fn this_program() -> PathBuf {
    PathBuf::from("/proc/self/exe")
}

/// A command that runs `program` under [`guard`], in a process group of its own so that a
/// Ctrl-C on the terminal reaches only the sandbox, which then ends things in order.
pub fn guarded(program: impl Into<OsString>) -> Command {
    let mut command = Command::new(this_program());
    command
        .arg("guard")
        .arg(std::process::id().to_string())
        .arg(program.into())
        .process_group(0);
    command
}

/// Arranges that the kernel kills this process when `parent` ends.
///
/// To be called again after a change of user, which makes the kernel forget it.
///
/// # Errors
/// When the parent is already gone, or the kernel refuses.
pub fn die_with_parent(parent: u32) -> io::Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    // The parent may have died before the call above. Inside another PID namespace, or after
    // that, the parent is not the one that was named.
    let now = getppid().map(Pid::as_raw_nonzero).map(|pid| pid.get());
    if now != i32::try_from(parent).ok() {
        return Err(io::Error::other("the parent process is gone"));
    }
    Ok(())
}

/// Becomes `program` with `arguments`, which from then on dies with `parent`. Returns only when
/// that fails.
///
/// # Errors
/// When the parent is gone or the program cannot be run.
pub fn guard(parent: u32, program: &OsString, arguments: &[OsString]) -> io::Result<()> {
    die_with_parent(parent)?;
    Err(std::process::Command::new(program).args(arguments).exec())
}
