//! Faults that are ordered at the control endpoint.

use std::sync::Arc;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::{Node, Pod};
use kube::Api;
use kube::api::LogParams;
use serde_json::{Value, json};

use super::support::{
    Scene, World, condition, container, message, pod, push_actor, wait_for, waiting,
};

async fn node(scene: &Scene, name: &str) -> Value {
    let nodes: Api<Node> = Api::all(scene.client.clone());
    json!(nodes.get(name).await.expect("is there"))
}

async fn ready_is(scene: &Scene, name: &str, wanted: &str) {
    wait_for(&format!("Ready={wanted}"), async || {
        let node = node(scene, name).await;
        let conditions = node["status"]["conditions"].as_array()?.clone();
        let ready = conditions.into_iter().find(|one| one["type"] == "Ready")?;
        (ready["status"] == wanted).then_some(())
    })
    .await;
}

#[tokio::test]
async fn pulls_starts_and_checkpoints_fail_as_ordered() {
    let scene = Scene::new("kubelet-faults").await;
    let image = push_actor(&scene.world, "kubelet-faults").await;
    let order = async |on: &str| {
        let body = json!({ "on": on, "error": format!("no {on}"), "pod": "^kubelet-faults/" });
        scene.world.order("/kubelet", body).await;
    };
    order("pull").await;
    order("start").await;
    scene
        .create::<Pod>(pod("p", "node-a", &image, &["wait"]))
        .await;
    let failed = scene.pod_when("p", waiting("ErrImagePull")).await;
    assert_eq!(message(&failed), "no pull");
    let failed = scene.pod_when("p", waiting("CreateContainerError")).await;
    assert_eq!(message(&failed), "no start");
    scene.ready("p").await;
    order("checkpoint").await;
    let answer = scene.checkpoint("node-a", "p", "main").await;
    let text = "checkpointing of kubelet-faults/p/main failed (no checkpoint)";
    assert_eq!(answer, (500, text.to_owned()));
}

#[tokio::test]
async fn a_step_takes_longer_as_ordered() {
    let scene = Scene::new("slow-kubelet").await;
    let image = push_actor(&scene.world, "slow-kubelet").await;
    for on in ["pull", "start"] {
        let body = json!({ "on": on, "delayMs": 700, "pod": "^slow-kubelet/" });
        scene.world.order("/kubelet", body).await;
    }
    let began = Instant::now();
    scene
        .create::<Pod>(pod("p", "node-a", &image, &["wait"]))
        .await;
    scene.ready("p").await;
    assert!(began.elapsed() >= Duration::from_millis(1400));
    let body = json!({ "path": "/slow-kubelet/", "delayMs": 700 });
    scene.world.order("/registry", body).await;
    let began = Instant::now();
    let url = format!(
        "http://{}/v2/slow-kubelet/tags/list",
        scene.world.text("registry")
    );
    World::http().get(url).send().await.expect("answers");
    assert!(began.elapsed() >= Duration::from_millis(700));
}

#[tokio::test]
async fn a_container_crashes_and_hangs_as_ordered() {
    let scene = Scene::new("crashing").await;
    scene.world.declare("crashing").await;
    let image = scene.world.text("workerImage");
    scene
        .create::<Pod>(scene.worker("w", "node-a", "crashing", &image))
        .await;
    let worker = scene.ready("w").await;
    scene.world.publish("crashing", "p0", 1).await;
    scene.applied(&worker, 1).await;
    let order = async |action: &str| {
        let body = json!({ "pod": "crashing/w", "do": action });
        scene.world.order("/container", body).await;
    };
    let url = format!(
        "http://{}:8080/healthz",
        worker["status"]["podIP"].as_str().expect("has an address")
    );
    let answers = async || {
        let request = World::http().get(&url).timeout(Duration::from_millis(300));
        request.send().await.is_ok()
    };
    order("pause").await;
    assert!(!answers().await, "it hangs");
    order("resume").await;
    wait_for("an answer", async || answers().await.then_some(())).await;
    scene.applied(&worker, 1).await;
    order("kill").await;
    let again = scene
        .pod_when("w", |pod| {
            container(pod)["restartCount"] == 1 && condition(pod, "Ready")
        })
        .await;
    let ended = &container(&again)["lastState"]["terminated"];
    assert_eq!(ended["exitCode"], 137, "{ended}");
    scene.applied(&again, 0).await;
}

