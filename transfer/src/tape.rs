//! The layer as the body of one request, and of another where that one breaks. What was taken of it
//! can be had again from the archive: its frames do not depend on each other, so nothing has to be
//! kept of them but their sizes, and memory stays flat however far back the registry stands.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::{Stream, StreamExt, TryStreamExt, stream};

use crate::frame::{BLOCK, Compressor, Format};
use crate::layer::{Blob, Counters, Layer, Part};
use crate::pack::stopped;

/// A layer that can be wound back.
pub(crate) struct Tape {
    state: Arc<Mutex<State>>,
    archive: Arc<File>,
    format: Format,
    counters: Arc<Counters>,
}

struct State {
    /// `None` once nobody wants it any more.
    layer: Option<Layer>,
    /// Sizes of the frames that were taken, in order.
    frames: Vec<u32>,
    /// Their sum.
    taken: u64,
    end: Option<Blob>,
    /// The body that may take what comes next. One of a request that broke may still be asked for
    /// more by its connection.
    body: u64,
}

impl Tape {
    /// `counters.sent` is the tape's from here on: what the last body has given.
    pub(crate) fn new(layer: Layer, counters: &Arc<Counters>) -> Self {
        let (archive, format) = (Arc::clone(&layer.archive), layer.format);
        let state = State {
            layer: Some(layer),
            frames: Vec::new(),
            taken: 0,
            end: None,
            body: 0,
        };
        Self {
            state: Arc::new(Mutex::new(state)),
            archive,
            format,
            counters: Arc::clone(counters),
        }
    }

    /// The layer from this offset to its end, which may be at most [`Tape::taken`]. No earlier body
    /// gets anything from here on.
    pub(crate) fn from(&self, offset: u64) -> impl Stream<Item = io::Result<Bytes>> + Send + use<> {
        let mut state = lock(&self.state);
        state.body += 1;
        let body = state.body;
        let again = Again {
            archive: Arc::clone(&self.archive),
            format: self.format,
            compressor: None,
            frames: state.since(offset),
        };
        drop(state);
        self.counters.sent.store(offset, Ordering::Relaxed);
        let (state, counters) = (Arc::clone(&self.state), Arc::clone(&self.counters));
        let new = stream::poll_fn(move |context| lock(&state).poll(body, context));
        again.stream().chain(new).inspect_ok(move |frame| {
            let bytes = frame.len() as u64;
            counters.sent.fetch_add(bytes, Ordering::Relaxed);
        })
    }

    /// What the last body has given, and what was there before it.
    pub(crate) fn sent(&self) -> &AtomicU64 {
        &self.counters.sent
    }

    /// How many bytes of the layer were taken so far. No body gets anything from here on.
    pub(crate) fn stop(&self) -> u64 {
        let mut state = lock(&self.state);
        state.body += 1;
        state.taken
    }

    /// The whole layer, if it was taken to its end.
    pub(crate) fn end(&self) -> Option<Blob> {
        lock(&self.state).end.clone()
    }

    /// Whether the layer broke off: why is known to the task that makes it. The body ends in order
    /// all the same. Nothing is completed by that, and a registry that has answered lets its session be
    /// cancelled: distribution keeps the bytes of one whose request broke.
    pub(crate) fn is_broken(&self) -> bool {
        let state = lock(&self.state);
        state.layer.is_none() && state.end.is_none()
    }
}

impl Drop for Tape {
    /// A connection may keep its body for a while; whoever makes the layer must not wait for that.
    fn drop(&mut self) {
        self.stop();
        lock(&self.state).layer = None;
    }
}

/// Nothing that holds it can panic half-way through a change.
fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl State {
    fn poll(&mut self, body: u64, context: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        if body != self.body {
            return Poll::Ready(Some(Err(stopped())));
        }
        let Some(layer) = &mut self.layer else {
            return Poll::Ready(None);
        };
        Poll::Ready(match ready!(layer.poll_next(context)) {
            Ok(Part::Data(frame)) => {
                // A frame is hardly larger than a block.
                self.frames.push(frame.len() as u32);
                self.taken += frame.len() as u64;
                Some(Ok(frame))
            }
            Ok(Part::End(blob)) => {
                self.layer = None;
                self.end = Some(blob);
                None
            }
            Err(_) => {
                self.layer = None;
                None
            }
        })
    }

    /// What was taken after this offset.
    fn since(&self, offset: u64) -> Frames {
        let (mut first, mut start) = (self.frames.len(), self.taken);
        while start > offset {
            first -= 1;
            start -= u64::from(self.frames[first]);
        }
        Frames {
            next: first as u64,
            skip: (offset - start) as usize,
            sizes: self.frames[first..].iter().copied().collect(),
        }
    }
}

/// Frames that were taken before.
struct Frames {
    /// Number of the next one, which is that of its block in the archive.
    next: u64,
    /// How much of it is not wanted.
    skip: usize,
    /// What they had.
    sizes: VecDeque<u32>,
}

/// Makes frames again.
struct Again {
    archive: Arc<File>,
    format: Format,
    compressor: Option<Compressor>,
    frames: Frames,
}

impl Again {
    fn stream(self) -> impl Stream<Item = io::Result<Bytes>> + Send {
        stream::try_unfold(self, |mut again| async move {
            if again.frames.sizes.is_empty() {
                return Ok(None);
            }
            let made = tokio::task::spawn_blocking(move || {
                let frame = again.next()?;
                Ok::<_, io::Error>(frame.map(|frame| (frame, again)))
            });
            made.await
                .unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
        })
    }

