//! The OCI archive: a tar of an OCI image layout with one image, written and read.

use std::fs::File;
use std::io::{self, Read as _, Write};
use std::path::Path;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::Error;
use super::pack::digest_of;

/// Media type of an image manifest.
pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// Media type of an image configuration.
pub const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
/// Media type of a gzipped layer.
pub const OCI_LAYER_GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// One image with everything that it consists of.
#[derive(Clone, Debug)]
pub struct Archive {
    /// The name in the archive's index.
    pub reference: String,
    /// The manifest's bytes, as its digest counts them.
    pub manifest: Vec<u8>,
    /// The configuration and the layers.
    pub blobs: Vec<Vec<u8>>,
}

impl Archive {
    /// Writes the archive to `path`.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), Error> {
        self.write_to(path).map_err(|source| Error::File {
            action: "write",
            path: path.to_owned(),
            source,
        })
    }

    fn write_to(&self, path: &Path) -> io::Result<()> {
        let index = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.index.v1+json",
            "manifests": [{
                "mediaType": OCI_MANIFEST,
                "digest": digest(&self.manifest),
                "size": self.manifest.len(),
                "annotations": { "org.opencontainers.image.ref.name": self.reference },
            }],
        });
        let mut tar = tar::Builder::new(io::BufWriter::new(File::create(path)?));
        append(
            &mut tar,
            "oci-layout",
            0o644,
            br#"{"imageLayoutVersion":"1.0.0"}"#,
        )?;
        append(&mut tar, "index.json", 0o644, index.to_string().as_bytes())?;
        for blob in self.blobs.iter().chain([&self.manifest]) {
            let name = digest(blob).replace(':', "/");
            append(&mut tar, format!("blobs/{name}"), 0o644, blob)?;
        }
        tar.into_inner()?.flush()
    }

    /// Reads an archive with one image.
    ///
    /// # Errors
    /// When the file cannot be read or is no such archive.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let mut files = read_files(path).map_err(|source| Error::File {
            action: "read",
            path: path.to_owned(),
            source,
        })?;
        let problem = |problem: &str| Error::Archive {
            path: path.to_owned(),
            problem: problem.to_owned(),
        };
        let index: Value =
            serde_json::from_slice(files.get("index.json").ok_or(problem("no index.json"))?)?;
        let entry = &index["manifests"][0];
        let mut blob = |digest: &Value| {
            digest
                .as_str()
                .and_then(|digest| files.remove(&format!("blobs/{}", digest.replace(':', "/"))))
                .ok_or_else(|| problem(&format!("blob {digest} is missing")))
        };
        let manifest = blob(&entry["digest"])?;
        let parsed: Value = serde_json::from_slice(&manifest)?;
        let mut blobs = vec![blob(&parsed["config"]["digest"])?];
        for layer in parsed["layers"].as_array().into_iter().flatten() {
            blobs.push(blob(&layer["digest"])?);
        }
        Ok(Self {
            reference: entry["annotations"]["org.opencontainers.image.ref.name"]
                .as_str()
                .unwrap_or_default()
                .to_owned(),
            manifest,
            blobs,
        })
    }

    /// The digest of the manifest, by which the image is known to a registry.
    pub fn digest(&self) -> String {
        digest(&self.manifest)
    }
}

fn read_files(path: &Path) -> io::Result<std::collections::HashMap<String, Vec<u8>>> {
    let mut files = std::collections::HashMap::new();
    for entry in tar::Archive::new(io::BufReader::new(File::open(path)?)).entries()? {
        let mut entry = entry?;
        let name = entry.path()?.to_string_lossy().into_owned();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes)?;
        files.insert(name, bytes);
    }
    Ok(files)
}

/// The SHA-256 digest of some bytes, as `sha256:<hex>`.
pub(crate) fn digest(bytes: &[u8]) -> String {
    digest_of(Sha256::new_with_prefix(bytes))
}

/// A header that does not depend on the day or the machine, so that equal input makes equal
/// digests.
pub(super) fn header(mode: u32) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header
}

/// Appends a file with fixed metadata.
pub(super) fn append<W: Write>(
    tar: &mut tar::Builder<W>,
    path: impl AsRef<Path>,
    mode: u32,
    bytes: &[u8],
) -> io::Result<()> {
    let mut header = header(mode);
    header.set_size(bytes.len() as u64);
    tar.append_data(&mut header, path, bytes)
}

/// A writer that hashes what passes through.
pub(crate) struct Hashing<W> {
    output: W,
    hasher: Sha256,
}

impl<W> Hashing<W> {
    /// Hashes from here on.
    pub(crate) fn new(output: W) -> Self {
        Self {
            output,
            hasher: Sha256::new(),
        }
    }

    /// What was written to, and the digest of what was written.
    pub(crate) fn finish(self) -> (W, String) {
        (self.output, digest_of(self.hasher))
    }
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.output.write(bytes)?;
        self.hasher.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.output.flush()
    }
}

impl<R: io::Read> io::Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.output.read(buffer)?;
        self.hasher.update(&buffer[..read]);
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_again() {
        let config = b"{}".to_vec();
        let layer = b"layer".to_vec();
        let manifest = json!({
            "config": { "digest": digest(&config) },
            "layers": [{ "digest": digest(&layer) }],
        });
        let image = Archive {
            reference: "registry.example/app:dev".to_owned(),
            manifest: manifest.to_string().into_bytes(),
            blobs: vec![config, layer],
        };
        let file = tempfile::NamedTempFile::new().expect("a file can be made");
        image.write(file.path()).expect("writes");
        let read = Archive::read(file.path()).expect("reads");
        assert_eq!(read.reference, image.reference);
        assert_eq!(read.digest(), image.digest());
        assert_eq!(read.blobs, image.blobs);
    }

    #[test]
    fn an_archive_without_an_index_is_refused() {
        let file = tempfile::NamedTempFile::new().expect("a file can be made");
        tar::Builder::new(file.as_file())
            .finish()
            .expect("an empty tar can be written");
        let error = Archive::read(file.path()).expect_err("holds no image");
        assert!(error.to_string().contains("no index.json"), "{error}");
    }
}
