//! One container from its creation to its removal.

use std::fs;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use jiff::Timestamp;
use rustix::process::{Pid, Signal};
use tokio::sync::watch;

use super::checkpoint::names;
use super::config::{ContainerConfig, InitConfig};
use super::create::{self, Bundle};
use super::logs::Log;
pub use super::process::Exit;
use super::process::{Process, ended};
use super::restore::Checkpoint;
use super::{Personality, Runtime, RuntimeError, Step};
use crate::node::images::Image;

/// A container that was created, and perhaps started.
#[derive(Debug)]
pub struct Container {
    /// 64 hexadecimal digits.
    pub id: String,
    /// What was asked for.
    pub config: ContainerConfig,
    /// The image that its root directory was copied from: for a restored container not the one
    /// that was asked for.
    pub image: Arc<Image>,
    /// That image's name in a status.
    pub image_name: String,
    /// When it was created.
    pub created: Timestamp,
    /// Where its output goes.
    pub log: Log,
    pub(super) init: InitConfig,
    pub(super) bundle: Bundle,
    pub(super) process: OnceLock<Process>,
    pub(super) personality: Personality,
    /// Whether it was made of a checkpoint.
    pub restored: bool,
    /// How its start will fail, if it will.
    doomed: Option<String>,
}

/// How long a process may take to take its memory in: the kubelet's runtime timeout.
const RESTORE_LIMIT: Duration = Duration::from_secs(120);

impl Runtime {
    /// Creates a container, from its image or from the checkpoint in it. Its process is not
    /// there yet.
    ///
    /// # Errors
    /// When the image, the checkpoint or the pod makes that impossible.
    pub async fn create(&self, config: ContainerConfig) -> Result<Container, RuntimeError> {
        let restores = self.restores(&config.image);
        let _alone = if restores {
            self.restore_alone(&config.image)?
        } else {
            None
        };
        let checkpoint = if restores {
            Some(self.open_checkpoint(&config).await?)
        } else {
            None
        };
        let root = self.root.clone();
        let personality = self.personality;
        let created =
            tokio::task::spawn_blocking(move || create(&root, config, checkpoint, personality));
        created
            .await
            .map_err(|error| RuntimeError::create(error.to_string()))?
    }
}

fn create(
    root: &std::path::Path,
    config: ContainerConfig,
    checkpoint: Option<Checkpoint>,
    personality: Personality,
) -> Result<Container, RuntimeError> {
    let io = |error: std::io::Error| RuntimeError::create(error.to_string());
    let id = create::new_id();
    let (image, image_name) = match &checkpoint {
        Some(checkpoint) => (Arc::clone(&checkpoint.base), checkpoint.base_name.clone()),
        None => (Arc::clone(&config.image), config.image_name.clone()),
    };
    let bundle = Bundle::create(root, &id, &image.rootfs).map_err(io)?;
    let init = match &checkpoint {
        Some(checkpoint) => checkpoint.unpack(&config, &bundle, personality),
        None => create::fresh(&config, &bundle),
    };
    let init = init.inspect_err(|_| {
        // What cannot be removed goes with the sandbox's directory.
        let _ = bundle.remove();
    })?;
    bundle.write_config(&init).map_err(io)?;
    let log = checkpoint
        .as_ref()
        .map_or(&[][..], |checkpoint| &checkpoint.log);
    Ok(Container {
        log: Log::create(&config.log_path, log).map_err(io)?,
        restored: checkpoint.is_some(),
        doomed: checkpoint.and_then(|checkpoint| checkpoint.doomed),
        image,
        image_name,
        created: Timestamp::now(),
        init,
        bundle,
        process: OnceLock::new(),
        personality,
        id,
        config,
    })
}

impl Container {
    /// Starts the container's process and tells it how to begin.
    ///
    /// # Errors
    /// When its program cannot be run or the checkpoint not be restored.
    pub async fn start(&self) -> Result<(), RuntimeError> {
        if let Some(cause) = &self.doomed {
            return Err(self.restore_error(cause));
        }
        let process = Process::start(&self.bundle, &self.log)
            .await
            .map_err(|message| self.start_error(message))?;
        if self.restored {
            self.restore(&process)
                .await
                .map_err(|cause| self.restore_error(&cause))?;
        } else {
            let stream = Arc::clone(&process.stream);
            // A program that does not know the protocol never reads this, and a program that
            // ends at once closes the stream; neither is the runtime's concern.
            let _ = stream.lock().await.start().await;
        }
        let _ = self.process.set(process);
        Ok(())
    }

    /// Hands the process the memory that it is to have.
    async fn restore(&self, process: &Process) -> Result<(), String> {
        let path = self.config.image.rootfs.join(names::MEMORY);
        let mut file = tokio::fs::File::open(&path)
            .await
            .map_err(|error| error.to_string())?;
        let length = file
            .metadata()
            .await
            .map_err(|error| error.to_string())?
            .len();
        let mut exit = process.exit();
        let stream = Arc::clone(&process.stream);
        let begun = async {
            let mut stream = stream.lock().await;
            stream.restore(&mut file, length).await?;
            stream.started().await
        };
        tokio::select! {
            begun = begun => begun.map_err(|error| error.to_string()),
            () = ended(&mut exit) => Err("the process has ended".to_owned()),
            () = tokio::time::sleep(RESTORE_LIMIT) => Err("context deadline exceeded".to_owned()),
        }
    }

    /// What a failed restore looks like. What failed is in a log on the node, and only there.
    fn restore_error(&self, cause: &str) -> RuntimeError {
        tracing::warn!(container = self.id, cause, "restore failed");
        match self.personality {
            Personality::Crio => RuntimeError {
                step: Step::Start,
                message: format!(
                    "failed to restore container {}: failed to restore container {}: criu failed: type RESTORE errno 0",
                    self.config.name, self.id
                ),
            },
            Personality::Containerd => RuntimeError {
                step: Step::DeadStart,
                message: "OCI runtime restore failed: criu failed: type RESTORE errno 0".to_owned(),
            },
        }
    }

    /// What a program that cannot be run looks like: CRI-O has the OCI runtime prepare the
    /// process when the container is created, containerd when it is started.
    fn start_error(&self, message: String) -> RuntimeError {
        match self.personality {
            Personality::Crio => RuntimeError {
                step: Step::Create,
                message: format!("container create failed: {message}"),
            },
            Personality::Containerd => RuntimeError {
                step: Step::DeadStart,
                message: format!(
                    "failed to create containerd task: failed to create shim task: OCI runtime create failed: runc create failed: unable to start container process: {message}"
                ),
            },
        }
    }

    /// Tells when the container has ended, and how; nothing before it was started.
    pub fn exit(&self) -> Option<watch::Receiver<Option<Exit>>> {
        self.process.get().map(Process::exit)
    }

    /// Whether its process is there.
    pub fn running(&self) -> bool {
        self.process
            .get()
            .is_some_and(|process| process.exit().borrow().is_none())
    }

    /// The process id, while the process is there.
    pub fn pid(&self) -> Option<Pid> {
        let process = self.process.get().filter(|_| self.running())?;
        Some(process.pid)
    }

    /// Sends a signal to the process, if there is one.
    pub fn signal(&self, signal: Signal) {
        if let Some(process) = self.process.get() {
            process.signal(signal);
        }
    }

    /// Deletes the container's files. The log stays.
    pub fn remove(&self) {
        if let Err(error) = fs::remove_dir_all(&self.bundle.directory) {
            tracing::debug!(container = self.id, %error, "files of a container stay");
        }
    }
}
