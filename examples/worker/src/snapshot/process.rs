//! The process's half of the snapshot protocol: begins, and hands its image over.

use std::os::fd::{BorrowedFd, OwnedFd};

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;

use super::{Answer, Error, FD_VARIABLE, Order, frame};

/// The process's end of the stream to its runtime.
#[derive(Debug)]
pub struct ProcessEnd<S> {
    stream: BufReader<S>,
}

/// How a process begins.
#[derive(Debug, PartialEq, Eq)]
pub enum Begin {
    /// As a new process.
    Start,
    /// As the process that this image was taken of.
    Restore(Vec<u8>),
}

/// What can come from the runtime while the process lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Incoming {
    /// Freeze, [`send the image`](ProcessEnd::send_image) and wait for [`Incoming::Resume`].
    Checkpoint,
    /// Go on.
    Resume,
    /// The runtime is gone: exit.
    Gone,
}

impl ProcessEnd<UnixStream> {
    /// The stream that this process inherited, or `None` when [`FD_VARIABLE`] is not set.
    ///
    /// To be called once in a process: two readers of one stream would take each other's
    /// lines. Must be called inside a tokio runtime.
    pub fn inherited() -> Result<Option<Self>, Error> {
        let Some(value) = std::env::var_os(FD_VARIABLE) else {
            return Ok(None);
        };
        let number = value
            .to_str()
            .and_then(|text| text.parse().ok())
            .filter(|number| *number > 2)
            .ok_or_else(|| Error::Descriptor(value.to_string_lossy().into_owned()))?;
        let not_a_socket = |error: std::io::Error| Error::Descriptor(format!("{number}: {error}"));
        let stream = inherited_descriptor(number).map_err(not_a_socket)?;
        let stream = std::os::unix::net::UnixStream::from(stream);
        stream.set_nonblocking(true).map_err(not_a_socket)?;
        stream.peer_addr().map_err(not_a_socket)?;
        Ok(Some(Self::new(
            UnixStream::from_std(stream).map_err(not_a_socket)?,
        )))
    }
}

/// A duplicate of a descriptor that the process was started with, closed on `exec` as the
/// inherited one is not. Fails when nothing is open under that number.
#[expect(
    unsafe_code,
    reason = "no safe way leads from an inherited number to a socket: /proc/self/fd cannot \
              reopen one, and pidfd_getfd is forbidden by the usual container seccomp profiles"
)]
fn inherited_descriptor(number: i32) -> std::io::Result<OwnedFd> {
    // SAFETY: the number is above the standard streams and was named by the runtime for this
    // process, which never closes it. If it is not open all the same, the only call made on
    // the borrowed descriptor fails with EBADF and harms nothing.
    unsafe { BorrowedFd::borrow_raw(number) }.try_clone_to_owned()
}

impl<S: AsyncRead + AsyncWrite + Unpin> ProcessEnd<S> {
    /// Takes the process's end of a stream that came in another way than by inheritance.
    pub fn new(stream: S) -> Self {
        Self {
            stream: BufReader::with_capacity(64 * 1024, stream),
        }
    }

    /// Waits for the runtime's first word. To be followed by [`Self::started`].
    pub async fn begin(&mut self) -> Result<Begin, Error> {
        match frame::read(&mut self.stream).await?.ok_or(Error::Closed)? {
            Order::Start {} => Ok(Begin::Start),
            Order::Restore { len } => Ok(Begin::Restore(
                frame::read_bytes(&mut self.stream, len).await?,
            )),
            other => Err(Error::Unexpected(format!("{other:?}"))),
        }
    }

    /// Tells the runtime that the process has begun.
    pub async fn started(&mut self) -> Result<(), Error> {
        frame::write(&mut self.stream, &Answer::Started {}).await?;
        Ok(self.stream.flush().await?)
    }

    /// Waits for what the runtime says next. Not cancel-safe.
    pub async fn next(&mut self) -> Result<Incoming, Error> {
        match frame::read(&mut self.stream).await? {
            None => Ok(Incoming::Gone),
            Some(Order::Checkpoint {}) => Ok(Incoming::Checkpoint),
            Some(Order::Resume {}) => Ok(Incoming::Resume),
            Some(other) => Err(Error::Unexpected(format!("{other:?}"))),
        }
    }

    /// Answers a checkpoint with the image, given in parts so that a large one need not be
    /// copied into one piece first.
    pub async fn send_image(&mut self, parts: &[&[u8]]) -> Result<(), Error> {
        let len = parts.iter().map(|part| part.len() as u64).sum();
        frame::write(&mut self.stream, &Answer::Image { len }).await?;
        for part in parts {
            self.stream.write_all(part).await?;
        }
        Ok(self.stream.flush().await?)
    }
}
