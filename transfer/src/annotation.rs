//! Keys of the annotations on a checkpoint image's manifest.
//!
//! The two keys in [`RESTORE_KEYS`] decide whether a runtime restores the image or runs it as an
//! ordinary one; only their presence counts, and only on an OCI manifest. The others are
//! informational: the names are checkpointctl's (`lib/metadata.go`), which podman, CRI-O and
//! containerd share.

/// CRI-O restores an image whose manifest has this key. Value: name of the container.
pub const CRIO_CONTAINER_NAME: &str = "io.kubernetes.cri-o.annotations.checkpoint.name";

/// containerd restores an image whose manifest has this key. Value: name of the container.
pub const CONTAINER_NAME: &str = "org.criu.checkpoint.container.name";

/// The keys without which no runtime restores the image; every image has both.
pub const RESTORE_KEYS: [&str; 2] = [CRIO_CONTAINER_NAME, CONTAINER_NAME];

/// Name of the pod that was checkpointed.
pub const POD_NAME: &str = "org.criu.checkpoint.pod.name";

/// Namespace of the pod that was checkpointed.
pub const POD_NAMESPACE: &str = "org.criu.checkpoint.pod.namespace";

/// Container engine that took the checkpoint: `CRI-O` or `containerd`.
pub const ENGINE_NAME: &str = "org.criu.checkpoint.engine.name";

/// Low-level runtime that ran the container, for instance `runc`.
pub const RUNTIME_NAME: &str = "org.criu.checkpoint.runtime.name";

/// Image of the container as its pod asked for it.
pub const ROOTFS_IMAGE_USER_REQUESTED: &str = "org.criu.checkpoint.rootfsImageUserRequested";

/// Image of the container under the name that the engine resolved.
pub const ROOTFS_IMAGE_NAME: &str = "org.criu.checkpoint.rootfsImageName";

/// Image of the container by the engine's ID; it has to be on the target node for a restore.
pub const ROOTFS_IMAGE_ID: &str = "org.criu.checkpoint.rootfsImageID";

/// CPU architecture of the checkpoint, as Go names it (`amd64`, `arm64`).
pub const HOST_ARCH: &str = "org.criu.checkpoint.host.arch";

/// Node that the checkpoint was taken on. A key of ms2m's own.
pub const SOURCE_NODE: &str = "io.ms2m.migration.source-node";

/// When the image was made, RFC 3339 (`org.opencontainers.image.created`).
pub const CREATED: &str = "org.opencontainers.image.created";
