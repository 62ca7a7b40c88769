//! Pods without checkpoints: running, logging, ending, failing.

use std::time::Instant;

use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, LogParams};
use serde_json::json;

use super::support::{Scene, container, message, pod, push_actor, reason, wait_for, waiting};

#[tokio::test]
async fn a_pod_runs_and_ends_within_its_grace() {
    let scene = Scene::new("runs").await;
    let image = push_actor(&scene.world, "runs").await;
    let mut polite = pod(
        "polite",
        "node-a",
        &image,
        &["print", "hello", "wait", "print", "bye"],
    );
    // Scheduled, not bound by hand.
    polite["spec"]["nodeName"] = json!(null);
    scene.create::<Pod>(polite).await;
    let running = scene.ready("polite").await;
    let status = container(&running);
    assert_eq!(status["image"], image.as_str());
    let repository = image.rsplit_once(':').expect("has a tag").0;
    let id = status["imageID"].as_str().expect("has an id");
    assert!(id.starts_with(&format!("{repository}@sha256:")), "{id}");
    assert_eq!(status["restartCount"], 0);
    scene.says("polite", "hello\n").await;
    let reasons = wait_for("the events", async || {
        let reasons = scene.reasons("polite").await;
        (reasons.len() >= 5).then_some(reasons)
    })
    .await;
    // The scheduler speaks of it once the pod is bound, and the kubelet has begun by then.
    let (scheduler, kubelet): (Vec<_>, Vec<_>) = reasons
        .into_iter()
        .partition(|reason| reason == "Scheduled");
    assert_eq!(scheduler.len(), 1);
    assert_eq!(kubelet, ["Pulling", "Pulled", "Created", "Started"]);
    scene.delete("polite").await;

    let mut stubborn = pod("stubborn", "node-a", &image, &["ignore"]);
    stubborn["spec"]["terminationGracePeriodSeconds"] = json!(30);
    scene.create::<Pod>(stubborn).await;
    scene.ready("stubborn").await;
    scene.says("stubborn", "deaf\n").await;
    let began = Instant::now();
    let pods = scene.api::<Pod>();
    pods.delete("stubborn", &DeleteParams::default().grace_period(1))
        .await
        .expect("is deleted");
    wait_for("the end", async || {
        pods.get_opt("stubborn")
            .await
            .expect("answers")
            .is_none()
            .then_some(())
    })
    .await;
    let passed = began.elapsed().as_secs_f64();
    assert!(
        (0.9..20.0).contains(&passed),
        "{passed} s for a grace of one second"
    );
}

#[tokio::test]
async fn a_failing_container_is_started_again_by_its_policy() {
    let scene = Scene::new("restarts").await;
    let image = push_actor(&scene.world, "restarts").await;
    let actions = [
        "write",
        "/dev/termination-log",
        "last words",
        "print",
        "x",
        "exit",
        "3",
    ];
    scene
        .create::<Pod>(pod("always", "node-a", &image, &actions))
        .await;
    let crashed = scene.pod_when("always", waiting("CrashLoopBackOff")).await;
    let status = container(&crashed);
    assert_eq!(status["lastState"]["terminated"]["exitCode"], 3);
    assert_eq!(status["lastState"]["terminated"]["message"], "last words");
    assert!(
        message(&crashed).contains("restarting failed container=main"),
        "{crashed:#}"
    );
    assert!(status["restartCount"].as_i64() >= Some(1), "{status}");
    let previous = LogParams {
        previous: true,
        ..LogParams::default()
    };
    assert_eq!(scene.log("always", &previous).await, "x\n");

    let mut never = pod("never", "node-a", &image, &actions);
    never["spec"]["restartPolicy"] = json!("Never");
    scene.create::<Pod>(never).await;
    let failed = scene.phase("never", "Failed").await;
    assert_eq!(container(&failed)["restartCount"], 0);
    assert_eq!(container(&failed)["state"]["terminated"]["reason"], "Error");

    let mut done = pod("done", "node-b", &image, &["exit", "0"]);
    done["spec"]["restartPolicy"] = json!("OnFailure");
    scene.create::<Pod>(done).await;
    let succeeded = scene.phase("done", "Succeeded").await;
    assert_eq!(
        container(&succeeded)["state"]["terminated"]["reason"],
        "Completed"
    );
}

#[tokio::test]
async fn init_containers_come_first_and_must_succeed() {
    let scene = Scene::new("init").await;
    let image = push_actor(&scene.world, "init").await;
    let with_init = |name: &str, code: &str| {
        let mut pod = pod(name, "node-a", &image, &["cat", "/shared/word"]);
        let mounts = json!([{ "name": "shared", "mountPath": "/shared" }]);
        pod["spec"]["restartPolicy"] = json!("Never");
        pod["spec"]["volumes"] = json!([{ "name": "shared", "emptyDir": {} }]);
        pod["spec"]["containers"][0]["volumeMounts"] = mounts.clone();
        pod["spec"]["initContainers"] = json!([{
            "name": "before",
            "image": image,
            "args": ["write", "/shared/word", "from before", "exit", code],
            "volumeMounts": mounts,
        }]);
        pod
    };
    scene.create::<Pod>(with_init("good", "0")).await;
    scene.phase("good", "Succeeded").await;
    assert_eq!(
        scene.log("good", &LogParams::default()).await,
        "from before\n"
    );
    scene.create::<Pod>(with_init("bad", "1")).await;
    let failed = scene.phase("bad", "Failed").await;
    assert_eq!(reason(&failed), "PodInitializing");
}

