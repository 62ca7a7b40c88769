//! kube against the API server.

use futures_util::{AsyncBufReadExt, StreamExt, TryStreamExt};
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec,
};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{ConfigMap, Node, Pod};
use kube::api::{
    Api, DeleteParams, ListParams, LogParams, Patch, PatchParams, WatchEvent, WatchParams,
};
use kube::runtime::watcher::{self, Event};
use kube::runtime::{WatchStreamExt, watcher as watch};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::{Cluster, kubelet, pod, post_params, within};

#[tokio::test]
async fn a_watcher_lists_and_follows() {
    let cluster = Cluster::start().await;
    for config in [
        watcher::Config::default(),
        watcher::Config::default().streaming_lists(),
    ] {
        let pods: Api<Pod> = Api::default_namespaced(cluster.client().await);
        let _ = pods.delete("one", &DeleteParams::default()).await;
        pods.create(
            &post_params(),
            &serde_json::from_value(pod("one")).expect("a pod"),
        )
        .await
        .expect("created");
        let mut events = Box::pin(watch(pods.clone(), config));
        let mut next = async || {
            within(events.try_next())
                .await
                .expect("no error")
                .expect("an event")
        };
        assert!(matches!(next().await, Event::Init));
        assert!(
            matches!(next().await, Event::InitApply(p) if p.metadata.name.as_deref() == Some("one"))
        );
        assert!(matches!(next().await, Event::InitDone));
        let label = json!({"metadata": {"labels": {"x": "y"}}});
        pods.patch("one", &PatchParams::default(), &Patch::Merge(label))
            .await
            .expect("patched");
        assert!(
            matches!(next().await, Event::Apply(p) if p.metadata.labels.as_ref().is_some_and(|l| l.contains_key("x")))
        );
        pods.delete("one", &DeleteParams::default())
            .await
            .expect("deleted");
        assert!(matches!(next().await, Event::Delete(_)));
    }
}

#[tokio::test]
async fn a_watcher_survives_lost_history() {
    let cluster = Cluster::start().await;
    let pods: Api<Pod> = Api::default_namespaced(cluster.client().await);
    let old = pods
        .list(&ListParams::default())
        .await
        .expect("a list")
        .metadata
        .resource_version
        .expect("a version");
    pods.create(
        &post_params(),
        &serde_json::from_value(pod("one")).expect("a pod"),
    )
    .await
    .expect("created");
    cluster.server.compact();
    let mut stream = Box::pin(
        pods.watch(&WatchParams::default(), &old)
            .await
            .expect("a stream"),
    );
    let event = within(stream.try_next())
        .await
        .expect("readable")
        .expect("an event");
    assert!(matches!(event, WatchEvent::Error(status) if status.code == 410));
    let mut names = Box::pin(watch(pods, watcher::Config::default()).applied_objects());
    let first = within(names.try_next())
        .await
        .expect("no error")
        .expect("a pod");
    assert_eq!(first.metadata.name.as_deref(), Some("one"));
}

#[tokio::test]
async fn selections_see_objects_come_and_go() {
    let cluster = Cluster::start().await;
    let pods: Api<Pod> = Api::default_namespaced(cluster.client().await);
    let version = pods
        .list(&ListParams::default())
        .await
        .expect("a list")
        .metadata
        .resource_version
        .expect("a version");
    let mut stream = Box::pin(
        pods.watch(&WatchParams::default().labels("tier=back"), &version)
            .await
            .expect("a stream"),
    );
    pods.create(
        &post_params(),
        &serde_json::from_value(pod("one")).expect("a pod"),
    )
    .await
    .expect("created");
    for labels in [
        json!({"tier": "back"}),
        json!({"tier": "back", "n": "1"}),
        json!({"tier": null}),
    ] {
        let patch = json!({"metadata": {"labels": labels}});
        pods.patch("one", &PatchParams::default(), &Patch::Merge(patch))
            .await
            .expect("patched");
    }
    let mut next = async || {
        within(stream.try_next())
            .await
            .expect("readable")
            .expect("an event")
    };
    assert!(matches!(next().await, WatchEvent::Added(_)));
    assert!(matches!(next().await, WatchEvent::Modified(_)));
    assert!(matches!(next().await, WatchEvent::Deleted(_)));
}

#[tokio::test]
async fn lists_come_in_chunks_of_one_version() {
    let cluster = Cluster::start().await;
    let maps: Api<ConfigMap> = Api::default_namespaced(cluster.client().await);
    let make = async |name: &str| {
        let object =
            serde_json::from_value(json!({"metadata": {"name": name, "labels": {"chunk": "yes"}}}))
                .expect("a map");
        maps.create(&post_params(), &object).await.expect("created");
    };
    for name in ["a", "b", "c"] {
        make(name).await;
    }
    let params = ListParams::default().labels("chunk=yes").limit(2);
    let first = maps.list(&params).await.expect("a list");
    assert_eq!(first.items.len(), 2);
    make("bb").await;
    let token = first.metadata.continue_.expect("more");
    let second = maps
        .list(&params.continue_token(&token))
        .await
        .expect("a list");
    let names: Vec<_> = second
        .items
        .iter()
        .filter_map(|m| m.metadata.name.as_deref())
        .collect();
    assert_eq!(names, ["c"], "what came later is not in it");
}

