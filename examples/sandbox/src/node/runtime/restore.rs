//! Creates a container from a checkpoint image: the old process in the new pod. What the new
//! pod says about command, environment and user is not asked.

use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;

use oci_client::secrets::RegistryAuth;
use serde::de::DeserializeOwned;

use super::checkpoint::metadata::{ConfigDump, OCI_RUNTIME, SpecDump};
use super::checkpoint::names;
use super::config::{ContainerConfig, InitConfig, Mount};
use super::container::Container;
use super::create::Bundle;
use super::{Personality, Runtime, RuntimeError, Step};
use crate::node::images::Image;

/// Mounts of the old container that need not be in the new pod: the runtime makes them anew.
const IGNORED: [&str; 9] = [
    "/proc",
    "/dev",
    "/dev/pts",
    "/dev/mqueue",
    "/dev/shm",
    "/sys",
    "/sys/fs/cgroup",
    "/etc/resolv.conf",
    "/etc/hostname",
];

/// A checkpoint that fits this node and this pod.
#[derive(Debug)]
pub(super) struct Checkpoint {
    /// The image that the old container was made of.
    pub(super) base: Arc<Image>,
    /// Its name, as the old pod had it.
    pub(super) base_name: String,
    /// The log so far.
    pub(super) log: Vec<u8>,
    spec: SpecDump,
    /// How the OCI runtime will fail, if it will.
    pub(super) doomed: Option<String>,
}

impl Runtime {
    /// Whether a container of this image is restored rather than started. Only the presence of
    /// the runtime's annotation counts.
    pub fn restores(&self, image: &Image) -> bool {
        let annotation = match self.personality {
            Personality::Crio => names::CRIO_ANNOTATION,
            Personality::Containerd => names::CONTAINERD_ANNOTATION,
        };
        image.oci && image.annotations.contains_key(annotation)
    }

    /// Of two restores of one image at the same moment CRI-O fails one, which is tried again
    /// later. containerd knows no such race.
    pub(super) fn restore_alone(&self, image: &Image) -> Result<Option<Alone<'_>>, RuntimeError> {
        if self.personality == Personality::Containerd {
            return Ok(None);
        }
        let mut restoring = self.restoring.lock().expect("no holder panics");
        if !restoring.insert(image.digest.clone()) {
            return Err(RuntimeError::create(format!(
                "failed to mount checkpoint image {}: layer is in use by another restore",
                image.repo_digest
            )));
        }
        Ok(Some(Alone {
            runtime: self,
            digest: image.digest.clone(),
        }))
    }

    /// Reads the checkpoint and checks that this pod on this node can take it.
    pub(super) async fn open_checkpoint(
        &self,
        config: &ContainerConfig,
    ) -> Result<Checkpoint, RuntimeError> {
        let archive = &config.image.rootfs;
        let spec: SpecDump = read(archive, names::SPEC_DUMP)?;
        let dump: ConfigDump = read(archive, names::CONFIG_DUMP)?;
        let log = match self.personality {
            Personality::Crio => {
                let annotations = spec.annotations.get(names::CRIO_ANNOTATIONS);
                parse::<serde_json::Value>(
                    names::CRIO_ANNOTATIONS,
                    annotations.map_or("", String::as_str),
                )?;
                names::CRIO_LOG
            }
            Personality::Containerd => {
                read::<serde_json::Value>(archive, names::STATUS_DUMP)?;
                names::CONTAINERD_LOG
            }
        };
        let base = self.base_image(&dump).await?;
        self.check_mounts(config, &spec)?;
        let memory = archive.join(names::MEMORY);
        let doomed = if dump.runtime != OCI_RUNTIME {
            Some(format!("the checkpoint was taken under {}", dump.runtime))
        } else if !memory.is_file() {
            Some("the images are of another way to take checkpoints".to_owned())
        } else {
            None
        };
        Ok(Checkpoint {
            base,
            base_name: dump.rootfs_image_name,
            log: fs::read(archive.join(log)).unwrap_or_default(),
            spec,
            doomed,
        })
    }

    /// CRI-O looks the base image up by its id and never pulls it; containerd pulls it by
    /// digest, with no credentials.
    async fn base_image(&self, dump: &ConfigDump) -> Result<Arc<Image>, RuntimeError> {
        let reference = &dump.rootfs_image_ref;
        match self.personality {
            Personality::Crio => self.images.find_by_id(reference).ok_or_else(|| {
                RuntimeError::create(format!(
                    "locating image with ID {reference:?}: image not known"
                ))
            }),
            Personality::Containerd => match self.images.find(reference) {
                Some(image) => Ok(image),
                None => self
                    .images
                    .pull(reference, &RegistryAuth::Anonymous)
                    .await
                    .map_err(|error| {
                        RuntimeError::create(format!(
                            "failed to pull checkpoint base image {reference}: {error}"
                        ))
                    }),
            },
        }
    }

    fn check_mounts(&self, config: &ContainerConfig, spec: &SpecDump) -> Result<(), RuntimeError> {
        let missing: Vec<_> = old_mounts(spec)
            .filter(|path| config.mounts.iter().all(|mount| mount.destination != *path))
            .collect();
        if missing.is_empty() {
            return Ok(());
        }
        Err(RuntimeError::create(format!(
            "restoring {:?} expects following bind mounts defined ({})",
            config.image_name,
            missing.join(",")
        )))
    }

    /// Whether the runtime cannot tell the status of this container: CRI-O, of one that was
    /// restored from a base image that has lost its last name.
    pub fn hides(&self, container: &Container) -> bool {
        self.personality == Personality::Crio
            && container.restored
            && self.images.names(&container.image).is_empty()
    }

    /// How an ordered failure looks: at the step at which such a failure comes.
    pub fn ordered(&self, restores: bool, message: String) -> RuntimeError {
        let step = match self.personality {
            Personality::Containerd if restores => Step::DeadStart,
            Personality::Crio | Personality::Containerd => Step::Create,
        };
        RuntimeError { step, message }
    }
}

