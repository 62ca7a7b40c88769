//! A pushed checkpoint is the image that the runtimes restore: byte for byte, with everything
//! that they look at.

use std::io::Read;

use flate2::read::MultiGzDecoder;
use ms2m_transfer::{Event, annotation, env};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::support::archive;
use crate::support::binary::Transfer;
use crate::support::registry::Registry;

const MEMORY: u64 = 9 * 1024 * 1024 + 4096;

fn digest(bytes: &[u8]) -> String {
    let hex: String = Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("sha256:{hex}")
}

fn unpacked(compression: &str, layer: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    match compression {
        "zstd" => zstd::Decoder::new(layer).and_then(|mut it| it.read_to_end(&mut bytes)),
        _ => MultiGzDecoder::new(layer).read_to_end(&mut bytes),
    }
    .expect("it is compressed as its media type says");
    bytes
}

#[test]
fn a_compressed_image_holds_the_archive_byte_for_byte() {
    for compression in ["zstd", "gzip"] {
        holds_the_archive(compression);
    }
}

fn holds_the_archive(compression: &str) {
    let registry = Registry::start();
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = archive::write(directory.path(), MEMORY);
    let bytes = std::fs::read(&path).expect("the archive is there");
    let image = format!("{}/checkpoints/worker-0:1", registry.address());

    let outcome = Transfer::new(&path, &image)
        .env(env::NAMESPACE, "shop")
        .env(env::POD, "worker-0")
        .env(env::CONTAINER, "main")
        .env(env::SOURCE_NODE, "node-a")
        .env(env::COMPRESSION, compression)
        .run();

    let pushed = outcome.pushed();
    assert_eq!(
        pushed.image,
        format!(
            "{}/checkpoints/worker-0@{}",
            registry.address(),
            pushed.digest
        )
    );
    assert_eq!(pushed.archive_bytes, bytes.len() as u64);
    assert_eq!(pushed.diff_id, digest(&bytes));
    let manifest = registry.manifest(&image).expect("the tag is there");
    assert_eq!(digest(&manifest), pushed.digest);
    let manifest: Value = serde_json::from_slice(&manifest).expect("JSON");
    assert_eq!(
        manifest["mediaType"],
        "application/vnd.oci.image.manifest.v1+json"
    );
    let layers = manifest["layers"].as_array().expect("layers");
    assert_eq!(layers.len(), 1);
    assert_eq!(
        layers[0]["mediaType"],
        format!("application/vnd.oci.image.layer.v1.tar+{compression}")
    );
    assert_eq!(layers[0]["digest"], *pushed.layer_digest);
    let layer = registry.blob(&pushed.image, &pushed.layer_digest);
    assert_eq!(layer.len() as u64, pushed.layer_bytes);
    assert!(layer.len() < bytes.len(), "it is compressed");
    assert!(
        unpacked(compression, &layer) == bytes,
        "the layer is not the archive"
    );
    assert!(!path.exists(), "a pushed archive is deleted");
}

#[test]
fn the_image_says_what_the_runtimes_ask() {
    let registry = Registry::start();
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = archive::write(directory.path(), 4096);
    let image = format!("{}/cp:1", registry.address());

    let pushed = Transfer::new(&path, &image)
        .env(env::CONTAINER, "main")
        .env(env::SOURCE_NODE, "node-a")
        .env(env::POD, "")
        .run()
        .pushed();

    let manifest = registry.manifest(&image).expect("the tag is there");
    let manifest: Value = serde_json::from_slice(&manifest).expect("JSON");
    let annotations = &manifest["annotations"];
    for (key, value) in [
        ("io.kubernetes.cri-o.annotations.checkpoint.name", "main"),
        ("org.criu.checkpoint.container.name", "main"),
        (annotation::POD_NAME, "worker-0"),
        (annotation::POD_NAMESPACE, "shop"),
        (annotation::SOURCE_NODE, "node-a"),
        (annotation::ENGINE_NAME, "CRI-O"),
        (annotation::RUNTIME_NAME, "runc"),
        (
            annotation::ROOTFS_IMAGE_NAME,
            "registry.example/worker@sha256:aa",
        ),
        (annotation::ROOTFS_IMAGE_ID, "4be1"),
    ] {
        assert_eq!(annotations[key], value, "{key}");
    }
    assert_eq!(
        manifest["config"]["mediaType"],
        "application/vnd.oci.image.config.v1+json"
    );
    let config_digest = manifest["config"]["digest"].as_str().expect("a digest");
    let config = registry.blob(&image, config_digest);
    let config: Value = serde_json::from_slice(&config).expect("JSON");
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    assert_eq!(config["architecture"], architecture);
    assert_eq!(config["os"], "linux");
    assert_eq!(config["config"]["User"], "65532:65533");
    assert_eq!(config["rootfs"]["type"], "layers");
    assert_eq!(
        config["rootfs"]["diff_ids"],
        serde_json::json!([pushed.diff_id])
    );
}

