//! Checkpoint of a running container: its memory, what it changed in its root directory and
//! what is known about it, in one archive.

mod archive;
pub(super) mod metadata;
pub(super) mod names;

use std::path::Path;
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio_util::sync::CancellationToken;

use super::container::Container;
use super::process::{Process, ended};
use super::{Personality, rootfs};
use crate::node::runtime::create::mount_points;

/// How long a program may take to begin before it is taken for one that cannot be checkpointed.
const BEGIN_LIMIT: Duration = Duration::from_secs(2);

impl Container {
    /// Writes a checkpoint of the running container to `archive`, within `limit`. The container
    /// runs on afterwards. `abandoned` tells that nobody waits for the answer any more.
    ///
    /// # Errors
    /// In the runtime's words.
    pub async fn checkpoint(
        &self,
        archive: &Path,
        limit: Duration,
        abandoned: CancellationToken,
    ) -> Result<(), String> {
        let process = self
            .process
            .get()
            .filter(|_| self.running())
            .ok_or_else(|| format!("container {} is not running", self.id))?;
        let id = &self.id;
        let Ok(mut stream) = process.stream.clone().try_lock_owned() else {
            return Err(format!(
                "failed to pause container {id:?} before checkpointing"
            ));
        };
        let work = tempfile::Builder::new()
            .prefix("checkpoint-")
            .tempdir_in(&self.bundle.directory)
            .map_err(|error| format!("failed to checkpoint container {id}: {error}"))?;
        let dump = self.dump(process, &mut stream, work.path());
        let dumped = match tokio::time::timeout(limit, dump).await {
            Ok(dumped) => dumped,
            Err(_) => Err("context deadline exceeded".to_owned()),
        };
        dumped.map_err(|error| format!("failed to checkpoint container {id}: {error}"))?;
        // containerd lets the container go on as soon as its memory is out; a caller who has
        // hung up by then leaves it paused. CRI-O goes on when the archive is written.
        let failed = |error: String| format!("failed to checkpoint container {id}: {error}");
        match self.personality {
            Personality::Containerd if abandoned.is_cancelled() => {
                // Nobody lets it go on any more, and nobody can pause it again.
                std::mem::forget(stream);
                Err(failed("context canceled".to_owned()))
            }
            Personality::Containerd => {
                stream
                    .resume()
                    .await
                    .map_err(|error| failed(error.to_string()))?;
                drop(stream);
                self.write_archive(work, archive).await.map_err(failed)
            }
            Personality::Crio => {
                let written = self.write_archive(work, archive).await;
                stream
                    .resume()
                    .await
                    .map_err(|error| failed(error.to_string()))?;
                written.map_err(failed)
            }
        }
    }

    /// Freezes the container and puts its memory below `work`.
    async fn dump(
        &self,
        process: &Process,
        stream: &mut super::process::Stream,
        work: &Path,
    ) -> Result<(), String> {
        let criu = |cause: &str| {
            format!(
                "criu failed: type NOTIFY errno 0 ({cause})\nlog file: {}",
                work.join(names::DUMP_LOG).display()
            )
        };
        let begun = tokio::time::timeout(BEGIN_LIMIT, stream.started()).await;
        if !matches!(begun, Ok(Ok(()))) {
            return Err(criu("the program has no part in checkpoints"));
        }
        let path = work.join(names::MEMORY);
        if let Some(directory) = path.parent() {
            tokio::fs::create_dir_all(directory)
                .await
                .map_err(|error| error.to_string())?;
        }
        let mut file = tokio::fs::File::create(&path)
            .await
            .map_err(|error| error.to_string())?;
        let mut exit = process.exit();
        let copy = async {
            let mut image = stream
                .checkpoint()
                .await
                .map_err(|error| error.to_string())?;
            tokio::io::copy_buf(&mut image, &mut file)
                .await
                .map_err(|error| error.to_string())?;
            file.flush().await.map_err(|error| error.to_string())
        };
        tokio::select! {
            copied = copy => copied.map_err(|error| criu(&error)),
            () = ended(&mut exit) => Err(criu("the process is gone")),
        }
    }

    async fn write_archive(&self, work: tempfile::TempDir, archive: &Path) -> Result<(), String> {
        let metadata = metadata::collect(self);
        let container = archive::Source {
            image: self.image.rootfs.clone(),
            rootfs: self.bundle.rootfs(),
            mount_points: mount_points(&self.init),
            log: self.log.path().to_owned(),
            personality: self.personality,
        };
        let archive = archive.to_owned();
        let written = tokio::task::spawn_blocking(move || {
            let diff = rootfs::diff(&container.image, &container.rootfs, &container.mount_points)?;
            archive::write(&archive, work.path(), &container, &diff, &metadata)
        });
        written
            .await
            .map_err(|error| error.to_string())?
            .map_err(|error| error.to_string())
    }
}