/// The right to restore an image, given back when dropped.
pub(super) struct Alone<'a> {
    runtime: &'a Runtime,
    digest: String,
}

impl Drop for Alone<'_> {
    fn drop(&mut self) {
        let mut restoring = self.runtime.restoring.lock().expect("no holder panics");
        restoring.remove(&self.digest);
    }
}

impl Checkpoint {
    /// Makes the bundle of the old container's root directory and what the first process is to
    /// do.
    pub(super) fn unpack(
        &self,
        config: &ContainerConfig,
        bundle: &Bundle,
        personality: Personality,
    ) -> Result<InitConfig, RuntimeError> {
        let archive = &config.image.rootfs;
        self.restore_files(archive, &bundle.rootfs())
            .map_err(|error| {
                RuntimeError::create(format!("failed to restore the root directory: {error}"))
            })?;
        let process = self.spec.process.clone();
        let env = process.env.iter().filter_map(|pair| pair.split_once('='));
        Ok(InitConfig {
            parent: std::process::id(),
            rootfs: bundle.rootfs(),
            status: bundle.status(),
            hostname: self.spec.hostname.clone(),
            mounts: self.mounts(config, personality),
            user: process.user.into(),
            args: process.args,
            env: env
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
            cwd: process.cwd,
            checkpoint_stream: true,
        })
    }

    fn restore_files(&self, archive: &Path, rootfs: &Path) -> std::io::Result<()> {
        let diff = archive.join(names::ROOTFS_DIFF);
        if diff.is_file() {
            let mut diff = tar::Archive::new(File::open(diff)?);
            diff.set_preserve_mtime(true);
            diff.set_preserve_permissions(true);
            diff.unpack(rootfs)?;
        }
        let Ok(deleted) = fs::read(archive.join(names::DELETED_FILES)) else {
            return Ok(());
        };
        let deleted: Vec<std::path::PathBuf> = serde_json::from_slice(&deleted)?;
        for path in deleted {
            let path = rootfs.join(path.strip_prefix("/").unwrap_or(&path));
            match path.symlink_metadata() {
                Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(path)?,
                Ok(_) => fs::remove_file(path)?,
                Err(_) => {}
            }
        }
        Ok(())
    }

    /// CRI-O mounts only what the old container had mounted, containerd everything.
    fn mounts(&self, config: &ContainerConfig, personality: Personality) -> Vec<Mount> {
        let old = |mount: &&Mount| {
            let path = mount.destination.as_str();
            old_mounts(&self.spec).any(|old| old == path) || IGNORED.contains(&path)
        };
        match personality {
            Personality::Crio => config.mounts.iter().filter(old).cloned().collect(),
            Personality::Containerd => config.mounts.clone(),
        }
    }
}

fn old_mounts(spec: &SpecDump) -> impl Iterator<Item = &str> {
    spec.mounts
        .iter()
        .filter(|mount| mount.kind == "bind")
        .map(|mount| mount.destination.as_str())
        .filter(|path| !IGNORED.contains(path))
}

fn read<T: DeserializeOwned>(archive: &Path, name: &str) -> Result<T, RuntimeError> {
    let text = fs::read_to_string(archive.join(name)).map_err(|_| {
        RuntimeError::create(format!(
            "failed to read {name:?}: open {}: no such file or directory",
            archive.join(name).display()
        ))
    })?;
    parse(name, &text)
}

fn parse<T: DeserializeOwned>(name: &str, text: &str) -> Result<T, RuntimeError> {
    serde_json::from_str(text).map_err(|error| {
        // Go's words for nothing at all.
        let cause = if error.is_eof() {
            "unexpected end of JSON input".to_owned()
        } else {
            error.to_string()
        };
        RuntimeError::create(format!("failed to read {name:?}: {cause}"))
    })
}
