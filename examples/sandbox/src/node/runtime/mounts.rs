//! The mounts of a container, made by its first process in its own mount namespace.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{StatVfsMountFlags, statvfs};
use rustix::mount::{MountFlags, mount, mount_bind, mount_bind_recursive, mount_remount};

use super::config::Mount;
use super::init::bind_root;

const DEVICES: [&str; 6] = ["null", "zero", "full", "random", "urandom", "tty"];

/// Mounts everything below `rootfs`. The error is a sentence for the runtime's message.
pub(super) fn mount_all(rootfs: &Path, mounts: &[Mount]) -> Result<(), String> {
    bind_root(rootfs).map_err(|error| format!("failed to bind the root directory: {error}"))?;
    mount_proc(rootfs).map_err(|error| format!("failed to mount /proc: {error}"))?;
    mount_dev(rootfs).map_err(|error| format!("failed to mount /dev: {error}"))?;
    let mut mounts: Vec<_> = mounts.iter().collect();
    // Parents first, so that none hides what lies below it.
    mounts.sort_by_key(|mount| Path::new(&mount.destination).components().count());
    for mount in mounts {
        bind(rootfs, mount).map_err(|error| {
            format!(
                "error mounting {:?} to rootfs at {:?}: {error}",
                mount.source, mount.destination
            )
        })?;
    }
    Ok(())
}

fn mount_proc(rootfs: &Path) -> io::Result<()> {
    let target = rootfs.join("proc");
    fs::create_dir_all(&target)?;
    // The machine's own: containers of the sandbox share its process ids.
    Ok(mount_bind_recursive("/proc", target)?)
}

fn mount_dev(rootfs: &Path) -> io::Result<()> {
    let dev = rootfs.join("dev");
    fs::create_dir_all(&dev)?;
    let flags = MountFlags::NOSUID | MountFlags::STRICTATIME;
    mount("tmpfs", &dev, "tmpfs", flags, Some(c"mode=755,size=64m"))?;
    for name in DEVICES {
        let (source, target) = (Path::new("/dev").join(name), dev.join(name));
        if source.exists() {
            File::create(&target)?;
            mount_bind(source, target)?;
        }
    }
    fs::create_dir(dev.join("shm"))?;
    mount(
        "shm",
        dev.join("shm"),
        "tmpfs",
        flags | MountFlags::NODEV | MountFlags::NOEXEC,
        Some(c"mode=1777,size=64m"),
    )?;
    for (name, target) in [
        ("fd", "/proc/self/fd"),
        ("stdin", "/proc/self/fd/0"),
        ("stdout", "/proc/self/fd/1"),
        ("stderr", "/proc/self/fd/2"),
    ] {
        symlink(target, dev.join(name))?;
    }
    Ok(())
}

fn bind(rootfs: &Path, mount: &Mount) -> io::Result<()> {
    let target = inside(rootfs, &mount.destination)?;
    if mount.source.is_dir() {
        fs::create_dir_all(&target)?;
    } else if !target.exists() {
        if let Some(parent) = target.parent() {
            fs::create_dir_all(parent)?;
        }
        File::create(&target)?;
    }
    mount_bind_recursive(&mount.source, &target)?;
    if mount.read_only {
        make_read_only(&target)?;
    }
    Ok(())
}

/// The path of `destination` below `rootfs`. What would lead out of it is refused.
fn inside(rootfs: &Path, destination: &str) -> io::Result<PathBuf> {
    let mut path = rootfs.to_owned();
    for component in Path::new(destination).components() {
        match component {
            Component::Normal(name) => path.push(name),
            Component::RootDir | Component::CurDir => {}
            Component::ParentDir | Component::Prefix(_) => {
                return Err(io::ErrorKind::InvalidInput.into());
            }
        }
        // An image may hold links to anywhere, which mean something else before the root is
        // changed.
        if path.is_symlink() {
            return Err(io::Error::other(format!("{} is a link", path.display())));
        }
    }
    Ok(path)
}

fn make_read_only(target: &Path) -> io::Result<()> {
    let mut flags = MountFlags::BIND | MountFlags::RDONLY;
    // In a user namespace the restrictions that are there must be asked for again.
    let present = statvfs(target)?.f_flag;
    for (is, keep) in [
        (StatVfsMountFlags::NOSUID, MountFlags::NOSUID),
        (StatVfsMountFlags::NODEV, MountFlags::NODEV),
        (StatVfsMountFlags::NOEXEC, MountFlags::NOEXEC),
        (StatVfsMountFlags::NOATIME, MountFlags::NOATIME),
        (StatVfsMountFlags::NODIRATIME, MountFlags::NODIRATIME),
        (StatVfsMountFlags::RELATIME, MountFlags::RELATIME),
    ] {
        if present.contains(is) {
            flags |= keep;
        }
    }
    Ok(mount_remount(target, flags, "")?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_destination_stays_below_the_root() {
        let root = tempfile::tempdir().expect("a directory can be made");
        let path = inside(root.path(), "/a/b").expect("is below");
        assert_eq!(path, root.path().join("a/b"));
        inside(root.path(), "/a/../../b").expect_err("leads out");
        symlink("/", root.path().join("link")).expect("can be linked");
        inside(root.path(), "/link/b").expect_err("leads out by a link");
    }
}
