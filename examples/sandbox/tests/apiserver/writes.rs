//! Writing objects: identity, defaults, concurrency, dry runs, what is refused.

use serde_json::{Value, json};

use crate::support::{Cluster, pod};

const PODS: &str = "/api/v1/namespaces/default/pods";
const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const POST: reqwest::Method = reqwest::Method::POST;
const PUT: reqwest::Method = reqwest::Method::PUT;
const PATCH: reqwest::Method = reqwest::Method::PATCH;
const JSON: &str = "application/json";
const MERGE: &str = "application/merge-patch+json";

#[tokio::test]
async fn a_new_pod_is_completed() {
    let cluster = Cluster::start().await;
    let made = cluster.create(PODS, pod("one")).await;
    let (metadata, spec) = (&made["metadata"], &made["spec"]);
    assert!(metadata["uid"].is_string() && metadata["creationTimestamp"].is_string());
    assert_eq!(
        (&spec["serviceAccountName"], &spec["restartPolicy"]),
        (&json!("default"), &json!("Always"))
    );
    assert_eq!(
        (&spec["dnsPolicy"], &spec["terminationGracePeriodSeconds"]),
        (&json!("ClusterFirst"), &json!(30))
    );
    let container = &spec["containers"][0];
    assert_eq!(container["terminationMessagePath"], "/dev/termination-log");
    assert_eq!(container["imagePullPolicy"], "IfNotPresent");
    assert_eq!(
        container["volumeMounts"][0]["mountPath"],
        "/var/run/secrets/kubernetes.io/serviceaccount"
    );
    assert_eq!(
        container["volumeMounts"][0]["name"],
        spec["volumes"][0]["name"]
    );
    assert_eq!(spec["tolerations"].as_array().expect("a list").len(), 2);
    assert_eq!(
        made["status"],
        json!({"phase": "Pending", "qosClass": "BestEffort"})
    );
}

#[tokio::test]
async fn no_token_for_who_wants_none() {
    let cluster = Cluster::start().await;
    let mut object = pod("one");
    object["spec"]["automountServiceAccountToken"] = false.into();
    let made = cluster.create(PODS, object).await;
    assert_eq!(made["spec"]["volumes"], Value::Null);
}

#[tokio::test]
async fn names_are_generated_and_taken() {
    let cluster = Cluster::start().await;
    let made = cluster
        .create(MAPS, json!({"metadata": {"generateName": "run-"}}))
        .await;
    let name = made["metadata"]["name"].as_str().expect("a name");
    assert!(name.starts_with("run-") && name.len() == 9, "{name}");
    cluster
        .create(MAPS, json!({"metadata": {"name": "x"}}))
        .await;
    let (code, answer) = cluster
        .send(POST, MAPS, JSON, &json!({"metadata": {"name": "x"}}))
        .await;
    assert_eq!(
        (code, &answer["reason"], &answer["message"]),
        (
            409,
            &json!("AlreadyExists"),
            &json!("configmaps \"x\" already exists")
        )
    );
    let (code, answer) = cluster
        .send(POST, MAPS, JSON, &json!({"metadata": {}}))
        .await;
    assert_eq!(code, 422, "{answer}");
}

#[tokio::test]
async fn dry_runs_leave_nothing() {
    let cluster = Cluster::start().await;
    let (code, made) = cluster
        .send(POST, &format!("{PODS}?dryRun=All"), JSON, &pod("one"))
        .await;
    assert_eq!((code, &made["status"]["phase"]), (201, &json!("Pending")));
    assert_eq!(cluster.get(&format!("{PODS}/one")).await.0, 404);
    cluster
        .create(MAPS, json!({"metadata": {"name": "x"}, "data": {"a": "1"}}))
        .await;
    let (code, _) = cluster
        .send(
            PATCH,
            &format!("{MAPS}/x?dryRun=All"),
            MERGE,
            &json!({"data": {"a": "2"}}),
        )
        .await;
    assert_eq!(code, 200);
    assert_eq!(cluster.get(&format!("{MAPS}/x")).await.1["data"]["a"], "1");
}

