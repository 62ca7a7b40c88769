//! One container from its creation to its removal.

use std::fs;
use std::sync::{Arc, OnceLock};

use jiff::Timestamp;
use rustix::process::Signal;
use tokio::sync::watch;

use super::config::{ContainerConfig, InitConfig};
use super::create::{self, Bundle};
use super::logs::Log;
use super::process::Process;
pub use super::process::Exit;
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
    personality: Personality,
}

impl Runtime {
    /// Creates a container. Its process is not there yet.
    ///
    /// # Errors
    /// When the image or the pod makes that impossible.
    pub async fn create(&self, config: ContainerConfig) -> Result<Container, RuntimeError> {
        let id = create::new_id();
        let root = self.root.clone();
        let personality = self.personality;
        let created = tokio::task::spawn_blocking(move || {
            create_fresh(&root, id, config, personality)
        });
        created
            .await
            .map_err(|error| RuntimeError::create(error.to_string()))?
    }
}

fn create_fresh(
    root: &std::path::Path,
    id: String,
    config: ContainerConfig,
    personality: Personality,
) -> Result<Container, RuntimeError> {
    let io = |error: std::io::Error| RuntimeError::create(error.to_string());
    let bundle = Bundle::create(root, &id, &config.image.rootfs).map_err(io)?;
    let init = create::fresh(&config, &bundle).inspect_err(|_| {
        // What cannot be removed goes with the sandbox's directory.
        let _ = bundle.remove();
    })?;
    bundle.write_config(&init).map_err(io)?;
    Ok(Container {
        image: Arc::clone(&config.image),
        image_name: config.image_name.clone(),
        created: Timestamp::now(),
        log: Log::create(&config.log_path, b"").map_err(io)?,
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
        let failed = |message: String| self.start_error(message);
        let process = Process::start(&self.bundle, &self.log)
            .await
            .map_err(failed)?;
        let stream = Arc::clone(&process.stream);
        // A program that does not know the protocol never reads this, and a program that ends
        // at once closes the stream; neither is the runtime's concern.
        let _ = stream.lock().await.start().await;
        let _ = self.process.set(process);
        Ok(())
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
