//! Checkpoint archives as the kubelet leaves them, with memory that looks like memory.

use std::fs::File;
use std::io::{BufWriter, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// The kubelet's name for an archive; the colons are real.
pub(crate) const NAME: &str = "checkpoint-worker-0_shop-worker-2026-01-31T12:00:00Z.tar";

pub(crate) const CONFIG_DUMP: &str = r#"{"id":"7b1c","name":"k8s_worker_worker-0_shop_f00_0","rootfsImage":"registry.example/worker:1","rootfsImageRef":"4be1","rootfsImageName":"registry.example/worker@sha256:aa","runtime":"runc","createdTime":"2026-01-31T11:00:00Z","checkpointedTime":"2026-01-31T12:00:00Z","restoredTime":"0001-01-01T00:00:00Z","restored":false}"#;

pub(crate) const SPEC_DUMP: &str = r#"{"ociVersion":"1.2.0","process":{"user":{"uid":65532,"gid":65533},"args":["/worker"],"cwd":"/"},"annotations":{"io.container.manager":"cri-o","io.kubernetes.cri-o.Labels":"{\"io.kubernetes.container.name\":\"worker\",\"io.kubernetes.pod.name\":\"worker-0\",\"io.kubernetes.pod.namespace\":\"shop\"}"}}"#;

/// Bytes that repeat only far beyond what a compressor looks back.
const PATTERN: usize = 8 * 1024 * 1024;

/// Writes a complete archive whose process had `memory` bytes, and returns its path.
pub(crate) fn write(directory: &Path, memory: u64) -> PathBuf {
    let path = directory.join(NAME);
    let file = File::create(&path).expect("creates the archive");
    file.set_permissions(std::fs::Permissions::from_mode(0o600))
        .expect("sets the mode");
    let mut builder = tar::Builder::new(BufWriter::new(file));
    append(&mut builder, "bind.mounts", &b"[]"[..], 2);
    append_directory(&mut builder, "checkpoint/");
    append(
        &mut builder,
        "checkpoint/inventory.img",
        &b"\x58\x31\x31\x58"[..],
        4,
    );
    append(
        &mut builder,
        "checkpoint/pages-1.img",
        pages(memory),
        memory,
    );
    for (name, text) in [("config.dump", CONFIG_DUMP), ("spec.dump", SPEC_DUMP)] {
        append(&mut builder, name, text.as_bytes(), text.len() as u64);
    }
    append(&mut builder, "dump.log", &b"(00.000001) Dumping\n"[..], 20);
    let mut writer = builder.into_inner().expect("ends the archive");
    writer.flush().expect("writes the archive");
    path
}

/// The digest of an archive, which is the layer's `diff_id`.
pub(crate) fn digest(archive: &[u8]) -> String {
    use sha2::Digest as _;
    let hex = |byte: u8| format!("{byte:02x}");
    let sum = sha2::Sha256::digest(archive);
    format!(
        "sha256:{}",
        sum.iter().copied().map(hex).collect::<String>()
    )
}

/// An archive of the given entries; names may be such as no engine would write.
pub(crate) fn write_entries(directory: &Path, entries: &[(&str, &[u8])]) -> PathBuf {
    let path = directory.join(NAME);
    let file = File::create(&path).expect("creates the archive");
    let mut builder = tar::Builder::new(file);
    for (name, data) in entries {
        append(&mut builder, name, *data, data.len() as u64);
    }
    builder.into_inner().expect("ends the archive");
    path
}

/// A complete archive with a symbolic link in it.
pub(crate) fn write_with_link(directory: &Path, name: &str, target: &str) -> PathBuf {
    let path = directory.join(NAME);
    let file = File::create(&path).expect("creates the archive");
    let mut builder = tar::Builder::new(file);
    let mut link = header(name, 0);
    link.set_entry_type(tar::EntryType::Symlink);
    link.set_link_name(target).expect("is short");
    link.set_cksum();
    builder
        .append(&link, std::io::empty())
        .expect("appends a link");
    let memory = ("checkpoint/pages-1.img", "memory");
    for (name, text) in [
        memory,
        ("config.dump", CONFIG_DUMP),
        ("spec.dump", SPEC_DUMP),
    ] {
        append(&mut builder, name, text.as_bytes(), text.len() as u64);
    }
    builder.into_inner().expect("ends the archive");
    path
}

fn header(name: &str, size: u64) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
    header.set_size(size);
    header.set_mode(0o600);
    header
}

fn append(builder: &mut tar::Builder<impl Write>, name: &str, data: impl Read, size: u64) {
    let mut header = header(name, size);
    header.set_cksum();
    builder.append(&header, data).expect("appends an entry");
}

fn append_directory(builder: &mut tar::Builder<impl Write>, name: &str) {
    let mut header = header(name, 0);
    header.set_entry_type(tar::EntryType::Directory);
    header.set_cksum();
    builder
        .append(&header, std::io::empty())
        .expect("appends a directory");
}

/// Pages as a process has them: a third zero, a third small numbers, a third noise.
fn pages(size: u64) -> impl Read {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut pattern = Vec::with_capacity(PATTERN);
    while pattern.len() < PATTERN {
        let kind = (pattern.len() / 4096) % 3;
        // xorshift64: cheap even in an unoptimised build, and no compressor sees through it.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let word = match kind {
            0 => 0,
            1 => state & 0xff,
            _ => state,
        };
        pattern.extend_from_slice(&word.to_le_bytes());
    }
    Repeat { pattern, at: 0 }.take(size)
}

struct Repeat {
    pattern: Vec<u8>,
    at: usize,
}

impl Read for Repeat {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        let n = out.len().min(self.pattern.len() - self.at);
        out[..n].copy_from_slice(&self.pattern[self.at..self.at + n]);
        self.at = (self.at + n) % self.pattern.len();
        Ok(n)
    }
}
