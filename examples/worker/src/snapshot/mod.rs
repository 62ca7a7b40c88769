//! The process's own snapshot: what stands in for CRIU where CRIU cannot run.
//!
//! A container runtime hands the process one end of a stream socket pair and says in
//! [`FD_VARIABLE`] which descriptor it is. Without that variable a process behaves as any
//! other. The protocol is one JSON object a line ([`Order`] to the process, [`Answer`] back),
//! followed by as many raw bytes as the line's `len` says:
//!
//! 1. The runtime says `{"start":{}}` or `{"restore":{"len":N}}` and N bytes, the image of an
//!    earlier process. The process answers `{"started":{}}` once it has taken that in.
//! 2. Later, at any moment, `{"checkpoint":{}}`. The process answers `{"image":{"len":N}}` and
//!    N bytes, all its memory at one instant, and is frozen from that instant on: it applies
//!    nothing, acknowledges nothing and answers no request until `{"resume":{}}`.
//! 3. End of file on the process's end: the runtime is gone, and the process exits.
//!
//! [`RuntimeEnd`] is the runtime's half, [`ProcessEnd`] the process's. The image itself is
//! opaque to both. What it holds is the process's affair.
//!
//! What this is not: a way to move file descriptors, threads or sockets. A process restored
//! from an image has lost its connections, as one restored by CRIU with `tcp-close` has.

mod frame;
mod process;
mod runtime;

use serde::{Deserialize, Serialize};

pub use process::{Begin, Incoming, ProcessEnd};
pub use runtime::RuntimeEnd;

/// Environment variable with the number of the inherited descriptor.
pub const FD_VARIABLE: &str = "MS2M_SANDBOX_CHECKPOINT_FD";

/// The descriptor that a runtime uses by convention: the first one after standard error.
pub const FD: i32 = 3;

/// What the runtime says to the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Order {
    /// Begin as a new process.
    Start {},
    /// Begin as the process whose image follows.
    Restore {
        /// Bytes of image after this line.
        len: u64,
    },
    /// Freeze and hand over an image.
    Checkpoint {},
    /// Go on after a checkpoint.
    Resume {},
}

/// What the process says to the runtime.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Answer {
    /// The process has begun: it knows the protocol, and the image, if any, was readable.
    Started {},
    /// The image follows; the process is frozen.
    Image {
        /// Bytes of image after this line.
        len: u64,
    },
}

/// Why an end of the protocol cannot go on. After any of these the stream is of no more use:
/// nobody knows where in it the other end is.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The other end has closed the stream, or it broke.
    #[error("the checkpoint stream failed")]
    Io(#[from] std::io::Error),
    /// The other end is gone.
    #[error("the other end of the checkpoint stream is gone")]
    Closed,
    /// A line that is no object of this protocol.
    #[error("unreadable line on the checkpoint stream")]
    Unreadable(#[from] serde_json::Error),
    /// A line longer than any of this protocol.
    #[error("a line on the checkpoint stream exceeds {limit} bytes")]
    TooLong {
        /// The limit in bytes.
        limit: u64,
    },
    /// A line of this protocol, but not one that may come now.
    #[error("unexpected on the checkpoint stream: {0}")]
    Unexpected(String),
    /// [`FD_VARIABLE`] does not hold the number of an open stream socket.
    #[error("{FD_VARIABLE} is not the number of an inherited stream socket: {0}")]
    Descriptor(String),
}

#[cfg(test)]
mod tests;
