//! The layer's compressors, block by block. What is stored is said by [`Format`]; which one is used
//! is the caller's decision.
//!
//! Every block becomes a frame of zstd, or a member of gzip, of its own. Both formats say that what
//! follows another is its continuation (RFC 8878, 3; RFC 1952, 2.2), and so do the libraries that
//! CRI-O and containerd read layers with. So blocks can be compressed by as many threads as there
//! are, and the same bytes give the same layer whatever their number.

use std::io::{self, Write};
use std::num::NonZero;

use bytes::Bytes;
use flate2::write::GzEncoder;
use ms2m_transfer::pool::Pool;
use oci_client::manifest::{IMAGE_LAYER_GZIP_MEDIA_TYPE, IMAGE_LAYER_MEDIA_TYPE};
use zstd::zstd_safe::{CParameter, compress_bound};

/// OCI's name for such a layer; the client library has no constant for it.
const ZSTD_MEDIA_TYPE: &str = "application/vnd.oci.image.layer.v1.tar+zstd";

/// What is compressed at a time, bytes. Larger blocks save little (tests/bench/transfer), and a
/// dozen of them are in memory.
pub(crate) const BLOCK: usize = 512 * 1024;

/// Measured on memory-like data (tests/bench/transfer): higher levels take longer than the bytes
/// that they save take on any link of 100 MB/s and more.
const ZSTD_LEVEL: i32 = 1;

/// How far back a match may lie, as a power of two: the whole block.
const ZSTD_WINDOW_LOG: u32 = BLOCK.ilog2();

/// More threads than that are ahead of the hash, which one thread makes of every byte, and would
/// only take memory.
const THREADS_MAX: usize = 4;

/// How a layer is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Zstd,
    Gzip,
    None,
}

impl Format {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Zstd => "zstd",
            Self::Gzip => "gzip",
            Self::None => "none",
        }
    }

    pub(crate) fn media_type(self) -> &'static str {
        match self {
            Self::Zstd => ZSTD_MEDIA_TYPE,
            Self::Gzip => IMAGE_LAYER_GZIP_MEDIA_TYPE,
            Self::None => IMAGE_LAYER_MEDIA_TYPE,
        }
    }
}

/// Compresses blocks, one after the other.
pub(crate) struct Compressor {
    kind: Kind,
    frames: Pool,
}

enum Kind {
    Zstd(zstd::bulk::Compressor<'static>),
    Gzip,
    None,
}

impl Compressor {
    /// # Errors
    /// When the compressor cannot be set up, for want of memory.
    pub(crate) fn new(format: Format) -> io::Result<Self> {
        let kind = match format {
            Format::Zstd => {
                let mut compressor = zstd::bulk::Compressor::new(ZSTD_LEVEL)?;
                compressor.set_parameter(CParameter::WindowLog(ZSTD_WINDOW_LOG))?;
                Kind::Zstd(compressor)
            }
            Format::Gzip => Kind::Gzip,
            Format::None => Kind::None,
        };
        Ok(Self {
            kind,
            // Of what is not needed the kernel has nothing.
            frames: Pool::new(compress_bound(BLOCK)),
        })
    }

    /// The block as stored. `block` has at most [`BLOCK`] bytes.
    ///
    /// # Errors
    /// When the compressor fails, which for a block in memory is for want of memory.
    pub(crate) fn compress(&mut self, block: &[u8]) -> io::Result<Bytes> {
        let mut frame = self.frames.take();
        frame.clear();
        match &mut self.kind {
            Kind::Zstd(compressor) => {
                compressor.compress_to_buffer(block, &mut frame)?;
            }
            Kind::Gzip => {
                let mut member = GzEncoder::new(&mut frame, flate2::Compression::fast());
                member.write_all(block)?;
                member.finish()?;
            }
            Kind::None => frame.extend_from_slice(block),
        }
        Ok(self.frames.share(frame))
    }
}

/// How many threads compress: as many as the machine, or the container's limit, has processors.
pub(crate) fn threads() -> usize {
    let processors = std::thread::available_parallelism().map_or(1, NonZero::get);
    processors.min(THREADS_MAX)
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    fn packed(format: Format, data: &[u8]) -> Vec<u8> {
        let mut compressor = Compressor::new(format).expect("sets up");
        let frames = data.chunks(BLOCK).map(|block| {
            let frame = compressor.compress(block).expect("compresses memory");
            frame.to_vec()
        });
        frames.collect::<Vec<_>>().concat()
    }

    #[test]
    fn what_goes_in_comes_out() {
        let data: Vec<u8> = (0..1_000_000_u32).flat_map(u32::to_le_bytes).collect();
        let mut zstd = Vec::new();
        zstd::Decoder::new(&packed(Format::Zstd, &data)[..])
            .and_then(|mut decoder| decoder.read_to_end(&mut zstd))
            .expect("it is zstd");
        assert!(zstd == data);
        let mut gzip = Vec::new();
        flate2::read::MultiGzDecoder::new(&packed(Format::Gzip, &data)[..])
            .read_to_end(&mut gzip)
            .expect("it is gzip");
        assert!(gzip == data);
        assert!(packed(Format::None, &data) == data);
    }

    /// A layer that has to be sent as a whole is made twice, and its digest is of the first.
    #[test]
    fn a_block_does_not_depend_on_those_before_it() {
        let data: Vec<u8> = (0..100_000_u32).flat_map(u32::to_le_bytes).collect();
        for format in [Format::Zstd, Format::Gzip] {
            let mut used = Compressor::new(format).expect("sets up");
            used.compress(&[7; BLOCK]).expect("compresses memory");
            let frame = used.compress(&data).expect("compresses memory");
            assert!(frame == packed(format, &data));
        }
    }
}
