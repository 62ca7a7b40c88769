//! Pulls one image: manifest, configuration and layers, each checked against its digest.

use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use oci_client::client::{Client, ClientConfig, ClientProtocol};
use oci_client::errors::OciDistributionError;
use oci_client::manifest::{
    IMAGE_DOCKER_CONFIG_MEDIA_TYPE, IMAGE_MANIFEST_LIST_MEDIA_TYPE, IMAGE_MANIFEST_MEDIA_TYPE,
    OCI_IMAGE_INDEX_MEDIA_TYPE, OCI_IMAGE_MEDIA_TYPE, OciDescriptor, OciImageIndex,
    OciImageManifest,
};
use oci_client::secrets::RegistryAuth;
use oci_client::{ParseError, Reference};
use tokio::fs;

use super::unpack::unpack;
use super::{Image, ImageConfig};
use crate::image::architecture;

/// Why an image is not there.
#[derive(Debug, thiserror::Error)]
pub enum PullError {
    /// The name is no reference.
    #[error("couldn't parse image name {name:?}: {source}")]
    Name {
        /// The name.
        name: String,
        /// The cause.
        source: ParseError,
    },
    /// The registry refused or failed.
    #[error("failed to pull image {reference:?}: {}", describe(.source))]
    Registry {
        /// The reference.
        reference: String,
        /// The cause.
        source: Box<OciDistributionError>,
    },
    /// The manifest or the configuration is no JSON of the expected kind.
    #[error("failed to read the metadata of image {reference:?}: {source}")]
    Metadata {
        /// The reference.
        reference: String,
        /// The cause.
        source: serde_json::Error,
    },
    /// The image is for another kind of machine.
    #[error(
        "image operating system mismatch: image uses OS {os:?}+architecture {architecture:?}, expecting one of \"linux+{}\"",
        crate::image::architecture()
    )]
    Platform {
        /// The image's operating system.
        os: String,
        /// The image's architecture.
        architecture: String,
    },
    /// The layers cannot be unpacked, or are not what the configuration says.
    #[error("failed to unpack image {reference:?}: {source}")]
    Unpack {
        /// The reference.
        reference: String,
        /// The cause.
        source: io::Error,
    },
    /// The pull was ordered to fail.
    #[error("{0}")]
    Ordered(String),
}

fn describe(error: &OciDistributionError) -> String {
    // The error of a request names the URL, but its cause only in the chain.
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

/// Registry clients, made once: making one reads the machine's certificates.
#[derive(Debug, Default)]
pub(super) struct Clients;

static PLAIN: LazyLock<Client> = LazyLock::new(|| with_protocol(ClientProtocol::Http));
static SECURE: LazyLock<Client> = LazyLock::new(|| with_protocol(ClientProtocol::Https));

fn with_protocol(protocol: ClientProtocol) -> Client {
    Client::new(ClientConfig {
        protocol,
        ..ClientConfig::default()
    })
}

impl Clients {
    pub(super) fn of(&self, reference: &Reference) -> &'static Client {
        if registry_is_local(reference.resolve_registry()) {
            &PLAIN
        } else {
            &SECURE
        }
    }
}

