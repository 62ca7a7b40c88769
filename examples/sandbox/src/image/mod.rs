//! OCI images of one static binary, without a container engine: packed into an archive, pushed
//! to a registry. Nothing is ever pulled or built here, and there is no base image.

mod archive;
mod pack;
mod push;

pub(crate) use archive::Hashing;
#[cfg(test)]
pub(crate) use archive::digest;
pub use archive::{Archive, OCI_CONFIG, OCI_LAYER_GZIP, OCI_MANIFEST};
pub(crate) use pack::architecture;
pub use pack::{PackOptions, pack};
pub use push::{client, push};

/// The registry of a reference in the form that the sandbox's own programs and manifests use.
///
/// # Errors
/// When the text is no image reference.
pub fn reference(text: &str) -> Result<oci_client::Reference, Error> {
    text.parse().map_err(|source| Error::Reference {
        reference: text.to_owned(),
        source,
    })
}

/// Why an image could not be packed or pushed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file could not be read or written.
    #[error("failed to {action} {path}")]
    File {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: std::path::PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// The binary would not run in an empty image.
    #[error("{path} is linked dynamically: an image without a base needs a static binary")]
    Dynamic {
        /// The binary.
        path: std::path::PathBuf,
    },
    /// The text is no image reference.
    #[error("{reference:?} is not an image reference")]
    Reference {
        /// The text.
        reference: String,
        /// The cause.
        source: oci_client::ParseError,
    },
    /// The archive is not what [`pack`] writes.
    #[error("{path} is not an OCI archive with one image: {problem}")]
    Archive {
        /// The archive.
        path: std::path::PathBuf,
        /// What is missing.
        problem: String,
    },
    /// JSON could not be written or read.
    #[error("failed to handle image metadata")]
    Json(#[from] serde_json::Error),
    /// The registry refused or failed.
    #[error("failed to push {reference}")]
    Push {
        /// The reference.
        reference: String,
        /// The cause.
        source: oci_client::errors::OciDistributionError,
    },
}
