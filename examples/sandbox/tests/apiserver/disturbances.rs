//! Faults on order and the request log.

use std::time::{Duration, Instant};

use futures_util::TryStreamExt;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, ListParams, WatchParams};
use serde_json::{Value, json};

use crate::support::{Cluster, pod, within};

const POST: reqwest::Method = reqwest::Method::POST;
const PODS: &str = "/api/v1/namespaces/default/pods";

async fn order(cluster: &Cluster, fault: Value) -> Value {
    let (code, answer) = cluster
        .send(POST, "/sandbox/faults", "application/json", &fault)
        .await;
    assert_eq!(code, 200, "{answer}");
    answer["id"].clone()
}

#[tokio::test]
async fn the_second_creation_fails() {
    let cluster = Cluster::start().await;
    order(&cluster, json!({"match": {"verb": "create", "path": "/pods$"}, "skip": 1, "action": {"status": 500, "message": "no space"}})).await;
    cluster.create(PODS, pod("one")).await;
    let (code, answer) = cluster
        .send(POST, PODS, "application/json", &pod("two"))
        .await;
    assert_eq!(
        (code, &answer["message"], &answer["kind"]),
        (500, &json!("no space"), &json!("Status"))
    );
    assert_eq!(
        cluster.get(&format!("{PODS}/two")).await.0,
        404,
        "nothing was done"
    );
    cluster.create(PODS, pod("two")).await;
}

#[tokio::test]
async fn delays_and_cancelled_faults() {
    let cluster = Cluster::start().await;
    order(
        &cluster,
        json!({"match": {"path": "/configmaps"}, "action": {"delayMs": 300}}),
    )
    .await;
    let start = Instant::now();
    cluster.get("/api/v1/namespaces/default/configmaps").await;
    assert!(start.elapsed() >= Duration::from_millis(300));
    let id = order(
        &cluster,
        json!({"match": {"user": "admin"}, "times": 100, "action": {"status": 503}}),
    )
    .await;
    assert_eq!(cluster.get(PODS).await.0, 503);
    assert_eq!(
        cluster
            .send(
                reqwest::Method::DELETE,
                &format!("/sandbox/faults/{id}"),
                "application/json",
                &json!({})
            )
            .await
            .0,
        200
    );
    assert_eq!(cluster.get(PODS).await.0, 200);
}

#[tokio::test]
async fn a_cut_request_gets_no_answer() {
    let cluster = Cluster::start().await;
    order(
        &cluster,
        json!({"match": {"verb": "list", "path": "/pods"}, "action": {"cut": true}}),
    )
    .await;
    let error = cluster.http(reqwest::Method::GET, PODS).send().await;
    assert!(error.is_err(), "{error:?}");
    assert_eq!(cluster.get(PODS).await.0, 200);
}

#[tokio::test]
async fn what_was_done_is_done_when_its_answer_is_lost() {
    let cluster = Cluster::start().await;
    let lost = [
        json!({"cut": true}),
        json!({"status": 504, "message": "too late"}),
        json!({"delayMs": 300}),
    ];
    for (number, action) in lost.into_iter().enumerate() {
        let name = format!("pod-{number}");
        let fault =
            json!({"match": {"verb": "create", "path": "/pods$"}, "after": true, "action": action});
        order(&cluster, fault).await;
        let start = Instant::now();
        let request = cluster
            .http(POST, PODS)
            .header("content-type", "application/json")
            .body(pod(&name).to_string());
        let answer = within(request.send()).await;
        match number {
            0 => assert!(answer.is_err(), "{answer:?}"),
            1 => assert_eq!(answer.expect("an answer").status(), 504),
            _ => {
                assert_eq!(answer.expect("an answer").status(), 201);
                assert!(start.elapsed() >= Duration::from_millis(300));
            }
        }
        assert_eq!(cluster.get(&format!("{PODS}/{name}")).await.0, 200);
    }
}

#[tokio::test]
async fn a_busy_server_says_when_to_come_again() {
    let cluster = Cluster::start().await;
    let action = json!({"status": 429, "message": "busy", "retryAfter": 7});
    order(&cluster, json!({"action": action})).await;
    let answer = within(cluster.http(reqwest::Method::GET, PODS).send())
        .await
        .expect("an answer");
    assert_eq!(
        (answer.status().as_u16(), &answer.headers()["retry-after"]),
        (429, &"7".parse().expect("a value"))
    );
    let status: Value = answer.json().await.expect("JSON");
    assert_eq!(
        (&status["reason"], &status["details"]),
        (&json!("TooManyRequests"), &json!({"retryAfterSeconds": 7}))
    );
}

#[tokio::test]
async fn a_fault_hits_one_program_only() {
    let cluster = Cluster::start().await;
    let fault = json!({"match": {"userAgent": "ms2m/"}, "action": {"status": 500}});
    order(&cluster, fault).await;
    assert_eq!(cluster.get(PODS).await.0, 200);
    let request = cluster.http(reqwest::Method::GET, PODS);
    let answer = within(request.header("user-agent", "ms2m/0.1.0").send()).await;
    assert_eq!(answer.expect("an answer").status(), 500);
}

