//! A reader that shows every byte it passes on to a hash and to a sink: how one pass over the
//! archive serves the tar parser, the digest and the layer at once.

use std::cell::{Cell, RefCell};
use std::io::{self, Read, Write};
use std::rc::Rc;

use sha2::{Digest, Sha256};

/// Bytes taken from the source at a time: few enough to stay in the processor's cache between
/// hash and compressor.
const BLOCK: usize = 256 * 1024;

/// What the tar parser, which owns the [`Tap`], cannot tell apart in an `io::Error`.
#[derive(Debug)]
pub(crate) enum Fault {
    /// The archive could not be read.
    Source(io::Error),
    /// The sink takes no more.
    Sink(io::Error),
    /// The parser went beyond the limit set for it.
    Limit,
}

/// The side of a [`Tap`] that stays outside of the parser.
#[derive(Debug, Clone)]
pub(crate) struct Monitor {
    fault: Rc<RefCell<Option<Fault>>>,
    limit: Rc<Cell<u64>>,
}

impl Monitor {
    /// Lets the parser read up to this offset of the stream, and no further.
    pub(crate) fn limit(&self, offset: u64) {
        self.limit.set(offset);
    }

    pub(crate) fn take_fault(&self) -> Option<Fault> {
        self.fault.borrow_mut().take()
    }
}

pub(crate) struct Tap<R, W> {
    source: R,
    sink: W,
    hash: Sha256,
    block: Box<[u8]>,
    filled: usize,
    served: usize,
    /// Offset of the next byte to pass on.
    position: u64,
    monitor: Monitor,
}

impl<R: Read, W: Write> Tap<R, W> {
    pub(crate) fn new(source: R, sink: W) -> (Self, Monitor) {
        let monitor = Monitor {
            fault: Rc::default(),
            limit: Rc::new(Cell::new(u64::MAX)),
        };
        let tap = Self {
            source,
            sink,
            hash: Sha256::new(),
            block: vec![0; BLOCK].into(),
            filled: 0,
            served: 0,
            position: 0,
            monitor: monitor.clone(),
        };
        (tap, monitor)
    }

    /// Offset of the next byte that a read gives.
    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    /// The sink, and the SHA-256 of everything that was read.
    pub(crate) fn finish(self) -> (W, [u8; 32]) {
        (self.sink, self.hash.finalize().into())
    }

    fn refill(&mut self) -> Result<(), Fault> {
        self.served = 0;
        self.filled = self.source.read(&mut self.block).map_err(Fault::Source)?;
        let block = &self.block[..self.filled];
        self.hash.update(block);
        self.sink.write_all(block).map_err(Fault::Sink)
    }

    fn serve(&mut self, out: &mut [u8]) -> Result<usize, Fault> {
        if self.position >= self.monitor.limit.get() {
            return Err(Fault::Limit);
        }
        if self.served == self.filled {
            self.refill()?;
        }
        let n = out.len().min(self.filled - self.served);
        out[..n].copy_from_slice(&self.block[self.served..self.served + n]);
        self.served += n;
        self.position += n as u64;
        Ok(n)
    }
}

impl<R: Read, W: Write> Read for Tap<R, W> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.serve(out).map_err(|fault| {
            self.monitor.fault.replace(Some(fault));
            io::Error::other("the tap has failed")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_reaches_reader_sink_and_hash() {
        let data: Vec<u8> = (0..3 * BLOCK + 17).map(|i| (i % 251) as u8).collect();
        let (mut tap, _) = Tap::new(&data[..], Vec::new());
        let mut read = Vec::new();
        tap.read_to_end(&mut read).expect("reads memory");
        assert_eq!(tap.position(), data.len() as u64);
        let (sink, hash) = tap.finish();
        assert_eq!(read, data);
        assert_eq!(sink, data);
        assert_eq!(hash, <[u8; 32]>::from(Sha256::digest(&data)));
    }

    #[test]
    fn the_limit_stops_the_reader() {
        let data = [7; 2 * BLOCK];
        let (mut tap, monitor) = Tap::new(&data[..], io::sink());
        monitor.limit(100);
        let mut out = [0; 64];
        assert_eq!(tap.read(&mut out).expect("below the limit"), 64);
        assert_eq!(tap.read(&mut out).expect("across the limit"), 64);
        assert!(tap.read(&mut out).is_err());
        assert!(matches!(monitor.take_fault(), Some(Fault::Limit)));
    }
}
