//! The frames of SPDY/3.1, as far as Kubernetes' streams take them. Priorities, flow control and
//! settings, which neither kubectl nor the kubelet heeds, are passed over.

use std::collections::BTreeMap;
use std::io;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};

use super::dictionary::dictionary;

const VERSION: u16 = 3;
const SYN_STREAM: u16 = 1;
const SYN_REPLY: u16 = 2;
const RST_STREAM: u16 = 3;
const PING: u16 = 6;
const GOAWAY: u16 = 7;
const HEADERS: u16 = 8;

/// This side sends nothing more in the stream.
const FIN: u8 = 1;

/// What a peer says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Frame {
    Open {
        stream: u32,
        headers: BTreeMap<String, String>,
    },
    Data {
        stream: u32,
        data: Bytes,
        last: bool,
    },
    Reset {
        stream: u32,
    },
    Ping(u32),
    /// The peer opens no more streams.
    Away,
    /// Nothing that matters here.
    Other,
}

/// Reads frames from bytes as they come.
pub(super) struct Reader {
    bytes: BytesMut,
    inflate: Decompress,
}

impl Reader {
    pub(super) fn new() -> Self {
        Self {
            bytes: BytesMut::new(),
            inflate: Decompress::new(true),
        }
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// The next frame, if it is there in full.
    pub(super) fn next(&mut self) -> io::Result<Option<Frame>> {
        const HEAD: usize = 8;
        if self.bytes.len() < HEAD {
            return Ok(None);
        }
        let word = |at: usize| {
            let bytes = self.bytes[at..at + 4].try_into();
            u32::from_be_bytes(bytes.unwrap_or_default())
        };
        let (first, second) = (word(0), word(4));
        let length = usize::try_from(second & 0x00ff_ffff).unwrap_or(usize::MAX);
        if self.bytes.len() < HEAD + length {
            return Ok(None);
        }
        let flags = (second >> 24) as u8;
        self.bytes.advance(HEAD);
        let body = self.bytes.split_to(length).freeze();
        if first >> 31 == 0 {
            let last = flags & FIN != 0;
            let (stream, data) = (first, body);
            return Ok(Some(Frame::Data { stream, data, last }));
        }
        let kind = (first & 0xffff) as u16;
        self.control(kind, body).map(Some)
    }

    fn control(&mut self, kind: u16, mut body: Bytes) -> io::Result<Frame> {
        let number =
            |body: &mut Bytes| -> io::Result<u32> { body.try_get_u32().map_err(|_| malformed()) };
        Ok(match kind {
            SYN_STREAM => {
                let stream = number(&mut body)? & 0x7fff_ffff;
                // The associated stream, priority and slot.
                let _ = number(&mut body)?;
                body.try_get_u16().map_err(|_| malformed())?;
                let headers = self.headers(&body)?;
                Frame::Open { stream, headers }
            }
            SYN_REPLY | HEADERS => {
                let _ = number(&mut body)?;
                // What is compressed later refers to it.
                self.headers(&body)?;
                Frame::Other
            }
            RST_STREAM => Frame::Reset {
                stream: number(&mut body)? & 0x7fff_ffff,
            },
            PING => Frame::Ping(number(&mut body)?),
            GOAWAY => Frame::Away,
            _ => Frame::Other,
        })
    }

    fn headers(&mut self, compressed: &[u8]) -> io::Result<BTreeMap<String, String>> {
        let mut block = Bytes::from(self.inflated(compressed)?);
        let text = |block: &mut Bytes| -> io::Result<String> {
            let length = block.try_get_u32().map_err(|_| malformed())?;
            let length = usize::try_from(length).map_err(|_| malformed())?;
            if length > block.len() {
                return Err(malformed());
            }
            String::from_utf8(block.split_to(length).to_vec()).map_err(|_| malformed())
        };
        let mut headers = BTreeMap::new();
        let mut count = block.clone();
        let count = count.try_get_u32().map_err(|_| malformed())?;
        block.advance(4);
        for _ in 0..count {
            headers.insert(text(&mut block)?, text(&mut block)?);
        }
        Ok(headers)
    }

    fn inflated(&mut self, compressed: &[u8]) -> io::Result<Vec<u8>> {
        const MOST: usize = 64 * 1024;
        let mut out = Vec::with_capacity(MOST);
        let begin = self.inflate.total_in();
        let rest = |inflate: &Decompress| {
            let read = usize::try_from(inflate.total_in() - begin).unwrap_or(usize::MAX);
            compressed.get(read..).unwrap_or_default()
        };
        let sync = FlushDecompress::Sync;
        let input = rest(&self.inflate);
        if let Err(error) = self.inflate.decompress_vec(input, &mut out, sync) {
            // Asked for once, at the beginning.
            error.needs_dictionary().ok_or_else(malformed)?;
            let set = self.inflate.set_dictionary(&dictionary());
            set.map_err(|_| malformed())?;
            let input = rest(&self.inflate);
            let inflated = self.inflate.decompress_vec(input, &mut out, sync);
            inflated.map_err(|_| malformed())?;
        }
        Ok(out)
    }
}

/// Writes frames.
pub(super) struct Writer {
    deflate: Compress,
}

impl Writer {
    pub(super) fn new() -> io::Result<Self> {
        let mut deflate = Compress::new(Compression::default(), true);
        let set = deflate.set_dictionary(&dictionary());
        set.map_err(io::Error::other)?;
        Ok(Self { deflate })
    }

