//! Another way to a broker whose own name leads nowhere from here.
//!
//! Only the address of the connection changes: login, virtual host, TLS and the name that a
//! certificate has to bear stay those of the URL. Who finds the way is outside of this adapter.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;

use crate::migration::error::PortError;
use crate::migration::ports::PortResult;

/// Finds the way to a server.
#[async_trait]
pub trait Route: Send + Sync {
    /// Where connections to `host` at `port` go; `None` for straight there. Asked before each
    /// connection, so the second answer has to come at once.
    ///
    /// # Errors
    /// It is not known whether there is another way, or that one cannot be had.
    async fn detour(&self, host: &str, port: u16) -> PortResult<Option<Detour>>;
}

/// A way that goes by another address.
#[derive(Debug, Clone)]
pub struct Detour {
    /// Where to connect to.
    pub address: SocketAddr,
    /// What it is, as `a port-forward to Service messaging/rabbit`.
    pub words: String,
    /// What became of the latest connection.
    pub trouble: Trouble,
}

/// Why the latest connection by some way came to nothing, if it did: whoever made it sees it end
/// without a word.
#[derive(Debug, Clone, Default)]
pub struct Trouble(Arc<Mutex<Option<PortError>>>);

impl Trouble {
    /// Remembers what happened to a connection; nothing when it was made.
    pub fn note(&self, error: Option<PortError>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = error;
    }

    /// What happened to the latest one.
    #[must_use]
    pub fn latest(&self) -> Option<PortError> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}