#[tokio::test]
async fn server_side_apply_knows_owners() {
    let cluster = Cluster::start().await;
    let maps: Api<ConfigMap> = Api::default_namespaced(cluster.client().await);
    let state = |data: serde_json::Value| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m"}, "data": data});
    let one = PatchParams::apply("one");
    let two = PatchParams::apply("two");
    maps.patch("m", &one, &Patch::Apply(state(json!({"a": "1", "b": "1"}))))
        .await
        .expect("created");
    let same = maps
        .patch("m", &two, &Patch::Apply(state(json!({"a": "1", "c": "1"}))))
        .await
        .expect("shared");
    let again = maps
        .patch("m", &two, &Patch::Apply(state(json!({"a": "1", "c": "1"}))))
        .await
        .expect("the same");
    assert_eq!(
        same.metadata.resource_version, again.metadata.resource_version,
        "nothing changed"
    );
    let error = maps
        .patch("m", &two, &Patch::Apply(state(json!({"a": "2"}))))
        .await
        .expect_err("a conflict");
    let kube::Error::Api(status) = error else {
        panic!("{error}")
    };
    assert_eq!(status.code, 409);
    assert_eq!(
        status.message,
        "Apply failed with 1 conflict: conflict with \"one\": .data.a"
    );
    maps.patch(
        "m",
        &two.clone().force(),
        &Patch::Apply(state(json!({"a": "2"}))),
    )
    .await
    .expect("forced");
    let left = maps
        .patch("m", &one, &Patch::Apply(state(json!({}))))
        .await
        .expect("given up");
    let data = left.data.expect("data");
    assert_eq!(
        data.into_iter().collect::<Vec<_>>(),
        [("a".to_owned(), "2".to_owned())],
        "b went with its owner, c with two's"
    );
}

#[tokio::test]
async fn applied_lists_merge_by_key() {
    let cluster = Cluster::start().await;
    let pods: Api<Pod> = Api::default_namespaced(cluster.client().await);
    pods.create(
        &post_params(),
        &serde_json::from_value(pod("one")).expect("a pod"),
    )
    .await
    .expect("created");
    let status = |kind: &str| json!({"apiVersion": "v1", "kind": "Pod", "status": {"conditions": [{"type": kind, "status": "True"}]}});
    for (manager, kind) in [("a", "A"), ("b", "B"), ("a", "C")] {
        pods.patch_status(
            "one",
            &PatchParams::apply(manager).force(),
            &Patch::Apply(status(kind)),
        )
        .await
        .expect("applied");
    }
    let conditions = pods
        .get("one")
        .await
        .expect("a pod")
        .status
        .expect("a status")
        .conditions
        .expect("conditions");
    let mut kinds: Vec<_> = conditions.iter().map(|c| c.type_.as_str()).collect();
    kinds.sort_unstable();
    assert_eq!(kinds, ["B", "C"]);
}

#[tokio::test]
async fn logs_stream_and_checkpoints_pass() {
    let cluster = Cluster::start().await;
    let port = kubelet().await;
    cluster.node("node-a", port).await;
    let client = cluster.client().await;
    let pods: Api<Pod> = Api::default_namespaced(client.clone());
    let mut object = pod("one");
    object["spec"]["nodeName"] = "node-a".into();
    pods.create(
        &post_params(),
        &serde_json::from_value(object).expect("a pod"),
    )
    .await
    .expect("created");
    let log = pods
        .log_stream(
            "one",
            &LogParams {
                follow: true,
                ..LogParams::default()
            },
        )
        .await
        .expect("a log");
    let lines: Vec<String> = within(log.lines().try_collect()).await.expect("lines");
    assert_eq!(lines[0], "log of default/one/main");
    let call = |method: &str, path: &str| {
        http::Request::builder()
            .method(method)
            .uri(path)
            .body(Vec::new())
            .expect("a request")
    };
    let path = "/api/v1/nodes/node-a/proxy/checkpoint/default/one/main?timeout=5";
    let answer = client
        .request_text(call("POST", path))
        .await
        .expect("an answer");
    assert_eq!(
        answer,
        "{\"items\":[\"/var/lib/kubelet/checkpoints/default/one/main?timeout=5\"]}"
    );
    let unknown = client
        .request_text(call("POST", "/api/v1/nodes/nowhere/proxy/checkpoint/a/b/c"))
        .await
        .expect_err("no node");
    assert!(
        matches!(unknown, kube::Error::Api(s) if s.code == 404 && s.message == "nodes \"nowhere\" not found")
    );
    let plain = cluster
        .http(
            reqwest::Method::POST,
            "/api/v1/nodes/node-a/proxy/checkpoint/default/gone/main",
        )
        .send()
        .await
        .expect("an answer");
    assert_eq!(plain.status(), 404);
    assert_eq!(plain.text().await.expect("text"), "pod does not exist");
    let wrong = cluster
        .http(reqwest::Method::GET, path)
        .send()
        .await
        .expect("an answer");
    assert_eq!(wrong.status(), 405, "the kubelet's answer");
}

