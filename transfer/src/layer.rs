//! The layer in the making: a thread reads, checks and packs the archive, and a bounded queue hands
//! the result on in pieces, so that memory does not grow with it.

use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::archive::{self, Contents, ScanError};
use crate::arrival::Growing;
use crate::frame::{BLOCK, Format};
use crate::image::digest_name;
use crate::metadata;
use crate::pack::{self, Feed, Packed, stopped};
use crate::piece::Piece;

/// Pieces that wait between the two sides. None is filled while one waits, so that with the one
/// that is being sent two are in memory at most.
const QUEUE: usize = 1;

/// How far the pass is. Shared with the progress reporter.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    /// Size of the archive; 0 until it is open.
    pub(crate) total: AtomicU64,
    pub(crate) read: AtomicU64,
    /// Bytes of the layer that were made of what was read, but for what is in work.
    pub(crate) packed: AtomicU64,
    pub(crate) sent: AtomicU64,
}

impl Counters {
    fn reset(&self) {
        for count in [&self.read, &self.packed, &self.sent] {
            count.store(0, Ordering::Relaxed);
        }
    }
}

/// A layer as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Blob {
    pub(crate) digest: String,
    pub(crate) bytes: u64,
}

/// What a pass has found and made.
#[derive(Debug)]
pub(crate) struct Made {
    pub(crate) contents: Contents,
    pub(crate) blob: Blob,
    /// Digest of the archive, `sha256:…`.
    pub(crate) diff_id: String,
}

/// A piece of the layer, or its end. A queue that closes without `End` is a layer that broke.
pub(crate) enum Part {
    Data(Piece),
    End(Blob),
}

/// The layer as the upload takes it.
pub(crate) struct Layer {
    queue: mpsc::Receiver<Part>,
}

impl Layer {
    /// The next part; after the end there is none.
    ///
    /// # Errors
    /// When the layer broke off: why is known to the task that makes it.
    pub(crate) async fn next(&mut self) -> io::Result<Part> {
        let broke = || io::Error::new(io::ErrorKind::UnexpectedEof, "the layer broke off");
        self.queue.recv().await.ok_or_else(broke)
    }
}

/// Starts one pass over the archive.
///
/// Returns the layer for the upload, and the task that makes it. The layer breaks off, rather than
/// ends, when the task fails, so that a broken layer is never committed.
///
/// One that is `growing` is read to the tar's end marker, and to the end of the file after that.
pub(crate) fn start(
    file: File,
    growing: bool,
    format: Format,
    counters: &Arc<Counters>,
) -> (Layer, JoinHandle<Result<Made, ScanError>>) {
    counters.reset();
    let (sender, queue) = mpsc::channel(QUEUE);
    let counters = Arc::clone(counters);
    let runtime = Handle::current();
    let task = tokio::task::spawn_blocking(move || {
        let pieces = Pieces {
            queue: sender,
            runtime,
            piece: Piece::default(),
        };
        make(&file, growing, format, &counters, pieces)
    });
    (Layer { queue }, task)
}

fn make(
    file: &File,
    growing: bool,
    format: Format,
    counters: &Counters,
    mut pieces: Pieces,
) -> Result<Made, ScanError> {
    let before = file.metadata().map_err(ScanError::Read)?;
    if before.len() == 0 && !growing {
        return Err(ScanError::Invalid("it is empty".into()));
    }
    let source = Counted {
        file,
        growth: growing.then(|| Growing::new(file)),
        counters,
    };
    let output = |frame: Bytes| {
        let bytes = frame.len() as u64;
        counters.packed.fetch_add(bytes, Ordering::Relaxed);
        pieces.add(frame)
    };
    let scan = |feed: Feed| archive::scan(source, BLOCK, feed, &mut ()).map(|(found, _)| found);
    let (contents, packed) = pack::pack(format, output, scan).map_err(ScanError::Stopped)?;
    let (contents, packed) = (contents?, packed.map_err(ScanError::Stopped)?);
    let after = file.metadata().map_err(ScanError::Read)?;
    if !growing && changed(&before, &after) || after.len() != contents.bytes {
        return Err(ScanError::Invalid(
            "it changed while it was read; is it still being written?".into(),
        ));
    }
    // Before the layer is complete: nothing would refer to it, and it would lie in the registry.
    metadata::Metadata::read(&contents).map_err(ScanError::Invalid)?;
    let made = made(contents, &packed);
    pieces.end(&made.blob).map_err(ScanError::Stopped)?;
    Ok(made)
}

fn made(contents: Contents, packed: &Packed) -> Made {
    Made {
        contents,
        blob: Blob {
            digest: digest_name(&packed.layer),
            bytes: packed.bytes,
        },
        diff_id: digest_name(&packed.archive),
    }
}

