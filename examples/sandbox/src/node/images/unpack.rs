//! Unpacks layers on top of each other, and checks each against its digest in the image's
//! configuration.

use std::fs::{self, File};
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use flate2::bufread::MultiGzDecoder;

use crate::image::Hashing;

/// Unpacks `layers` (file and media type, the lowest first) to `target`, which is there only
/// when all went well.
pub(super) fn unpack(
    layers: &[(PathBuf, String)],
    diff_ids: &[String],
    target: &Path,
) -> io::Result<()> {
    if target.exists() {
        return Ok(());
    }
    if layers.len() != diff_ids.len() {
        return Err(io::Error::other(format!(
            "mismatched image rootfs and manifest layers: {} and {}",
            diff_ids.len(),
            layers.len()
        )));
    }
    let partial = target.with_extension("partial");
    if partial.exists() {
        fs::remove_dir_all(&partial)?;
    }
    fs::create_dir_all(&partial)?;
    for ((file, media_type), diff_id) in layers.iter().zip(diff_ids) {
        let found = unpack_layer(file, media_type, &partial)?;
        if found != *diff_id {
            return Err(io::Error::other(format!(
                "wrong diff id calculated on extraction {found:?}, expected {diff_id:?}"
            )));
        }
    }
    fs::rename(&partial, target)
}

fn unpack_layer(file: &Path, media_type: &str, target: &Path) -> io::Result<String> {
    let file = BufReader::with_capacity(1 << 20, File::open(file)?);
    if media_type.ends_with("gzip") {
        return extract(MultiGzDecoder::new(file), target);
    }
    if media_type.ends_with("zstd") {
        // Frames follow each other as members of gzip do; both are read to the end.
        return extract(zstd::Decoder::with_buffer(file)?, target);
    }
    extract(file, target)
}

/// Extracts a tar and returns the digest of all its bytes.
fn extract(layer: impl Read, target: &Path) -> io::Result<String> {
    let mut layer = Hashing::new(layer);
    let mut archive = tar::Archive::new(&mut layer);
    archive.set_preserve_mtime(true);
    // Unprivileged processes cannot give files away, and the images here are root's anyway.
    archive.set_preserve_ownerships(false);
    archive.set_preserve_permissions(true);
    for entry in archive.entries()? {
        let mut entry = entry?;
        let path = entry.path()?.into_owned();
        if !white_out(&path, target)? {
            entry.unpack_in(target)?;
        }
    }
    // What follows the end mark counts for the digest.
    io::copy(&mut layer, &mut io::sink())?;
    Ok(layer.finish().1)
}

/// Deletes what an entry of a layer says is deleted from the layers below, and tells whether
/// the entry was such a one.
fn white_out(path: &Path, target: &Path) -> io::Result<bool> {
    let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
        return Ok(false);
    };
    let Some(deleted) = name.strip_prefix(".wh.") else {
        return Ok(false);
    };
    let parent = target.join(path.parent().unwrap_or(Path::new("")));
    let deleted: Vec<_> = if deleted == ".wh..opq" {
        fs::read_dir(&parent)?
            .map(|entry| Ok(entry?.path()))
            .collect::<io::Result<_>>()?
    } else {
        vec![parent.join(deleted)]
    };
    for path in deleted {
        match path.symlink_metadata() {
            Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(&path)?,
            Ok(_) => fs::remove_file(&path)?,
            Err(_) => {}
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;
    use crate::image::digest;

    fn layer(files: &[(&str, &str)]) -> Vec<u8> {
        let mut tar = tar::Builder::new(Vec::new());
        for (name, text) in files {
            let mut header = tar::Header::new_gnu();
            header.set_mode(0o644);
            header.set_size(text.len() as u64);
            tar.append_data(&mut header, name, text.as_bytes())
                .expect("can be packed");
        }
        tar.into_inner().expect("can be packed")
    }

    #[test]
    fn layers_lie_on_top_of_each_other() {
        let directory = tempfile::tempdir().expect("a directory can be made");
        let plain = layer(&[("a", "1"), ("b", "1")]);
        let upper = layer(&[("a", "2"), (".wh.b", "")]);
        let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
        gzip.write_all(&upper).expect("can be packed");
        let (lower_file, upper_file) = (directory.path().join("l"), directory.path().join("u"));
        fs::write(&lower_file, &plain).expect("can be written");
        fs::write(&upper_file, gzip.finish().expect("can be packed")).expect("can be written");
        let layers = [
            (lower_file, "application/vnd.oci.image.layer.v1.tar".into()),
            (
                upper_file,
                "application/vnd.oci.image.layer.v1.tar+gzip".into(),
            ),
        ];
        let root = directory.path().join("root");
        let wrong = [digest(&plain), digest(b"another")];
        let error = unpack(&layers, &wrong, &root).expect_err("is another layer");
        assert!(error.to_string().contains("wrong diff id"), "{error}");
        assert!(!root.exists());
        unpack(&layers, &[digest(&plain), digest(&upper)], &root).expect("unpacks");
        assert_eq!(fs::read_to_string(root.join("a")).expect("is there"), "2");
        assert!(!root.join("b").exists());
    }

    /// As the runtimes do: frame after frame, whatever number of them.
    #[test]
    fn zstd_is_read_to_its_last_frame() {
        let directory = tempfile::tempdir().expect("a directory can be made");
        let plain = layer(&[("a", "1"), ("b", "2")]);
        let (first, last) = plain.split_at(700);
        let mut frames = zstd::encode_all(first, 1).expect("can be packed");
        frames.extend(zstd::encode_all(last, 1).expect("can be packed"));
        let file = directory.path().join("l");
        fs::write(&file, &frames).expect("can be written");
        let media_type = "application/vnd.oci.image.layer.v1.tar+zstd".into();
        let root = directory.path().join("root");
        unpack(&[(file, media_type)], &[digest(&plain)], &root).expect("unpacks");
        assert_eq!(fs::read_to_string(root.join("b")).expect("is there"), "2");
    }
}