#[tokio::test]
async fn running_watches_are_cut_all_at_once() {
    let cluster = Cluster::start().await;
    let watch = |agent: &'static str| {
        let path = format!("{PODS}?watch=true");
        let request = cluster.http(reqwest::Method::GET, &path);
        async move {
            within(request.header("user-agent", agent).send())
                .await
                .expect("an answer")
        }
    };
    let (mut one, mut two, mut other) = (
        watch("ms2m/1").await,
        watch("ms2m/1").await,
        watch("kubelet").await,
    );
    let cut = json!({"match": {"userAgent": "ms2m/"}});
    let (code, answer) = cluster
        .send(POST, "/sandbox/cut", "application/json", &cut)
        .await;
    assert_eq!((code, answer), (200, json!({"cut": 2})));
    assert!(within(one.chunk()).await.is_err());
    assert!(within(two.chunk()).await.is_err());
    cluster.create(PODS, pod("one")).await;
    assert!(within(other.chunk()).await.expect("lives").is_some());
    let (_, answer) = cluster
        .send(POST, "/sandbox/cut", "application/json", &json!({}))
        .await;
    assert_eq!(
        answer,
        json!({"cut": 1}),
        "those that were cut are not open any more"
    );
}

#[tokio::test]
async fn a_cut_watch_breaks_in_mid_stream() {
    let cluster = Cluster::start().await;
    cluster.create(PODS, pod("one")).await;
    order(
        &cluster,
        json!({"match": {"verb": "watch"}, "action": {"cut": true}}),
    )
    .await;
    let path = format!("{PODS}?watch=true");
    let mut answer = within(cluster.http(reqwest::Method::GET, &path).send())
        .await
        .expect("an answer");
    let first = within(answer.chunk())
        .await
        .expect("one event")
        .expect("one event");
    assert!(
        first.starts_with(b"{\"object\"") || first.starts_with(b"{\"type\""),
        "{first:?}"
    );
    assert!(within(answer.chunk()).await.is_err(), "then it breaks");
    let pods: Api<Pod> = Api::default_namespaced(cluster.client().await);
    let mut again = Box::pin(
        pods.watch(&WatchParams::default(), "0")
            .await
            .expect("a stream"),
    );
    assert!(within(again.try_next()).await.expect("readable").is_some());
}

#[tokio::test]
async fn requests_are_counted_by_user() {
    let cluster = Cluster::start().await;
    let (_, before) = cluster.get("/sandbox/requests").await;
    let since = before["last"].as_u64().expect("a number");
    let pods: Api<Pod> = Api::default_namespaced(cluster.client_as("node/node-a").await);
    pods.list(&ListParams::default()).await.expect("a list");
    pods.get_opt("one").await.expect("an answer");
    cluster.get(PODS).await;
    let (_, report) = cluster
        .get(&format!(
            "/sandbox/requests?since={since}&user=system:node:node-a"
        ))
        .await;
    assert_eq!(report["counts"], json!({"get pods": 1, "list pods": 1}));
    assert_eq!(report["log"][1]["code"], 404);
}

#[tokio::test]
async fn it_is_fast() {
    let cluster = Cluster::start().await;
    let client = cluster.client().await;
    let pods: Api<Pod> = Api::default_namespaced(client);
    pods.create(
        &Default::default(),
        &serde_json::from_value(pod("one")).expect("a pod"),
    )
    .await
    .expect("created");
    let start = Instant::now();
    for _ in 0..200 {
        pods.get("one").await.expect("a pod");
    }
    let each = start.elapsed() / 200;
    // Under a millisecond on an idle machine; a loaded one gets some slack.
    assert!(each < Duration::from_millis(20), "{each:?} a request");
}

#[tokio::test]
async fn nothing_is_left_after_the_end() {
    let cluster = Cluster::start().await;
    let port = crate::support::kubelet().await;
    let pods: Api<Pod> = Api::default_namespaced(cluster.client().await);
    cluster.create(PODS, pod("one")).await;
    let status = json!({"status": {"podIP": "127.0.0.1", "phase": "Running"}});
    let path = format!("{PODS}/one/status");
    cluster
        .send(
            reqwest::Method::PATCH,
            &path,
            "application/merge-patch+json",
            &status,
        )
        .await;
    let mut forwarder = pods.portforward("one", &[port]).await.expect("a forwarder");
    let mut stream = Box::pin(
        pods.watch(&WatchParams::default(), "0")
            .await
            .expect("a stream"),
    );
    within(stream.try_next()).await.expect("an event");
    let address = cluster.server.addr();
    within(cluster.server.shutdown()).await;
    let end = within(stream.try_next()).await;
    assert!(matches!(end, Ok(None) | Err(_)), "the watch has ended");
    drop(forwarder.take_stream(port));
    within(forwarder.join()).await.ok();
    assert!(
        tokio::net::TcpStream::connect(address).await.is_err(),
        "nobody listens"
    );
}
