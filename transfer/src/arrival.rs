//! The archive that is not there yet: waiting for its name, and reading it while it grows.
//!
//! The pod of the transfer runs before the checkpoint is taken, so that no start of a pod lies
//! between the two. Both runtimes write the archive front to back under its final name (CRI-O's
//! `exportCheckpoint`, containerd's `CheckpointContainer`), so it can be read at once; that it
//! is whole is known by the tar's end marker, as with every other archive.

use std::collections::HashMap;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use jiff::Timestamp;

use crate::archive::{HEADERS_MAX, RECORD};

/// How often the directory is looked at. A look costs some microseconds.
const LOOK: Duration = Duration::from_millis(5);

/// How often the end of an archive that grows is looked at.
const GROWTH: Duration = Duration::from_millis(1);

/// An archive that has not grown for so long was left by whoever wrote it. The kubelet gives a
/// runtime 2 min for a checkpoint.
const STALLED: Duration = Duration::from_secs(120);

/// How the kubelet's archives end.
const SUFFIX: &str = ".tar";

/// Tells one file from another that took its name.
type Identity = (u64, i64, i64);

/// The next archive of a container, by the beginning of its path:
/// `…/checkpoint-POD_NAMESPACE-CONTAINER-`, which a time in RFC 3339 and `.tar` follow.
#[derive(Debug)]
pub(crate) struct Awaited {
    directory: PathBuf,
    beginning: String,
    /// Those that were there before.
    old: HashMap<String, Identity>,
}

impl Awaited {
    /// Takes note of the archives that are there already: from here on, any other is the one.
    ///
    /// # Errors
    /// When the directory cannot be read, or there is none in `prefix`.
    pub(crate) fn from_now(prefix: &Path) -> io::Result<Self> {
        let parts = prefix.parent().zip(prefix.file_name());
        let (directory, beginning) = parts
            .and_then(|(directory, name)| Some((directory, name.to_str()?)))
            .ok_or_else(|| io::Error::other("it is not the beginning of an archive's path"))?;
        let mut awaited = Self {
            directory: directory.to_owned(),
            beginning: beginning.to_owned(),
            old: HashMap::new(),
        };
        awaited.old = awaited.there()?.into_iter().collect();
        Ok(awaited)
    }

    /// The archive, if it is there by now. Of several, the newest by name.
    pub(crate) fn look(&self) -> io::Result<Option<PathBuf>> {
        let there = self.there()?.into_iter();
        let new = there.filter(|(name, identity)| self.old.get(name) != Some(identity));
        let newest = new.map(|(name, _)| name).max();
        Ok(newest.map(|name| self.directory.join(name)))
    }

