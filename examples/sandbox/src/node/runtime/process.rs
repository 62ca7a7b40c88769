//! The process of a container: started, told how to begin, watched until it ends.

use std::io::{self, Read as _};
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use ms2m_worker::snapshot::RuntimeEnd;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tokio::net::UnixStream;
use tokio::process::{Child, Command};
use tokio::sync::{Mutex, watch};

use super::create::Bundle;
use super::logs::Log;
use crate::process::{spawn, this_program};

/// How a container ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exit {
    /// The exit code, or 128 plus the signal that ended it.
    pub code: i32,
    /// The signal.
    pub signal: Option<i32>,
    /// When.
    pub at: Timestamp,
}

/// The runtime's end of a checkpoint stream.
pub(super) type Stream = RuntimeEnd<UnixStream>;

/// A started process.
#[derive(Debug)]
pub(super) struct Process {
    pub(super) pid: Pid,
    /// The checkpoint stream. Locked while somebody uses it; a second one is told so.
    pub(super) stream: Arc<Mutex<Stream>>,
    exit: watch::Receiver<Option<Exit>>,
    _killer: Killer,
}

/// Kills the process when whoever started it loses interest, in the middle of the start or
/// later.
#[derive(Debug)]
struct Killer {
    pid: Pid,
    exit: watch::Receiver<Option<Exit>>,
}

impl Drop for Killer {
    fn drop(&mut self) {
        if self.exit.borrow().is_none() {
            // The group is there only once the process has made itself its leader.
            let _ = kill_process_group(self.pid, Signal::KILL);
            let _ = kill_process(self.pid, Signal::KILL);
        }
    }
}

impl Process {
    /// Starts the container in `bundle`. Returns once its program runs; it has not been told
    /// yet how to begin. The error is what kept it from running.
    pub(super) async fn start(bundle: &Bundle, log: &Log) -> Result<Self, String> {
        let describe = |error: io::Error| format!("failed to start the container: {error}");
        let (ours, theirs) = std::os::unix::net::UnixStream::pair().map_err(describe)?;
        ours.set_nonblocking(true).map_err(describe)?;
        let stream = UnixStream::from_std(ours).map_err(describe)?;
        let mut command = Command::new(this_program());
        command
            .arg("container-init")
            .arg(bundle.config())
            .env_clear()
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let mut child = spawn(command).await.map_err(describe)?;
        let pid = child
            .id()
            .and_then(|id| Pid::from_raw(i32::try_from(id).ok()?))
            .ok_or("the container ended before it was started")?;
        let pumps = [
            child
                .stdout
                .take()
                .map(|output| tokio::spawn(log.clone().pump("stdout", output))),
            child
                .stderr
                .take()
                .map(|output| tokio::spawn(log.clone().pump("stderr", output))),
        ];
        let (report, exit) = watch::channel(None);
        let killer = Killer {
            pid,
            exit: exit.clone(),
        };
        let status = read_status(bundle.status());
        tokio::spawn(reap(
            child,
            pid,
            pumps.into_iter().flatten().collect(),
            report,
        ));
        let failure = wait_for_status(status, exit.clone(), bundle).await;
        if let Some(failure) = failure {
            return Err(failure);
        }
        Ok(Self {
            pid,
            stream: Arc::new(Mutex::new(RuntimeEnd::new(stream))),
            exit,
            _killer: killer,
        })
    }

    /// Waits until the process has ended and its last words are in the log.
    pub(super) fn exit(&self) -> watch::Receiver<Option<Exit>> {
        self.exit.clone()
    }

    /// Sends a signal unless the process has ended. SIGKILL goes to everything that it started.
    pub(super) fn signal(&self, signal: Signal) {
        // The process id is not given to another one before the exit is known here.
        if self.exit.borrow().is_some() {
            return;
        }
        let sent = if signal == Signal::KILL {
            kill_process_group(self.pid, signal)
        } else {
            kill_process(self.pid, signal)
        };
        if let Err(error) = sent {
            tracing::debug!(pid = self.pid.as_raw_pid(), %error, "signal not delivered");
        }
    }
}

/// Reads what the first process has to say, which is nothing if its program runs.
fn read_status(path: std::path::PathBuf) -> tokio::task::JoinHandle<io::Result<String>> {
    tokio::task::spawn_blocking(move || {
        let mut text = String::new();
        std::fs::File::open(path)?.read_to_string(&mut text)?;
        Ok(text)
    })
}

/// The first process's error, if there is one.
async fn wait_for_status(
    mut status: tokio::task::JoinHandle<io::Result<String>>,
    mut exit: watch::Receiver<Option<Exit>>,
    bundle: &Bundle,
) -> Option<String> {
    let text = tokio::select! {
        text = &mut status => text,
        () = ended(&mut exit) => {
            // It may have ended without ever opening its side, for which the reader waits.
            unblock(&bundle.status());
            status.await
        }
    };
    match text {
        Ok(Ok(text)) if text.is_empty() => None,
        Ok(Ok(text)) => Some(text),
        Ok(Err(error)) => Some(format!("failed to follow the container's start: {error}")),
        Err(error) => Some(format!("failed to follow the container's start: {error}")),
    }
}

/// Waits until the process has ended and its last words are in the log.
pub(super) async fn ended(exit: &mut watch::Receiver<Option<Exit>>) {
    // The channel closes with the end at the latest.
    let _ = exit.wait_for(Option::is_some).await;
}

fn unblock(status: &Path) {
    use std::os::unix::fs::OpenOptionsExt as _;
    // Fails where nobody reads any more, which is as good.
    let _ = std::fs::File::options()
        .write(true)
        .custom_flags(rustix::fs::OFlags::NONBLOCK.bits().cast_signed())
        .open(status);
}

async fn reap(
    mut child: Child,
    pid: Pid,
    pumps: Vec<tokio::task::JoinHandle<()>>,
    report: watch::Sender<Option<Exit>>,
) {
    let status = child.wait().await;
    let at = Timestamp::now();
    // What the program left behind in its session would hold the log open.
    let _ = kill_process_group(pid, Signal::KILL);
    for pump in pumps {
        let _ = tokio::time::timeout(Duration::from_secs(1), pump).await;
    }
    report.send_replace(Some(match status {
        Ok(status) => of_status(status, at),
        Err(_) => Exit {
            code: 255,
            signal: None,
            at,
        },
    }));
}

fn of_status(status: ExitStatus, at: Timestamp) -> Exit {
    let signal = status.signal();
    Exit {
        code: status.code().unwrap_or_else(|| 128 + signal.unwrap_or(0)),
        signal,
        at,
    }
}
