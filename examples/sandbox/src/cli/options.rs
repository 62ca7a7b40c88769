//! What `up` and `run` have in common.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, ValueEnum as _};
use color_eyre::eyre::{Result, bail, eyre};

use crate::node::runtime::Personality;
use crate::sandbox::{Info, Options};

/// Options of the sandbox.
#[derive(Clone, Debug, Args)]
pub(super) struct SandboxArgs {
    /// Directory for everything; must be empty or new, and is removed at the end [default: a
    /// temporary one].
    #[arg(long, env = "MS2M_SANDBOX_DIRECTORY")]
    dir: Option<PathBuf>,
    /// Names of the nodes; NAME=RUNTIME for one that behaves as another runtime.
    #[arg(long, value_delimiter = ',', default_value = "node-a,node-b")]
    nodes: Vec<String>,
    /// The container runtime that the other nodes behave as.
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
        let nodes = nodes(&self.nodes, self.runtime)?;
        Ok(Options {
            worker_binary: self.worker_binary.or_else(|| beside("ms2m-worker")),
            transfer_binary: self.transfer_binary.or_else(|| beside("ms2m-transfer")),
            dir: self.dir,
            nodes,
            backoff: Duration::from_millis(self.backoff),
        })
    }
}

/// Nodes as they are named on the command line.
fn nodes(named: &[String], runtime: Personality) -> Result<Vec<(String, Personality)>> {
    let mut nodes = Vec::<(String, Personality)>::new();
    for node in named {
        let (name, runtime) = match node.split_once('=') {
            Some((name, runtime)) => {
                let runtime = Personality::from_str(runtime, true)
                    .map_err(|_| eyre!("--nodes: {runtime:?} is not crio or containerd"))?;
                (name, runtime)
            }
            None => (node.as_str(), runtime),
        };
        if !is_name(name) {
            bail!("--nodes: {name:?} is not a name of lower-case letters, digits and dashes");
        }
        if nodes.iter().any(|(known, _)| known == name) {
            bail!("--nodes names {name} twice");
        }
        nodes.push((name.to_owned(), runtime));
    }
    if nodes.is_empty() || nodes.len() > 100 {
        bail!("--nodes takes one to a hundred nodes");
    }
    Ok(nodes)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_are_named_once_and_well() {
        let named = |names: &[&str]| {
            let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
            nodes(&names, Personality::Crio)
        };
        let two = named(&["a", "b=containerd"]).expect("are nodes");
        let expected = [
            ("a".to_owned(), Personality::Crio),
            ("b".to_owned(), Personality::Containerd),
        ];
        assert_eq!(two, expected);
        for wrong in [&["a", "b", "a"][..], &["A"], &["-a"], &["a=docker"], &[]] {
            assert!(named(wrong).is_err(), "{wrong:?}");
        }
    }
}
