//! The runtime's half of the snapshot protocol: starts, checkpoints and resumes a process.

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader, Take};

use super::{Answer, Error, Order, frame};

/// The runtime's end of the stream to one process.
///
/// No call has a deadline of its own, since only the caller knows how long a process may take:
/// one that does not know the protocol never answers. After an error, and after a call that
/// was given up, the end is of no more use.
#[derive(Debug)]
pub struct RuntimeEnd<S> {
    stream: BufReader<S>,
    started: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> RuntimeEnd<S> {
    /// Takes the runtime's end of the socket pair whose other end the process inherits.
    pub fn new(stream: S) -> Self {
        Self {
            stream: BufReader::with_capacity(64 * 1024, stream),
            started: false,
        }
    }

    /// Lets the process begin as a new one. Does not wait for it: see [`Self::started`].
    pub async fn start(&mut self) -> Result<(), Error> {
        self.order(&Order::Start {}).await
    }

    /// Lets the process begin as the one that `image` (exactly `len` bytes) was taken of.
    /// Returns once the process has read it all. See [`Self::started`] for whether it could
    /// make sense of it.
    pub async fn restore(
        &mut self,
        image: &mut (impl AsyncRead + Unpin),
        len: u64,
    ) -> Result<(), Error> {
        frame::write(&mut self.stream, &Order::Restore { len }).await?;
        let copied = tokio::io::copy(&mut image.take(len), &mut self.stream).await?;
        if copied != len {
            return Err(Error::Unexpected(format!(
                "an image of {copied} bytes instead of {len}"
            )));
        }
        self.stream.flush().await?;
        Ok(())
    }

    /// Waits until the process has begun. A process that cannot be checkpointed never says so.
    pub async fn started(&mut self) -> Result<(), Error> {
        if self.started {
            return Ok(());
        }
        match self.answer().await? {
            Answer::Started {} => {
                self.started = true;
                Ok(())
            }
            other @ Answer::Image { .. } => Err(Error::Unexpected(format!("{other:?}"))),
        }
    }

    /// Freezes the process and gives a reader of its image: it ends after the image's last
    /// byte, and its `limit()` is the image's length while nothing has been read. The process
    /// stays frozen until [`Self::resume`], which may be called only after the image was read
    /// to its end.
    pub async fn checkpoint(&mut self) -> Result<Take<&mut BufReader<S>>, Error> {
        self.started().await?;
        self.order(&Order::Checkpoint {}).await?;
        match self.answer().await? {
            Answer::Image { len } => Ok((&mut self.stream).take(len)),
            other @ Answer::Started {} => Err(Error::Unexpected(format!("{other:?}"))),
        }
    }

    /// Lets a frozen process go on.
    pub async fn resume(&mut self) -> Result<(), Error> {
        self.order(&Order::Resume {}).await
    }

    async fn order(&mut self, order: &Order) -> Result<(), Error> {
        frame::write(&mut self.stream, order).await?;
        self.stream.flush().await?;
        Ok(())
    }

    async fn answer(&mut self) -> Result<Answer, Error> {
        frame::read(&mut self.stream).await?.ok_or(Error::Closed)
    }
}
