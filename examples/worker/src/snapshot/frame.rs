//! Lines of JSON on a byte stream: reading and writing one, and nothing about their order.

use serde::{Serialize, de::DeserializeOwned};
use tokio::io::{AsyncBufRead, AsyncBufReadExt as _, AsyncReadExt as _, AsyncWrite};
use tokio::io::{AsyncWriteExt as _, BufReader};

use super::Error;

/// Longest line in bytes. The longest real one has under fifty; the limit keeps a peer that
/// speaks something else from filling the memory.
const LINE_LIMIT: u64 = 4096;

/// Reads one line, or `None` at the end of the stream.
///
/// Not cancel-safe: a part of a line that was read is gone with the future.
pub(super) async fn read<T: DeserializeOwned>(
    stream: &mut (impl AsyncBufRead + Unpin),
) -> Result<Option<T>, Error> {
    let mut line = Vec::new();
    let read = stream.take(LINE_LIMIT).read_until(b'\n', &mut line).await?;
    if read == 0 {
        return Ok(None);
    }
    if line.last() != Some(&b'\n') {
        let full = u64::try_from(read).is_ok_and(|read| read == LINE_LIMIT);
        return Err(if full {
            Error::TooLong { limit: LINE_LIMIT }
        } else {
            Error::Closed
        });
    }
    Ok(Some(serde_json::from_slice(&line)?))
}

/// Writes one line and leaves it in the stream's buffer: the caller flushes after the bytes
/// that belong to it.
pub(super) async fn write(
    stream: &mut (impl AsyncWrite + Unpin),
    line: &impl Serialize,
) -> Result<(), Error> {
    let mut bytes = serde_json::to_vec(line)?;
    bytes.push(b'\n');
    stream.write_all(&bytes).await?;
    Ok(())
}

/// Reads exactly `len` bytes.
pub(super) async fn read_bytes<S>(stream: &mut BufReader<S>, len: u64) -> Result<Vec<u8>, Error>
where
    BufReader<S>: AsyncBufRead + Unpin,
{
    // The length is the peer's word: room is made as bytes arrive, not before.
    let mut bytes = Vec::new();
    stream.take(len).read_to_end(&mut bytes).await?;
    match u64::try_from(bytes.len()) {
        Ok(read) if read == len => Ok(bytes),
        _ => Err(Error::Closed),
    }
}
