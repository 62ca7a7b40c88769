//! The result: what a person or a script wants to know of an archive.

use std::net::SocketAddr;

use crate::archive::Contents;
use crate::metadata::Metadata;
use serde::Serialize;

use super::collect::Collected;

/// What is in an archive. What neither the container engine nor CRIU has written down is absent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Inspection {
    /// The pod that was checkpointed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod: Option<String>,
    /// Its namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// The container.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
    /// `CRI-O`, `containerd`, or as the engine calls itself. Only the same one restores it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub engine: Option<String>,
    /// The OCI runtime. Only the same one restores it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub runtime: Option<String>,
    /// The image that the container was started from; the target node has to have it.
    pub base_image: BaseImage,
    /// `uid:gid` of the first process.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// When the container was started, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created_at: Option<String>,
    /// When the checkpoint was taken, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checkpointed_at: Option<String>,
    /// Whether the container had itself been restored from a checkpoint.
    pub restored: bool,
    /// What takes the room.
    pub sizes: Sizes,
    /// The processes, the first one first. Empty where CRIU has left no images.
    pub processes: Vec<Process>,
    /// Open files of all kinds but TCP and UDP sockets.
    pub files: Vec<Opened>,
    /// TCP and UDP sockets. An established connection ends with the restore.
    pub connections: Vec<Connection>,
    /// Every one of these paths has to be a mount of the new container, too.
    pub mounts: Vec<Mount>,
    /// What was left out, in words, where there was too much of something.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<String>,
}

/// The base image by its several names.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BaseImage {
    /// As the pod named it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requested: Option<String>,
    /// By digest, as the engine knows it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its ID on the source node.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
}

/// Bytes by part.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Sizes {
    /// The whole archive.
    pub archive: u64,
    /// The processes' memory.
    pub memory: u64,
    /// The other images, of descriptors, mounts, threads.
    pub state: u64,
    /// What the container had changed of its image's files.
    pub files: u64,
    /// Logs of the container and of the checkpoint.
    pub logs: u64,
}

/// A process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Process {
    /// As the container sees it.
    pub pid: u32,
    /// 0 for the first one.
    pub parent: u32,
    /// Its name, cut by the kernel at 15 bytes; its arguments are in its memory only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// How many threads it has.
    pub threads: usize,
}

/// An open file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Opened {
    /// What it is.
    pub kind: OpenedKind,
    /// Its path or name, where it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The processes that have it open.
    pub pids: Vec<u32>,
}

/// What an open file is, by CRIU's `fd_types`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum OpenedKind {
    /// A file or a directory.
    File,
    /// A pipe or a FIFO.
    Pipe,
    /// A Unix socket.
    UnixSocket,
    /// A terminal.
    Terminal,
    /// An epoll, an eventfd, a timer, a signalfd or the like.
    Event,
    /// A file in memory without a path.
    Memfd,
    /// A socket of another family.
    OtherSocket,
    /// Anything else.
    Other,
}

/// A TCP or UDP socket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Connection {
    /// What is spoken.
    pub protocol: Protocol,
    /// The own end.
    pub local: SocketAddr,
    /// The other end; none where it listens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remote: Option<SocketAddr>,
    /// As `ss` names it: `LISTEN`, `ESTAB`, …
    pub state: &'static str,
    /// The processes that have it open.
    pub pids: Vec<u32>,
}

/// What a socket speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// Another one over IP.
    Other,
}

/// A mount of the container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Mount {
    /// Where.
    pub path: String,
    /// Of what, as far as it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
}

impl Inspection {
    pub(super) fn new(metadata: Metadata, contents: &Contents, collected: Collected) -> Self {
        Self {
            pod: metadata.pod,
            namespace: metadata.namespace,
            container: metadata.container,
            engine: metadata.engine,
            runtime: metadata.runtime,
            base_image: BaseImage {
                requested: metadata.image_requested,
                name: metadata.image_name,
                id: metadata.image_id,
            },
            user: metadata.user,
            created_at: metadata.created,
            checkpointed_at: metadata.checkpointed,
            restored: metadata.restored,
            sizes: Sizes {
                archive: contents.bytes,
                ..collected.sizes
            },
            processes: collected.processes,
            files: collected.files,
            connections: collected.connections,
            mounts: if collected.mounts.is_empty() {
                let mounts = metadata.mounts.into_iter();
                mounts
                    .map(|(path, source)| Mount { path, source })
                    .collect()
            } else {
                collected.mounts
            },
            left_out: collected.left_out,
        }
    }
}
