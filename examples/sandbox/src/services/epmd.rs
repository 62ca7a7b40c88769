//! The Erlang port mapper of the private broker.
//!
//! An Erlang node that finds none starts one, which then outlives it and belongs to nobody. So
//! one is started here first, in the foreground, where it can be ended by its process id and
//! dies with the sandbox.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::process::Child;

use super::Error;
use super::program::log_to;
use crate::process;

/// Starts the port mapper and waits until it listens.
pub(super) async fn start(program: &Path, address: SocketAddr, log: &Path) -> Result<Child, Error> {
    let mut command = process::guarded(program);
    command
        .args(["-port", &address.port().to_string()])
        .args(["-address", &address.ip().to_string()])
        .env_clear()
        .kill_on_drop(true);
    log_to(&mut command, log).map_err(Error::io("open epmd's log"))?;
    let mut child = process::spawn(command)
        .await
        .map_err(Error::io("start epmd"))?;
    // epmd listens on 127.0.0.1 beside the address that it was told to.
    for _ in 0..500 {
        if TcpStream::connect(address).await.is_ok() {
            return Ok(child);
        }
        if let Ok(Some(status)) = child.try_wait() {
            return Err(not_ready(format!("it ended with {status}"), log));
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Err(not_ready("it does not listen".to_owned(), log))
}

fn not_ready(problem: String, log: &Path) -> Error {
    Error::NotReady {
        service: "epmd",
        problem,
        log: super::program::log_tail(log),
    }
}

/// Where epmd is: on the path, or inside the Erlang runtime's own directory.
pub(super) fn program() -> Result<PathBuf, Error> {
    super::program::find("epmd", "erlang-base", &["/usr/bin/epmd"])
}

/// The address that epmd and the node's distribution use.
pub(super) fn address(port: u16) -> SocketAddr {
    (IpAddr::from([127, 0, 0, 1]), port).into()
}
