//! Packs a static binary as a single-layer OCI image.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::archive::{self, Archive, OCI_CONFIG, OCI_LAYER_GZIP, OCI_MANIFEST};
use super::{Error, reference};

/// What goes into the image.
#[derive(Clone, Debug)]
pub struct PackOptions {
    /// The static binary on this machine.
    pub binary: PathBuf,
    /// Its absolute path in the image, which is also the entrypoint.
    pub entrypoint: String,
    /// The name that the archive gives the image.
    pub reference: String,
    /// `uid:gid`, or empty for root.
    pub user: String,
    /// Files of this machine that come along under the same paths, such as certificates.
    pub files: Vec<PathBuf>,
}

/// Packs the image in memory; [`Archive::write`] makes a file of it.
///
/// # Errors
/// When the binary cannot be read, is linked dynamically, or the reference is none.
pub fn pack(options: &PackOptions) -> Result<Archive, Error> {
    let reference = reference(&options.reference)?;
    let binary = read(&options.binary)?;
    if has_interpreter(&binary) {
        return Err(Error::Dynamic {
            path: options.binary.clone(),
        });
    }
    let mut files = vec![(Path::new(&options.entrypoint), 0o755, binary)];
    for path in &options.files {
        files.push((path.as_path(), 0o644, read(path)?));
    }
    let (layer, diff_id) = layer(&files).map_err(|source| Error::File {
        action: "pack",
        path: options.binary.clone(),
        source,
    })?;
    let config = serde_json::to_vec(&json!({
        "architecture": architecture(),
        "os": "linux",
        "config": {
            "User": options.user,
            "Entrypoint": [options.entrypoint],
            "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
            "WorkingDir": "/",
        },
        "rootfs": { "type": "layers", "diff_ids": [diff_id] },
        "history": [{ "created_by": format!("COPY {}", options.entrypoint) }],
    }))?;
    let manifest = serde_json::to_vec(&json!({
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": {
            "mediaType": OCI_CONFIG,
            "digest": archive::digest(&config),
            "size": config.len(),
        },
        "layers": [{
            "mediaType": OCI_LAYER_GZIP,
            "digest": archive::digest(&layer),
            "size": layer.len(),
        }],
    }))?;
    Ok(Archive {
        reference: reference.whole(),
        manifest,
        blobs: vec![config, layer],
    })
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    fs::read(path).map_err(|source| Error::File {
        action: "read",
        path: path.to_owned(),
        source,
    })
}

/// The architecture in the words of image configurations, which are Go's.
pub(crate) fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// The gzipped layer and the digest of the tar in it.
///
/// Compressed lightly: images of a sandbox are read once or twice, on the machine itself.
fn layer(files: &[(&Path, u32, Vec<u8>)]) -> io::Result<(Vec<u8>, String)> {
    let output = GzEncoder::new(Vec::new(), Compression::fast());
    let mut tar = tar::Builder::new(archive::Hashing::new(output));
    for (path, mode, bytes) in files {
        let path = path.strip_prefix("/").unwrap_or(path);
        append_parents(&mut tar, path)?;
        archive::append(&mut tar, path, *mode, bytes)?;
    }
    let mut hashing = tar.into_inner()?;
    hashing.flush()?;
    let (output, diff_id) = hashing.finish();
    Ok((output.finish()?, diff_id))
}

fn append_parents<W: io::Write>(tar: &mut tar::Builder<W>, path: &Path) -> io::Result<()> {
    let mut parents: Vec<_> = path.ancestors().skip(1).collect();
    parents.retain(|parent| !parent.as_os_str().is_empty());
    for parent in parents.into_iter().rev() {
        let mut header = archive::header(0o755);
        header.set_entry_type(tar::EntryType::Directory);
        header.set_size(0);
        tar.append_data(&mut header, parent, io::empty())?;
    }
    Ok(())
}

/// Whether an ELF file names a dynamic loader. A static one, position independent or not, has
/// no `PT_INTERP` header. What is no ELF file is left for the container to complain about.
fn has_interpreter(binary: &[u8]) -> bool {
    const PT_INTERP: u32 = 3;
    let read = |at: usize, len: usize| binary.get(at..at + len);
    let number = |at: usize, len: usize| {
        read(at, len).map(|bytes| {
            bytes
                .iter()
                .rev()
                .fold(0_u64, |value, byte| value << 8 | u64::from(*byte))
        })
    };
    // Only little-endian 64-bit files: the only ones that this sandbox's machines run.
    if read(0, 6) != Some(b"\x7fELF\x02\x01") {
        return false;
    }
    let (Some(offset), Some(size), Some(count)) = (number(32, 8), number(54, 2), number(56, 2))
    else {
        return false;
    };
    (0..count).any(|index| {
        usize::try_from(offset + index * size)
            .ok()
            .and_then(|at| number(at, 4))
            == Some(u64::from(PT_INTERP))
    })
}

/// The SHA-256 of a finished hasher as a digest string.
pub(super) fn digest_of(hasher: Sha256) -> String {
    use std::fmt::Write as _;
    hasher
        .finalize()
        .iter()
        .fold("sha256:".to_owned(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_test_is_static_and_a_loader_is_seen() {
        let program = std::env::current_exe().expect("a test has a file");
        let mut bytes = fs::read(program).expect("its file is readable");
        assert!(!has_interpreter(&bytes), "tests are linked statically");
        let at = usize::from(u16::from_le_bytes([bytes[32], bytes[33]]));
        bytes[at..at + 4].copy_from_slice(&3_u32.to_le_bytes());
        assert!(has_interpreter(&bytes));
    }

    #[test]
    fn the_digests_are_those_of_the_bytes() {
        let (layer, diff_id) = layer(&[
            (Path::new("/bin/hello"), 0o755, b"hello".to_vec()),
            (Path::new("/etc/certs"), 0o644, b"certificates".to_vec()),
        ])
        .expect("packs");
        let mut tar = Vec::new();
        io::Read::read_to_end(&mut flate2::read::GzDecoder::new(&layer[..]), &mut tar)
            .expect("is gzip");
        assert_eq!(archive::digest(&tar), diff_id);
        let names: Vec<_> = tar::Archive::new(&tar[..])
            .entries()
            .expect("is a tar")
            .map(|entry| entry.expect("has entries").path_bytes().into_owned())
            .collect();
        let paths = ["bin", "bin/hello", "etc", "etc/certs"];
        assert_eq!(names, paths.map(|path| path.as_bytes().to_vec()));
    }
}
