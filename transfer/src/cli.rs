//! The command line, and the validated settings that come of it and of the environment.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::builder::{BoolishValueParser, NonEmptyStringValueParser};
use clap::{Parser, ValueEnum};
use ms2m_transfer::env;
use oci_client::Reference;

use crate::failure::Failure;
use crate::frame::Format;
use crate::sender::Direct;

const AFTER_HELP: &str = "\
Output:
  stdout  one JSON object a line: waiting, started, progress, retrying, then pushed or failed
  stderr  words for people
  The last object is also written to the termination log, if that file exists.

Exit codes:
  0    the image was pushed and read back
  2    a flag, the environment or the credentials file is wrong; nothing was touched
  3    the archive is missing or cannot be read
  4    the archive is truncated, still being written, or no checkpoint archive
  5    the registry refused the credentials or their rights (401, 403)
  6    the registry could not be reached or failed, also after retries
  143  stopped by SIGTERM or SIGINT

The archive holds the process's whole memory, secrets included. It is deleted after the push,
and after a failure too, since a new attempt takes a new checkpoint; --keep-archive keeps it.
A file that is no checkpoint archive is never deleted.

HTTPS is verified with the certificate authorities of the system, or of the file that
SSL_CERT_FILE names, or with Mozilla's, which are built in, when the system has none.

Examples:
  # Push a checkpoint by hand and keep the archive:
  ms2m-transfer --keep-archive \\
      --archive /var/lib/kubelet/checkpoints/checkpoint-worker-0_shop-worker-2026-01-31T12:00:00Z.tar \\
      --image registry.example:5000/checkpoints/worker-0:20260131-120000

  # Into a registry on the same host without TLS and without compression:
  ms2m-transfer --archive checkpoint.tar --image localhost:5000/cp:1 --plain-http --compression none

  # To a receiver on another node (ms2m-transfer receive), without any registry:
  ms2m-transfer --archive checkpoint.tar --image localhost:5351/ms2m/worker-0:1 \\
      --receiver 10.0.0.7:5352 --direct-secrets /etc/ms2m/direct

  # With credentials from the directory that `docker login` or a Secret filled:
  DOCKER_CONFIG=/etc/registry ms2m-transfer --archive checkpoint.tar --image registry.example/cp:1
";

/// Pack a kubelet's checkpoint archive as an OCI image and push it, in one pass.
///
/// The image has the archive as its only layer and the annotations by which CRI-O and containerd
/// know that it is to be restored. Memory use does not depend on the archive's size.
#[derive(Debug, Parser)]
#[command(name = "ms2m-transfer", version, after_long_help = AFTER_HELP)]
pub(crate) struct Cli {
    /// The kubelet's checkpoint archive
    #[arg(long, value_name = "FILE", env = env::ARCHIVE, required_unless_present = "archive_prefix")]
    archive: Option<PathBuf>,

    /// Beginning of the path of an archive that is yet to come: wait for it
    #[arg(long, value_name = "PATH", env = env::ARCHIVE_PREFIX, conflicts_with_all = ["archive", "discard"])]
    archive_prefix: Option<PathBuf>,

    /// Reference to push, with a tag that no other checkpoint has
    #[arg(long, value_name = "HOST[:PORT]/REPOSITORY:TAG", env = env::IMAGE, hide_env_values = true)]
    image: String,

    /// Namespace of the source pod [default: as the archive says]
    #[arg(long, value_name = "NAME", env = env::NAMESPACE)]
    namespace: Option<String>,

    /// Name of the source pod [default: as the archive says]
    #[arg(long, value_name = "NAME", env = env::POD)]
    pod: Option<String>,

    /// Name of the checkpointed container [default: as the archive says]
    #[arg(long, value_name = "NAME", env = env::CONTAINER)]
    container: Option<String>,

    /// Node that the checkpoint was taken on
    #[arg(long, value_name = "NAME", env = env::SOURCE_NODE)]
    source_node: Option<String>,

    /// Compression of the layer
    #[arg(long, value_enum, default_value_t, env = env::COMPRESSION)]
    compression: Compression,

    /// Speak plain HTTP to the registry
    #[arg(long, env = env::PLAIN_HTTP, value_parser = BoolishValueParser::new())]
    plain_http: bool,

    /// Do not delete the archive
    #[arg(long, env = env::KEEP_ARCHIVE, value_parser = BoolishValueParser::new())]
    keep_archive: bool,

