//! The recorder that other tests rely on: what it sees in a sandbox, also across cuts, and what it
//! makes of what it has seen.

#[path = "support/mod.rs"]
mod support;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use support::recording::{Change, PodLife, PodNow, Range, Recording, SliceNow, What};
use support::{Recorder, World, eventually};

const NAMESPACE: &str = "recorded";

async fn apply(world: &World, object: Value) {
    let arguments = ["apply", "-n", NAMESPACE, "-f", "-"];
    world.kubectl_with(&arguments, &object.to_string()).await;
}

fn pod(world: &World, name: &str, node: &str, app: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": { "name": name, "labels": { "app": app } },
        "spec": {
            "nodeSelector": { "kubernetes.io/hostname": node },
            "terminationGracePeriodSeconds": 1,
            "containers": [{
                "name": "worker", "image": world.places.worker_image,
                "env": [
                    { "name": "AMQP_URL", "value": world.places.broker_url },
                    { "name": "QUEUE", "value": name },
                ],
            }],
        },
    })
}

async fn ready(world: &World, name: &str) {
    let pod = format!("pod/{name}");
    let arguments = [
        "wait",
        "-n",
        NAMESPACE,
        "--for=condition=Ready",
        "--timeout=60s",
        &pod,
    ];
    world.kubectl(&arguments).await;
}

/// Gives an order to the API server.
async fn order(world: &World, path: &str, order: Value) -> Value {
    let arguments = ["create", "--raw", path, "-f", "-"];
    let answer = world.kubectl_with(&arguments, &order.to_string()).await;
    serde_json::from_str(&answer).unwrap_or_default()
}

/// Cuts both watches of the recorder.
async fn cut(world: &World) {
    let watches = json!({ "match": { "userAgent": "recorder" } });
    let mut cut = 0;
    eventually("two watches to cut", async || {
        let answer = order(world, "/sandbox/cut", watches.clone()).await;
        cut += answer["cut"].as_u64().expect("says how many");
        (cut >= 2).then_some(())
    })
    .await;
}

