//! Names of the environment variables that configure the transfer, and their defaults.
//!
//! Every variable has a command-line flag of the same meaning; a flag wins over the environment.
//! An empty name (of namespace, pod, container or node) counts as unset.

/// Path of the kubelet's checkpoint archive as the container sees it. Required.
pub const ARCHIVE: &str = "MS2M_ARCHIVE";

/// Beginning of the path of an archive that is not there yet, in place of [`ARCHIVE`]: the next
/// file that is named so, with a time in RFC 3339 and `.tar` behind it, is taken as soon as it is
/// there, and read while it is still being written.
pub const ARCHIVE_PREFIX: &str = "MS2M_ARCHIVE_PREFIX";

/// Reference to push, `host[:port]/repository:tag`. Required, with an explicit tag.
///
/// The caller makes the tag unique: container runtimes reuse a tag that they already have.
pub const IMAGE: &str = "MS2M_IMAGE";

/// Namespace of the source pod, for the annotations. Default: as recorded in the archive.
pub const NAMESPACE: &str = "MS2M_NAMESPACE";

/// Name of the source pod, for the annotations. Default: as recorded in the archive.
pub const POD: &str = "MS2M_POD";

/// Name of the checkpointed container, for the annotations. Default: as recorded in the archive.
pub const CONTAINER: &str = "MS2M_CONTAINER";

/// Name of the node that the checkpoint was taken on, for the annotations. Optional.
pub const SOURCE_NODE: &str = "MS2M_SOURCE_NODE";

/// Compression of the layer: `zstd` (the default), `gzip`, `none` or `auto`.
pub const COMPRESSION: &str = "MS2M_COMPRESSION";

/// `true` speaks plain HTTP to the registry. Default: HTTPS.
pub const PLAIN_HTTP: &str = "MS2M_PLAIN_HTTP";

/// `true` keeps the archive on the node. Default: it is deleted, after a failure as well.
pub const KEEP_ARCHIVE: &str = "MS2M_KEEP_ARCHIVE";

/// `true` deletes the archive and pushes nothing: for one that is not wanted any more.
pub const DISCARD: &str = "MS2M_DISCARD";

/// File that takes the termination message. It is written only if it is there already, as the
/// kubelet makes it.
pub const TERMINATION_LOG: &str = "MS2M_TERMINATION_LOG";

/// Where the kubelet mounts a container's termination message file unless the pod says otherwise.
pub const TERMINATION_LOG_DEFAULT: &str = "/dev/termination-log";

/// Directory with a `config.json` that holds the registry's credentials, in Docker's format.
/// Without one the registry is used anonymously.
pub const DOCKER_CONFIG: &str = "DOCKER_CONFIG";

/// PEM bundle with the certificate authorities to trust. Default: the system's, or Mozilla's, which
/// are built in, where the system has none (as in an image made `FROM scratch`).
pub const SSL_CERT_FILE: &str = "SSL_CERT_FILE";

/// Address and port of a receiver to push to instead of the registry that the image names. Such an
/// image is named as the receiver's node sees it. Optional.
pub const RECEIVER: &str = "MS2M_RECEIVER";

/// Directory with the files of [`crate::direct`]. Required by a receiver, and to push to one.
pub const DIRECT_SECRETS: &str = "MS2M_DIRECT_SECRETS";

/// Of a receiver: the one repository that it takes and serves.
pub const RECEIVE_REPOSITORY: &str = "MS2M_RECEIVE_REPOSITORY";

/// Of a receiver: the port on loopback that images are pulled from.
pub const RECEIVE_PORT: &str = "MS2M_RECEIVE_PORT";

/// Of a receiver: the address of its node on which it takes the image.
pub const RECEIVE_ADDRESS: &str = "MS2M_RECEIVE_ADDRESS";

/// Of a receiver: directory that the image is kept in, encrypted and without a name.
pub const RECEIVE_DIRECTORY: &str = "MS2M_RECEIVE_DIRECTORY";
