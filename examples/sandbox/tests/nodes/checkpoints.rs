//! The checkpoint call and the archive that it leaves.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};

use super::support::{Scene, World, pod, push_actor, wait_for};

/// The files of an archive by name.
fn files(archive: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut archive = tar::Archive::new(File::open(archive).expect("is there"));
    archive
        .entries()
        .expect("is a tar")
        .map(|entry| {
            let mut entry = entry.expect("is whole");
            let name = entry
                .path()
                .expect("has a name")
                .to_string_lossy()
                .into_owned();
            let mut content = Vec::new();
            entry.read_to_end(&mut content).expect("is whole");
            (name, content)
        })
        .collect()
}

fn path_of(answer: &(u16, String)) -> String {
    assert_eq!(answer.0, 200, "{}", answer.1);
    let body: Value = serde_json::from_str(&answer.1).expect("is JSON");
    body["items"][0]
        .as_str()
        .expect("names the archive")
        .to_owned()
}

#[tokio::test]
async fn a_checkpoint_leaves_an_archive_and_the_source_running() {
    let scene = Scene::new("checkpoint").await;
    scene.world.declare("checkpoint").await;
    let image = scene.world.text("workerImage");
    scene
        .create::<Pod>(scene.worker("w", "node-a", "checkpoint", &image))
        .await;
    let source = scene.ready("w").await;
    scene.world.publish("checkpoint", "p0", 1).await;
    scene.applied(&source, 1).await;

    let path = path_of(&scene.checkpoint("node-a", "w", "worker").await);
    let prefix = "/var/lib/kubelet/checkpoints/checkpoint-w_checkpoint-worker-";
    let time = path
        .strip_prefix(prefix)
        .and_then(|rest| rest.strip_suffix(".tar"));
    let time = time.unwrap_or_else(|| panic!("{path}"));
    time.parse::<jiff::Timestamp>().expect("is RFC 3339");
    assert_eq!(
        time.len(),
        "2026-11-23T16:05:35Z".len(),
        "one second resolution: {time}"
    );
    let archive = scene.on_node("node-a", &path);
    let mode = |path: &Path| path.metadata().expect("is there").permissions().mode() & 0o777;
    assert_eq!(
        (mode(&archive), mode(archive.parent().expect("is in one"))),
        (0o600, 0o700)
    );

    let files = files(&archive);
    for name in [
        "config.dump",
        "spec.dump",
        "checkpoint/snapshot.img",
        "rootfs-diff.tar",
        "dump.log",
        "stats-dump",
        "bind.mounts",
        "deleted.files",
        "io.kubernetes.cri-o.LogPath",
    ] {
        assert!(files.contains_key(name), "{name}: {:?}", files.keys());
    }
    let config: Value = serde_json::from_slice(&files["config.dump"]).expect("is JSON");
    assert_eq!(config["restored"], false);
    assert_eq!(config["runtime"], "runc");
    assert_eq!(config["rootfsImageName"], image.as_str());

    // The source is as it was, and goes on.
    scene.world.publish("checkpoint", "p0", 2).await;
    let state = scene.applied(&source, 2).await;
    assert_eq!(state["restores"], 0);
    let second = path_of(&scene.checkpoint("node-a", "w", "worker").await);
    assert!(second.starts_with(prefix), "{second}");
}

#[tokio::test]
async fn containerd_has_an_archive_of_its_own_kind() {
    let scene = Scene::new("checkpoint-containerd").await;
    scene.world.declare("checkpoint-containerd").await;
    let image = scene.world.text("workerImage");
    let worker = scene.worker("w", "node-c", "checkpoint-containerd", &image);
    scene.create::<Pod>(worker).await;
    scene.ready("w").await;
    let path = path_of(&scene.checkpoint("node-c", "w", "worker").await);
    let files = files(&scene.on_node("node-c", &path));
    assert!(files.contains_key("status.dump") && files.contains_key("container.log"));
    assert!(!files.contains_key("bind.mounts"), "{:?}", files.keys());
    let config: Value = serde_json::from_slice(&files["config.dump"]).expect("is JSON");
    let base = config["rootfsImageRef"].as_str().unwrap_or_default();
    assert!(base.contains("ms2m-worker@sha256:"), "{base}");
}