    /// Delete the archive and push nothing
    #[arg(long, env = env::DISCARD, conflicts_with = "keep_archive", value_parser = BoolishValueParser::new())]
    discard: bool,

    /// Directory of a config.json with registry credentials [default: ~/.docker]
    #[arg(long, value_name = "DIR", env = env::DOCKER_CONFIG)]
    docker_config: Option<PathBuf>,

    /// Push to the receiver at this address, instead of to the registry that the image names
    #[arg(long, value_name = "ADDRESS:PORT", env = env::RECEIVER, requires = "direct_secrets")]
    receiver: Option<SocketAddr>,

    /// Directory with certificates, key and token for the receiver
    #[arg(long, value_name = "DIR", env = env::DIRECT_SECRETS)]
    direct_secrets: Option<PathBuf>,

    /// Existing file that takes the result as JSON
    #[arg(long, value_name = "FILE", env = env::TERMINATION_LOG,
          default_value = env::TERMINATION_LOG_DEFAULT,
          value_parser = NonEmptyStringValueParser::new())]
    termination_log: String,
}

/// How the layer is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum Compression {
    /// zstd at its fastest level, on several threads
    #[default]
    Zstd,
    /// gzip at its fastest level
    Gzip,
    /// The archive as it is
    None,
    /// zstd or none, whichever takes less time as measured with the first megabytes and the link
    Auto,
}

impl Compression {
    /// What is asked for; nothing if it is to be found out.
    pub(crate) fn format(self) -> Option<Format> {
        match self {
            Self::Zstd => Some(Format::Zstd),
            Self::Gzip => Some(Format::Gzip),
            Self::None => Some(Format::None),
            Self::Auto => None,
        }
    }
}

/// Where the checkpoint comes from, as far as the caller says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Origin {
    pub(crate) namespace: Option<String>,
    pub(crate) pod: Option<String>,
    pub(crate) container: Option<String>,
    pub(crate) source_node: Option<String>,
}

/// What to do, validated.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// Empty until the one that is waited for is there.
    pub(crate) archive: PathBuf,
    /// The beginning of its path, if it is waited for: then it may still be written.
    pub(crate) archive_prefix: Option<PathBuf>,
    /// Has a tag and no digest.
    pub(crate) image: Reference,
    pub(crate) origin: Origin,
    pub(crate) compression: Compression,
    pub(crate) plain_http: bool,
    pub(crate) keep_archive: bool,
    pub(crate) discard: bool,
    pub(crate) docker_config: Option<PathBuf>,
    /// The receiver that takes the registry's place.
    pub(crate) direct: Option<Direct>,
}

impl Cli {
    /// Path of the termination message.
    pub(crate) fn termination_log(&self) -> PathBuf {
        PathBuf::from(&self.termination_log)
    }

    /// Validates what clap cannot.
    ///
    /// # Errors
    /// A configuration failure that names the flag and its variable.
    pub(crate) fn settings(self) -> Result<Settings, Failure> {
        Ok(Settings {
            image: reference(&self.image)?,
            archive: self.archive.unwrap_or_default(),
            archive_prefix: self.archive_prefix,
            origin: Origin {
                namespace: given(self.namespace),
                pod: given(self.pod),
                container: given(self.container),
                source_node: given(self.source_node),
            },
            compression: self.compression,
            plain_http: self.plain_http,
            keep_archive: self.keep_archive,
            discard: self.discard,
            docker_config: self.docker_config.or_else(default_docker_config),
            direct: self
                .receiver
                .zip(self.direct_secrets)
                .map(|(receiver, secrets)| Direct { receiver, secrets }),
        })
    }
}

fn given(value: Option<String>) -> Option<String> {
    value.filter(|value| !value.is_empty())
}

fn default_docker_config() -> Option<PathBuf> {
    std::env::home_dir().map(|home| home.join(".docker"))
}

fn reference(text: &str) -> Result<Reference, Failure> {
    crate::reference::parse(text).map_err(|why| {
        // A reference with a user in it may have the password in it, too.
        let shown = if text.contains('@') {
            "the image reference".to_owned()
        } else {
            format!("the image reference {text:?}")
        };
        Failure::config(
            format!("{shown} cannot be used: {why}"),
            format!(
                "set --image or {} to HOST[:PORT]/REPOSITORY:TAG",
                env::IMAGE
            ),
        )
    })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_password_in_the_reference_is_not_repeated() {
        let failure = reference("me:hunter2@host/cp:1").expect_err("a user is in it");
        assert!(!failure.to_string().contains("hunter2"));
    }
}
