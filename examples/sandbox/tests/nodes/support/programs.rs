//! The programs that run in the sandbox's containers, and images of them.

use std::path::{Path, PathBuf};
use std::process::Command;

use ms2m_sandbox::image::{PackOptions, client, pack, push};
use oci_client::secrets::RegistryAuth;
use serde_json::Value;

use super::{Scene, World};

/// The path of the actor in its image.
pub(crate) const ACTOR: &str = "/actor";

/// The sandbox's binary.
pub(crate) const SANDBOX: &str = env!("CARGO_BIN_EXE_ms2m-sandbox");

/// The reference worker.
pub(crate) fn worker_binary() -> PathBuf {
    binary("ms2m-worker")
}

/// A binary of another package of the workspace: a sibling of the sandbox's. Whatever tests the
/// whole workspace builds it. To build it from here would be another cargo that waits for the
/// target directory, and builds half of the dependencies anew because it selects fewer packages,
/// which select fewer features.
pub(super) fn binary(name: &str) -> PathBuf {
    let path = Path::new(SANDBOX).with_file_name(name);
    assert!(
        path.exists(),
        "{} is not built: run cargo test --workspace, or cargo build --workspace --bins",
        path.display()
    );
    path
}

/// Packs and pushes an image of the actor and returns its reference.
pub(crate) async fn push_actor(world: &World, tag: &str) -> String {
    let registry = world.text("registry");
    let reference = format!("{registry}/actor:{tag}");
    let image = pack(&PackOptions {
        binary: env!("CARGO_BIN_EXE_ms2m-sandbox-actor").into(),
        entrypoint: ACTOR.to_owned(),
        reference: reference.clone(),
        user: String::new(),
        files: Vec::new(),
    })
    .expect("is packed");
    let client = client(&[registry]);
    push(&client, &image, &reference, &RegistryAuth::Anonymous)
        .await
        .expect("is pushed");
    reference
}

/// Checkpoints a container and pushes the archive as an image, as the transfer Job does it.
/// Returns the image by digest.
pub(crate) async fn pack_checkpoint(
    scene: &Scene,
    node: &str,
    pod: &str,
    container: &str,
    tag: &str,
) -> String {
    let (status, body) = scene.checkpoint(node, pod, container).await;
    assert_eq!(status, 200, "{body}");
    let body: Value = serde_json::from_str(&body).expect("is JSON");
    let path = body["items"][0].as_str().expect("names the archive");
    let archive = scene.on_node(node, path);
    push_archive(scene, &archive, tag)
}

fn push_archive(scene: &Scene, archive: &Path, tag: &str) -> String {
    let repository = format!(
        "{}/checkpoints/{}",
        scene.world.text("registry"),
        scene.namespace
    );
    let output = Command::new(binary("ms2m-transfer"))
        .env("MS2M_ARCHIVE", archive)
        .env("MS2M_IMAGE", format!("{repository}:{tag}"))
        .env("MS2M_NAMESPACE", &scene.namespace)
        .env("MS2M_POD", "pod")
        .env("MS2M_CONTAINER", "worker")
        .env("MS2M_SOURCE_NODE", "node")
        .env("MS2M_PLAIN_HTTP", "true")
        .env("MS2M_KEEP_ARCHIVE", "true")
        .output()
        .expect("the transfer binary runs");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let text = String::from_utf8(output.stdout).expect("is text");
    let last: Value =
        serde_json::from_str(text.lines().last().expect("has a last line")).expect("is an event");
    format!(
        "{repository}@{}",
        last["digest"].as_str().expect("has a digest")
    )
}
