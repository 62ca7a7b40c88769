//! Creates a container: its root directory and what its first process is to do. Nothing runs
//! yet.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rand::RngExt as _;
use rustix::fs::{CWD, FileType, Mode, mknodat};

use super::config::{ContainerConfig, InitConfig};
use super::{RuntimeError, rootfs, user};

/// The files of a container on the node.
#[derive(Clone, Debug)]
pub(super) struct Bundle {
    pub(super) directory: PathBuf,
}

impl Bundle {
    pub(super) fn rootfs(&self) -> PathBuf {
        self.directory.join("rootfs")
    }

    pub(super) fn status(&self) -> PathBuf {
        self.directory.join("status")
    }

    pub(super) fn config(&self) -> PathBuf {
        self.directory.join("config.json")
    }

    /// Makes the files of a container with a copy of `image` as its root directory.
    pub(super) fn create(root: &Path, id: &str, image: &Path) -> io::Result<Self> {
        let bundle = Self {
            directory: root.join(id),
        };
        fs::create_dir_all(&bundle.directory)?;
        rootfs::copy(image, &bundle.rootfs())?;
        mknodat(
            CWD,
            bundle.status(),
            FileType::Fifo,
            Mode::RUSR | Mode::WUSR,
            0,
        )?;
        Ok(bundle)
    }

    pub(super) fn write_config(&self, init: &InitConfig) -> io::Result<()> {
        fs::write(self.config(), serde_json::to_vec_pretty(init)?)
    }

    pub(super) fn remove(&self) -> io::Result<()> {
        fs::remove_dir_all(&self.directory)
    }
}

/// A new container id: 64 hexadecimal digits.
pub(super) fn new_id() -> String {
    let mut random = rand::rng();
    (0..64)
        .map(|_| char::from_digit(random.random_range(0..16), 16).unwrap_or('0'))
        .collect()
}

/// What the first process of a fresh container does: the image's settings with the pod's on
/// top.
pub(super) fn fresh(config: &ContainerConfig, bundle: &Bundle) -> Result<InitConfig, RuntimeError> {
    let image = &config.image.config.config;
    let mut args = config.command.clone();
    if args.is_empty() {
        args = image.entrypoint.clone().unwrap_or_default();
    }
    // A command without arguments drops the image's arguments.
    if config.command.is_empty() && config.args.is_empty() {
        args.extend(image.cmd.clone().unwrap_or_default());
    }
    args.extend(config.args.clone());
    if args.is_empty() {
        return Err(RuntimeError::create("no command specified"));
    }
    let cwd = config
        .working_dir
        .clone()
        .filter(|path| !path.is_empty())
        .unwrap_or_else(|| image.working_dir.clone());
    Ok(InitConfig {
        parent: std::process::id(),
        rootfs: bundle.rootfs(),
        status: bundle.status(),
        hostname: config.hostname.clone(),
        mounts: config.mounts.clone(),
        user: user::user(config).map_err(RuntimeError::create)?,
        args,
        env: environment(config),
        cwd: if cwd.is_empty() { "/".to_owned() } else { cwd },
        checkpoint_stream: true,
    })
}

fn environment(config: &ContainerConfig) -> Vec<(String, String)> {
    let image = config.image.config.config.env.iter().flatten();
    let image = image.filter_map(|pair| pair.split_once('='));
    let mut env: Vec<_> = image
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    env.push(("HOSTNAME".to_owned(), config.hostname.clone()));
    env.extend(config.env.iter().cloned());
    env
}

/// Where something is mounted over the root directory, relative to it.
pub(super) fn mount_points(init: &InitConfig) -> BTreeSet<PathBuf> {
    init.mounts
        .iter()
        .map(|mount| mount.destination.as_str())
        .chain(["/proc", "/dev", "/sys"])
        .map(|path| path.trim_start_matches('/').into())
        .collect()
}
