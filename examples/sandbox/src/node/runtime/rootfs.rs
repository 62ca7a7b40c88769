//! Root directories of containers: copied from the unpacked image, and what a container changed
//! in its own.
//!
//! Copied rather than overlaid, since an overlay needs a file system below that supports it,
//! which the directory of a sandbox inside a container has not.

use std::collections::BTreeSet;
use std::fs::{self, File, FileTimes, Metadata};
use std::io;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::{Path, PathBuf};

/// Copies the tree `from` to `to`, with modes and times.
pub(crate) fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        let metadata = entry.metadata()?;
        if metadata.is_dir() {
            copy(&source, &target)?;
        } else if metadata.is_symlink() {
            symlink(fs::read_link(&source)?, &target)?;
        } else if metadata.is_file() {
            copy_file(&source, &target, &metadata)?;
        }
    }
    fs::set_permissions(to, fs::metadata(from)?.permissions())
}

fn copy_file(source: &Path, target: &Path, metadata: &Metadata) -> io::Result<()> {
    fs::copy(source, target)?;
    // Equal times are how an unchanged file is known later. A file that its owner may not
    // write is left with a new time, and counts as changed.
    if let Ok(file) = File::options().write(true).open(target) {
        file.set_times(FileTimes::new().set_modified(metadata.modified()?))?;
    }
    Ok(())
}

/// What a container changed in its root directory.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Diff {
    /// New and changed files and links, and new directories, relative to the root.
    pub(crate) changed: Vec<PathBuf>,
    /// What was in the image and is gone.
    pub(crate) deleted: Vec<PathBuf>,
}

/// Compares `rootfs` with the `image` that it was copied from. Mount points are no part of it.
pub(crate) fn diff(
    image: &Path,
    rootfs: &Path,
    mount_points: &BTreeSet<PathBuf>,
) -> io::Result<Diff> {
    let mut diff = Diff::default();
    compare(image, rootfs, Path::new(""), mount_points, &mut diff)?;
    Ok(diff)
}

fn compare(
    image: &Path,
    rootfs: &Path,
    below: &Path,
    mount_points: &BTreeSet<PathBuf>,
    diff: &mut Diff,
) -> io::Result<()> {
    for name in names(&rootfs.join(below))? {
        let path = below.join(name);
        if mount_points.contains(&path) {
            continue;
        }
        let now = rootfs.join(&path).symlink_metadata()?;
        let before = image.join(&path).symlink_metadata().ok();
        let leads_to_mounts = mount_points.iter().any(|point| point.starts_with(&path));
        if before.as_ref().is_none_or(|before| differs(before, &now))
            && !(now.is_dir() && (before.is_some() || leads_to_mounts))
        {
            diff.changed.push(path.clone());
        }
        if now.is_dir() {
            compare(image, rootfs, &path, mount_points, diff)?;
        }
    }
    for name in names(&image.join(below))? {
        let path = below.join(name);
        if rootfs.join(&path).symlink_metadata().is_err() {
            diff.deleted.push(path);
        }
    }
    Ok(())
}

fn names(directory: &Path) -> io::Result<BTreeSet<std::ffi::OsString>> {
    match fs::read_dir(directory) {
        Ok(entries) => entries.map(|entry| Ok(entry?.file_name())).collect(),
        // Not a directory on this side.
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ) =>
        {
            Ok(BTreeSet::new())
        }
        Err(error) => Err(error),
    }
}

fn differs(before: &Metadata, now: &Metadata) -> bool {
    before.file_type() != now.file_type()
        || before.mode() != now.mode()
        || (now.is_file()
            && (before.len() != now.len()
                || (before.mtime(), before.mtime_nsec()) != (now.mtime(), now.mtime_nsec())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_changes_are_in_the_diff() {
        let directory = tempfile::tempdir().expect("a directory can be made");
        let (image, rootfs) = (directory.path().join("i"), directory.path().join("r"));
        fs::create_dir_all(image.join("etc")).expect("can be made");
        for name in ["kept", "changed", "deleted", "etc/hosts"] {
            fs::write(image.join(name), name).expect("can be written");
        }
        copy(&image, &rootfs).expect("can be copied");
        fs::write(rootfs.join("changed"), "otherwise").expect("can be written");
        fs::remove_file(rootfs.join("deleted")).expect("can be removed");
        fs::create_dir(rootfs.join("new")).expect("can be made");
        fs::create_dir_all(rootfs.join("var/run")).expect("can be made");
        fs::write(rootfs.join("etc/hosts"), "mounted over").expect("can be written");
        let mounts = BTreeSet::from(["etc/hosts".into(), "var/run".into()]);
        let diff = diff(&image, &rootfs, &mounts).expect("can be compared");
        assert_eq!(diff.changed, [Path::new("changed"), Path::new("new")]);
        assert_eq!(diff.deleted, [Path::new("deleted")]);
    }
}
