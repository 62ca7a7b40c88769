//! The first process of a container: builds the container around itself, then becomes its
//! program. It runs before any thread is started, since a process with threads cannot enter a
//! user namespace.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use ms2m_worker::snapshot::FD_VARIABLE;
use rustix::mount::{MountPropagationFlags, mount_bind_recursive, mount_change};
use rustix::process::{chdir, chroot, geteuid, setsid};
use rustix::system::sethostname;
use rustix::thread::{Gid, Uid, UnshareFlags};

use super::config::{InitConfig, User};
use super::mounts;
use crate::process::die_with_parent;

/// Runs the container whose configuration is in the file `config`. Returns only on failure,
/// when it has told the runtime why.
///
/// # Errors
/// When the configuration or the way to the runtime cannot be opened.
pub fn container_init(config: &Path) -> io::Result<()> {
    let config: InitConfig = serde_json::from_slice(&fs::read(config)?)?;
    // Closed by the kernel when the program starts.
    let mut status = File::options().write(true).open(&config.status)?;
    let failed = match run(&config) {
        Ok(never) => match never {},
        Err(error) => error,
    };
    status.write_all(failed.as_bytes())
}

/// What failed, in words for the runtime's message.
type Failure = String;

fn run(config: &InitConfig) -> Result<std::convert::Infallible, Failure> {
    die_with_parent(config.parent).map_err(|error| error.to_string())?;
    let mut env = config.env.clone();
    if config.checkpoint_stream {
        let number = keep_stream().map_err(doing("pass the checkpoint stream on"))?;
        env.push((FD_VARIABLE.to_owned(), number.to_string()));
    }
    setsid().map_err(doing("start a session"))?;
    enter_namespaces(&config.user).map_err(doing("enter the container's namespaces"))?;
    sethostname(config.hostname.as_bytes()).map_err(doing("set the host name"))?;
    let mounted = mounts::mount_all(&config.rootfs, &config.mounts);
    mounted?;
    change_root(&config.rootfs).map_err(doing("change the root directory"))?;
    chdir(&config.cwd).map_err(doing(&format!("change into {:?}", config.cwd)))?;
    become_user(&config.user).map_err(doing("become the container's user"))?;
    // The change of user made the kernel forget it.
    die_with_parent(config.parent).map_err(|error| error.to_string())?;
    Err(execute(&config.args, &env))
}

fn doing<E: std::fmt::Display>(what: &str) -> impl FnOnce(E) -> Failure {
    move |error| format!("failed to {what}: {error}")
}

/// Moves the stream from standard input to a number that the program inherits, and gives the
/// program an empty standard input instead.
fn keep_stream() -> io::Result<i32> {
    use std::os::fd::IntoRawFd as _;
    // Not closed on exec, and never closed here.
    let kept = rustix::io::dup(rustix::stdio::stdin())?.into_raw_fd();
    rustix::stdio::dup2_stdin(File::open("/dev/null")?)?;
    Ok(kept)
}

/// Enters the namespaces of a container, as `user` where there is no root.
///
/// # Errors
/// When that is not permitted.
pub fn enter_namespaces(user: &User) -> io::Result<()> {
    let (uid, gid) = (geteuid().as_raw(), rustix::process::getegid().as_raw());
    let mut flags = UnshareFlags::NEWNS | UnshareFlags::NEWUTS;
    if uid != 0 {
        flags |= UnshareFlags::NEWUSER;
    }
    #[expect(
        deprecated,
        reason = "the successor is unsafe for what may be shared with other threads; there are none"
    )]
    rustix::thread::unshare(flags)?;
    if uid != 0 {
        // The one user that an unprivileged process may map is itself.
        fs::write("/proc/self/setgroups", "deny")?;
        fs::write("/proc/self/uid_map", format!("{} {uid} 1", user.uid))?;
        fs::write("/proc/self/gid_map", format!("{} {gid} 1", user.gid))?;
    }
    Ok(mount_change(
        "/",
        MountPropagationFlags::REC | MountPropagationFlags::PRIVATE,
    )?)
}

fn change_root(rootfs: &Path) -> io::Result<()> {
    chdir(rootfs)?;
    match rustix::process::pivot_root(".", ".") {
        // The old root lies above the new one now.
        Ok(()) => rustix::mount::unmount(".", rustix::mount::UnmountFlags::DETACH)?,
        // From an initial RAM file system there is no pivoting.
        Err(rustix::io::Errno::INVAL) => chroot(".")?,
        Err(error) => return Err(error.into()),
    }
    Ok(chdir("/")?)
}

fn become_user(user: &User) -> io::Result<()> {
    let unprivileged =
        fs::read_to_string("/proc/self/setgroups").is_ok_and(|text| text.trim() == "deny");
    // In a user namespace of one user, that user is who the process already is.
    if unprivileged {
        return Ok(());
    }
    let groups: Vec<_> = user
        .additional_gids
        .iter()
        .map(|gid| Gid::from_raw(*gid))
        .collect();
    rustix::thread::set_thread_groups(&groups)?;
    let (uid, gid) = (Uid::from_raw(user.uid), Gid::from_raw(user.gid));
    rustix::thread::set_thread_res_gid(gid, gid, gid)?;
    Ok(rustix::thread::set_thread_res_uid(uid, uid, uid)?)
}

/// Becomes the program. What comes back is why not, in the words of an OCI runtime.
fn execute(args: &[String], env: &[(String, String)]) -> Failure {
    let Some((program, arguments)) = args.split_first() else {
        return "no command specified".to_owned();
    };
    let path = env
        .iter()
        .rev()
        .find(|(name, _)| name == "PATH")
        .map_or("", |(_, path)| path.as_str());
    let Some(file) = look_up(program, path) else {
        return format!("exec: {program:?}: executable file not found in $PATH");
    };
    let error = Command::new(&file)
        .arg0(program)
        .args(arguments)
        .env_clear()
        .envs(env.iter().map(|(name, value)| (name, value)))
        .exec();
    match error.kind() {
        io::ErrorKind::NotFound => format!(
            "exec: {program:?}: stat {}: no such file or directory",
            file.display()
        ),
        io::ErrorKind::PermissionDenied => format!("exec: {program:?}: permission denied"),
        _ => format!("exec {}: {error}", file.display()),
    }
}

fn look_up(program: &str, path: &str) -> Option<PathBuf> {
    if program.contains('/') {
        return Some(program.into());
    }
    std::env::split_paths(path)
        .map(|directory| directory.join(program))
        .find(|file| file.is_file())
}

/// Makes the root directory a mount of its own, which changing the root needs.
pub(super) fn bind_root(rootfs: &Path) -> io::Result<()> {
    Ok(mount_bind_recursive(rootfs, rootfs)?)
}
