//! The layer in the making: a blocking thread reads, checks, hashes and compresses the archive,
//! and a bounded queue hands the result on in pieces, so that memory does not grow with it.

use std::fs::{File, Metadata};
use std::io::{self, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use oci_client::errors::OciDistributionError;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::archive::{self, Contents, ScanError};
use crate::arrival::Growing;
use crate::encoder::{Encoder, Format};
use crate::metadata;

/// Size of a piece: one HTTP request each. oci-client sends nothing larger.
const PIECE: usize = 4 * 1024 * 1024;

/// Pieces that wait between the two sides. None is filled while one waits, so that with the one
/// that is being sent two are in memory at most.
const QUEUE: usize = 1;

/// How far the pass is. Shared with the progress reporter.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    /// Size of the archive; 0 until it is open.
    pub(crate) total: AtomicU64,
    pub(crate) read: AtomicU64,
    pub(crate) sent: AtomicU64,
}

impl Counters {
    fn reset(&self) {
        self.read.store(0, Ordering::Relaxed);
        self.sent.store(0, Ordering::Relaxed);
    }
}

/// A piece of the layer, or its end. A queue that closes without `End` is a layer that broke.
enum Piece {
    Data(Bytes),
    End,
}

/// The layer as the upload takes it.
pub(crate) type LayerStream = BoxStream<'static, Result<Bytes, OciDistributionError>>;

/// Starts one pass over the archive.
///
/// Returns the layer as a stream for the upload, and the task that makes it. The stream fails,
/// rather than ends, when the task does, so that a broken layer is never committed.
///
/// One that is `growing` is read to the tar's end marker, and to the end of the file after that.
pub(crate) fn start(
    file: File,
    growing: bool,
    format: Format,
    counters: &Arc<Counters>,
) -> (LayerStream, JoinHandle<Result<Contents, ScanError>>) {
    counters.reset();
    let (sender, receiver) = mpsc::channel(QUEUE);
    let settled = Arc::new(AtomicBool::new(!growing));
    let source = Counted {
        file: Growing::new(file, Arc::clone(&settled)),
        counters: Arc::clone(counters),
        settled,
        growing,
    };
    let task = tokio::task::spawn_blocking(move || make(source, format, sender));
    (stream(receiver, Arc::clone(counters)), task)
}

fn make(
    source: Counted,
    format: Format,
    queue: mpsc::Sender<Piece>,
) -> Result<Contents, ScanError> {
    let growing = source.growing;
    let before = source.metadata().map_err(ScanError::Read)?;
    if before.len() == 0 && !growing {
        return Err(ScanError::Invalid("it is empty".into()));
    }
    let watch = source.file.file().try_clone().map_err(ScanError::Read)?;
    let settled = Arc::clone(&source.settled);
    let pieces = Pieces {
        queue,
        piece: Vec::with_capacity(PIECE),
    };
    let encoder = Encoder::new(format, pieces).map_err(ScanError::Stopped)?;
    let (contents, encoder) = archive::scan(source, encoder, &settled)?;
    let pieces = encoder.finish().map_err(ScanError::Stopped)?;
    let after = watch.metadata().map_err(ScanError::Read)?;
    if !growing && changed(&before, &after) || after.len() != contents.bytes {
        return Err(ScanError::Invalid(
            "it changed while it was read; is it still being written?".into(),
        ));
    }
    // Before the layer is complete: nothing would refer to it, and it would lie in the registry.
    metadata::Metadata::read(&contents).map_err(ScanError::Invalid)?;
    pieces.end().map_err(ScanError::Stopped)?;
    Ok(contents)
}

fn changed(before: &Metadata, after: &Metadata) -> bool {
    before.len() != after.len() || before.modified().ok() != after.modified().ok()
}

struct Counted {
    file: Growing,
    counters: Arc<Counters>,
    settled: Arc<AtomicBool>,
    growing: bool,
}

