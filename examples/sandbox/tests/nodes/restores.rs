//! Restores from checkpoint images: what comes back, and each way in which it does not.

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, LogParams};
use ms2m_sandbox::image::{PackOptions, client, pack, push};
use oci_client::secrets::RegistryAuth;
use serde_json::{Value, json};

use super::support::{
    ACTOR, Scene, container, message, pack_checkpoint, reason, wait_for, waiting, worker_binary,
};

/// A source that has applied one message, and its checkpoint's image.
struct Source {
    scene: Scene,
    queue: String,
    image: String,
}

impl Source {
    async fn new(name: &str, node: &str) -> Self {
        let scene = Scene::new(name).await;
        scene.world.declare(name).await;
        let worker = scene.world.text("workerImage");
        scene
            .create::<Pod>(scene.worker("source", node, name, &worker))
            .await;
        let source = scene.ready("source").await;
        scene.world.publish(name, "p0", 1).await;
        scene.applied(&source, 1).await;
        let image = pack_checkpoint(&scene, node, "source", "worker", "first").await;
        Self {
            scene,
            queue: name.to_owned(),
            image,
        }
    }

    /// The source goes, so that the target has the queue for itself.
    async fn without_source(name: &str, node: &str) -> Self {
        let source = Self::new(name, node).await;
        source.scene.delete("source").await;
        source
    }

    /// A target as ms2m makes it.
    fn target(&self, name: &str, node: &str) -> Value {
        let mut target = self.scene.worker(name, node, &self.queue, &self.image);
        target["spec"]["restartPolicy"] = json!("Never");
        target
    }

    /// A target that has the base image pulled first.
    fn target_with_base(&self, name: &str, node: &str) -> Value {
        let mut target = self.target(name, node);
        target["spec"]["initContainers"] = json!([{
            "name": "base",
            "image": self.scene.world.text("workerImage"),
            "command": ["/ms2m-worker", "--version"],
        }]);
        target
    }
}

#[tokio::test]
async fn a_process_comes_back_as_it_was() {
    let target = Source::without_source("comes-back", "node-a").await;
    let mut pod = target.target_with_base("target", "node-b");
    // None of this is asked.
    let main = &mut pod["spec"]["containers"][0];
    main["command"] = json!(["/nothing"]);
    main["env"] = json!([{ "name": "QUEUE", "value": "nonsense" }]);
    target.scene.create::<Pod>(pod).await;
    let pod = target.scene.ready("target").await;
    let state = target.scene.state(&pod).await;
    assert_eq!(
        (&state["count"], &state["restores"]),
        (&json!(1), &json!(1))
    );
    assert_eq!(state["pod"], "target");
    assert_eq!(state["hostnameVariable"], "source");
    target.scene.world.publish("comes-back", "p0", 2).await;
    target.scene.applied(&pod, 2).await;

    let status = container(&pod);
    let id = status["imageID"].as_str().unwrap_or_default();
    assert!(
        id.contains("/ms2m-worker@sha256:"),
        "the base image is shown: {id}"
    );
    assert_eq!(pod["spec"]["containers"][0]["image"], target.image.as_str());
    let log = target.scene.log("target", &LogParams::default()).await;
    let (before, after) = log
        .split_once("the connection to the broker is dead")
        .expect(&log);
    assert!(before.contains("connected pod=\"source\""), "{log}");
    assert!(after.contains("connected pod=\"target\""), "{log}");

    // A restored container can be checkpointed and moved again.
    let image = pack_checkpoint(&target.scene, "node-b", "target", "worker", "second").await;
    target.scene.delete("target").await;
    let again = Source { image, ..target };
    again
        .scene
        .create::<Pod>(again.target("again", "node-a"))
        .await;
    let pod = again.scene.ready("again").await;
    let state = again.scene.state(&pod).await;
    assert_eq!(
        (&state["count"], &state["restores"]),
        (&json!(2), &json!(2))
    );
    let (status, body) = again.scene.checkpoint("node-a", "again", "worker").await;
    assert_eq!(status, 200, "{body}");
}

#[tokio::test]
async fn a_restart_goes_back_in_time() {
    let source = Source::without_source("back-in-time", "node-a").await;
    let mut pod = source.target("target", "node-a");
    pod["spec"]["restartPolicy"] = json!("Always");
    // The probe fails at the pod's own command.
    pod["spec"]["containers"][0]["livenessProbe"] = json!({
        "tcpSocket": { "port": 9 }, "periodSeconds": 1, "failureThreshold": 5,
        "terminationGracePeriodSeconds": 1,
    });
    source.scene.create::<Pod>(pod).await;
    let pod = source.scene.ready("target").await;
    source.scene.world.publish("back-in-time", "p0", 2).await;
    source.scene.applied(&pod, 2).await;
    source
        .scene
        .pod_when("target", |pod| {
            container(pod)["restartCount"].as_i64() >= Some(1) && container(pod)["ready"] == true
        })
        .await;
    source.scene.applied(&pod, 1).await;
}

