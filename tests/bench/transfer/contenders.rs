//! The contenders: each as its own documentation, or the Kubernetes blog on checkpoints, has a user
//! do it. Each is a shell script that finds the archive in `$ARCHIVE`, pushes to `$IMAGE` and has
//! the empty directory `$WORK` for its storage; cleaning up is not measured.

use std::path::Path;
use std::process::Command;

use oci_client::manifest::OciImageManifest;

use crate::measure::{self, Figures};
use crate::support::registry::Registry;

/// How the layer ends up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Zstd,
    Gzip,
    None,
}

pub(crate) struct Contender {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    script: &'static str,
}

/// Whether a contender is ours.
pub(crate) fn is_ours(name: &str) -> bool {
    name.starts_with("ms2m-transfer")
}

pub(crate) const CONTENDERS: &[Contender] = &[
    Contender {
        name: "ms2m-transfer, zstd",
        kind: Kind::Zstd,
        script: "exec $TRANSFER --compression zstd",
    },
    Contender {
        name: "ms2m-transfer, gzip",
        kind: Kind::Gzip,
        script: "exec $TRANSFER --compression gzip",
    },
    Contender {
        name: "ms2m-transfer, none",
        kind: Kind::None,
        script: "exec $TRANSFER --compression none",
    },
    Contender {
        name: "buildah, gzip",
        kind: Kind::Gzip,
        script: "$BUILD; $BUILDAH push $PUSH cp docker://$IMAGE",
    },
    Contender {
        name: "buildah, zstd",
        kind: Kind::Zstd,
        script: "$BUILD; $BUILDAH push $PUSH --compression-format zstd cp docker://$IMAGE",
    },
    Contender {
        name: "podman import and push, gzip",
        kind: Kind::Gzip,
        script: "$PODMAN import $ARCHIVE cp; $PODMAN push $PUSH --format oci cp docker://$IMAGE",
    },
    Contender {
        name: "podman import and push, zstd",
        kind: Kind::Zstd,
        script: "$PODMAN import $ARCHIVE cp
                 $PODMAN push $PUSH --format oci --compression-format zstd cp docker://$IMAGE",
    },
    Contender {
        name: "skopeo copy, gzip",
        kind: Kind::Gzip,
        script: "$SKOPEO --format oci tarball:$ARCHIVE docker://$IMAGE",
    },
    Contender {
        name: "skopeo copy, zstd",
        kind: Kind::Zstd,
        script: "$SKOPEO --format oci --dest-compress-format zstd tarball:$ARCHIVE docker://$IMAGE",
    },
    Contender {
        name: "umoci and skopeo copy, gzip",
        kind: Kind::Gzip,
        script: "umoci init --layout $WORK/oci; umoci new --image $WORK/oci:cp
                 umoci raw add-layer --image $WORK/oci:cp $ARCHIVE
                 umoci config --image $WORK/oci:cp --manifest.annotation $ANNOTATION
                 $SKOPEO oci:$WORK/oci:cp docker://$IMAGE",
    },
];

/// What the scripts have in common. `vfs` is the storage that works wherever the benchmark does,
/// in a container too.
const SETTINGS: &str = r#"
set -eu
STORAGE="--root $WORK/root --runroot $WORK/run --storage-driver vfs"
BUILDAH="buildah $STORAGE"
PODMAN="podman $STORAGE --cgroup-manager cgroupfs --events-backend none"
SKOPEO="skopeo --insecure-policy copy --dest-tls-verify=false"
PUSH="--quiet --tls-verify=false --signature-policy $WORK/policy.json"
ANNOTATION=io.kubernetes.cri-o.annotations.checkpoint.name=worker
TRANSFER="$MS2M_TRANSFER --archive $ARCHIVE --image $IMAGE --plain-http --keep-archive"
BUILD=build
build() {
  container=$($BUILDAH from scratch)
  $BUILDAH add --quiet $container $ARCHIVE /
  $BUILDAH config --annotation $ANNOTATION $container
  $BUILDAH commit --quiet --signature-policy $WORK/policy.json $container cp
}
"#;

/// Runs it once, against a registry of its own that has nothing yet.
pub(crate) fn run(contender: &Contender, archive: &Path) -> Figures {
    let registry = Registry::start();
    let work = tempfile::tempdir().expect("a temporary directory");
    let policy = work.path().join("policy.json");
    std::fs::write(policy, r#"{"default":[{"type":"insecureAcceptAnything"}]}"#).expect("writes");
    let image = format!("{}/cp:1", registry.address());
    let mut command = Command::new("sh");
    command
        .arg("-c")
        .arg(format!("{SETTINGS}\n{}", contender.script))
        .env("ARCHIVE", archive)
        .env("IMAGE", &image)
        .env("WORK", work.path())
        .env("TMPDIR", work.path())
        .env("MS2M_TRANSFER", env!("CARGO_BIN_EXE_ms2m-transfer"));
    measure::settle();
    let before = measure::processor_seconds(&registry.pid().to_string());
    let figures = measure::command(&command, work.path());
    let after = measure::processor_seconds(&registry.pid().to_string());
    Figures {
        sent: pushed_bytes(&registry, &image),
        registry: after - before,
        ..figures
    }
}

/// Size of the layers as the registry has them. The image must be there.
fn pushed_bytes(registry: &Registry, image: &str) -> u64 {
    let manifest = registry.manifest(image).expect("the image is there");
    let manifest: OciImageManifest = serde_json::from_slice(&manifest).expect("a manifest");
    manifest
        .layers
        .iter()
        .map(|layer| u64::try_from(layer.size).expect("a size"))
        .sum()
}
