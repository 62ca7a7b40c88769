//! A reader that shows every block it passes on to a sink: how one pass over the archive serves the
//! tar parser, the digest and the layer at once, without a copy for each of them.

use std::cell::{Cell, RefCell};
use std::io::{self, Read, Seek, SeekFrom};
use std::rc::Rc;

use bytes::Bytes;

use crate::pool::Pool;

/// Takes the archive's blocks, in order.
pub trait Sink {
    /// Takes a block, which is never empty.
    ///
    /// # Errors
    /// When it takes no more; the pass ends then.
    fn take(&mut self, block: Bytes) -> io::Result<()>;
}

/// Wants nothing.
impl Sink for () {
    fn take(&mut self, _: Bytes) -> io::Result<()> {
        Ok(())
    }
}

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

    /// Keeps what went wrong, which the parser is only told of.
    fn failed(&self, fault: Fault) -> io::Error {
        self.fault.replace(Some(fault));
        io::Error::other("the tap has failed")
    }

    pub(crate) fn take_fault(&self) -> Option<Fault> {
        self.fault.borrow_mut().take()
    }
}

pub(crate) struct Tap<R, S> {
    source: R,
    sink: S,
    /// Bytes taken from the source at a time.
    size: usize,
    blocks: Pool,
    /// The block that is being read: the sink gets it when it is full, the parser what is there of it
    /// at once. A file that still grows ends where the parser says so.
    block: Vec<u8>,
    filled: usize,
    served: usize,
    /// Offset of the next byte to pass on.
    position: u64,
    monitor: Monitor,
}

impl<R: Read, S: Sink> Tap<R, S> {
    /// `size` is that of the sink's blocks; the last one may be shorter.
    pub(crate) fn new(source: R, sink: S, size: usize) -> (Self, Monitor) {
        let monitor = Monitor {
            fault: Rc::default(),
            limit: Rc::new(Cell::new(u64::MAX)),
        };
        let tap = Self {
            source,
            sink,
            size,
            blocks: Pool::new(size),
            block: Vec::new(),
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

    pub(crate) fn into_sink(self) -> S {
        self.sink
    }

    fn refill(&mut self) -> Result<(), Fault> {
        if self.filled == self.block.len() {
            self.pass_on()?;
            self.block = self.blocks.take();
            self.block.resize(self.size, 0);
        }
        let room = &mut self.block[self.filled..];
        let n = self.source.read(room).map_err(Fault::Source)?;
        self.filled += n;
        if n == 0 {
            self.pass_on()?;
        }
        Ok(())
    }

    /// Gives the sink what was read; the parser has had all of it.
    fn pass_on(&mut self) -> Result<(), Fault> {
        let mut block = std::mem::take(&mut self.block);
        block.truncate(self.filled);
        (self.filled, self.served) = (0, 0);
        if block.is_empty() {
            return Ok(());
        }
        let block = self.blocks.share(block);
        self.sink.take(block).map_err(Fault::Sink)
    }

    /// The next bytes that are there, `most` at most. None are the end.
    fn serve(&mut self, most: usize) -> Result<&[u8], Fault> {
        if self.position >= self.monitor.limit.get() {
            return Err(Fault::Limit);
        }
        if self.served == self.filled {
            self.refill()?;
        }
        let from = self.served;
        let n = most.min(self.filled - from);
        self.served += n;
        self.position += n as u64;
        Ok(&self.block[from..from + n])
    }
}

impl<R: Read, S: Sink> Read for Tap<R, S> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let monitor = self.monitor.clone();
        let bytes = self
            .serve(out.len())
            .map_err(|fault| monitor.failed(fault))?;
        out[..bytes.len()].copy_from_slice(bytes);
        Ok(bytes.len())
    }
}

/// Forwards only: what a parser passes over goes to the sink without a copy for the parser.
impl<R: Read, S: Sink> Seek for Tap<R, S> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let SeekFrom::Current(forwards @ 0..) = to else {
            return Err(io::ErrorKind::Unsupported.into());
        };
        let mut left = forwards as usize;
        let monitor = self.monitor.clone();
        while left > 0 {
            match self.serve(left) {
                Ok([]) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(bytes) => left -= bytes.len(),
                Err(fault) => return Err(monitor.failed(fault)),
            }
        }
        Ok(self.position)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: usize = 4096;

    impl Sink for Vec<Bytes> {
        fn take(&mut self, block: Bytes) -> io::Result<()> {
            self.push(block);
            Ok(())
        }
    }

    /// Gives a few bytes at a time, as a pipe does.
    struct Slow<'a>(&'a [u8]);

    impl Read for Slow<'_> {
        fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
            let n = out.len().min(1000);
            self.0.read(&mut out[..n])
        }
    }

    #[test]
    fn every_byte_reaches_reader_and_sink_in_whole_blocks() {
        let data: Vec<u8> = (0..3 * SIZE + 17).map(|i| (i % 251) as u8).collect();
        let (mut tap, _) = Tap::new(Slow(&data), Vec::new(), SIZE);
        let mut read = Vec::new();
        tap.read_to_end(&mut read).expect("reads memory");
        assert_eq!(tap.position(), data.len() as u64);
        assert_eq!(read, data);
        let blocks = tap.into_sink();
        let sizes: Vec<usize> = blocks.iter().map(Bytes::len).collect();
        assert_eq!(sizes, [SIZE, SIZE, SIZE, 17]);
        assert_eq!(blocks.concat(), data);
    }

    #[test]
    fn what_is_passed_over_reaches_the_sink_all_the_same() {
        let data: Vec<u8> = (0..3 * SIZE + 17).map(|i| (i % 251) as u8).collect();
        let (mut tap, monitor) = Tap::new(Slow(&data), Vec::new(), SIZE);
        let mut out = [0; 10];
        tap.read_exact(&mut out).expect("reads memory");
        let over = SeekFrom::Current(2 * SIZE as i64);
        let position = tap.seek(over).expect("there is more");
        assert_eq!(position, 2 * SIZE as u64 + 10);
        tap.read_exact(&mut out).expect("reads memory");
        assert_eq!(out, data[2 * SIZE + 10..][..10]);
        assert!(tap.seek(SeekFrom::Current(-1)).is_err(), "it is gone");
        let beyond = tap.seek(over).expect_err("there is less");
        assert_eq!(beyond.kind(), io::ErrorKind::UnexpectedEof);
        assert!(monitor.take_fault().is_none());
        assert_eq!(tap.into_sink().concat(), data);
    }

    #[test]
    fn the_limit_stops_the_reader() {
        let data = [7; 2 * SIZE];
        let (mut tap, monitor) = Tap::new(&data[..], (), SIZE);
        monitor.limit(100);
        let mut out = [0; 64];
        assert_eq!(tap.read(&mut out).expect("below the limit"), 64);
        assert_eq!(tap.read(&mut out).expect("across the limit"), 64);
        assert!(tap.read(&mut out).is_err());
        assert!(matches!(monitor.take_fault(), Some(Fault::Limit)));
        assert!(tap.seek(SeekFrom::Current(1)).is_err());
        assert!(matches!(monitor.take_fault(), Some(Fault::Limit)));
    }
}
