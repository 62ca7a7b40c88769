//! What a checkpoint archive has to look like, checked while its bytes pass by.
//!
//! The archive is the kubelet's (facts of CRI-O and containerd alike): an uncompressed tar with
//! `config.dump`, `spec.dump` and CRIU's images under `checkpoint/`. Both runtimes read it to the
//! tar's end marker; an archive without one was cut off.

use std::fs::File;
use std::io::{self, Read, Seek};
use std::path::Path;

pub use crate::tap::Sink;
use crate::tap::{Fault, Monitor, Tap};

/// Size of a tar record in bytes; every entry's data is padded to it.
pub const RECORD: u64 = 512;

/// How much the tar parser may read between the data of two entries: the next header and its
/// extensions (long names), which it holds in memory.
pub const HEADERS_MAX: u64 = 1024 * 1024;

/// `config.dump` and `spec.dump` are kept in memory; real ones have some 1 and 50 KiB.
const DUMP_MAX: u64 = 4 * 1024 * 1024;

/// What was learnt from the archive's bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contents {
    /// `config.dump`, as found.
    pub config_dump: Vec<u8>,
    /// `spec.dump`, as found.
    pub spec_dump: Vec<u8>,
    /// Size of the archive in bytes.
    pub bytes: u64,
}

/// Why a pass over the archive ended early.
#[derive(Debug, thiserror::Error)]
pub enum ScanError {
    /// The file, or what it is on, is at fault.
    #[error("the archive cannot be read: {0}")]
    Read(io::Error),
    /// The other end of the sink is gone; the reason is known there.
    #[error("the layer is no longer wanted: {0}")]
    Stopped(io::Error),
    /// The contents are not those of a complete checkpoint archive; says why.
    #[error("{0}")]
    Invalid(String),
}

/// Sees the entries of an archive while they pass.
pub trait Visitor {
    /// An entry other than the two dumps: its name without `.` components, its size in bytes, and
    /// its data. What of them is not read is passed over.
    ///
    /// # Errors
    /// Only the data's: the pass ends then. What a visitor makes of an entry is its own business.
    fn visit(&mut self, name: &[u8], size: u64, data: &mut dyn Read) -> io::Result<()>;
}

/// Is not interested.
impl Visitor for () {
    fn visit(&mut self, _: &[u8], _: u64, _: &mut dyn Read) -> io::Result<()> {
        Ok(())
    }
}

/// Reads a whole archive, passing every byte on to `sink`, in blocks of `block` bytes.
///
/// # Errors
/// See [`ScanError`]. The sink may have got bytes that turn out to be worthless.
pub fn scan<S: Sink>(
    source: impl Read,
    block: usize,
    sink: S,
    visitor: &mut impl Visitor,
) -> Result<(Contents, S), ScanError> {
    let (tap, monitor) = Tap::new(source, sink, block);
    let mut archive = tar::Archive::new(tap);
    let found = walk(&mut archive, &monitor, visitor).map_err(|error| explain(&monitor, error))?;
    monitor.limit(u64::MAX);
    let mut tap = archive.into_inner();
    let padding = check_end(&mut tap, found.end).map_err(|error| explain(&monitor, error))?;
    let config_dump = required(found.config_dump, "config.dump")?;
    let spec_dump = required(found.spec_dump, "spec.dump")?;
    if !found.checkpoint {
        return Err(ScanError::Invalid(
            "it has nothing under checkpoint/, where the process's memory should be".into(),
        ));
    }
    let contents = Contents {
        config_dump,
        spec_dump,
        bytes: found.end + padding,
    };
    Ok((contents, tap.into_sink()))
}

/// Whether a file has the marks of a checkpoint archive, complete or not. Looks at the entries'
/// headers only.
///
/// This guards deletion: a path that was given by mistake must not cost a file.
#[must_use]
pub fn is_checkpoint(path: &Path) -> bool {
    let Ok(file) = File::open(path) else {
        return false;
    };
    let mut archive = tar::Archive::new(file);
    let Ok(entries) = archive.entries_with_seek() else {
        return false;
    };
    entries
        .map_while(Result::ok)
        .any(|entry| is_mark(&entry.path_bytes()))
}

fn is_mark(name: &[u8]) -> bool {
    let name = name.strip_prefix(b"./").unwrap_or(name);
    name == b"config.dump" || name == b"spec.dump" || name.starts_with(b"checkpoint/")
}

#[derive(Default)]
struct Found {
    config_dump: Option<Vec<u8>>,
    spec_dump: Option<Vec<u8>>,
    checkpoint: bool,
    /// Offset at which the last entry's data end, padding included.
    end: u64,
}

/// An error of the walk itself, or one that the tap can explain.
enum WalkError {
    Invalid(String),
    Io(io::Error),
}

impl From<io::Error> for WalkError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