#[test]
fn without_compression_the_layer_is_the_archive() {
    let registry = Registry::start();
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = archive::write(directory.path(), MEMORY);
    let bytes = std::fs::read(&path).expect("the archive is there");
    let image = format!("{}/cp:1", registry.address());

    let pushed = Transfer::new(&path, &image)
        .env(env::COMPRESSION, "none")
        .env(env::KEEP_ARCHIVE, "true")
        .run()
        .pushed();

    assert_eq!(pushed.layer_digest, pushed.diff_id);
    let manifest = registry.manifest(&image).expect("the tag is there");
    let manifest: Value = serde_json::from_slice(&manifest).expect("JSON");
    assert_eq!(
        manifest["layers"][0]["mediaType"],
        "application/vnd.oci.image.layer.v1.tar"
    );
    let layer = registry.blob(&image, &pushed.layer_digest);
    assert!(layer == bytes, "the layer is not the archive");
    assert!(path.exists(), "it was to be kept");
}

#[test]
fn progress_is_told_in_order_and_to_the_end() {
    let registry = Registry::start();
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = archive::write(directory.path(), MEMORY);
    let size = std::fs::metadata(&path)
        .expect("the archive is there")
        .len();
    let image = format!("{}/cp:1", registry.address());

    let outcome = Transfer::new(&path, &image).run();

    let pushed = outcome.pushed();
    let events = outcome.events();
    let Some(Event::Started(started)) = events.first() else {
        panic!("{}", outcome.stdout);
    };
    assert_eq!(started.archive_bytes, size);
    assert_eq!(started.image, image);
    let progress: Vec<_> = events
        .iter()
        .filter_map(|event| match event {
            Event::Progress(progress) => Some(progress),
            _ => None,
        })
        .collect();
    assert!(progress.is_sorted_by_key(|progress| (progress.read_bytes, progress.sent_bytes)));
    let last = progress.last().expect("there is one at the end");
    assert_eq!(last.archive_bytes, size);
    assert_eq!(last.read_bytes, size);
    assert_eq!(last.sent_bytes, pushed.layer_bytes);
}

#[test]
fn auto_says_what_it_chose_and_leaves_no_session() {
    let registry = Registry::start();
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = archive::write(directory.path(), MEMORY);
    let bytes = std::fs::read(&path).expect("the archive is there");
    let image = format!("{}/cp:1", registry.address());

    let outcome = Transfer::new(&path, &image)
        .env(env::COMPRESSION, "auto")
        .run();

    let pushed = outcome.pushed();
    let events = outcome.events();
    let chosen = events.iter().find_map(|event| match event {
        Event::Chosen(chosen) => Some(chosen),
        _ => None,
    });
    let chosen = chosen.expect("it says so");
    assert!(chosen.reason.contains("the link takes"), "{chosen:?}");
    // Which one depends on the machine; what was said has to be what was done.
    let layer = registry.blob(&image, &pushed.layer_digest);
    let expected = match chosen.compression.as_str() {
        "none" => layer == bytes,
        _ => unpacked(&chosen.compression, &layer) == bytes,
    };
    assert!(expected, "{chosen:?}");
    assert_eq!(registry.sessions(), 0, "the link's session is left");
}

#[test]
fn auto_does_not_compress_noise() {
    let registry = Registry::start();
    let directory = tempfile::tempdir().expect("a temporary directory");
    let mut noise = vec![0; 9 * 1024 * 1024];
    std::fs::File::open("/dev/urandom")
        .and_then(|mut random| random.read_exact(&mut noise))
        .expect("the system has noise");
    let entries: [(&str, &[u8]); 3] = [
        ("checkpoint/pages-1.img", &noise),
        ("config.dump", archive::CONFIG_DUMP.as_bytes()),
        ("spec.dump", archive::SPEC_DUMP.as_bytes()),
    ];
    let path = archive::write_entries(directory.path(), &entries);
    let image = format!("{}/cp:1", registry.address());
    let outcome = Transfer::new(&path, &image)
        .env(env::COMPRESSION, "auto")
        .run();
    let pushed = outcome.pushed();
    assert_eq!(pushed.layer_digest, pushed.diff_id, "{}", outcome.stdout);
}