/// Waits until exactly that pod is a ready endpoint, as kubectl sees it.
async fn serves(world: &World, pod: &str) {
    let path = "-o=jsonpath={range .items[*].endpoints[?(@.conditions.ready==true)]}{.targetRef.name} {end}";
    eventually("the endpoints", async || {
        let arguments = ["get", "endpointslices", "-n", NAMESPACE, path];
        (world.kubectl(&arguments).await.trim() == pod).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_escapes_the_recorder() {
    let world = World::get();
    world.kubectl(&["create", "namespace", NAMESPACE]).await;
    apply(
        world,
        json!({
            "apiVersion": "v1", "kind": "Service", "metadata": { "name": "s" },
            "spec": { "selector": { "app": "a" }, "ports": [{ "port": 80 }] },
        }),
    )
    .await;
    apply(world, pod(world, "old", "node-a", "a")).await;
    ready(world, "old").await;
    serves(world, "old").await;

    let recorder = Recorder::start(world, NAMESPACE).await;
    apply(world, pod(world, "new", "node-b", "none")).await;
    cut(world).await;
    ready(world, "new").await;
    let kill = json!({ "pod": format!("{NAMESPACE}/new"), "do": "kill" });
    world.order("/container", kill).await;
    let restarts = "-o=jsonpath={.status.containerStatuses[0].restartCount}";
    eventually("the restart", async || {
        let arguments = ["get", "pod", "new", "-n", NAMESPACE, restarts];
        (world.kubectl(&arguments).await == "1").then_some(())
    })
    .await;
    ready(world, "new").await;
    world
        .kubectl(&[
            "label",
            "pod",
            "new",
            "-n",
            NAMESPACE,
            "--overwrite",
            "app=a",
        ])
        .await;
    cut(world).await;
    world
        .kubectl(&["delete", "pod", "old", "-n", NAMESPACE])
        .await;
    serves(world, "new").await;
    let recording = recorder.stop().await;

    let said = recording.to_string();
    assert_eq!(recording.gaps, 0, "{said}");
    let [old] = &recording.named("old")[..] else {
        panic!("{said}")
    };
    let [new] = &recording.named("new")[..] else {
        panic!("{said}")
    };
    assert!(
        old.before && old.gone >= old.deletion_asked && old.deletion_asked.is_some(),
        "{said}"
    );
    assert!(
        !new.before && new.gone.is_none() && new.ready.is_some(),
        "{said}"
    );
    assert_eq!(
        recording.restarts(),
        [(new.last.uid.clone(), 1)].into(),
        "{said}"
    );
    let range = recording.matching(&[("app", "a")]);
    assert_eq!(
        range,
        Range {
            least: 1,
            greatest: 2
        },
        "{said}"
    );
    let timeline: Vec<_> = recording
        .endpoints("s")
        .into_iter()
        .map(|(_, ready)| ready)
        .collect();
    let of = |pods: &[&String]| pods.iter().map(|uid| (*uid).clone()).collect();
    let (old, new) = (&old.last.uid, &new.last.uid);
    assert_eq!(
        timeline,
        [of(&[old]), of(&[old, new]), of(&[new])],
        "{said}"
    );
    a_gap_is_told(world).await;
    world
        .kubectl(&["delete", "namespace", NAMESPACE, "--wait=false"])
        .await;
}

/// Not a test of its own: it makes the API server forget what others may want to know.
async fn a_gap_is_told(world: &World) {
    let recorder = Recorder::start(world, NAMESPACE).await;
    let refuse = json!({
        "match": { "verb": "watch", "userAgent": "recorder" }, "times": 1000,
        "action": { "status": 503 },
    });
    let fault = world.order_of_api(refuse).await;
    cut(world).await;
    world
        .kubectl(&["delete", "pod", "new", "-n", NAMESPACE])
        .await;
    apply(world, pod(world, "late", "node-a", "a")).await;
    order(world, "/sandbox/compact", json!({})).await;
    world.kubectl(&["delete", "--raw", &fault]).await;
    let recording = recorder.stop().await;
    let said = recording.to_string();
    assert!(recording.gaps > 0, "{said}");
    let names = |pods: Vec<PodLife>| {
        pods.into_iter()
            .map(|pod| pod.last.name)
            .collect::<Vec<_>>()
    };
    assert_eq!(names(recording.created()), ["late"], "{said}");
    assert_eq!(names(recording.deleted()), ["new"], "{said}");
    assert!(
        said.contains("in which anything may have happened"),
        "{said}"
    );
}

fn seconds(seconds: i64) -> Timestamp {
    Timestamp::UNIX_EPOCH + SignedDuration::from_secs(seconds)
}

fn now(uid: &str, terminating: bool, restarts: i32) -> What {
    What::Pod(PodNow {
        uid: uid.to_owned(),
        name: format!("pod-{uid}"),
        labels: [("app".to_owned(), "a".to_owned())].into(),
        terminating,
        restarts,
        ..PodNow::default()
    })
}

fn slice(name: &str, ready: &[&str]) -> What {
    What::Slice(SliceNow {
        name: name.to_owned(),
        service: "s".to_owned(),
        ready: ready.iter().map(|uid| (*uid).to_owned()).collect(),
    })
}

/// Numbered by their order, a second apart.
fn recording(initial: Vec<What>, changes: Vec<What>) -> Recording {
    let changes = (1..).zip(changes).map(|(number, what)| Change {
        version: number,
        at: seconds(i64::try_from(number).expect("is small")),
        what,
    });
    Recording {
        namespace: "x".to_owned(),
        began: seconds(0),
        ended: seconds(10),
        initial,
        changes: changes.collect(),
        gaps: 0,
    }
}

#[test]
fn pods_are_counted_at_every_moment() {
    let initial = vec![now("1", false, 3), now("2", false, 0)];
    let changes = vec![
        now("1", true, 3),
        What::PodGone("1".to_owned()),
        now("3", false, 2),
        now("2", false, 1),
        now("4", false, 0),
    ];
    let recording = recording(initial, changes);
    let range = |least, greatest| Range { least, greatest };
    assert_eq!(recording.matching(&[("app", "a")]), range(1, 3));
    assert_eq!(recording.matching(&[("app", "b")]), range(0, 0));
    assert_eq!(recording.count(|_| true), range(1, 3));
    let uids = |lives: Vec<PodLife>| {
        lives
            .into_iter()
            .map(|life| life.last.uid)
            .collect::<Vec<_>>()
    };
    assert_eq!(uids(recording.created()), ["3", "4"]);
    assert_eq!(uids(recording.deleted()), ["1"]);
    // Those from before the recording are none of its own.
    let expected = [("2".to_owned(), 1), ("3".to_owned(), 2)];
    assert_eq!(recording.restarts(), expected.into());
}

#[test]
fn endpoints_are_known_at_every_moment() {
    let initial = vec![slice("s-1", &["1"])];
    let changes = vec![
        now("2", false, 0),
        slice("s-2", &["2"]),
        slice("s-1", &[]),
        What::SliceGone("s-2".to_owned()),
    ];
    let recording = recording(initial, changes);
    let at = |second| {
        recording
            .ready_at("s", seconds(second))
            .into_iter()
            .collect::<Vec<_>>()
    };
    assert_eq!(at(0), ["1"]);
    assert_eq!(at(1), ["1"]);
    assert_eq!(at(2), ["1", "2"]);
    assert_eq!(at(3), ["2"]);
    assert!(at(4).is_empty());
    assert_eq!(recording.endpoints("s").len(), 4);
    assert_eq!(
        recording.to_string(),
        "namespace x, recorded for 10.00 s:\n\
         \x20    0.00  service s: [? (1)] ready\n\
         \x20    1.00  pod-2 (2) is there: app=a, of nobody\n\
         \x20    2.00  service s: [? (1), pod-2 (2)] ready\n\
         \x20    3.00  service s: [pod-2 (2)] ready\n\
         \x20    4.00  service s: [] ready\n"
    );
}