/// Whether a registry (`host[:port]`) is on this machine, and so spoken to in plain HTTP, as
/// container runtimes do.
pub fn registry_is_local(registry: &str) -> bool {
    let host = registry.rsplit_once(':').map_or(registry, |(host, _)| host);
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// Pulls what `known` (by digest of the manifest) does not have yet.
pub(super) async fn pull(
    client: &Client,
    root: &Path,
    reference: &Reference,
    auth: &RegistryAuth,
    known: impl Fn(&str) -> Option<Arc<Image>>,
) -> Result<Arc<Image>, PullError> {
    let (bytes, digest) = fetch_manifest(client, reference, auth).await?;
    if let Some(image) = known(&digest) {
        return Ok(image);
    }
    let metadata = |source| PullError::Metadata {
        reference: reference.whole(),
        source,
    };
    let manifest: OciImageManifest = serde_json::from_slice(&bytes).map_err(metadata)?;
    let mut config = Vec::new();
    client
        .pull_blob(reference, &manifest.config, &mut config)
        .await
        .map_err(registry(reference))?;
    let config: ImageConfig = serde_json::from_slice(&config).map_err(metadata)?;
    if config.os != "linux" || config.architecture != architecture() {
        return Err(PullError::Platform {
            os: config.os,
            architecture: config.architecture,
        });
    }
    let unpacked = |source| PullError::Unpack {
        reference: reference.whole(),
        source,
    };
    let mut layers = Vec::new();
    for layer in &manifest.layers {
        let file = fetch_layer(client, root, reference, layer).await?;
        layers.push((file, layer.media_type.clone()));
    }
    let rootfs = root.join("rootfs").join(digest.replace(':', "-"));
    let (target, diff_ids) = (rootfs.clone(), config.rootfs.diff_ids.clone());
    tokio::task::spawn_blocking(move || unpack(&layers, &diff_ids, &target))
        .await
        .map_err(io::Error::other)
        .and_then(|result| result)
        .map_err(unpacked)?;
    let docker = manifest.config.media_type == IMAGE_DOCKER_CONFIG_MEDIA_TYPE
        || manifest.media_type.as_deref() == Some(IMAGE_MANIFEST_MEDIA_TYPE);
    Ok(Arc::new(Image {
        id: manifest.config.digest.clone(),
        repo_digest: format!(
            "{}/{}@{digest}",
            reference.registry(),
            reference.repository()
        ),
        digest,
        oci: !docker,
        annotations: manifest.annotations.unwrap_or_default(),
        config,
        size: manifest
            .layers
            .iter()
            .map(|layer| u64::try_from(layer.size).unwrap_or(0))
            .sum(),
        rootfs,
    }))
}

fn registry(reference: &Reference) -> impl Fn(OciDistributionError) -> PullError {
    let reference = reference.whole();
    move |source| PullError::Registry {
        reference: reference.clone(),
        source: Box::new(source),
    }
}

/// The manifest for this machine, out of an index if need be.
async fn fetch_manifest(
    client: &Client,
    reference: &Reference,
    auth: &RegistryAuth,
) -> Result<(bytes::Bytes, String), PullError> {
    let accepted = [
        OCI_IMAGE_MEDIA_TYPE,
        OCI_IMAGE_INDEX_MEDIA_TYPE,
        IMAGE_MANIFEST_MEDIA_TYPE,
        IMAGE_MANIFEST_LIST_MEDIA_TYPE,
    ];
    let (bytes, digest) = client
        .pull_manifest_raw(reference, auth, &accepted)
        .await
        .map_err(registry(reference))?;
    let Ok(index) = serde_json::from_slice::<OciImageIndex>(&bytes) else {
        return Ok((bytes, digest));
    };
    let chosen =
        oci_client::client::current_platform_resolver(&index.manifests).ok_or_else(|| {
            PullError::Platform {
                os: "several".to_owned(),
                architecture: "several".to_owned(),
            }
        })?;
    let chosen = reference.clone_with_digest(chosen);
    client
        .pull_manifest_raw(&chosen, auth, &accepted)
        .await
        .map_err(registry(reference))
}

async fn fetch_layer(
    client: &Client,
    root: &Path,
    reference: &Reference,
    layer: &OciDescriptor,
) -> Result<PathBuf, PullError> {
    let file = |source| PullError::Unpack {
        reference: reference.whole(),
        source,
    };
    let directory = root.join("blobs");
    fs::create_dir_all(&directory).await.map_err(file)?;
    let path = directory.join(layer.digest.replace(':', "-"));
    if fs::try_exists(&path).await.map_err(file)? {
        return Ok(path);
    }
    // Under its name only when it is whole.
    let partial = path.with_extension("partial");
    let output = fs::File::create(&partial).await.map_err(file)?;
    client
        .pull_blob(
            reference,
            layer,
            tokio::io::BufWriter::with_capacity(1 << 20, output),
        )
        .await
        .map_err(registry(reference))?;
    fs::rename(&partial, &path).await.map_err(file)?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_local() {
        for local in ["localhost", "localhost:5000", "127.3.0.2:41001"] {
            assert!(registry_is_local(local), "{local}");
        }
        for remote in ["docker.io", "registry.example:5000", "10.0.0.1:5000"] {
            assert!(!registry_is_local(remote), "{remote}");
        }
    }
}