#[tokio::test]
async fn ports_are_forwarded_and_proxied() {
    let cluster = Cluster::start().await;
    let port = kubelet().await;
    let pods: Api<Pod> = Api::default_namespaced(cluster.client().await);
    pods.create(
        &post_params(),
        &serde_json::from_value(pod("one")).expect("a pod"),
    )
    .await
    .expect("created");
    let status = json!({"status": {"podIP": "127.0.0.1", "phase": "Running"}});
    pods.patch_status("one", &PatchParams::default(), &Patch::Merge(status))
        .await
        .expect("patched");
    let mut forwarder = pods.portforward("one", &[port]).await.expect("a forwarder");
    let mut stream = forwarder.take_stream(port).expect("a stream");
    stream
        .write_all(b"GET /containerLogs/a/b/c HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        .await
        .expect("written");
    let mut answer = String::new();
    within(stream.read_to_string(&mut answer))
        .await
        .expect("read");
    assert!(answer.contains("log of a/b/c"), "{answer}");
    let path = format!("/api/v1/namespaces/default/pods/one:{port}/proxy/containerLogs/a/b/c?x=1");
    let answer = cluster
        .http(reqwest::Method::GET, &path)
        .send()
        .await
        .expect("an answer")
        .text()
        .await
        .expect("text");
    assert!(answer.contains("asked for x=1"), "{answer}");
}

#[tokio::test]
async fn reviews_answer_for_the_asker() {
    let cluster = Cluster::start().await;
    let ask = async |token: &str| {
        let reviews: Api<SelfSubjectAccessReview> = Api::all(cluster.client_as(token).await);
        let review = SelfSubjectAccessReview {
            spec: SelfSubjectAccessReviewSpec {
                resource_attributes: Some(ResourceAttributes {
                    verb: Some("create".into()),
                    resource: Some("nodes".into()),
                    subresource: Some("proxy".into()),
                    ..ResourceAttributes::default()
                }),
                ..SelfSubjectAccessReviewSpec::default()
            },
            ..SelfSubjectAccessReview::default()
        };
        reviews
            .create(&post_params(), &review)
            .await
            .expect("an answer")
            .status
            .expect("a status")
            .allowed
    };
    assert!(ask("node/node-a").await);
    assert!(!ask("user/jane").await);
}

#[tokio::test]
async fn leases_are_held_by_the_first() {
    let cluster = Cluster::start().await;
    let leases: Api<Lease> = Api::default_namespaced(cluster.client().await);
    let lease = |holder: &str| -> Lease {
        serde_json::from_value(json!({"metadata": {"name": "lock"}, "spec": {"holderIdentity": holder, "leaseDurationSeconds": 15}})).expect("a lease")
    };
    let made = leases
        .create(&post_params(), &lease("a"))
        .await
        .expect("created");
    let error = leases
        .create(&post_params(), &lease("b"))
        .await
        .expect_err("taken");
    assert!(matches!(error, kube::Error::Api(s) if s.code == 409 && s.reason == "AlreadyExists"));
    let mut stale = made.clone();
    leases
        .replace("lock", &post_params(), &made)
        .await
        .expect("unchanged");
    let mut newer = made.clone();
    newer.spec.as_mut().expect("a spec").holder_identity = Some("c".into());
    leases
        .replace("lock", &post_params(), &newer)
        .await
        .expect("current");
    stale.spec.as_mut().expect("a spec").holder_identity = Some("b".into());
    let error = leases
        .replace("lock", &post_params(), &stale)
        .await
        .expect_err("stale");
    assert!(matches!(error, kube::Error::Api(s) if s.code == 409 && s.reason == "Conflict"));
}

#[tokio::test]
async fn discovery_serves_clients() {
    let cluster = Cluster::start().await;
    let client = cluster.client().await;
    let discovery = kube::Discovery::new(client.clone())
        .run()
        .await
        .expect("discovered");
    assert!(discovery.has_group("apps") && discovery.has_group("coordination.k8s.io"));
    let nodes: Api<Node> = Api::all(client);
    assert!(
        nodes
            .list_metadata(&ListParams::default())
            .await
            .expect("a list")
            .items
            .is_empty()
    );
    let mut stream = Box::pin(
        nodes
            .watch_metadata(&WatchParams::default(), "0")
            .await
            .expect("a stream"),
    );
    cluster.node("node-a", 1).await;
    let event = within(stream.next())
        .await
        .expect("an event")
        .expect("readable");
    assert!(
        matches!(event, WatchEvent::Added(node) if node.metadata.name.as_deref() == Some("node-a"))
    );
}
