//! Checkpoints of this process by itself: freezes it, hands its image over, lets it go on.

use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Mutex;

use super::memory::Memory;
use crate::snapshot::{Error, Incoming, ProcessEnd};

/// Obeys the runtime until it is gone.
pub(super) async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    mut end: ProcessEnd<S>,
    memory: Arc<Mutex<Memory>>,
) -> Result<(), Error> {
    loop {
        match end.next().await? {
            Incoming::Checkpoint => {}
            // A runtime may say so after a checkpoint that it gave up.
            Incoming::Resume => continue,
            Incoming::Gone => return Ok(()),
        }
        // The instant of the checkpoint. The lock stays taken until the process may go on,
        // and nothing in it does anything without the lock.
        let frozen = memory.lock().await;
        let head = frozen.image_head()?;
        end.send_image(&[&head, &frozen.ballast]).await?;
        match end.next().await? {
            Incoming::Resume => {}
            Incoming::Gone => return Ok(()),
            other @ Incoming::Checkpoint => return Err(Error::Unexpected(format!("{other:?}"))),
        }
    }
}
