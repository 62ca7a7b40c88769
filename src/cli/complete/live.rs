//! Names from the live cluster, or silence: whoever presses Tab waits for the answer.

use std::sync::mpsc;
use std::time::Duration;

use kube::config::Kubeconfig;

use super::line::Line;
use crate::cluster::{self, Named};

/// How long an answer may take. A cluster on the other side of the world, or one that asks an
/// external program for credentials, needs most of it; one nearby, some milliseconds.
const LIMIT: Duration = Duration::from_secs(1);

/// What is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sought {
    Pods,
    Nodes,
    Namespaces,
    Migrations,
    /// Contexts of the kubeconfig.
    Contexts,
}

/// The names of what is sought; none if they cannot be had in time.
pub(super) fn names(line: &Line, sought: Sought) -> Vec<String> {
    let named = match sought {
        Sought::Contexts => return contexts(line),
        Sought::Pods => Named::Pods,
        Sought::Nodes => Named::Nodes,
        Sought::Namespaces => Named::Namespaces,
        Sought::Migrations => Named::Migrations,
    };
    let (tell, told) = mpsc::channel();
    let connect = line.connect.clone();
    // A thread, since a program for credentials blocks: the process ends without it.
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        if let Ok(runtime) = runtime {
            let look = async { Some(cluster::connect(&connect).await.ok()?.names(named).await) };
            // Nobody listens any more when it took too long.
            let _ = tell.send(runtime.block_on(look).unwrap_or_default());
        }
    });
    told.recv_timeout(LIMIT).unwrap_or_default()
}

fn contexts(line: &Line) -> Vec<String> {
    let read = match &line.connect.kubeconfig {
        Some(path) => Kubeconfig::read_from(path),
        None => Kubeconfig::read(),
    };
    let found = read.map(|it| it.contexts).unwrap_or_default();
    found.into_iter().map(|it| it.name).collect()
}