    /// Waits until it is there.
    pub(crate) async fn arrives(&self) -> io::Result<PathBuf> {
        loop {
            if let Some(path) = self.look()? {
                return Ok(path);
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    fn there(&self) -> io::Result<Vec<(String, Identity)>> {
        let mut found = Vec::new();
        for entry in std::fs::read_dir(&self.directory)? {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else {
                continue;
            };
            if !is_archive(&name, &self.beginning) {
                continue;
            }
            // One that went away meanwhile is none.
            if let Ok(metadata) = entry.metadata()
                && metadata.is_file()
            {
                let identity = (metadata.ino(), metadata.mtime(), metadata.mtime_nsec());
                found.push((name, identity));
            }
        }
        Ok(found)
    }
}

/// Whether it is an archive of just that container: `main-` must not find those of `main-2`.
fn is_archive(name: &str, beginning: &str) -> bool {
    name.strip_prefix(beginning)
        .and_then(|rest| rest.strip_suffix(SUFFIX))
        .is_some_and(|time| time.parse::<Timestamp>().is_ok())
}

/// Waits until there is enough to try compressors on, or until nothing comes any more.
pub(crate) fn has_begun(path: &Path, bytes: u64) -> io::Result<()> {
    let quiet = Duration::from_millis(100);
    let mut length = path.metadata()?.len();
    let mut since = Instant::now();
    while length < bytes && since.elapsed() < quiet {
        std::thread::sleep(LOOK);
        let now = path.metadata()?.len();
        if now > length {
            (length, since) = (now, Instant::now());
        }
    }
    Ok(())
}

/// Reads a tar that may still be written: its end is the end only once the end marker has passed.
pub(crate) struct Growing<R> {
    file: R,
    marker: EndMarker,
}

impl<R: Read> Growing<R> {
    /// Reads from `file`, which is at its beginning.
    pub(crate) fn new(file: R) -> Self {
        let marker = EndMarker::default();
        Self { file, marker }
    }
}

impl<R: Read> Read for Growing<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let since = Instant::now();
        loop {
            let read = self.file.read(out)?;
            self.marker.passes(&out[..read]);
            if read > 0 || out.is_empty() || self.marker.has_passed {
                return Ok(read);
            }
            if since.elapsed() >= STALLED {
                // The end after all: what is missing is said by whoever misses it.
                return Ok(0);
            }
            std::thread::sleep(GROWTH);
        }
    }
}

/// Looks for a tar's end marker, two records of zeros where a header could be, among the bytes that
/// pass. It goes from header to header; whether they make sense is the parser's affair, and what
/// it cannot read ends the wait.
#[derive(Debug, Default)]
struct EndMarker {
    /// The header in the making.
    header: Vec<u8>,
    /// Bytes that pass before the next header.
    skip: u64,
    /// How many of these are a PAX header's records.
    records: usize,
    /// The records that the last PAX header has for the entry after it.
    extensions: Vec<u8>,
    /// Whether the last header was a record of zeros.
    zeros: bool,
    has_passed: bool,
}

impl EndMarker {
    fn passes(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() && !self.has_passed {
            bytes = self.data_passes(bytes);
            let wanted = (RECORD as usize - self.header.len()).min(bytes.len());
            self.header.extend_from_slice(&bytes[..wanted]);
            bytes = &bytes[wanted..];
            if self.header.len() as u64 == RECORD {
                self.header_is_whole();
                self.header.clear();
            }
        }
    }

    /// Lets an entry's data and their padding pass, of which only a PAX header's are kept. Returns
    /// what comes after them.
    fn data_passes<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let skipped = usize::try_from(self.skip).unwrap_or(usize::MAX);
        let (data, rest) = bytes.split_at(skipped.min(bytes.len()));
        let kept = self.records.min(data.len());
        self.extensions.extend_from_slice(&data[..kept]);
        self.records -= kept;
        self.skip -= data.len() as u64;
        rest
    }

    fn header_is_whole(&mut self) {
        let zeros = self.header.iter().all(|byte| *byte == 0);
        self.has_passed = zeros && self.zeros;
        self.zeros = zeros;
        if zeros {
            return;
        }
        let header = tar::Header::from_byte_slice(&self.header);
        let kind = header.entry_type();
        let size = header.entry_size().ok();
        let size = size.map(|size| self.described(kind).unwrap_or(size));
        let padded = size.and_then(|size| size.checked_next_multiple_of(RECORD));
        // The parser holds no larger extensions in memory either: it refuses the archive.
        let readable = |size: &u64| !kind.is_pax_local_extensions() || *size <= HEADERS_MAX;
        let (Some(size), Some(padded)) = (size.filter(readable), padded) else {
            self.has_passed = true;
            return;
        };
        self.skip = padded;
        if kind.is_pax_local_extensions() {
            self.extensions.clear();
            self.records = usize::try_from(size).unwrap_or(usize::MAX);
        }
    }

    /// The size that a PAX header before this one gives for its entry. Go's archive/tar, by which
    /// both runtimes write (CRI-O and containerd), gives one so for a file of 8 GiB or more, whose
    /// size does not fit into the header's octal digits: the header itself says 0 then
    /// (`Writer.writePAXHeader`, whose `formatOctal` writes what does not fit as 0).
    ///
    /// As in the parser (tar 0.4, `next_entry_raw`): what describes a later entry itself is not
    /// what is described, and a global header, which is an entry to the parser, has its own size
    /// but ends the wait for the one described.
    fn described(&mut self, kind: tar::EntryType) -> Option<u64> {
        if kind.is_pax_local_extensions() || kind.is_gnu_longname() || kind.is_gnu_longlink() {
            return None;
        }
        let extensions = std::mem::take(&mut self.extensions);
        pax_size(&extensions).filter(|_| !kind.is_pax_global_extensions())
    }
}