fn changed(before: &Metadata, after: &Metadata) -> bool {
    before.len() != after.len() || before.modified().ok() != after.modified().ok()
}

struct Counted<'a> {
    file: &'a File,
    growth: Option<Growing<&'a File>>,
    counters: &'a Counters,
}

impl Read for Counted<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let Some(growth) = &mut self.growth else {
            let n = self.file.read(out)?;
            self.counters.read.fetch_add(n as u64, Ordering::Relaxed);
            return Ok(n);
        };
        let n = growth.read(out)?;
        let read = self.counters.read.fetch_add(n as u64, Ordering::Relaxed) + n as u64;
        if read > self.counters.total.load(Ordering::Relaxed) {
            let written = self.file.metadata()?.len();
            self.counters.total.store(written, Ordering::Relaxed);
        }
        Ok(n)
    }
}

/// Gathers blocks into pieces and queues each one that is full, once there is more: so the end of
/// the layer is always kept back until [`Pieces::end`].
struct Pieces {
    queue: mpsc::Sender<Part>,
    /// Where the other side of the queue is.
    runtime: Handle,
    piece: Piece,
}

impl Pieces {
    fn add(&mut self, mut block: Bytes) -> io::Result<()> {
        loop {
            self.piece.fill(&mut block);
            if block.is_empty() {
                return Ok(());
            }
            let full = std::mem::take(&mut self.piece);
            self.push(Part::Data(full))?;
            self.until_taken()?;
        }
    }

    fn push(&self, part: Part) -> io::Result<()> {
        self.queue.blocking_send(part).map_err(|_| stopped())
    }

    /// Waits until no piece is in the queue.
    fn until_taken(&self) -> io::Result<()> {
        // There is room for one, and nobody else sends.
        let room = self.runtime.block_on(self.queue.reserve());
        room.map(drop).map_err(|_| stopped())
    }

    fn end(mut self, blob: &Blob) -> io::Result<()> {
        let last = std::mem::take(&mut self.piece);
        if last.len() > 0 {
            self.push(Part::Data(last))?;
        }
        // An upload that knows the size does not wait for the end; nothing is lost then.
        let _ = self.push(Part::End(blob.clone()));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::piece::PIECE;

    use super::*;

    fn pieces() -> (Pieces, Layer) {
        let (sender, queue) = mpsc::channel(QUEUE);
        let pieces = Pieces {
            queue: sender,
            runtime: Handle::current(),
            piece: Piece::default(),
        };
        (pieces, Layer { queue })
    }

    fn a_blob() -> Blob {
        Blob {
            digest: "sha256:aa".to_owned(),
            bytes: 14,
        }
    }

    #[tokio::test]
    async fn only_data_have_to_be_taken() {
        let (all_sent, layer) = pieces();
        drop(layer);
        let (mut some_left, layer) = pieces();
        drop(layer);
        let ended = tokio::task::spawn_blocking(move || {
            let added = some_left.add(Bytes::from_static(b"the last bytes"));
            added.expect("they are kept back");
            (all_sent.end(&a_blob()), some_left.end(&a_blob()))
        });
        let (all_sent, some_left) = ended.await.expect("nothing panics");
        assert!(all_sent.is_ok(), "the end may go unheard");
        assert!(some_left.is_err(), "bytes may not");
    }

    #[tokio::test]
    async fn the_end_is_kept_back_until_it_is_said() {
        let (mut pieces, mut layer) = pieces();
        let adding = tokio::task::spawn_blocking(move || {
            // Exactly two pieces.
            let block = Bytes::from(vec![7; 2 * PIECE]);
            pieces.add(block).map(|()| pieces)
        });
        let first = layer.next().await.expect("there is more");
        assert!(matches!(first, Part::Data(piece) if piece.len() == PIECE));
        let pieces = adding.await.expect("nothing panics").expect("it is taken");
        assert!(
            layer.queue.try_recv().is_err(),
            "the second could be the end"
        );
        let ending = tokio::task::spawn_blocking(move || pieces.end(&a_blob()));
        let second = layer.next().await.expect("there is more");
        assert!(matches!(second, Part::Data(piece) if piece.len() == PIECE));
        let end = layer.next().await.expect("it has ended");
        assert!(matches!(end, Part::End(blob) if blob == a_blob()));
        ending.await.expect("nothing panics").expect("it is taken");
    }

    #[tokio::test]
    async fn a_layer_that_breaks_does_not_end() {
        let (pieces, mut layer) = pieces();
        drop(pieces);
        assert!(layer.next().await.is_err());
    }
}