impl Counted {
    fn metadata(&self) -> io::Result<Metadata> {
        self.file.file().metadata()
    }
}

impl Read for Counted {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let n = self.file.read(out)?;
        let read = self.counters.read.fetch_add(n as u64, Ordering::Relaxed) + n as u64;
        if self.growing && read > self.counters.total.load(Ordering::Relaxed) {
            let written = self.metadata()?.len();
            self.counters.total.store(written, Ordering::Relaxed);
        }
        Ok(n)
    }
}

/// Gathers bytes into pieces and queues each one that is full.
struct Pieces {
    queue: mpsc::Sender<Piece>,
    piece: Vec<u8>,
}

impl Pieces {
    fn push(&self, piece: Piece) -> io::Result<()> {
        self.queue.blocking_send(piece).map_err(|_| stopped())
    }

    /// Waits until no piece is in the queue.
    fn until_taken(&self) -> io::Result<()> {
        // There is room for one, and nobody else sends.
        let room = Handle::current().block_on(self.queue.reserve());
        room.map(drop).map_err(|_| stopped())
    }

    fn end(mut self) -> io::Result<()> {
        let last = std::mem::take(&mut self.piece);
        if !last.is_empty() {
            self.push(Piece::Data(last.into()))?;
        }
        // An upload that knows the size does not wait for the end; nothing is lost then.
        let _ = self.push(Piece::End);
        Ok(())
    }
}

fn stopped() -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, "the upload has stopped")
}

impl Write for Pieces {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let n = data.len().min(PIECE - self.piece.len());
        self.piece.extend_from_slice(&data[..n]);
        if self.piece.len() == PIECE {
            let full = std::mem::take(&mut self.piece);
            self.push(Piece::Data(full.into()))?;
            self.until_taken()?;
            self.piece = Vec::with_capacity(PIECE);
        }
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Receiving {
    queue: mpsc::Receiver<Piece>,
    counters: Arc<Counters>,
    /// Size of the piece that is being sent.
    in_flight: u64,
    done: bool,
}

fn stream(queue: mpsc::Receiver<Piece>, counters: Arc<Counters>) -> LayerStream {
    let state = Receiving {
        queue,
        counters,
        in_flight: 0,
        done: false,
    };
    futures_util::stream::unfold(state, |mut state| async move {
        if state.done {
            return None;
        }
        // Asking for the next piece means that the registry has acknowledged the one before.
        let acknowledged = std::mem::take(&mut state.in_flight);
        state
            .counters
            .sent
            .fetch_add(acknowledged, Ordering::Relaxed);
        match state.queue.recv().await {
            Some(Piece::Data(piece)) => {
                state.in_flight = piece.len() as u64;
                Some((Ok(piece), state))
            }
            Some(Piece::End) => None,
            None => {
                state.done = true;
                let error = io::Error::new(io::ErrorKind::UnexpectedEof, "the layer broke off");
                Some((Err(error.into()), state))
            }
        }
    })
    .boxed()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(data: &[u8]) -> (Pieces, mpsc::Receiver<Piece>) {
        let (queue, receiver) = mpsc::channel(QUEUE);
        let piece = data.to_vec();
        (Pieces { queue, piece }, receiver)
    }

    #[test]
    fn only_data_have_to_be_taken() {
        let (all_sent, receiver) = pieces(b"");
        drop(receiver);
        assert!(all_sent.end().is_ok(), "the end may go unheard");
        let (some_left, receiver) = pieces(b"the last bytes");
        drop(receiver);
        assert!(some_left.end().is_err(), "bytes may not");
    }

    #[tokio::test]
    async fn a_layer_that_breaks_does_not_end() {
        let (queue, receiver) = mpsc::channel(QUEUE);
        drop(queue);
        let mut stream = stream(receiver, Arc::default());
        assert!(stream.next().await.is_some_and(|piece| piece.is_err()));
        assert!(stream.next().await.is_none());
    }
}