#[tokio::test]
async fn stale_writes_conflict_and_blind_ones_do_not() {
    let cluster = Cluster::start().await;
    let first = cluster
        .create(MAPS, json!({"metadata": {"name": "x"}, "data": {"a": "1"}}))
        .await;
    let path = format!("{MAPS}/x");
    cluster
        .send(PATCH, &path, MERGE, &json!({"data": {"b": "1"}}))
        .await;
    let (code, answer) = cluster.send(PUT, &path, JSON, &first).await;
    assert_eq!((code, &answer["reason"]), (409, &json!("Conflict")));
    assert_eq!(
        answer["message"],
        "Operation cannot be fulfilled on configmaps \"x\": the object has been modified; please apply your changes to the latest version and try again"
    );
    let pinned = json!({"metadata": {"resourceVersion": first["metadata"]["resourceVersion"]}, "data": {"c": "1"}});
    assert_eq!(cluster.send(PATCH, &path, MERGE, &pinned).await.0, 409);
    assert_eq!(
        cluster
            .send(
                PUT,
                &path,
                JSON,
                &json!({"metadata": {"name": "x"}, "data": {}})
            )
            .await
            .0,
        200
    );
    let (_, now) = cluster.get(&path).await;
    let (_, same) = cluster
        .send(PATCH, &path, MERGE, &json!({"metadata": {"labels": null}}))
        .await;
    assert_eq!(
        now["metadata"]["resourceVersion"], same["metadata"]["resourceVersion"],
        "no change, no version"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_writers_lose_no_write() {
    let cluster = Cluster::start().await;
    cluster
        .create(MAPS, json!({"metadata": {"name": "x"}}))
        .await;
    let path = format!("{MAPS}/x");
    let writes = (0..300).map(|n| {
        let (cluster, path) = (&cluster, &path);
        async move {
            cluster
                .send(PATCH, path, MERGE, &json!({"data": {format!("k{n}"): "1"}}))
                .await
                .0
        }
    });
    assert!(
        futures_util::future::join_all(writes)
            .await
            .iter()
            .all(|code| *code == 200)
    );
    assert_eq!(
        cluster.get(&path).await.1["data"]
            .as_object()
            .expect("a map")
            .len(),
        300
    );
}

#[tokio::test]
async fn only_what_may_change_does() {
    let cluster = Cluster::start().await;
    cluster.create(PODS, pod("one")).await;
    let path = format!("{PODS}/one");
    let (code, answer) = cluster
        .send(
            PATCH,
            &path,
            MERGE,
            &json!({"spec": {"restartPolicy": "Never"}}),
        )
        .await;
    assert_eq!(code, 422);
    assert!(answer["message"].as_str().is_some_and(|m| m.starts_with("Pod \"one\" is invalid: spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`")), "{answer}");
    let job = json!({"metadata": {"name": "j"}, "spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}}});
    let made = cluster
        .create("/apis/batch/v1/namespaces/default/jobs", job)
        .await;
    assert_eq!(
        made["spec"]["selector"]["matchLabels"]["batch.kubernetes.io/controller-uid"],
        made["metadata"]["uid"]
    );
    let change = json!({"spec": {"template": {"spec": {"restartPolicy": "OnFailure"}}}});
    let (code, answer) = cluster
        .send(
            PATCH,
            "/apis/batch/v1/namespaces/default/jobs/j",
            MERGE,
            &change,
        )
        .await;
    assert_eq!(code, 422);
    assert!(
        answer["message"]
            .as_str()
            .is_some_and(|m| m.contains("field is immutable")),
        "{answer}"
    );
}

#[tokio::test]
async fn a_pod_is_bound_once() {
    let cluster = Cluster::start().await;
    cluster.create(PODS, pod("one")).await;
    let binding = |node: &str| json!({"apiVersion": "v1", "kind": "Binding", "metadata": {"name": "one"}, "target": {"kind": "Node", "name": node}});
    let path = format!("{PODS}/one/binding");
    assert_eq!(
        cluster.send(POST, &path, JSON, &binding("node-a")).await.0,
        201
    );
    let (code, answer) = cluster.send(POST, &path, JSON, &binding("node-b")).await;
    assert_eq!(code, 409, "{answer}");
    let (_, bound) = cluster.get(&format!("{PODS}/one")).await;
    assert_eq!(bound["spec"]["nodeName"], "node-a");
    assert_eq!(bound["status"]["conditions"][0]["type"], "PodScheduled");
}

#[tokio::test]
async fn unknown_fields_are_warned_about_or_refused() {
    let cluster = Cluster::start().await;
    let mut object = pod("one");
    object["spec"]["tyop"] = true.into();
    let answer = cluster
        .http(POST, PODS)
        .json(&object)
        .send()
        .await
        .expect("an answer");
    assert_eq!(answer.status(), 201);
    assert_eq!(
        answer.headers()["warning"],
        "299 - \"unknown field \\\"spec.tyop\\\"\""
    );
    object["metadata"]["name"] = "two".into();
    let (code, answer) = cluster
        .send(
            POST,
            &format!("{PODS}?fieldValidation=Strict"),
            JSON,
            &object,
        )
        .await;
    assert_eq!(code, 400);
    assert_eq!(
        answer["message"],
        "Pod in version \"v1\" cannot be handled as a Pod: strict decoding error: unknown field \"spec.tyop\""
    );
}

#[tokio::test]
async fn wrong_paths_methods_and_formats() {
    let cluster = Cluster::start().await;
    assert_eq!(cluster.get("/api/v1/nonsense").await.0, 404);
    assert_eq!(cluster.get("/apis/none.io/v1/things").await.0, 404);
    assert_eq!(cluster.send(PUT, PODS, JSON, &json!({})).await.0, 405);
    assert_eq!(
        cluster
            .send(POST, PODS, "application/cbor", &json!({}))
            .await
            .0,
        415
    );
    assert_eq!(
        cluster.get("/api/v1/pods?labelSelector=a%20is%20b").await.0,
        400
    );
    let (code, answer) = cluster
        .get("/api/v1/pods?fieldSelector=spec.image%3Dx")
        .await;
    assert_eq!(
        (code, &answer["message"]),
        (400, &json!("field label not supported: spec.image"))
    );
}

#[tokio::test]
async fn secrets_take_plain_text() {
    let cluster = Cluster::start().await;
    let made = cluster
        .create(
            "/api/v1/namespaces/default/secrets",
            json!({"metadata": {"name": "s"}, "stringData": {"k": "v"}}),
        )
        .await;
    assert_eq!(
        (&made["data"]["k"], &made["stringData"], &made["type"]),
        (&json!("dg=="), &Value::Null, &json!("Opaque"))
    );
}
