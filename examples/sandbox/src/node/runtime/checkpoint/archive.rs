//! Writes the archive: an uncompressed tar that only its owner can read.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::names;
use crate::node::runtime::Personality;
use crate::node::runtime::rootfs::Diff;

/// Where an archive's files come from.
pub(super) struct Source {
    pub(super) image: PathBuf,
    pub(super) rootfs: PathBuf,
    pub(super) mount_points: BTreeSet<PathBuf>,
    pub(super) log: PathBuf,
    pub(super) personality: Personality,
}

/// Writes `archive` from the memory below `work` and from everything else that belongs to it.
pub(super) fn write(
    archive: &Path,
    work: &Path,
    source: &Source,
    diff: &Diff,
    metadata: &[(&'static str, Value)],
) -> io::Result<()> {
    let file = File::options()
        .create(true)
        .truncate(true)
        .write(true)
        .mode(0o600)
        .open(archive)?;
    let mut tar = tar::Builder::new(BufWriter::with_capacity(1 << 20, file));
    for (name, content) in metadata {
        append(&mut tar, name, content.to_string().as_bytes())?;
    }
    let memory = work.join(names::MEMORY);
    let size = fs::metadata(&memory)?.len();
    append(&mut tar, names::DUMP_LOG, dump_log(size).as_bytes())?;
    append(
        &mut tar,
        names::STATS_DUMP,
        stats(size).to_string().as_bytes(),
    )?;
    tar.append_dir("checkpoint", work.join("checkpoint"))?;
    tar.append_file(names::MEMORY, &mut File::open(&memory)?)?;
    append(
        &mut tar,
        names::ROOTFS_DIFF,
        &rootfs_diff(&source.rootfs, diff)?,
    )?;
    let log = fs::read(&source.log)?;
    match source.personality {
        Personality::Crio => {
            append(
                &mut tar,
                names::DELETED_FILES,
                json!(diff.deleted).to_string().as_bytes(),
            )?;
            append(&mut tar, names::CRIO_LOG, &log)?;
        }
        Personality::Containerd => append(&mut tar, names::CONTAINERD_LOG, &log)?,
    }
    tar.into_inner()?.flush()
}

fn append<W: io::Write>(tar: &mut tar::Builder<W>, name: &str, content: &[u8]) -> io::Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_mode(0o600);
    header.set_mtime(u64::try_from(jiff::Timestamp::now().as_second()).unwrap_or(0));
    header.set_size(content.len() as u64);
    tar.append_data(&mut header, name, content)
}

/// A tar of what the container changed.
fn rootfs_diff(rootfs: &Path, diff: &Diff) -> io::Result<Vec<u8>> {
    let mut tar = tar::Builder::new(Vec::new());
    tar.follow_symlinks(false);
    for path in &diff.changed {
        tar.append_path_with_name(rootfs.join(path), path)?;
    }
    tar.into_inner()
}

fn dump_log(size: u64) -> String {
    format!(
        "The process has written its memory itself, at one instant and without CRIU.\n\
         {size} bytes\n"
    )
}

fn stats(size: u64) -> Value {
    json!({ "dump": { "pages_written": size.div_ceil(4096) } })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn an_archive_is_private_and_complete() {
        let directory = tempfile::tempdir().expect("a directory can be made");
        let path = |name: &str| directory.path().join(name);
        for name in ["checkpoint", "rootfs"] {
            fs::create_dir(path(name)).expect("can be made");
        }
        for name in [names::MEMORY, "rootfs/new", "log"] {
            fs::write(path(name), name).expect("can be written");
        }
        let source = Source {
            image: path("image"),
            rootfs: path("rootfs"),
            mount_points: BTreeSet::new(),
            log: path("log"),
            personality: Personality::Crio,
        };
        let diff = Diff {
            changed: vec!["new".into()],
            deleted: vec!["old".into()],
        };
        let metadata = [(names::CONFIG_DUMP, json!({}))];
        write(&path("a.tar"), directory.path(), &source, &diff, &metadata).expect("is written");
        let mode = fs::metadata(path("a.tar"))
            .expect("is there")
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
        let mut archive = tar::Archive::new(File::open(path("a.tar")).expect("is there"));
        let names: Vec<_> = archive
            .entries()
            .expect("is a tar")
            .map(|entry| {
                String::from_utf8_lossy(&entry.expect("is whole").path_bytes()).into_owned()
            })
            .collect();
        let expected = [
            "config.dump",
            "dump.log",
            "stats-dump",
            "checkpoint",
            "checkpoint/snapshot.img",
            "rootfs-diff.tar",
            "deleted.files",
            "io.kubernetes.cri-o.LogPath",
        ];
        assert_eq!(names, expected);
    }
}
