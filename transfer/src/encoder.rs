//! The layer's compressors behind one `Write`. What is stored is said by [`Format`]; which one is
//! used is the caller's decision.

use std::io::{self, Write};
use std::num::NonZero;

use flate2::write::GzEncoder;
use oci_client::manifest::{IMAGE_LAYER_GZIP_MEDIA_TYPE, IMAGE_LAYER_MEDIA_TYPE};
use zstd::zstd_safe::CParameter;

/// OCI's name for such a layer; the client library has no constant for it.
const ZSTD_MEDIA_TYPE: &str = "application/vnd.oci.image.layer.v1.tar+zstd";

/// Measured on memory-like data (benches/README.md): higher levels take longer than the bytes
/// that they save take on any link of 100 MB/s and more.
const ZSTD_LEVEL: i32 = 1;

/// What one thread compresses at a time; the smallest that zstd takes. Input and output of every
/// job are in memory, so this and the threads are what a compressor costs.
const ZSTD_JOB: u32 = 512 * 1024;

/// How far back a match may lie, as a power of two: a job's size. Given, since zstd would take
/// another for another size of the input.
const ZSTD_WINDOW_LOG: u32 = 19;

/// More threads than that are ahead of the hash, which one thread makes of every byte, and would
/// only take memory.
const ZSTD_THREADS_MAX: u32 = 4;

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

/// Compresses what is written to it. The same bytes give the same layer, whatever the number of
/// threads.
pub(crate) enum Encoder<W: Write> {
    Zstd(zstd::Encoder<'static, W>),
    Gzip(GzEncoder<W>),
    None(W),
}

impl<W: Write> Encoder<W> {
    /// # Errors
    /// When the compressor cannot be set up, for want of memory or threads.
    pub(crate) fn new(format: Format, sink: W) -> io::Result<Self> {
        Ok(match format {
            Format::Zstd => Self::Zstd(zstd_encoder(sink)?),
            Format::Gzip => Self::Gzip(GzEncoder::new(sink, flate2::Compression::fast())),
            Format::None => Self::None(sink),
        })
    }

    /// Writes what is left, and gives the sink back.
    pub(crate) fn finish(self) -> io::Result<W> {
        match self {
            Self::Zstd(encoder) => encoder.finish(),
            Self::Gzip(encoder) => encoder.finish(),
            Self::None(sink) => Ok(sink),
        }
    }
}

impl<W: Write> Write for Encoder<W> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        match self {
            Self::Zstd(encoder) => encoder.write(data),
            Self::Gzip(encoder) => encoder.write(data),
            Self::None(sink) => sink.write(data),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Zstd(encoder) => encoder.flush(),
            Self::Gzip(encoder) => encoder.flush(),
            Self::None(sink) => sink.flush(),
        }
    }
}

fn zstd_encoder<W: Write>(sink: W) -> io::Result<zstd::Encoder<'static, W>> {
    let mut encoder = zstd::Encoder::new(sink, ZSTD_LEVEL)?;
    for parameter in [
        // One worker at least: without any, another code path makes other bytes.
        CParameter::NbWorkers(threads()),
        CParameter::JobSize(ZSTD_JOB),
        CParameter::WindowLog(ZSTD_WINDOW_LOG),
    ] {
        encoder.set_parameter(parameter)?;
    }
    Ok(encoder)
}

/// As many as the machine, or the container's limit, has processors.
fn threads() -> u32 {
    let processors = std::thread::available_parallelism().map_or(1, NonZero::get);
    u32::try_from(processors)
        .unwrap_or(ZSTD_THREADS_MAX)
        .min(ZSTD_THREADS_MAX)
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    fn packed(format: Format, data: &[u8], portion: usize) -> Vec<u8> {
        let mut encoder = Encoder::new(format, Vec::new()).expect("sets up");
        for portion in data.chunks(portion) {
            encoder.write_all(portion).expect("writes to memory");
        }
        encoder.finish().expect("writes to memory")
    }

    #[test]
    fn what_goes_in_comes_out() {
        let data: Vec<u8> = (0..3_000_000_u32).flat_map(u32::to_le_bytes).collect();
        let mut zstd = Vec::new();
        zstd::Decoder::new(&packed(Format::Zstd, &data, 65_536)[..])
            .and_then(|mut decoder| decoder.read_to_end(&mut zstd))
            .expect("it is zstd");
        assert!(zstd == data);
        let mut gzip = Vec::new();
        flate2::read::GzDecoder::new(&packed(Format::Gzip, &data, 65_536)[..])
            .read_to_end(&mut gzip)
            .expect("it is gzip");
        assert!(gzip == data);
        assert!(packed(Format::None, &data, 65_536) == data);
    }

    /// A layer that has to be sent as a whole is made twice, and its digest is of the first.
    #[test]
    fn the_layer_does_not_depend_on_how_it_was_written() {
        let data: Vec<u8> = (0..3_000_000_u32).flat_map(u32::to_le_bytes).collect();
        let first = packed(Format::Zstd, &data, 262_144);
        assert!(packed(Format::Zstd, &data, 262_144) == first);
        assert!(packed(Format::Zstd, &data, 1_000_003) == first);
    }
}
