//! What `up` and `run` have in common.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use color_eyre::eyre::{Result, bail};

use crate::node::runtime::Personality;
use crate::sandbox::{Info, Options};

/// Options of the sandbox.
#[derive(Clone, Debug, Args)]
pub(super) struct SandboxArgs {
    /// Directory for everything; must be empty or new, and is removed at the end [default: a
    /// temporary one].
    #[arg(long, env = "MS2M_SANDBOX_DIRECTORY")]
    dir: Option<PathBuf>,
    /// Names of the nodes.
    #[arg(long, value_delimiter = ',', default_value = "node-a,node-b")]
    nodes: Vec<String>,
    /// The container runtime that the nodes behave as.
    #[arg(long, value_enum, default_value_t)]
    runtime: Personality,
    /// Static binary for the image ms2m-worker:dev [default: the one beside this program].
    #[arg(long, env = "MS2M_SANDBOX_WORKER_BINARY")]
    worker_binary: Option<PathBuf>,
    /// Static binary for the image ms2m-transfer:dev [default: the one beside this program].
    #[arg(long, env = "MS2M_SANDBOX_TRANSFER_BINARY")]
    transfer_binary: Option<PathBuf>,
    /// First pause in milliseconds before a kubelet tries again what failed; it doubles.
    #[arg(long, default_value_t = 10_000, value_name = "MS")]
    backoff: u64,
}

impl SandboxArgs {
    pub(super) fn options(self) -> Result<Options> {
        let names = &self.nodes;
        if names.is_empty() || names.len() > 100 || names.iter().any(|name| !is_name(name)) {
            bail!("--nodes takes one to a hundred names of lower-case letters, digits and dashes");
        }
        if (1..names.len()).any(|index| names[index..].contains(&names[index - 1])) {
            bail!("--nodes names a node twice");
        }
        Ok(Options {
            worker_binary: self.worker_binary.or_else(|| beside("ms2m-worker")),
            transfer_binary: self.transfer_binary.or_else(|| beside("ms2m-transfer")),
            dir: self.dir,
            nodes: self.nodes,
            personality: self.runtime,
            backoff: Duration::from_millis(self.backoff),
        })
    }
}

fn is_name(name: &str) -> bool {
    let legal =
        |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '-';
    !name.is_empty()
        && name.len() <= 63
        && name.chars().all(legal)
        && !name.starts_with('-')
        && !name.ends_with('-')
}

/// A program of the workspace that was built together with this one.
fn beside(name: &str) -> Option<PathBuf> {
    let own = std::env::current_exe().ok()?;
    let directory = own.parent()?;
    // A test's executable lies one directory deeper.
    [directory, directory.parent().unwrap_or(Path::new("/"))]
        .map(|directory| directory.join(name))
        .into_iter()
        .find(|path| path.is_file())
}

/// What a person wants to know at the start.
pub(super) fn banner(info: &Info) -> String {
    let none = || "none: its binary was not found".to_owned();
    format!(
        "ms2m sandbox in {}\n\
         \x20 checkpoints   {}\n\
         \x20 API server    {}  (KUBECONFIG={})\n\
         \x20 broker        {}\n\
         \x20 registry      {}\n\
         \x20 worker image  {}\n\
         \x20 transfer      {}\n\
         \x20 faults        {}\n\
         \x20 nodes         {}\n",
        info.dir.display(),
        info.checkpoint,
        info.api_server,
        info.kubeconfig.display(),
        info.management_url,
        info.registry,
        info.worker_image.clone().unwrap_or_else(none),
        info.transfer_image.clone().unwrap_or_else(none),
        info.control_url,
        info.nodes.join(", "),
    )
}
