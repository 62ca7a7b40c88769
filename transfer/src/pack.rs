//! From the archive's blocks to the layer's: one thread hashes them, several compress them, one puts
//! them in order again and hashes what is stored. The queues between them are bounded, so a dozen
//! blocks are in memory at most, whoever is the slowest. Reads nothing and sends nothing.

use std::io;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::thread::{Builder, Scope, ScopedJoinHandle};

use bytes::Bytes;
use sha2::{Digest, Sha256};

use crate::archive::Sink;
use crate::frame::{self, Compressor, Format};

/// Blocks that wait for the hash.
const TO_HASH: usize = 2;

/// The two digests, and what came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Packed {
    /// SHA-256 of what went in.
    pub(crate) archive: [u8; 32],
    /// SHA-256 of what came out.
    pub(crate) layer: [u8; 32],
    /// Size of what came out, in bytes.
    pub(crate) bytes: u64,
}

/// A block to compress, and where to put what comes of it.
struct Job {
    block: Bytes,
    done: SyncSender<io::Result<Bytes>>,
}

/// Where a block comes out that is in work; in order.
type Turn = Receiver<io::Result<Bytes>>;

/// Where blocks go in.
pub(crate) struct Feed {
    hash: SyncSender<Bytes>,
    /// Nobody compresses where nothing is compressed.
    jobs: Option<SyncSender<Job>>,
    turns: SyncSender<Turn>,
}

impl Sink for Feed {
    fn take(&mut self, block: Bytes) -> io::Result<()> {
        self.hash.send(block.clone()).map_err(|_| stopped())?;
        let (done, turn) = sync_channel(1);
        match &self.jobs {
            Some(jobs) => jobs.send(Job { block, done }).map_err(|_| stopped())?,
            None => done.send(Ok(block)).map_err(|_| stopped())?,
        }
        self.turns.send(turn).map_err(|_| stopped())
    }
}

/// The other side is gone; why is known there.
pub(crate) fn stopped() -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, "the upload has stopped")
}

/// Packs what `work` feeds in, and hands it to `output` in order. `work` has to drop the feed before
/// it returns.
///
/// # Errors
/// The outer one when no threads can be had, and `work` was not called then. The inner one is of the
/// compressor or of `output`; then `work` has got [`stopped`], if it fed in anything more.
pub(crate) fn pack<T>(
    format: Format,
    output: impl FnMut(Bytes) -> io::Result<()> + Send,
    work: impl FnOnce(Feed) -> T,
) -> io::Result<(T, io::Result<Packed>)> {
    let (jobs, to_compress) = sync_channel(frame::threads());
    let to_compress = Mutex::new(to_compress);
    std::thread::scope(|scope| {
        let (hash, to_hash) = sync_channel(TO_HASH);
        let (turns, in_order) = sync_channel(frame::threads() + 1);
        let hasher = spawn(scope, "hash", move || sha256(&to_hash))?;
        let collector = spawn(scope, "collect", move || collect(&in_order, format, output))?;
        let jobs = match format {
            Format::None => None,
            format => {
                for _ in 0..frame::threads() {
                    let compressor = Compressor::new(format)?;
                    spawn(scope, "compress", || compress(compressor, &to_compress))?;
                }
                Some(jobs)
            }
        };
        let worked = work(Feed { hash, jobs, turns });
        let archive = join(hasher);
        let packed = join(collector).map(|(layer, bytes)| Packed {
            archive,
            layer: layer.unwrap_or(archive),
            bytes,
        });
        Ok((worked, packed))
    })
}

fn spawn<'scope, T: Send + 'scope>(
    scope: &'scope Scope<'scope, '_>,
    name: &str,
    work: impl FnOnce() -> T + Send + 'scope,
) -> io::Result<ScopedJoinHandle<'scope, T>> {
    Builder::new()
        .name(name.to_owned())
        .spawn_scoped(scope, work)
}

fn join<T>(thread: ScopedJoinHandle<'_, T>) -> T {
    thread
        .join()
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

fn sha256(blocks: &Receiver<Bytes>) -> [u8; 32] {
    let mut hash = Sha256::new();
    for block in blocks {
        hash.update(&block);
    }
    hash.finalize().into()
}

fn compress(mut compressor: Compressor, jobs: &Mutex<Receiver<Job>>) {
    loop {
        // Whoever waits for a job holds the lock; the others wait for the lock.
        let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(Job { block, done }) = job else {
            return;
        };
        // Nobody waits for it any more where the upload has stopped.
        let _ = done.send(compressor.compress(&block));
    }
}

/// Digest and size of what was handed on. The digest is left out where it is the archive's own.
fn collect(
    turns: &Receiver<Turn>,
    format: Format,
    mut output: impl FnMut(Bytes) -> io::Result<()>,
) -> io::Result<(Option<[u8; 32]>, u64)> {
    let mut hash = (format != Format::None).then(Sha256::new);
    let mut bytes = 0;
    for turn in turns {
        let frame = turn.recv().map_err(|_| stopped())??;
        if let Some(hash) = &mut hash {
            hash.update(&frame);
        }
        bytes += frame.len() as u64;
        output(frame)?;
    }
    Ok((hash.map(|hash| hash.finalize().into()), bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blocks() -> Vec<Bytes> {
        let block = |n: u8| (0..30_000_u32).map(move |i| (i / 7) as u8 ^ n).collect();
        (0..50).map(block).collect()
    }

    fn feed_all(mut feed: Feed) -> io::Result<()> {
        blocks().into_iter().try_for_each(|block| feed.take(block))
    }

    #[test]
    fn blocks_come_out_in_order_with_their_digests() {
        for format in [Format::Zstd, Format::Gzip, Format::None] {
            let mut layer = Vec::new();
            let output = |frame: Bytes| {
                layer.extend_from_slice(&frame);
                Ok(())
            };
            let (fed, packed) = pack(format, output, feed_all).expect("threads can be had");
            fed.expect("everything is taken");
            let mut compressor = Compressor::new(format).expect("sets up");
            let expected: Vec<Bytes> = blocks()
                .iter()
                .map(|block| compressor.compress(block).expect("compresses memory"))
                .collect();
            assert!(layer == expected.concat(), "{format:?}");
            let packed = packed.expect("nothing fails");
            let expected = Packed {
                archive: Sha256::digest(blocks().concat()).into(),
                layer: Sha256::digest(&layer).into(),
                bytes: layer.len() as u64,
            };
            assert_eq!(packed, expected, "{format:?}");
        }
    }

    #[test]
    fn an_output_that_takes_no_more_stops_everybody() {
        for format in [Format::Zstd, Format::None] {
            let mut left = 3;
            let output = |_| {
                left -= 1;
                if left == 0 { Err(stopped()) } else { Ok(()) }
            };
            let endless = |mut feed: Feed| {
                loop {
                    feed.take(Bytes::from_static(b"again"))?;
                }
            };
            let (fed, packed): (io::Result<()>, _) =
                pack(format, output, endless).expect("threads can be had");
            assert!(fed.is_err(), "the source is told");
            assert!(packed.is_err(), "and so is the caller");
        }
    }
}