#[tokio::test]
async fn errors_are_plain_text() {
    let scene = Scene::new("checkpoint-errors").await;
    let image = push_actor(&scene.world, "checkpoint-errors").await;
    scene
        .create::<Pod>(pod("p", "node-a", &image, &["wait"]))
        .await;
    scene.ready("p").await;
    let text = |status: u16, text: &str| (status, text.to_owned());
    let path = "/checkpoint/checkpoint-errors/p/main";
    let (status, _) = scene.kubelet("GET", "node-a", path).await;
    assert_eq!(status, 405);
    let unknown = scene.checkpoint("node-a", "nobody", "main").await;
    assert_eq!(unknown, text(404, "pod does not exist"));
    // The pod is there, on another node.
    let elsewhere = scene.checkpoint("node-b", "p", "main").await;
    assert_eq!(elsewhere, text(404, "pod does not exist"));
    let unknown = scene.checkpoint("node-a", "p", "other").await;
    assert_eq!(unknown, text(404, "container other does not exist"));
    let (status, body) = scene.checkpoint("node-z", "p", "main").await;
    let body: Value = serde_json::from_str(&body).expect("comes from the API server");
    assert_eq!((status, &body["kind"]), (404, &json!("Status")));
    // A program that has no part in checkpoints.
    let (status, body) = scene.checkpoint("node-a", "p", "main").await;
    assert_eq!(status, 500);
    let expected =
        "checkpointing of checkpoint-errors/p/main failed (failed to checkpoint container ";
    assert!(
        body.starts_with(expected) && body.contains("criu failed"),
        "{body}"
    );
}

#[tokio::test]
async fn of_two_calls_at_once_one_fails() {
    let scene = Scene::new("two-calls").await;
    scene.world.declare("two-calls").await;
    let image = scene.world.text("workerImage");
    let mut worker = scene.worker("w", "node-a", "two-calls", &image);
    // Enough memory for the calls to meet.
    let env = worker["spec"]["containers"][0]["env"]
        .as_array_mut()
        .expect("is there");
    env.push(json!({ "name": "STATE_BYTES", "value": (64 << 20).to_string() }));
    scene.create::<Pod>(worker).await;
    scene.ready("w").await;
    let (good, bad) = wait_for("two calls that meet", async || {
        let (one, other) = tokio::join!(
            scene.checkpoint("node-a", "w", "worker"),
            scene.checkpoint("node-a", "w", "worker"),
        );
        match (one.0, other.0) {
            (200, 200) => None,
            (200, _) => Some((one, other)),
            _ => Some((other, one)),
        }
    })
    .await;
    path_of(&good);
    assert_eq!(bad.0, 500, "{}", bad.1);
    assert!(bad.1.contains("failed to pause container"), "{}", bad.1);
    path_of(&scene.checkpoint("node-a", "w", "worker").await);
}

#[tokio::test]
async fn a_caller_who_hangs_up_leaves_a_containerd_source_paused() {
    let scene = Scene::new("hang-up").await;
    scene.world.declare("hang-up").await;
    let image = scene.world.text("workerImage");
    let mut worker = scene.worker("w", "node-c", "hang-up", &image);
    // Enough memory for the call to take a while.
    let env = worker["spec"]["containers"][0]["env"]
        .as_array_mut()
        .expect("is there");
    env.push(json!({ "name": "STATE_BYTES", "value": (256 << 20).to_string() }));
    scene.create::<Pod>(worker).await;
    let pod = scene.ready("w").await;
    let ip = pod["status"]["podIP"].as_str().expect("has an address");
    let url = format!("http://{ip}:8080/state");
    let mut patience = 0;
    wait_for("a process that answers nothing", async || {
        // Too early, and the call has not reached the node; too late, and it is over.
        patience = (patience + 20) % 500;
        let call = scene.checkpoint("node-c", "w", "worker");
        // What it says if it is quicker is the other tests' business.
        drop(tokio::time::timeout(Duration::from_millis(patience), call).await);
        let state = World::http().get(&url).timeout(Duration::from_secs(2));
        state.send().await.is_err().then_some(())
    })
    .await;
    // Long after the dump.
    let (status, body) = scene.checkpoint("node-c", "w", "worker").await;
    assert_eq!(status, 500, "{body}");
    assert!(body.contains("failed to pause container"), "{body}");
}

#[tokio::test]
async fn the_kubelet_tells_of_its_feature() {
    let scene = Scene::new("metrics").await;
    let (status, metrics) = scene.kubelet("GET", "node-a", "/metrics").await;
    assert_eq!(status, 200);
    let line = "kubernetes_feature_enabled{name=\"ContainerCheckpoint\"";
    assert!(metrics.contains(line), "{metrics}");
    assert_eq!(
        scene.kubelet("GET", "node-a", "/healthz").await,
        (200, "ok".to_owned())
    );
}
