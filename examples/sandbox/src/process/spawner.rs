//! Starts every child process from one thread that lives as long as the sandbox.
//!
//! A child that asks for a signal at its parent's death (`PR_SET_PDEATHSIG`) gets it when the
//! parent *thread* ends. Tokio's blocking threads end after some idle seconds, and which thread
//! a task runs on is nobody's choice, so children are started from a thread of their own.

use std::sync::LazyLock;
use std::sync::mpsc;
use std::{io, thread};

use tokio::process::{Child, Command};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

struct Request {
    command: Command,
    runtime: Handle,
    reply: oneshot::Sender<io::Result<Child>>,
}

static SPAWNER: LazyLock<mpsc::Sender<Request>> = LazyLock::new(|| {
    let (sender, requests) = mpsc::channel::<Request>();
    thread::Builder::new()
        .name("spawner".to_owned())
        .spawn(move || {
            for mut request in requests {
                // The child is reaped by the runtime that asked for it.
                let _entered = request.runtime.enter();
                let child = request.command.spawn();
                // Nobody waits any more: the child, if any, is killed on drop when it was asked
                // to be.
                let _ = request.reply.send(child);
            }
        })
        .expect("the first thread of a process can be started");
    sender
});

/// Starts `command` from the long-lived thread.
///
/// # Errors
/// Those of [`Command::spawn`].
pub async fn spawn(command: Command) -> io::Result<Child> {
    let (reply, answer) = oneshot::channel();
    let request = Request {
        command,
        runtime: Handle::current(),
        reply,
    };
    SPAWNER
        .send(request)
        .map_err(|_| io::Error::other("the spawning thread is gone"))?;
    answer
        .await
        .map_err(|_| io::Error::other("the spawning thread is gone"))?
}
