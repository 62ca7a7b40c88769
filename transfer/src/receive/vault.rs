//! Blobs at rest: files without a name, encrypted with a key that is nowhere but in this process's
//! memory. When the process is gone, so is what they said, and the space they took.
//!
//! A blob is a row of chunks, each sealed by itself (AES-256-GCM) under the number of the blob and
//! its own: so any of them can be opened alone, and none can stand in another's place. A chunk is
//! sealed once, when it is full, and never written again, so no nonce is used twice. How many there
//! are is known here, so a file that was cut is found out too.

use std::fs::{File, OpenOptions};
use std::io;
use std::ops::Range;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use sha2::{Digest, Sha256};

/// Bytes of a blob that are sealed together.
pub(super) const CHUNK: usize = 256 * 1024;

/// Bytes by which sealing makes a chunk longer.
const TAG: usize = 16;

/// Where blobs are kept, and the key to them.
pub(super) struct Vault {
    key: LessSafeKey,
    directory: PathBuf,
    /// The number of the next blob.
    next: AtomicU32,
    /// Bytes that may still be taken.
    room: AtomicU64,
}

/// Space that is taken until this is dropped.
struct Taken {
    vault: Arc<Vault>,
    bytes: u64,
}

/// A blob in the making.
pub(super) struct Writer {
    taken: Taken,
    file: File,
    number: u32,
    /// Chunks that are in the file.
    chunks: u64,
    /// What does not make a chunk yet.
    pending: Vec<u8>,
    hash: Sha256,
    bytes: u64,
}

/// A blob that is complete.
pub(super) struct Blob {
    taken: Taken,
    file: File,
    number: u32,
    bytes: u64,
}

impl Vault {
    /// An empty one in `directory` that takes up to `limit` bytes.
    ///
    /// # Errors
    /// When there are no random numbers to make a key of.
    pub(super) fn new(directory: PathBuf, limit: u64) -> io::Result<Self> {
        let mut key = [0; 32];
        aws_lc_rs::rand::fill(&mut key).map_err(|_| io::Error::other("no random numbers"))?;
        let key = UnboundKey::new(&AES_256_GCM, &key).map_err(io::Error::other)?;
        Ok(Self {
            key: LessSafeKey::new(key),
            directory,
            next: AtomicU32::new(0),
            room: AtomicU64::new(limit),
        })
    }

    /// Begins a blob.
    ///
    /// # Errors
    /// When the directory cannot be written to.
    pub(super) fn begin(self: &Arc<Self>) -> io::Result<Writer> {
        // Without wrapping: a number twice would be a nonce twice.
        let number = self
            .next
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |number| {
                number.checked_add(1)
            })
            .map_err(|_| io::Error::other("there were too many uploads"))?;
        let path = self.directory.join(format!("blob-{number}"));
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)?;
        std::fs::remove_file(&path)?;
        Ok(Writer {
            taken: Taken {
                vault: Arc::clone(self),
                bytes: 0,
            },
            file,
            number,
            chunks: 0,
            pending: Vec::with_capacity(CHUNK + TAG),
            hash: Sha256::new(),
            bytes: 0,
        })
    }
}

impl Taken {
    /// Takes so much more.
    fn take(&mut self, bytes: u64) -> io::Result<()> {
        let room = &self.vault.room;
        room.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |room| {
            room.checked_sub(bytes)
        })
        .map_err(|_| {
            io::Error::new(
                io::ErrorKind::QuotaExceeded,
                "the receiver takes no more bytes",
            )
        })?;
        self.bytes += bytes;
        Ok(())
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.vault.room.fetch_add(self.bytes, Ordering::Relaxed);
    }
}

impl Writer {
    /// Bytes so far.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Adds bytes.
    ///
    /// # Errors
    /// When there is no room for them. The blob is broken then.
    pub(super) fn push(&mut self, mut data: &[u8]) -> io::Result<()> {
        self.taken.take(data.len() as u64)?;
        self.hash.update(data);
        self.bytes += data.len() as u64;
        while !data.is_empty() {
            let (now, later) = data.split_at(data.len().min(CHUNK - self.pending.len()));
            self.pending.extend_from_slice(now);
            data = later;
            if self.pending.len() == CHUNK {
                self.seal()?;
            }
        }
        Ok(())
    }

    fn seal(&mut self) -> io::Result<()> {
        let nonce = nonce(self.number, self.chunks);
        let key = &self.taken.vault.key;
        key.seal_in_place_append_tag(nonce, Aad::empty(), &mut self.pending)
            .map_err(io::Error::other)?;
        self.file.write_all_at(&self.pending, place(self.chunks))?;
        self.chunks += 1;
        self.pending.clear();
        Ok(())
    }

    /// Ends the blob; with it comes its SHA-256.
    ///
    /// # Errors
    /// When there is no room for its end.
    pub(super) fn finish(mut self) -> io::Result<(Blob, [u8; 32])> {
        if !self.pending.is_empty() {
            self.seal()?;
        }
        let blob = Blob {
            taken: self.taken,
            file: self.file,
            number: self.number,
            bytes: self.bytes,
        };
        Ok((blob, self.hash.finalize().into()))
    }
}

