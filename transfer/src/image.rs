//! The image around the layer: annotations, configuration and manifest. Pure.

use std::collections::BTreeMap;

use jiff::Timestamp;
use ms2m_transfer::annotation;
use oci_client::config::Architecture;
use oci_client::manifest::{
    IMAGE_CONFIG_MEDIA_TYPE, OCI_IMAGE_MEDIA_TYPE, OciDescriptor, OciImageManifest,
};
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::cli::Origin;
use crate::frame::Format;
use crate::metadata::Metadata;

/// The uploaded layer.
#[derive(Debug, Clone)]
pub(crate) struct Layer {
    /// Digest as stored.
    pub(crate) digest: String,
    /// Size as stored, in bytes.
    pub(crate) bytes: u64,
    /// Digest of the archive.
    pub(crate) diff_id: String,
    pub(crate) format: Format,
}

/// An image's two documents, as the bytes that their digests are of.
#[derive(Debug, Clone)]
pub(crate) struct Image {
    pub(crate) config: Vec<u8>,
    pub(crate) config_digest: String,
    pub(crate) manifest: Vec<u8>,
    pub(crate) digest: String,
}

/// `sha256:…` of a finished hash.
pub(crate) fn digest_name(sha256: &[u8]) -> String {
    let mut name = String::from("sha256:");
    for byte in sha256 {
        name.push_str(&format!("{byte:02x}"));
    }
    name
}

/// `sha256:…` of some bytes.
pub(crate) fn digest_of(bytes: &[u8]) -> String {
    digest_name(&Sha256::digest(bytes))
}

/// Builds configuration and manifest.
pub(crate) fn build(layer: &Layer, origin: &Origin, metadata: &Metadata, now: Timestamp) -> Image {
    let architecture = Architecture::default().to_string();
    let annotations = annotations(origin, metadata, &architecture, now);
    let config = serialise(&config(layer, metadata, &architecture, now));
    let config_digest = digest_of(&config);
    // No index around it and no artifact type in it: runtimes read the annotations of a plain
    // OCI manifest only.
    let manifest = serialise(&OciImageManifest {
        schema_version: 2,
        media_type: Some(OCI_IMAGE_MEDIA_TYPE.into()),
        config: descriptor(IMAGE_CONFIG_MEDIA_TYPE, &config_digest, config.len() as u64),
        layers: vec![descriptor(
            layer.format.media_type(),
            &layer.digest,
            layer.bytes,
        )],
        subject: None,
        artifact_type: None,
        annotations: Some(annotations),
    });
    let digest = digest_of(&manifest);
    Image {
        config,
        config_digest,
        manifest,
        digest,
    }
}

fn serialise(document: &impl serde::Serialize) -> Vec<u8> {
    serde_json::to_vec(document).expect("strings and integers serialise")
}

fn descriptor(media_type: &str, digest: &str, bytes: u64) -> OciDescriptor {
    OciDescriptor {
        media_type: media_type.into(),
        digest: digest.into(),
        size: i64::try_from(bytes).expect("no file has 8 EiB"),
        ..OciDescriptor::default()
    }
}

fn config(
    layer: &Layer,
    metadata: &Metadata,
    architecture: &str,
    now: Timestamp,
) -> serde_json::Value {
    let created = now.to_string();
    // The kubelet reads the user from this image, and holds it against runAsNonRoot.
    let execution = match &metadata.user {
        Some(user) => json!({ "User": user }),
        None => json!({}),
    };
    json!({
        "created": created,
        "architecture": architecture,
        "os": "linux",
        "config": execution,
        "rootfs": { "type": "layers", "diff_ids": [layer.diff_id] },
        "history": [{
            "created": created,
            "created_by": concat!("ms2m-transfer ", env!("CARGO_PKG_VERSION")),
            "comment": "checkpoint archive of a container",
        }],
    })
}

/// What the caller says wins over what the archive says.
fn annotations(
    origin: &Origin,
    metadata: &Metadata,
    architecture: &str,
    now: Timestamp,
) -> BTreeMap<String, String> {
    let container = origin
        .container
        .as_ref()
        .or(metadata.container.as_ref())
        .cloned()
        // Only the presence of the key counts; an image without it would start empty.
        .unwrap_or_else(|| "unknown".into());
    let known = [
        (annotation::CRIO_CONTAINER_NAME, Some(container.clone())),
        (annotation::CONTAINER_NAME, Some(container)),
        (
            annotation::POD_NAME,
            origin.pod.clone().or(metadata.pod.clone()),
        ),
        (
            annotation::POD_NAMESPACE,
            origin.namespace.clone().or(metadata.namespace.clone()),
        ),
        (annotation::SOURCE_NODE, origin.source_node.clone()),
        (annotation::ENGINE_NAME, metadata.engine.clone()),
        (annotation::RUNTIME_NAME, metadata.runtime.clone()),
        (
            annotation::ROOTFS_IMAGE_USER_REQUESTED,
            metadata.image_requested.clone(),
        ),
        (annotation::ROOTFS_IMAGE_NAME, metadata.image_name.clone()),
        (annotation::ROOTFS_IMAGE_ID, metadata.image_id.clone()),
        (annotation::HOST_ARCH, Some(architecture.to_owned())),
        (annotation::CREATED, Some(now.to_string())),
    ];
    known
        .into_iter()
        .filter_map(|(key, value)| Some((key.to_owned(), value?)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layer() -> Layer {
        Layer {
            digest: digest_of(b"layer"),
            bytes: 5,
            diff_id: digest_of(b"archive"),
            format: Format::Gzip,
        }
    }

    #[test]
    fn the_documents_are_what_the_specification_says() {
        let metadata = Metadata {
            user: Some("65532:65532".into()),
            pod: Some("recorded".into()),
            ..Metadata::default()
        };
        let origin = Origin {
            container: Some("worker".into()),
            pod: Some("worker-0".into()),
            ..Origin::default()
        };
        let image = build(&layer(), &origin, &metadata, Timestamp::UNIX_EPOCH);
        let config: oci_client::config::ConfigFile =
            serde_json::from_slice(&image.config).expect("an image configuration");
        assert_eq!(config.rootfs.diff_ids, [layer().diff_id]);
        assert_eq!(
            config.config.and_then(|config| config.user).as_deref(),
            Some("65532:65532")
        );
        let manifest: serde_json::Value =
            serde_json::from_slice(&image.manifest).expect("a manifest");
        assert_eq!(manifest["mediaType"], OCI_IMAGE_MEDIA_TYPE);
        assert_eq!(manifest["schemaVersion"], 2);
        assert_eq!(manifest["config"]["digest"], digest_of(&image.config));
        assert_eq!(manifest["layers"][0]["size"], 5);
        let annotations = &manifest["annotations"];
        for key in annotation::RESTORE_KEYS {
            assert_eq!(annotations[key], "worker");
        }
        assert_eq!(annotations[annotation::POD_NAME], "worker-0");
        assert_eq!(annotations[annotation::CREATED], "1970-01-01T00:00:00Z");
        assert!(manifest.get("artifactType").is_none());
    }

    #[test]
    fn the_restore_keys_are_there_whatever_is_known() {
        let image = build(
            &layer(),
            &Origin::default(),
            &Metadata::default(),
            Timestamp::UNIX_EPOCH,
        );
        let manifest: OciImageManifest =
            serde_json::from_slice(&image.manifest).expect("a manifest");
        let annotations = manifest.annotations.expect("annotations");
        for key in annotation::RESTORE_KEYS {
            assert!(annotations.contains_key(key), "{key}");
        }
    }
}
