//! Deployments: the target is adopted, the source is the one that goes, and no empty pod is ever
//! started.

use serde_json::{Value, json};

use crate::scene::Set;
use crate::support::recording::{PodNow, Recording, What};
use crate::support::{App, Recorder, eventually};

async fn start(name: &str) -> Set {
    Set::start_deployment(name).await
}

fn app_of(set: &Set) -> &App {
    &set.pods[0]
}

/// How many pods were behind the service, one after the other, from when it knows of the first one: that
/// may be a moment after the pod is ready, and after the recording begins.
fn service_changes(recording: &Recording, service: &str) -> Vec<usize> {
    let timeline = recording.endpoints(service);
    let counts = timeline.into_iter().map(|(_, ready)| ready.len());
    counts.skip_while(|count| *count == 0).collect()
}

/// A Service finds the target by its labels. It has been ready, without them, before the commit; it has
/// them before the source is asked to go; and nothing else happens in between.
fn takes_the_source_s_place(recording: &Recording, target: &str, source: &str) {
    let first = |uid: &str, holds: fn(&PodNow) -> bool| {
        recording.changes.iter().position(
            |change| matches!(&change.what, What::Pod(pod) if pod.uid == uid && holds(pod)),
        )
    };
    let ready = first(target, |pod| pod.ready);
    let labelled = first(target, |pod| pod.has(&[("app", "worker")]));
    let leaving = first(source, |pod| pod.terminating);
    assert!(
        ready.is_some() && ready < labelled,
        "the target had no label of the Service's when it became ready: {ready:?} {labelled:?}\n{recording}"
    );
    assert!(
        labelled < leaving,
        "the source went when the target had its labels: {labelled:?} {leaving:?}\n{recording}"
    );
}

async fn deployment(set: &Set) -> Value {
    set.get("deployment", &set.name).await.expect("it is there")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_of_a_deployment_moves_without_a_stray_one() {
    let mut set = start("deployment").await;
    set.produce(40.0).await;
    let before = deployment(&set).await;
    let recorder = Recorder::start(set.world, &set.namespace).await;
    let app = app_of(&set);
    let source = set.seen().await[&app.pod].uid.clone();
    let result = app.migrate(&[]).await.expect_code(0).json();
    assert_eq!(result["strategy"], "ShadowPod");
    let seen = eventually("the ReplicaSet has the target and no other", async || {
        let seen = set.seen().await;
        let target = seen.get(&app.target)?.clone();
        (seen.len() == 1 && target.controller.is_some()).then_some(target)
    })
    .await;
    let recording = recorder.stop().await;
    assert_eq!(seen.node, app.to);
    let workers: Vec<_> = recording
        .created()
        .into_iter()
        .filter(|life| life.last.has(&[("app", "worker")]))
        .map(|life| life.last.name)
        .collect();
    assert_eq!(
        workers,
        std::slice::from_ref(&app.target),
        "no other pod came:\n{recording}"
    );
    let wanted = recording.matching(&[("app", "worker")]);
    assert!(wanted.least >= 1, "never too few: {wanted:?}\n{recording}");
    let target = &seen.uid;
    let behind = recording.endpoints(&set.name);
    takes_the_source_s_place(&recording, &seen.uid, &source);
    let last = behind.last().expect("there were endpoints");
    assert_eq!(last.1.iter().collect::<Vec<_>>(), [target], "{recording}");
    assert!(
        service_changes(&recording, &set.name)
            .iter()
            .all(|count| *count >= 1),
        "the service always had somebody:\n{recording}"
    );
    let after = deployment(&set).await;
    assert_eq!(after["spec"], before["spec"]);
    assert_eq!(
        after["metadata"]["generation"],
        before["metadata"]["generation"]
    );
    set.all_exact().await;
    set.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_of_a_deployment_moves_there_and_back() {
    let mut set = start("again").await;
    set.produce(30.0).await;
    app_of(&set).migrate(&[]).await.expect_code(0);
    let app = &mut set.pods[0];
    std::mem::swap(&mut app.pod, &mut app.target);
    std::mem::swap(&mut app.from, &mut app.to);
    app_of(&set).migrate(&[]).await.expect_code(0);
    set.all_exact().await;
    set.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollout_in_progress_is_refused() {
    let set = start("rollout").await;
    let pause = json!({"spec": {"template": {"spec": {"containers": [
        {"name": "worker", "image": "registry.invalid/none:1"}
    ]}}}});
    let patch = pause.to_string();
    let arguments = [
        "patch",
        "deployment",
        &set.name,
        "-n",
        &set.namespace,
        "-p",
        &patch,
    ];
    set.world.kubectl(&arguments).await;
    eventually("the rollout has begun", async || {
        let deployment = deployment(&set).await;
        let status = &deployment["status"];
        (status["observedGeneration"] == deployment["metadata"]["generation"]).then_some(())
    })
    .await;
    let outcome = app_of(&set).migrate(&[]).await.expect_code(3);
    assert!(
        outcome.stderr.contains("a rollout of Deployment"),
        "{outcome:?}"
    );
    set.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sequentially_is_refused() {
    let set = start("refused").await;
    let outcome = app_of(&set).migrate(&["--strategy", "sequential"]).await;
    let outcome = outcome.expect_code(3);
    assert!(
        outcome
            .stderr
            .contains("strategy Sequential is for pods of a StatefulSet"),
        "{outcome:?}"
    );
    set.end().await;
}