impl Blob {
    /// Size in bytes.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The first of the bytes of `range`, up to the end of their chunk; `range` lies in the blob and
    /// is not empty.
    ///
    /// # Errors
    /// When the file cannot be read, or is not what was written.
    pub(super) fn read(&self, range: &Range<u64>) -> io::Result<Vec<u8>> {
        let chunk = CHUNK as u64;
        let index = range.start / chunk;
        let begin = index * chunk;
        let length = usize::try_from(chunk.min(self.bytes - begin)).map_err(io::Error::other)?;
        let mut sealed = vec![0; length + TAG];
        self.file.read_exact_at(&mut sealed, place(index))?;
        let key = &self.taken.vault.key;
        key.open_in_place(nonce(self.number, index), Aad::empty(), &mut sealed)
            .map_err(|_| {
                io::Error::new(io::ErrorKind::InvalidData, "the file was tampered with")
            })?;
        let offset = |at: u64| usize::try_from(at - begin).map_err(io::Error::other);
        sealed.truncate(length.min(offset(range.end)?));
        sealed.drain(..offset(range.start)?);
        Ok(sealed)
    }
}

/// Where a chunk begins in its file.
fn place(index: u64) -> u64 {
    index * (CHUNK + TAG) as u64
}

fn nonce(number: u32, index: u64) -> Nonce {
    let mut bytes = [0; NONCE_LEN];
    bytes[..4].copy_from_slice(&number.to_be_bytes());
    bytes[4..].copy_from_slice(&index.to_be_bytes());
    Nonce::assume_unique_for_key(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vault(limit: u64) -> (tempfile::TempDir, Arc<Vault>) {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let vault = Vault::new(directory.path().to_owned(), limit).expect("a vault");
        (directory, Arc::new(vault))
    }

    fn blob(vault: &Arc<Vault>, data: &[u8], step: usize) -> Blob {
        let mut writer = vault.begin().expect("a blob");
        for piece in data.chunks(step) {
            writer.push(piece).expect("there is room");
        }
        let (blob, sha256) = writer.finish().expect("there is room");
        assert_eq!(sha256, <[u8; 32]>::from(Sha256::digest(data)));
        blob
    }

    fn all(blob: &Blob, range: Range<u64>) -> Vec<u8> {
        let (mut at, mut bytes) = (range.start, Vec::new());
        while at < range.end {
            let piece = blob.read(&(at..range.end)).expect("reads");
            at += piece.len() as u64;
            bytes.extend(piece);
        }
        bytes
    }

    fn data(length: usize) -> Vec<u8> {
        (0..length).map(|n| (n * 7 + n / 251) as u8).collect()
    }

    #[test]
    fn any_part_reads_back() {
        let (_directory, vault) = vault(1 << 30);
        for length in [1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK + 17] {
            let data = data(length);
            let blob = blob(&vault, &data, 10_000);
            assert_eq!(blob.bytes(), length as u64);
            let middle = length / 2;
            for range in [0..length, middle..length, middle..middle + 1, 0..1] {
                let read = all(&blob, range.start as u64..range.end as u64);
                assert!(read == data[range.clone()], "{range:?} of {length}");
            }
        }
    }

    #[test]
    fn nothing_of_it_can_be_read_on_disk_or_found_by_name() {
        let (directory, vault) = vault(1 << 30);
        let secret = b"the password is hunter2 ".repeat(CHUNK / 12);
        let blob = blob(&vault, &secret, CHUNK);
        let mut stored = vec![0; secret.len()];
        blob.file.read_exact_at(&mut stored, 0).expect("reads");
        assert!(!stored.windows(7).any(|word| word == b"hunter2"));
        let names = std::fs::read_dir(directory.path()).expect("reads").count();
        assert_eq!(names, 0);
    }

    #[test]
    fn what_was_changed_on_disk_is_not_handed_out() {
        let (_directory, vault) = vault(1 << 30);
        let blob = blob(&vault, &data(3 * CHUNK), CHUNK);
        // Two whole chunks change places.
        let mut chunks = [vec![0; CHUNK + TAG], vec![0; CHUNK + TAG]];
        for (index, chunk) in chunks.iter_mut().enumerate() {
            blob.file
                .read_exact_at(chunk, place(index as u64))
                .expect("reads");
        }
        blob.file
            .write_all_at(&chunks[1], place(0))
            .expect("writes");
        let error = blob.read(&(0..1)).expect_err("it is another chunk");
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        blob.file.set_len(place(2)).expect("cuts");
        assert!(blob.read(&(2 * CHUNK as u64..3 * CHUNK as u64)).is_err());
    }

    #[test]
    fn no_more_is_taken_than_there_is_room_for_and_room_comes_back() {
        let (_directory, vault) = vault(1000);
        let mut writer = vault.begin().expect("a blob");
        writer.push(&[0; 600]).expect("there is room");
        let full = writer.push(&[0; 401]).expect_err("there is not");
        assert_eq!(full.kind(), io::ErrorKind::QuotaExceeded);
        drop(writer);
        blob(&vault, &[0; 1000], 100);
        blob(&vault, &[0; 1000], 100);
    }
}