/// Pushes the worker's binary under another name and path, so that no other test brings it to a
/// node.
async fn push_worker(scene: &Scene, reference: &str, entrypoint: &str) {
    let image = pack(&PackOptions {
        binary: worker_binary(),
        entrypoint: entrypoint.to_owned(),
        reference: reference.to_owned(),
        user: "65532:65532".to_owned(),
        files: Vec::new(),
    })
    .expect("is packed");
    let client = client(&[scene.world.text("registry")]);
    push(&client, &image, reference, &RegistryAuth::Anonymous)
        .await
        .expect("is pushed");
}

/// Brings an image to a node by a pod that ends at once.
async fn bring(scene: &Scene, pod: &str, node: &str, image: &str, program: &str) {
    let mut holder = scene.worker(pod, node, "none", image);
    let main = &mut holder["spec"]["containers"][0];
    main["command"] = json!([program, "--version"]);
    main["imagePullPolicy"] = json!("Always");
    holder["spec"]["restartPolicy"] = json!("Never");
    scene.create::<Pod>(holder).await;
    scene.phase(pod, "Succeeded").await;
}

#[tokio::test]
async fn a_base_image_without_a_name_hides_its_container() {
    let scene = Scene::new("nameless").await;
    scene.world.declare("nameless").await;
    let base = format!("{}/nameless:dev", scene.world.text("registry"));
    push_worker(&scene, &base, "/first").await;
    scene
        .create::<Pod>(scene.worker("source", "node-a", "nameless", &base))
        .await;
    scene.ready("source").await;
    let image = pack_checkpoint(&scene, "node-a", "source", "worker", "first").await;
    scene.delete("source").await;
    bring(&scene, "holder", "node-b", &base, "/first").await;
    // The tag moves on, and the node follows it.
    push_worker(&scene, &base, "/second").await;
    bring(&scene, "mover", "node-b", &base, "/second").await;

    let mut target = scene.worker("target", "node-b", "nameless", &image);
    target["spec"]["restartPolicy"] = json!("Never");
    scene.create::<Pod>(target).await;
    wait_for("the kubelet's complaint", async || {
        let reasons = scene.reasons("target").await;
        reasons.contains(&"FailedSync".to_owned()).then_some(())
    })
    .await;
    let hidden = scene.pod_when("target", waiting("ContainerCreating")).await;
    assert_eq!(hidden["status"]["phase"], "Pending");
    // It runs all the same, and consumes.
    scene.world.publish("nameless", "p0", 1).await;
    scene.applied(&hidden, 1).await;
    // And it cannot be deleted: long after its grace of one second it still consumes.
    let pods = scene.api::<Pod>();
    pods.delete("target", &DeleteParams::default())
        .await
        .expect("is asked for");
    tokio::time::sleep(Duration::from_secs(3)).await;
    let terminating = pods.get("target").await.expect("is still there");
    assert!(terminating.metadata.deletion_timestamp.is_some());
    scene.world.publish("nameless", "p0", 2).await;
    scene.applied(&hidden, 2).await;
}

#[tokio::test]
async fn the_base_image_must_be_there() {
    let source = Source::new("no-base", "node-a").await;
    // Other tests bring the worker's image to every node, so this base is this test's own.
    let scene = &source.scene;
    let own = format!("{}/own-base:dev", scene.world.text("registry"));
    push_worker(scene, &own, "/own-worker").await;
    scene
        .create::<Pod>(scene.worker("own", "node-a", "no-base", &own))
        .await;
    scene.ready("own").await;
    let checkpoint = pack_checkpoint(scene, "node-a", "own", "worker", "own").await;
    let source = Source {
        image: checkpoint,
        ..source
    };
    let scene = &source.scene;
    scene.create::<Pod>(source.target("target", "node-b")).await;
    let failed = scene
        .pod_when("target", waiting("CreateContainerError"))
        .await;
    assert!(message(&failed).contains("image not known"), "{failed:#}");
    assert_eq!(container(&failed)["restartCount"], 0);
    // It is tried again for ever, so the image may come later.
    bring(scene, "holder", "node-b", &own, "/own-worker").await;
    scene.ready("target").await;
}

#[tokio::test]
async fn every_mount_must_be_there() {
    let scene = Scene::new("mounts").await;
    scene.world.declare("mounts").await;
    let image = scene.world.text("workerImage");
    let with_mounts = |name: &str, image: &str, paths: &[&str]| {
        let mut worker = scene.worker(name, "node-a", "mounts", image);
        worker["spec"]["restartPolicy"] = json!("Never");
        worker["spec"]["volumes"] = json!([{ "name": "v", "emptyDir": {} }]);
        worker["spec"]["containers"][0]["volumeMounts"] = paths
            .iter()
            .map(|path| json!({ "name": "v", "mountPath": path }))
            .collect();
        worker
    };
    scene
        .create::<Pod>(with_mounts("source", &image, &["/one", "/two"]))
        .await;
    scene.ready("source").await;
    let image = pack_checkpoint(&scene, "node-a", "source", "worker", "first").await;
    scene
        .create::<Pod>(with_mounts("fewer", &image, &["/two"]))
        .await;
    let failed = scene
        .pod_when("fewer", waiting("CreateContainerError"))
        .await;
    let expected = format!("restoring \"{image}\" expects following bind mounts defined (/one)");
    assert_eq!(message(&failed), expected);
    scene
        .create::<Pod>(with_mounts("more", &image, &["/one", "/two", "/three"]))
        .await;
    scene.ready("more").await;
}

