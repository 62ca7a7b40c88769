//! The names in a checkpoint archive, and the annotations that make an image of one. Source:
//! checkpointctl's `lib`, CRI-O's `internal/lib/checkpoint.go` and containerd's
//! `container_checkpoint_linux.go`.

/// About the container.
pub(in crate::node::runtime) const CONFIG_DUMP: &str = "config.dump";
/// The OCI runtime specification.
pub(in crate::node::runtime) const SPEC_DUMP: &str = "spec.dump";
/// containerd: the container's status.
pub(in crate::node::runtime) const STATUS_DUMP: &str = "status.dump";
/// What the dump had to say.
pub(in crate::node::runtime) const DUMP_LOG: &str = "dump.log";
/// How long the dump took.
pub(in crate::node::runtime) const STATS_DUMP: &str = "stats-dump";
/// New and changed files of the root directory.
pub(in crate::node::runtime) const ROOTFS_DIFF: &str = "rootfs-diff.tar";
/// CRI-O: files that are gone from the root directory.
pub(in crate::node::runtime) const DELETED_FILES: &str = "deleted.files";
/// CRI-O: the mounts from outside.
pub(in crate::node::runtime) const BIND_MOUNTS: &str = "bind.mounts";
/// CRI-O: the container's log.
pub(in crate::node::runtime) const CRIO_LOG: &str = "io.kubernetes.cri-o.LogPath";
/// containerd: the container's log.
pub(in crate::node::runtime) const CONTAINERD_LOG: &str = "container.log";
/// The memory, as the process itself has written it. CRIU's images have other names.
pub(in crate::node::runtime) const MEMORY: &str = "checkpoint/snapshot.img";

/// The annotation of the manifest that makes CRI-O restore an image.
pub(in crate::node::runtime) const CRIO_ANNOTATION: &str =
    "io.kubernetes.cri-o.annotations.checkpoint.name";
/// The annotation of the manifest that makes containerd restore an image.
pub(in crate::node::runtime) const CONTAINERD_ANNOTATION: &str =
    "org.criu.checkpoint.container.name";

/// CRI-O's annotations of a container, in the runtime specification.
pub(in crate::node::runtime) const CRIO_ANNOTATIONS: &str = "io.kubernetes.cri-o.Annotations";
