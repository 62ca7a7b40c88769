//! The layer in the making: a thread reads, checks and packs the archive, and a bounded queue hands
//! the result on frame by frame, so that memory does not grow with it.

use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::archive::{self, Contents, ScanError};
use crate::arrival::Growing;
use crate::frame::{BLOCK, Format};
use crate::image::digest_name;
use crate::metadata;
use crate::pack::{self, Feed, Packed, stopped};

/// Frames that wait between the two sides: 4 MiB at most, with which the registry may rest for
/// some milliseconds without anybody waiting for it.
const QUEUE: usize = 8;

/// How far the pass is. Shared with the progress reporter.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    /// Size of the archive; 0 until it is open.
    pub(crate) total: AtomicU64,
    pub(crate) read: AtomicU64,
    /// Bytes of the layer that were made of what was read, but for what is in work.
    pub(crate) packed: AtomicU64,
    /// Bytes of the layer that the connection to the registry has taken, less those that turned out
    /// not to have come through.
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

/// A frame of the layer, or its end. A queue that closes without `End` is a layer that broke.
pub(crate) enum Part {
    Data(Bytes),
    End(Blob),
}

/// The layer as the upload takes it.
pub(crate) struct Layer {
    queue: mpsc::Receiver<Part>,
    /// What it is made of: block by block, a frame of each.
    pub(crate) archive: Arc<File>,
    pub(crate) format: Format,
}

impl Layer {
    /// The next part; after the end there is none.
    ///
    /// # Errors
    /// When the layer broke off: why is known to the task that makes it.
    pub(crate) async fn next(&mut self) -> io::Result<Part> {
        std::future::poll_fn(|context| self.poll_next(context)).await
    }

    /// [`Layer::next`], for a stream.
    pub(crate) fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<io::Result<Part>> {
        let broke = || io::Error::new(io::ErrorKind::UnexpectedEof, "the layer broke off");
        let part = self.queue.poll_recv(context);
        part.map(|part| part.ok_or_else(broke))
    }

    /// A layer of just these parts.
    #[cfg(test)]
    pub(crate) fn of(archive: File, format: Format, parts: Vec<Part>) -> Self {
        let (sender, queue) = mpsc::channel(parts.len() + 1);
        for part in parts {
            sender.try_send(part).expect("there is room for all");
        }
        let archive = Arc::new(archive);
        Self {
            queue,
            archive,
            format,
        }
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
    let archive = Arc::new(file);
    let layer = Layer {
        queue,
        archive: Arc::clone(&archive),
        format,
    };
    let task = tokio::task::spawn_blocking(move || {
        let frames = Frames {
            queue: sender,
            last: None,
        };
        make(&archive, growing, format, &counters, frames)
    });
    (layer, task)
}

fn make(
    file: &File,
    growing: bool,
    format: Format,
    counters: &Counters,
    mut frames: Frames,
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
        frames.add(frame)
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
    frames.end(&made.blob).map_err(ScanError::Stopped)?;
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

/// Queues each frame once there is another, so the last of the layer is kept back until
/// [`Frames::end`]: a registry that knows the layer's size would complete it with that.
struct Frames {
    queue: mpsc::Sender<Part>,
    last: Option<Bytes>,
}

impl Frames {
    fn add(&mut self, frame: Bytes) -> io::Result<()> {
        match self.last.replace(frame) {
            Some(before) => self.push(Part::Data(before)),
            None => Ok(()),
        }
    }

    fn push(&self, part: Part) -> io::Result<()> {
        self.queue.blocking_send(part).map_err(|_| stopped())
    }

    fn end(mut self, blob: &Blob) -> io::Result<()> {
        if let Some(last) = self.last.take() {
            self.push(Part::Data(last))?;
        }
        // An upload that knows the size does not wait for the end; nothing is lost then.
        let _ = self.push(Part::End(blob.clone()));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames() -> (Frames, mpsc::Receiver<Part>) {
        let (queue, parts) = mpsc::channel(QUEUE);
        (Frames { queue, last: None }, parts)
    }

    fn a_blob() -> Blob {
        Blob {
            digest: "sha256:aa".to_owned(),
            bytes: 14,
        }
    }

    #[test]
    fn only_data_have_to_be_taken() {
        let (all_sent, parts) = frames();
        drop(parts);
        let (mut some_left, parts) = frames();
        drop(parts);
        let added = some_left.add(Bytes::from_static(b"the last bytes"));
        added.expect("they are kept back");
        assert!(all_sent.end(&a_blob()).is_ok(), "the end may go unheard");
        assert!(some_left.end(&a_blob()).is_err(), "bytes may not");
    }

    #[test]
    fn the_end_is_kept_back_until_it_is_said() {
        let (mut frames, mut parts) = frames();
        for frame in [&b"first"[..], b"second"] {
            let added = frames.add(Bytes::from_static(frame));
            added.expect("there is room");
        }
        let first = parts.try_recv().expect("there is another after it");
        assert!(matches!(first, Part::Data(frame) if frame == b"first"[..]));
        assert!(parts.try_recv().is_err(), "the second could be the end");
        frames.end(&a_blob()).expect("there is room");
        let second = parts.try_recv().expect("there is more");
        assert!(matches!(second, Part::Data(frame) if frame == b"second"[..]));
        let end = parts.try_recv().expect("it has ended");
        assert!(matches!(end, Part::End(blob) if blob == a_blob()));
    }
}