    /// Takes a stream that the peer has opened, without headers.
    pub(super) fn reply(&mut self, stream: u32) -> io::Result<Bytes> {
        let mut compressed = Vec::with_capacity(64);
        let none = 0_u32.to_be_bytes();
        self.deflate
            .compress_vec(&none, &mut compressed, FlushCompress::Sync)
            .map_err(io::Error::other)?;
        let mut body = BytesMut::new();
        body.put_u32(stream);
        body.put_slice(&compressed);
        Ok(control(SYN_REPLY, &body))
    }
}

/// A frame of data; without any, the end of the stream.
pub(super) fn data(stream: u32, data: &[u8]) -> Bytes {
    let flags = if data.is_empty() { FIN } else { 0 };
    framed(stream, flags, data)
}

/// The answer to a ping.
pub(super) fn pong(number: u32) -> Bytes {
    control(PING, &number.to_be_bytes())
}

fn control(kind: u16, body: &[u8]) -> Bytes {
    framed(
        (1 << 31) | (u32::from(VERSION) << 16) | u32::from(kind),
        0,
        body,
    )
}

fn framed(first: u32, flags: u8, body: &[u8]) -> Bytes {
    let length = u32::try_from(body.len()).unwrap_or(u32::MAX) & 0x00ff_ffff;
    let mut frame = BytesMut::with_capacity(body.len() + 8);
    frame.put_u32(first);
    frame.put_u32((u32::from(flags) << 24) | length);
    frame.put_slice(body);
    frame.freeze()
}

fn malformed() -> io::Error {
    io::Error::other("no SPDY/3.1")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Headers as a peer sends them, all in one stream of compressed bytes.
    fn open(deflate: &mut Compress, stream: u32, headers: &[(&str, &str)]) -> Bytes {
        let mut block = BytesMut::new();
        block.put_u32(u32::try_from(headers.len()).expect("a few"));
        for text in headers.iter().flat_map(|(name, value)| [name, value]) {
            block.put_u32(u32::try_from(text.len()).expect("short"));
            block.put_slice(text.as_bytes());
        }
        let mut compressed = Vec::with_capacity(1024);
        deflate
            .compress_vec(&block, &mut compressed, FlushCompress::Sync)
            .expect("it is compressed");
        let mut body = BytesMut::new();
        body.put_u32(stream);
        body.put_slice(&[0; 6]);
        body.put_slice(&compressed);
        control(SYN_STREAM, &body)
    }

    #[test]
    fn frames_are_read_as_they_come() {
        let mut peer = Writer::new().expect("a dictionary");
        let mut all = BytesMut::new();
        let error = [("streamtype", "error"), ("port", "5672")];
        let data_ = [("streamtype", "data"), ("port", "5672")];
        all.put(open(&mut peer.deflate, 1, &error));
        all.put(open(&mut peer.deflate, 3, &data_));
        all.put(data(3, b"hello"));
        all.put(data(3, b""));
        all.put(pong(7));
        let mut reader = Reader::new();
        let mut frames = Vec::new();
        for byte in &all {
            reader.push(&[*byte]);
            frames.extend(reader.next().expect("it is SPDY"));
        }
        let headers = |pairs: &[(&str, &str)]| {
            let pairs = pairs.iter();
            pairs
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect()
        };
        assert_eq!(
            frames,
            [
                Frame::Open {
                    stream: 1,
                    headers: headers(&error)
                },
                Frame::Open {
                    stream: 3,
                    headers: headers(&data_)
                },
                Frame::Data {
                    stream: 3,
                    data: Bytes::from_static(b"hello"),
                    last: false
                },
                Frame::Data {
                    stream: 3,
                    data: Bytes::new(),
                    last: true
                },
                Frame::Ping(7),
            ]
        );
    }

    #[test]
    fn what_is_something_else_is_refused() {
        let mut reader = Reader::new();
        reader.push(&control(SYN_STREAM, b"\0\0\0\x01\0\0\0\0\0\0nonsense"));
        assert!(reader.next().is_err());
    }
}