#[tokio::test]
async fn a_pod_loses_its_connections_as_ordered() {
    let scene = Scene::new("disconnected").await;
    let image = scene.world.text("workerImage");
    for name in ["one", "other"] {
        scene.world.declare(name).await;
        scene
            .create::<Pod>(scene.worker(name, "node-a", name, &image))
            .await;
    }
    let (one, _) = (scene.ready("one").await, scene.ready("other").await);
    let body = json!({ "do": "disconnect", "pod": "disconnected/one" });
    let answer = scene.world.order("/broker", body).await;
    assert_eq!(answer, json!({ "closed": 1 }));
    let log = async |name| scene.log(name, &LogParams::default()).await;
    wait_for("a lost connection", async || {
        log("one").await.contains("ordered fault").then_some(())
    })
    .await;
    scene.world.publish("one", "p0", 1).await;
    scene.applied(&one, 1).await;
    assert!(!log("other").await.contains("no connection"));
}

#[tokio::test]
async fn the_registry_refuses_and_breaks_as_ordered() {
    use ms2m_sandbox::image::{PackOptions, client, pack, push};
    use oci_client::secrets::RegistryAuth;

    let scene = Scene::new("registry-faults").await;
    let registry = scene.world.text("registry");
    let reference = format!("{registry}/registry-faults:dev");
    let image = pack(&PackOptions {
        binary: env!("CARGO_BIN_EXE_ms2m-sandbox-actor").into(),
        entrypoint: "/registry-faults".to_owned(),
        reference: reference.clone(),
        user: String::new(),
        files: Vec::new(),
    })
    .expect("is packed");
    let client = client(&[registry]);
    let push = async || {
        let pushed = push(&client, &image, &reference, &RegistryAuth::Anonymous).await;
        pushed.map_err(|error| format!("{:?}", color_eyre::Report::new(error)))
    };
    let path = "/registry-faults/";
    scene
        .world
        .order(
            "/registry",
            json!({ "path": path, "method": "POST", "status": 403 }),
        )
        .await;
    let denied = push().await.expect_err("is denied");
    assert!(
        denied.contains("DENIED") || denied.contains("403"),
        "{denied}"
    );
    scene
        .world
        .order("/registry", json!({ "path": path, "cutAfterBytes": 65536 }))
        .await;
    push().await.expect_err("is cut");
    push().await.expect("nothing is ordered any more");
}

#[tokio::test]
async fn nodes_and_the_broker_come_and_go() {
    // What all tests share needs a sandbox of its own here.
    let world = Arc::new(World::start(&["--nodes", "node-a"]));
    let scene = Scene::in_world(world, "alone").await;
    scene.world.declare("alone").await;
    let image = scene.world.text("workerImage");
    scene
        .create::<Pod>(scene.worker("w", "node-a", "alone", &image))
        .await;
    let worker = scene.ready("w").await;
    scene.world.publish("alone", "p0", 1).await;
    scene.applied(&worker, 1).await;

    scene
        .world
        .order("/broker", json!({ "do": "restart" }))
        .await;
    scene.world.publish("alone", "p0", 2).await;
    scene.applied(&worker, 2).await;

    scene
        .world
        .order("/node", json!({ "node": "node-a", "ready": false }))
        .await;
    ready_is(&scene, "node-a", "False").await;
    wait_for("the taint", async || {
        let taints = node(&scene, "node-a").await["spec"]["taints"]
            .as_array()?
            .clone();
        taints
            .iter()
            .any(|taint| taint["key"] == "node.kubernetes.io/not-ready")
            .then_some(())
    })
    .await;
    scene.applied(&worker, 2).await;
    scene
        .world
        .order("/node", json!({ "node": "node-a", "ready": true }))
        .await;
    ready_is(&scene, "node-a", "True").await;

    scene
        .world
        .order("/node", json!({ "node": "node-a", "running": false }))
        .await;
    ready_is(&scene, "node-a", "Unknown").await;
    scene.pod_when("w", |pod| !condition(pod, "Ready")).await;
    scene
        .world
        .order("/node", json!({ "node": "node-a", "running": true }))
        .await;
    ready_is(&scene, "node-a", "True").await;
    // The pod is still the node's, and starts anew: its memory is lost with the power.
    let worker = scene.ready("w").await;
    scene.applied(&worker, 0).await;
}