#[tokio::test]
async fn probes_decide_on_readiness_and_life() {
    let scene = Scene::new("probes").await;
    let image = push_actor(&scene.world, "probes").await;
    let probe = json!({ "tcpSocket": { "port": 8080 }, "periodSeconds": 1, "failureThreshold": 1 });
    let mut ready = pod(
        "ready",
        "node-a",
        &image,
        &["sleep", "4000", "listen", "8080", "wait"],
    );
    ready["spec"]["containers"][0]["readinessProbe"] = probe.clone();
    scene.create::<Pod>(ready).await;
    let running = scene.phase("ready", "Running").await;
    assert_eq!(container(&running)["ready"], false);
    scene.ready("ready").await;

    let mut alive = pod("alive", "node-a", &image, &["wait"]);
    alive["spec"]["containers"][0]["livenessProbe"] = probe;
    scene.create::<Pod>(alive).await;
    scene
        .pod_when("alive", |pod| {
            container(pod)["restartCount"].as_i64() >= Some(1)
        })
        .await;
    // Events are written when there is time for them, after the status.
    for expected in ["Unhealthy", "Killing"] {
        wait_for(expected, async || {
            let reasons = scene.reasons("alive").await;
            reasons.contains(&expected.to_owned()).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn what_cannot_run_says_why() {
    let scene = Scene::new("refusals").await;
    let image = push_actor(&scene.world, "refusals").await;
    let missing = format!("{image}-not-there");
    scene
        .create::<Pod>(pod("missing", "node-a", &missing, &[]))
        .await;
    scene.pod_when("missing", waiting("ErrImagePull")).await;
    let backed_off = scene.pod_when("missing", waiting("ImagePullBackOff")).await;
    assert!(
        message(&backed_off).contains("Back-off pulling image"),
        "{backed_off:#}"
    );

    let mut nothing = pod("nothing", "node-a", &image, &[]);
    nothing["spec"]["containers"][0]["command"] = json!(["/no/such/program"]);
    scene.create::<Pod>(nothing.clone()).await;
    let refused = scene
        .pod_when("nothing", waiting("CreateContainerError"))
        .await;
    assert!(message(&refused).contains("no such file"), "{refused:#}");
    assert_eq!(container(&refused)["restartCount"], 0);

    // containerd starts it, keeps it as one that has ended, and starts it again.
    nothing["metadata"]["name"] = json!("nothing-there");
    nothing["spec"]["nodeName"] = json!("node-c");
    scene.create::<Pod>(nothing).await;
    let dead = scene
        .pod_when("nothing-there", waiting("CrashLoopBackOff"))
        .await;
    let last = &container(&dead)["lastState"]["terminated"];
    assert_eq!(
        (&last["reason"], &last["exitCode"]),
        (&json!("StartError"), &json!(128))
    );

    let mut secretive = pod("secretive", "node-a", &image, &["wait"]);
    secretive["spec"]["containers"][0]["env"] = json!([
        { "name": "X", "valueFrom": { "secretKeyRef": { "name": "none", "key": "x" } } },
    ]);
    scene.create::<Pod>(secretive).await;
    let refused = scene
        .pod_when("secretive", waiting("CreateContainerConfigError"))
        .await;
    assert_eq!(message(&refused), "secret \"none\" not found");

    let mut nowhere = pod("nowhere", "", &image, &[]);
    nowhere["spec"]["nodeName"] = json!(null);
    nowhere["spec"]["nodeSelector"] = json!({ "kubernetes.io/hostname": "node-z" });
    scene.create::<Pod>(nowhere).await;
    scene
        .pod_when("nowhere", |pod| {
            let conditions = pod["status"]["conditions"].as_array();
            conditions.is_some_and(|all| all.iter().any(|one| one["reason"] == "Unschedulable"))
        })
        .await;
}

#[tokio::test]
async fn logs_are_followed_to_the_end() {
    use futures_util::{AsyncReadExt as _, io::AsyncBufReadExt as _};

    let scene = Scene::new("logs").await;
    let image = push_actor(&scene.world, "logs").await;
    let actions = [
        "print", "one", "print", "two", "sleep", "1000", "print", "three",
    ];
    let mut pod = pod("talker", "node-a", &image, &actions);
    pod["spec"]["restartPolicy"] = json!("Never");
    scene.create::<Pod>(pod).await;
    scene.phase("talker", "Running").await;
    let follow = LogParams {
        follow: true,
        tail_lines: Some(1),
        ..LogParams::default()
    };
    let mut stream = scene
        .api::<Pod>()
        .log_stream("talker", &follow)
        .await
        .expect("is followed");
    let mut first = String::new();
    stream.read_line(&mut first).await.expect("has a line");
    let mut rest = String::new();
    stream
        .read_to_string(&mut rest)
        .await
        .expect("ends with the container");
    assert!(
        format!("{first}{rest}").ends_with("three\n"),
        "{first}{rest}"
    );
    let stamped = LogParams {
        timestamps: true,
        ..LogParams::default()
    };
    let text = scene.log("talker", &stamped).await;
    for (line, word) in text.lines().zip(["one", "two", "three"]) {
        let (time, rest) = line.split_once(' ').expect("has a time");
        time.parse::<jiff::Timestamp>().expect("is RFC 3339");
        assert_eq!(rest, word);
    }
}
