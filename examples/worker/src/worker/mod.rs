//! The reference worker: consumes a queue, applies each message to its state in memory,
//! acknowledges it afterwards, obeys its control queue, and shows its state over HTTP.
//!
//! What it is not: clever. It applies a message that comes twice twice, and begins each
//! connection on its primary queue, as the applications do that a migration has to live with.

mod address;
mod ballast;
mod control;
mod freeze;
mod http;
mod identity;
mod intake;
mod manners;
mod memory;
mod report;
mod session;
mod settings;
mod times;

use std::sync::Arc;

use tokio::net::UnixStream;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

pub use manners::Manners;
pub use memory::ImageError;
pub use report::{Held, Report};
pub use settings::Settings;
pub use times::{Applied, Times};

use crate::snapshot::ProcessEnd;
use memory::Memory;

/// Why a session with the broker ended. None of them ends the worker: it connects again.
#[derive(Debug, thiserror::Error)]
enum Broken {
    #[error(transparent)]
    Broker(#[from] lapin::Error),
    #[error("the broker did not answer in time")]
    NoAnswer,
    #[error("the broker has ended the consumer: its queue is gone")]
    Cancelled,
    #[error("the connection is lost")]
    ConnectionLost,
    #[error("dropped by the worker itself, which was told to do that on END_REPLAY")]
    Dropped,
}

/// Why a worker cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The HTTP endpoint cannot be had.
    #[error("failed to serve HTTP on port {port}")]
    Http {
        /// The port from the settings.
        port: u16,
        /// The cause.
        source: std::io::Error,
    },
    /// The runtime that takes the checkpoints does not keep its protocol.
    #[error(transparent)]
    Snapshot(#[from] crate::snapshot::Error),
    /// The image to be restored from is none of a worker.
    #[error(transparent)]
    Image(#[from] ImageError),
}

/// A worker that has its memory and does not work yet.
#[derive(Debug)]
pub struct Worker {
    memory: Memory,
}

impl Worker {
    /// A worker that begins from nothing.
    pub fn new(settings: Settings) -> Self {
        Self {
            memory: Memory::new(settings),
        }
    }

    /// A worker that goes on from an image. Neither arguments nor environment are read.
    ///
    /// # Errors
    /// When the image is damaged, or none of a worker.
    pub fn restore(image: Vec<u8>) -> Result<Self, ImageError> {
        Ok(Self {
            memory: Memory::restore(image)?,
        })
    }

    /// The settings, which for a restored worker are those of its first start.
    pub fn settings(&self) -> &Settings {
        &self.memory.settings
    }

    /// Works until told to stop, or until the runtime at the other end of `runtime` is gone.
    ///
    /// # Errors
    /// When the HTTP endpoint fails, or the runtime breaks its protocol. A lost broker is no
    /// error: the worker connects again for as long as it takes.
    pub async fn run(
        self,
        runtime: Option<ProcessEnd<UnixStream>>,
        stop: CancellationToken,
    ) -> Result<(), Error> {
        let restored = self.memory.restores > 0;
        let port = self.memory.settings.listen_port;
        let memory = Arc::new(Mutex::new(self.memory));
        let http = |source| Error::Http { port, source };
        let listener = http::listen(&memory).await.map_err(http)?;
        let stopped = stop_unless_frozen(stop, Arc::clone(&memory));
        let checkpoints = async {
            match runtime {
                Some(mut end) => {
                    end.started().await?;
                    freeze::serve(end, Arc::clone(&memory)).await
                }
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = consume(&memory, restored, &stopped) => Ok(()),
            failed = http::serve(listener, Arc::clone(&memory)) => failed.map_err(http),
            gone = checkpoints => {
                tracing::warn!("the container runtime is gone");
                Ok(gone?)
            }
        }
    }
}

/// A token that is cancelled after `stop`, but not while a checkpoint has the process frozen.
fn stop_unless_frozen(stop: CancellationToken, memory: Arc<Mutex<Memory>>) -> CancellationToken {
    let stopped = CancellationToken::new();
    let child = stopped.clone();
    tokio::spawn(async move {
        stop.cancelled().await;
        let _running = memory.lock().await;
        child.cancel();
    });
    stopped
}

/// Consumes over one connection after another until told to stop.
async fn consume(memory: &Arc<Mutex<Memory>>, restored: bool, stop: &CancellationToken) {
    let delay = memory.lock().await.settings.reconnect_delay;
    if restored {
        // What the first use of the connection that did not come along gives.
        let error = std::io::Error::from_raw_os_error(EPIPE);
        tracing::warn!(%error, "the connection to the broker is dead");
        pause(delay, stop).await;
    }
    while !stop.is_cancelled() {
        let Err(broken) = session::run(memory, stop).await else {
            return;
        };
        let broker = {
            let mut memory = memory.lock().await;
            memory.consuming = false;
            crate::broker_address(&memory.settings.amqp_url)
        };
        tracing::warn!(broker, error = %broken, "no connection to the broker");
        pause(delay, stop).await;
    }
}

/// errno(3) of a broken pipe, on Linux of every architecture that containers run on.
const EPIPE: i32 = 32;

async fn pause(delay: std::time::Duration, stop: &CancellationToken) {
    tokio::select! {
        () = tokio::time::sleep(delay) => {}
        () = stop.cancelled() => {}
    }
}