/// The `size` among a PAX header's records (POSIX.1-2017, pax, "pax Extended Header"). One that
/// cannot be read is none, and the first counts, as in the parser.
fn pax_size(records: &[u8]) -> Option<u64> {
    for record in tar::PaxExtensions::new(records) {
        let record = record.ok()?;
        if record.key_bytes() == b"size" {
            return record.value().ok()?.parse().ok();
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Write as _;

    use super::*;

    const OLD: &str = "checkpoint-web-0_shop-main-2026-01-01T00:00:00Z.tar";
    const NEW: &str = "checkpoint-web-0_shop-main-2026-01-01T00:00:01Z.tar";

    fn awaited(directory: &Path) -> Awaited {
        Awaited::from_now(&directory.join("checkpoint-web-0_shop-main-")).expect("a directory")
    }

    #[test]
    fn only_the_container_s_own_archives_count() {
        let beginning = "checkpoint-web-0_shop-main-";
        assert!(is_archive(NEW, beginning));
        assert!(is_archive(
            "checkpoint-web-0_shop-main-2026-01-01T02:00:00+02:00.tar",
            beginning
        ));
        for other in [
            "checkpoint-web-0_shop-main-2-2026-01-01T00:00:00Z.tar",
            "checkpoint-web-0_shop-main-2026-01-01T00:00:00Z.tar.tmp",
            "checkpoint-web-0_shop-main-.tar",
            "checkpoint-web-0_shop-mai-2026-01-01T00:00:00Z.tar",
        ] {
            assert!(!is_archive(other, beginning), "{other}");
        }
    }

    #[test]
    fn what_was_there_before_does_not_count_unless_it_is_written_anew() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let old = directory.path().join(OLD);
        std::fs::write(&old, "old").expect("a file");
        let awaited = awaited(directory.path());
        assert_eq!(awaited.look().expect("a directory"), None);
        std::fs::remove_file(&old).expect("it is there");
        std::fs::write(&old, "another").expect("a file");
        assert_eq!(awaited.look().expect("a directory"), Some(old));
        let new = directory.path().join(NEW);
        std::fs::write(&new, "new").expect("a file");
        assert_eq!(awaited.look().expect("a directory"), Some(new));
    }

    fn a_tar() -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (name, size) in [("a", 1000), ("b/of/zeros", 4096), ("empty", 0)] {
            let mut header = tar::Header::new_gnu();
            header.set_size(size);
            let data = vec![0; usize::try_from(size).expect("it is small")];
            let appended = builder.append_data(&mut header, name, &data[..]);
            appended.expect("it goes to memory");
        }
        builder.into_inner().expect("it goes to memory")
    }

    #[test]
    fn the_end_is_seen_wherever_the_reads_are_cut() {
        let tar = a_tar();
        for length in [1, 7, 511, 512, 513, 4096] {
            let mut marker = EndMarker::default();
            let mut passed = 0;
            for piece in tar.chunks(length) {
                assert!(!marker.has_passed, "too early, at {passed}");
                marker.passes(piece);
                passed += piece.len();
            }
            assert!(marker.has_passed, "not seen in pieces of {length}");
        }
        let mut marker = EndMarker::default();
        marker.passes(&[b'x'; 512]);
        assert!(
            marker.has_passed,
            "nobody waits for the end of what is no tar"
        );
    }

    fn append(tar: &mut Vec<u8>, kind: tar::EntryType, size: u64, data: &[u8]) {
        let mut header = tar::Header::new_ustar();
        header.set_path("name").expect("it fits");
        header.set_entry_type(kind);
        header.set_size(size);
        header.set_cksum();
        tar.extend_from_slice(header.as_bytes());
        tar.extend_from_slice(data);
        tar.resize(tar.len().next_multiple_of(RECORD as usize), 0);
    }

    /// As Go writes a file whose size does not fit into the header, which says 0. The data are
    /// zeros, among which no end must be seen, and what is no header.
    fn a_tar_with_sizes_in_extensions() -> Vec<u8> {
        use tar::EntryType as Kind;
        let records = b"30 mtime=1700000000.123456789\n13 size=3000\n";
        let mut data = vec![0; 2000];
        data.resize(3000, b'x');
        let mut tar = Vec::new();
        append(&mut tar, Kind::XHeader, records.len() as u64, records);
        append(&mut tar, Kind::Regular, 0, &data);
        // Without extensions the header's own size counts, and a long name between is not meant.
        append(&mut tar, Kind::Regular, 600, &[b'y'; 600]);
        append(&mut tar, Kind::XHeader, records.len() as u64, records);
        append(&mut tar, Kind::GNULongName, 700, &[b'n'; 700]);
        append(&mut tar, Kind::Regular, 0, &data);
        // A global header is no file.
        append(&mut tar, Kind::XHeader, records.len() as u64, records);
        append(&mut tar, Kind::XGlobalHeader, 13, &records[30..]);
        append(&mut tar, Kind::Regular, 1, b"z");
        append(&mut tar, Kind::XHeader, 13, &records[30..]);
        append(&mut tar, Kind::Regular, 0, &data);
        tar.resize(tar.len() + 2 * RECORD as usize, 0);
        tar
    }

    #[test]
    fn a_size_that_only_an_extension_gives_counts_as_it_does_to_the_parser() {
        let tar = a_tar_with_sizes_in_extensions();
        let mut parser = tar::Archive::new(tar.as_slice());
        let entries = parser.entries().expect("a tar");
        let sizes = entries.map(|entry| entry.map(|entry| entry.size()));
        let sizes: Vec<_> = sizes.collect::<io::Result<_>>().expect("entries");
        assert_eq!(sizes, [3000, 600, 3000, 13, 1, 3000]);
        for length in [1, 7, 511, 512, 513, 1024, 4096, tar.len() - 1] {
            let mut marker = EndMarker::default();
            let mut passed = 0;
            for piece in tar.chunks(length) {
                assert!(!marker.has_passed, "too early, at {passed}, by {length}");
                marker.passes(piece);
                passed += piece.len();
            }
            assert!(marker.has_passed, "not seen in pieces of {length}");
        }
    }

    #[test]
    fn extensions_are_kept_within_bounds_and_read_with_care() {
        let mut tar = Vec::new();
        append(&mut tar, tar::EntryType::XHeader, HEADERS_MAX + 1, &[]);
        let mut marker = EndMarker::default();
        marker.passes(&tar);
        assert!(marker.has_passed, "the parser refuses it");
        assert_eq!(pax_size(b"13 size=3000\n14 size=99999\n"), Some(3000));
        let most = b"29 size=18446744073709551615\n";
        assert_eq!(pax_size(most), Some(u64::MAX));
        for none in [
            &b""[..],
            b"12 size=3000\n",
            b"11 size=-1\n",
            b"30 size=184467440737095516150\n",
            b"13 path=size\n",
            b"9 size=\xff\n",
            b"\0\0\0",
        ] {
            assert_eq!(pax_size(none), None, "{none:?}");
        }
        let mut tar = Vec::new();
        append(&mut tar, tar::EntryType::XHeader, 29, most);
        append(&mut tar, tar::EntryType::Regular, 0, &[]);
        let mut marker = EndMarker::default();
        marker.passes(&tar);
        assert!(marker.has_passed, "no file is as large");
    }

    #[test]
    fn the_end_is_waited_for() {
        let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
        let reader = File::open(file.path()).expect("it is there");
        let reading = std::thread::spawn(move || {
            let mut all = Vec::new();
            Growing::new(reader).read_to_end(&mut all).map(|_| all)
        });
        let tar = a_tar();
        for piece in tar.chunks(900) {
            file.write_all(piece).expect("there is room");
            file.flush().expect("there is room");
            std::thread::sleep(Duration::from_millis(3));
        }
        let all = reading.join().expect("no panic").expect("a file");
        assert_eq!(all, tar);
    }
}
