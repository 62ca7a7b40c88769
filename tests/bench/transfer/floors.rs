//! Floors: parts of the work that nobody is spared, each alone on an otherwise idle machine and with
//! nothing around it. A transfer can be as fast as the slowest of them, not faster.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use sha2::{Digest, Sha256};

use crate::contenders::Kind;
use crate::frame::{self, BLOCK, Compressor, Format};
use crate::measure::{self, Figures};
use crate::support::registry::Registry;

/// The first of them.
pub(crate) const READING: &str = "floor: reading";

pub(crate) struct Floor {
    pub(crate) name: &'static str,
    /// Whose floor it is; nothing: everybody's.
    pub(crate) bounds: Option<Kind>,
    pub(crate) measure: fn(&Path) -> Figures,
}

pub(crate) fn all() -> Vec<Floor> {
    vec![
        floor(READING, None, |path| {
            measure::function(|| read(path, |block| _ = std::hint::black_box(block)))
        }),
        floor("floor: one SHA-256", None, |path| {
            measure::function(|| {
                let mut hash = Sha256::new();
                read(path, |block| hash.update(block));
                std::hint::black_box(hash.finalize());
            })
        }),
        floor("floor: zstd alone", Some(Kind::Zstd), |path| {
            measure::function(|| compress(path, Format::Zstd))
        }),
        floor("floor: gzip alone", Some(Kind::Gzip), |path| {
            measure::function(|| compress(path, Format::Gzip))
        }),
        floor("floor: registry, zstd", Some(Kind::Zstd), |path| {
            write(path, Format::Zstd)
        }),
        floor("floor: registry, gzip", Some(Kind::Gzip), |path| {
            write(path, Format::Gzip)
        }),
        floor("floor: registry, none", Some(Kind::None), |path| {
            write(path, Format::None)
        }),
    ]
}

fn floor(name: &'static str, bounds: Option<Kind>, measure: fn(&Path) -> Figures) -> Floor {
    Floor {
        name,
        bounds,
        measure,
    }
}

fn read(path: &Path, mut each: impl FnMut(&[u8])) {
    let mut file = File::open(path).expect("the archive is there");
    let mut block = vec![0; BLOCK];
    loop {
        match file.read(&mut block).expect("reads") {
            0 => return,
            n => each(&block[..n]),
        }
    }
}

/// The transfer's own compressor, with as many threads as it has, and nothing to keep them waiting.
fn compress(path: &Path, format: Format) {
    let file = File::open(path).expect("the archive is there");
    let next = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..frame::threads() {
            scope.spawn(|| {
                let mut compressor = Compressor::new(format).expect("sets up");
                let mut block = vec![0; BLOCK];
                loop {
                    let at = next.fetch_add(BLOCK as u64, Ordering::Relaxed);
                    let n = read_at(&file, &mut block, at);
                    if n == 0 {
                        return;
                    }
                    let packed = compressor.compress(&block[..n]).expect("compresses");
                    std::hint::black_box(packed);
                }
            });
        }
    });
}

/// Fills the block as far as the file goes.
fn read_at(file: &File, block: &mut [u8], at: u64) -> usize {
    let mut filled = 0;
    while filled < block.len() {
        let n = file
            .read_at(&mut block[filled..], at + filled as u64)
            .expect("reads");
        if n == 0 {
            break;
        }
        filled += n;
    }
    filled
}

/// What the registry takes for the same bytes in the fewest requests there are, from a client that
/// does nothing but copy them from a file to the socket.
fn write(path: &Path, format: Format) -> Figures {
    let (layer, digest) = layer_of(path, format);
    let registry = Registry::start();
    measure::settle();
    let pid = registry.pid().to_string();
    let before = measure::processor_seconds(&pid);
    let figures = measure::function(|| put(registry.address(), &layer, &digest));
    Figures {
        sent: layer.metadata().expect("it is there").len(),
        registry: measure::processor_seconds(&pid) - before,
        ..figures
    }
}

/// The layer as a file beside the archive, made once, and its digest.
fn layer_of(archive: &Path, format: Format) -> (PathBuf, String) {
    let layer = match format {
        Format::None => archive.to_owned(),
        format => archive.with_extension(format.name()),
    };
    let digest = archive.with_extension(format!("{}.digest", format.name()));
    if let Ok(known) = std::fs::read_to_string(&digest) {
        return (layer, known);
    }
    let mut hash = Sha256::new();
    let mut file = (layer != archive).then(|| File::create(&layer).expect("creates"));
    let mut compressor = Compressor::new(format).expect("sets up");
    read(archive, |block| {
        let packed = compressor.compress(block).expect("compresses");
        hash.update(&packed);
        if let Some(file) = &mut file {
            file.write_all(&packed).expect("writes");
        }
    });
    let hex: String = hash
        .finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let name = format!("sha256:{hex}");
    std::fs::write(&digest, &name).expect("writes");
    (layer, name)
}

/// One upload: POST, and one PUT with everything.
fn put(registry: &str, layer: &Path, digest: &str) {
    let mut socket = TcpStream::connect(registry).expect("it listens");
    let mut answers = BufReader::new(socket.try_clone().expect("clones"));
    let head = format!(
        "POST /v2/cp/blobs/uploads/ HTTP/1.1\r\nHost: {registry}\r\nContent-Length: 0\r\n\r\n"
    );
    socket.write_all(head.as_bytes()).expect("sends");
    let location = answer(&mut answers, "202").expect("it says where");
    let (_, target) = location.split_once(registry).unwrap_or(("", &location));
    let joint = if target.contains('?') { '&' } else { '?' };
    let mut file = File::open(layer).expect("it was made");
    let length = file.metadata().expect("it is open").len();
    let head = format!(
        "PUT {target}{joint}digest={digest} HTTP/1.1\r\nHost: {registry}\r\n\
         Content-Type: application/octet-stream\r\nContent-Length: {length}\r\n\r\n"
    );
    socket.write_all(head.as_bytes()).expect("sends");
    // The kernel does it: no byte comes into this process.
    io::copy(&mut file, &mut socket).expect("sends");
    answer(&mut answers, "201");
}

/// Reads an answer's head, which has to have this status, and returns its location.
fn answer(answers: &mut impl BufRead, status: &str) -> Option<String> {
    let mut lines = answers.lines().map(|line| line.expect("it answers"));
    let first = lines.next().expect("it answers");
    assert!(first.contains(status), "{first}");
    lines
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.strip_prefix("Location: ").map(str::to_owned))
        .last()
}
