//! The receiver of a direct transfer, as the engine orders and sees it.

use std::net::SocketAddr;
use std::time::Duration;

/// What a receiver is to be like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceiverOrder {
    /// Name of its pod and of the Secret that it and the transfer Job know each other by.
    pub name: String,
    /// The migration that it belongs to.
    pub migration: String,
    /// The node whose runtime it serves.
    pub node: String,
    /// Image of the transfer binary.
    pub image: String,
    /// The one repository that it has.
    pub repository: String,
    /// Port on the node's loopback. The next one is used on its address.
    pub port: u16,
    /// Secret with the credentials for its own image.
    pub credentials_secret: Option<String>,
    /// How long it may live.
    pub deadline: Duration,
}

/// How far a receiver has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReceiverState {
    /// There is none.
    Absent,
    /// Not running yet; the words say what it waits for.
    Starting(String),
    /// It runs.
    Running,
    /// It has ended, or will not run. What it had is gone.
    Failed(String),
}

/// How the transfer Job reaches a receiver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirectOrder {
    /// Where it listens.
    pub receiver: SocketAddr,
    /// Name of their Secret.
    pub secret: String,
}