    fn next(&mut self) -> io::Result<Option<Bytes>> {
        let Some(size) = self.frames.sizes.pop_front() else {
            return Ok(None);
        };
        let mut block = vec![0; BLOCK];
        let length = read_at(&self.archive, &mut block, self.frames.next * BLOCK as u64)?;
        self.frames.next += 1;
        let compressor = match &mut self.compressor {
            Some(compressor) => compressor,
            none => none.insert(Compressor::new(self.format)?),
        };
        block.truncate(length);
        let mut frame = compressor.compress(&block)?;
        if frame.len() != size as usize {
            return Err(io::Error::other(
                "the archive has changed since it was read",
            ));
        }
        Ok(Some(frame.split_off(std::mem::take(&mut self.frames.skip))))
    }
}

/// Fills the block as far as the file goes.
fn read_at(file: &File, block: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut filled = 0;
    while filled < block.len() {
        match file.read_at(&mut block[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::pin::pin;

    use super::*;

    /// An archive of some blocks and a bit, its layer, and that layer's bytes.
    fn a_layer(format: Format) -> (Layer, Vec<u8>) {
        let data: Vec<u8> = (0..(5 * BLOCK + 1000) as u32)
            .map(|i| ((i / 7) ^ (i >> 11)) as u8)
            .collect();
        let mut file = tempfile::tempfile().expect("a temporary file");
        file.write_all(&data).expect("there is room");
        let mut compressor = Compressor::new(format).expect("sets up");
        let frames: Vec<Bytes> = data
            .chunks(BLOCK)
            .map(|block| compressor.compress(block).expect("compresses memory"))
            .collect();
        let whole = frames.concat();
        let end = Blob {
            digest: "sha256:aa".to_owned(),
            bytes: whole.len() as u64,
        };
        let parts = frames.into_iter().map(Part::Data).chain([Part::End(end)]);
        (Layer::of(file, format, parts.collect()), whole)
    }

    fn a_tape(layer: Layer) -> (Tape, Arc<Counters>) {
        let counters = Arc::default();
        (Tape::new(layer, &counters), counters)
    }

    #[tokio::test]
    async fn what_was_taken_can_be_had_again_from_any_byte() {
        for format in [Format::Zstd, Format::Gzip, Format::None] {
            let (layer, whole) = a_layer(format);
            let (tape, counters) = a_tape(layer);
            let mut got = Vec::new();
            // So many bytes are lost, then so many frames come.
            for (lost, frames) in [(0, 2), (1, 1), (20_000, 2), (0, 1), (usize::MAX, 1), (7, 0)] {
                got.truncate(got.len().saturating_sub(lost));
                let mut body = pin!(tape.from(got.len() as u64));
                for _ in 0..frames {
                    let frame = body.next().await.expect("there is more");
                    got.extend_from_slice(&frame.expect("the archive is there"));
                }
                assert_eq!(counters.sent.load(Ordering::Relaxed), got.len() as u64);
                assert!(
                    got == whole[..got.len()],
                    "{format:?}, after {lost} and {frames}"
                );
            }
            assert_eq!(tape.end(), None);
            let rest: Vec<Bytes> = tape
                .from(got.len() as u64)
                .try_collect()
                .await
                .expect("nothing breaks");
            got.extend_from_slice(&rest.concat());
            assert!(got == whole, "{format:?}");
            assert_eq!(tape.stop(), whole.len() as u64);
            assert!(tape.end().is_some() && !tape.is_broken());
            // All of it was taken, and the request that took it breaks.
            let last: Vec<Bytes> = tape
                .from(tape.stop() - 9)
                .try_collect()
                .await
                .expect("nothing breaks");
            assert!(last.concat() == whole[whole.len() - 9..], "{format:?}");
        }
    }

    #[tokio::test]
    async fn a_body_that_is_over_gets_nothing_more() {
        let (layer, _) = a_layer(Format::None);
        let (tape, _) = a_tape(layer);
        let mut first = pin!(tape.from(0));
        assert!(first.next().await.is_some_and(|frame| frame.is_ok()));
        let mut second = pin!(tape.from(0));
        assert!(first.next().await.is_some_and(|frame| frame.is_err()));
        assert!(second.next().await.is_some_and(|frame| frame.is_ok()));
        drop(tape);
        // What was taken is made again without the tape; there is nothing after that.
        assert!(second.next().await.is_some_and(|frame| frame.is_err()));
    }

    #[tokio::test]
    async fn a_layer_that_breaks_does_not_end() {
        let archive = tempfile::tempfile().expect("a temporary file");
        let (tape, _) = a_tape(Layer::of(archive, Format::None, Vec::new()));
        let mut body = pin!(tape.from(0));
        assert!(body.next().await.is_none());
        assert!(tape.is_broken());
        assert_eq!(tape.end(), None);
    }

    #[tokio::test]
    async fn an_archive_that_has_changed_is_found_out() {
        let (layer, _) = a_layer(Format::Zstd);
        let archive = Arc::clone(&layer.archive);
        let (tape, _) = a_tape(layer);
        let mut body = pin!(tape.from(0));
        assert!(body.next().await.is_some_and(|frame| frame.is_ok()));
        archive.set_len(0).expect("it is writable");
        let mut again = pin!(tape.from(0));
        assert!(again.next().await.is_some_and(|frame| frame.is_err()));
    }
}