#[tokio::test]
async fn an_image_without_the_annotation_is_an_ordinary_one() {
    let scene = Scene::new("no-annotation").await;
    let registry = scene.world.text("registry");
    let reference = format!("{registry}/no-annotation:dev");
    // An image as a checkpoint's is: a layer, and nothing to run.
    let mut image = pack(&PackOptions {
        binary: env!("CARGO_BIN_EXE_ms2m-sandbox-actor").into(),
        entrypoint: ACTOR.to_owned(),
        reference: reference.clone(),
        user: String::new(),
        files: Vec::new(),
    })
    .expect("is packed");
    let mut config: Value = serde_json::from_slice(&image.blobs[0]).expect("is JSON");
    config["config"] = json!({});
    let config = config.to_string().into_bytes();
    let mut manifest: Value = serde_json::from_slice(&image.manifest).expect("is JSON");
    manifest["config"]["size"] = json!(config.len());
    manifest["config"]["digest"] = json!(digest(&config));
    image.blobs[0] = config;
    image.manifest = manifest.to_string().into_bytes();
    push(
        &client(&[registry]),
        &image,
        &reference,
        &RegistryAuth::Anonymous,
    )
    .await
    .expect("is pushed");
    let mut plain = super::support::pod("plain", "node-a", &reference, &[]);
    plain["spec"]["restartPolicy"] = json!("Never");
    scene.create::<Pod>(plain).await;
    let refused = scene
        .pod_when("plain", waiting("CreateContainerError"))
        .await;
    assert_eq!(message(&refused), "no command specified");
}

fn digest(bytes: &[u8]) -> String {
    use sha2::Digest as _;
    let digest = sha2::Sha256::digest(bytes);
    let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

#[tokio::test]
async fn no_runtime_restores_the_checkpoint_of_another() {
    let crio = Source::new("from-crio", "node-a").await;
    crio.scene
        .create::<Pod>(crio.target("target", "node-c"))
        .await;
    let failed = crio
        .scene
        .pod_when("target", waiting("CreateContainerError"))
        .await;
    assert!(
        message(&failed).contains("failed to read \"status.dump\""),
        "{failed:#}"
    );

    let containerd = Source::new("from-containerd", "node-c").await;
    let target = containerd.target_with_base("target", "node-b");
    containerd.scene.create::<Pod>(target).await;
    let failed = containerd
        .scene
        .pod_when("target", waiting("CreateContainerError"))
        .await;
    let expected = "failed to read \"io.kubernetes.cri-o.Annotations\"";
    assert!(message(&failed).contains(expected), "{failed:#}");
}

#[tokio::test]
async fn containerd_pulls_the_base_image_by_itself() {
    let source = Source::without_source("containerd", "node-c").await;
    source
        .scene
        .create::<Pod>(source.target("target", "node-c"))
        .await;
    let pod = source.scene.ready("target").await;
    let state = source.scene.state(&pod).await;
    assert_eq!(
        (&state["count"], &state["restores"]),
        (&json!(1), &json!(1))
    );
}

#[tokio::test]
async fn an_ordered_failure_looks_like_a_real_one() {
    let source = Source::new("ordered", "node-a").await;
    let scene = &source.scene;
    let error = "criu failed: type RESTORE errno 0";
    for node in ["node-b", "node-c"] {
        let body = json!({ "on": "restore", "pod": "^ordered/", "node": node, "error": error });
        scene.world.order("/kubelet", body).await;
    }
    scene
        .create::<Pod>(source.target_with_base("crio", "node-b"))
        .await;
    let failed = scene
        .pod_when("crio", waiting("CreateContainerError"))
        .await;
    assert_eq!(message(&failed), error);
    // Once ordered, once failed.
    scene.ready("crio").await;

    let containerd = Source::new("ordered-containerd", "node-c").await;
    let scene = &containerd.scene;
    let body =
        json!({ "on": "restore", "pod": "^ordered-containerd/", "error": error, "times": 9 });
    scene.world.order("/kubelet", body).await;
    let mut pod = containerd.target("target", "node-c");
    pod["spec"]["restartPolicy"] = json!("Always");
    scene.create::<Pod>(pod).await;
    let failed = scene.pod_when("target", waiting("CrashLoopBackOff")).await;
    assert_eq!(reason(&failed), "CrashLoopBackOff");
    let last = &container(&failed)["lastState"]["terminated"];
    assert_eq!(
        (&last["reason"], &last["exitCode"]),
        (&json!("StartError"), &json!(128))
    );
    assert!(container(&failed)["restartCount"].as_i64() >= Some(1));
}