fn walk<R: Read + Seek>(
    archive: &mut tar::Archive<R>,
    monitor: &Monitor,
    visitor: &mut impl Visitor,
) -> Result<Found, WalkError> {
    let mut found = Found::default();
    let mut entries = archive.entries_with_seek()?;
    loop {
        monitor.limit(found.end.saturating_add(HEADERS_MAX));
        let Some(entry) = entries.next() else {
            return Ok(found);
        };
        let mut entry = entry?;
        monitor.limit(u64::MAX);
        found.end = entry
            .size()
            .checked_next_multiple_of(RECORD)
            .and_then(|size| entry.raw_file_position().checked_add(size))
            .ok_or_else(|| WalkError::Invalid("an entry's size overflows".into()))?;
        check_type(&entry)?;
        let name = plain_name(&entry.path_bytes(), "an entry")?;
        match name.as_slice() {
            b"config.dump" => keep(&mut found.config_dump, &mut entry, "config.dump")?,
            b"spec.dump" => keep(&mut found.spec_dump, &mut entry, "spec.dump")?,
            name => {
                let size = entry.size();
                found.checkpoint |= name.starts_with(b"checkpoint/") && size > 0;
                visitor.visit(name, size, &mut entry)?;
            }
        }
    }
}

/// Lets files and directories pass, and links that stay within the archive.
fn check_type<R: Read>(entry: &tar::Entry<'_, R>) -> Result<(), WalkError> {
    let kind = entry.header().entry_type();
    if kind.is_symlink() || kind.is_hard_link() {
        let target = entry.link_name_bytes().unwrap_or_default();
        return plain_name(&target, "a link").map(drop);
    }
    if kind.is_file() || kind.is_dir() || kind.is_contiguous() || kind.is_pax_global_extensions() {
        return Ok(());
    }
    let name = entry.path_bytes();
    let name = String::from_utf8_lossy(&name);
    Err(WalkError::Invalid(format!(
        "its entry {name:?} is neither file nor directory nor link, which no container engine writes"
    )))
}

/// The name of an entry, or where a link leads, without `.` components. An absolute name or one that climbs out of the
/// directory it is unpacked into is refused: the layer is unpacked by root on the target node.
fn plain_name(name: &[u8], whose: &str) -> Result<Vec<u8>, WalkError> {
    let shown = || String::from_utf8_lossy(name).into_owned();
    if name.starts_with(b"/") {
        let shown = shown();
        return Err(WalkError::Invalid(format!(
            "it has {whose} with an absolute name, {shown:?}"
        )));
    }
    let parts: Vec<&[u8]> = name.split(|byte| *byte == b'/').collect();
    if parts.contains(&b"..".as_slice()) {
        let shown = shown();
        return Err(WalkError::Invalid(format!(
            "it has {whose} whose name leads out of the archive, {shown:?}"
        )));
    }
    let kept: Vec<&[u8]> = parts
        .into_iter()
        .filter(|part| !part.is_empty() && *part != b".")
        .collect();
    Ok(kept.join(&b'/'))
}

fn keep<R: Read>(
    slot: &mut Option<Vec<u8>>,
    entry: &mut tar::Entry<'_, R>,
    name: &str,
) -> Result<(), WalkError> {
    if slot.is_some() {
        return Err(WalkError::Invalid(format!("it has {name} twice")));
    }
    if entry.size() > DUMP_MAX {
        let size = entry.size();
        return Err(WalkError::Invalid(format!(
            "its {name} has {size} bytes, more than any container engine writes"
        )));
    }
    let mut bytes = Vec::new();
    entry.read_to_end(&mut bytes)?;
    if bytes.len() as u64 != entry.size() {
        return Err(WalkError::Invalid(format!("it is cut off within {name}")));
    }
    *slot = Some(bytes);
    Ok(())
}

/// Checks that a tar's end marker, two records of zeros, follows at `end`, and nothing but zeros
/// after it. Reads to the end of the stream and returns how many bytes there were.
fn check_end<R: Read, S: Sink>(tap: &mut Tap<R, S>, end: u64) -> Result<u64, WalkError> {
    let cut = || WalkError::Invalid("it is cut off: the tar's end marker is missing".into());
    // The parser stops either at the end of the stream or after the marker's first record.
    let mut zeros = tap.position().checked_sub(end).ok_or_else(cut)?;
    let mut buffer = [0; 16 * 1024];
    loop {
        let n = tap.read(&mut buffer)?;
        if n == 0 {
            break;
        }
        if buffer[..n].iter().any(|byte| *byte != 0) {
            return Err(WalkError::Invalid(
                "there are data after the tar's end marker".into(),
            ));
        }
        zeros += n as u64;
    }
    if zeros < 2 * RECORD {
        return Err(cut());
    }
    Ok(zeros)
}

fn required(dump: Option<Vec<u8>>, name: &str) -> Result<Vec<u8>, ScanError> {
    dump.ok_or_else(|| ScanError::Invalid(format!("it has no {name}")))
}

fn explain(monitor: &Monitor, error: WalkError) -> ScanError {
    match (monitor.take_fault(), error) {
        (Some(Fault::Source(error)), _) => ScanError::Read(error),
        (Some(Fault::Sink(error)), _) => ScanError::Stopped(error),
        (Some(Fault::Limit), _) => {
            ScanError::Invalid("a header's extensions are larger than 1 MiB".into())
        }
        (None, WalkError::Invalid(why)) => ScanError::Invalid(why),
        // Every failure of the stream itself is in the tap, so this one is the parser's.
        (None, WalkError::Io(error)) => {
            ScanError::Invalid(format!("it is not a complete tar: {error}"))
        }
    }
}

#[cfg(test)]
mod tests;
