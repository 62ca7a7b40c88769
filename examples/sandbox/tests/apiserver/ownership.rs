//! Who goes with whom: garbage collection, finalizers, grace periods, eviction.

use serde_json::{Value, json};

use crate::support::{Cluster, pod, until};

const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const PODS: &str = "/api/v1/namespaces/default/pods";
const DELETE: reqwest::Method = reqwest::Method::DELETE;
const PATCH: reqwest::Method = reqwest::Method::PATCH;
const JSON: &str = "application/json";
const MERGE: &str = "application/merge-patch+json";

async fn owned(cluster: &Cluster, name: &str, owner: &Value, blocks: bool) -> Value {
    cluster.create(MAPS, json!({"metadata": {"name": name, "ownerReferences": [{
        "apiVersion": "v1", "kind": "ConfigMap", "name": owner["metadata"]["name"], "uid": owner["metadata"]["uid"],
        "controller": true, "blockOwnerDeletion": blocks,
    }]}})).await
}

async fn is_gone(cluster: &Cluster, path: &str) -> bool {
    cluster.get(path).await.0 == 404
}

#[tokio::test]
async fn dependents_go_after_their_owner() {
    let cluster = Cluster::start().await;
    let owner = cluster
        .create(MAPS, json!({"metadata": {"name": "owner"}}))
        .await;
    let middle = owned(&cluster, "middle", &owner, true).await;
    owned(&cluster, "leaf", &middle, true).await;
    cluster
        .send(
            DELETE,
            &format!("{MAPS}/owner"),
            JSON,
            &json!({"propagationPolicy": "Background"}),
        )
        .await;
    until("all are gone", || async {
        is_gone(&cluster, &format!("{MAPS}/leaf")).await
            && is_gone(&cluster, &format!("{MAPS}/middle")).await
    })
    .await;
}

#[tokio::test]
async fn foreground_waits_for_what_blocks() {
    let cluster = Cluster::start().await;
    let owner = cluster
        .create(MAPS, json!({"metadata": {"name": "owner"}}))
        .await;
    owned(&cluster, "child", &owner, true).await;
    let path = format!("{MAPS}/child");
    cluster
        .send(
            PATCH,
            &path,
            MERGE,
            &json!({"metadata": {"finalizers": ["test.io/hold"]}}),
        )
        .await;
    let (code, answer) = cluster
        .send(
            DELETE,
            &format!("{MAPS}/owner"),
            JSON,
            &json!({"propagationPolicy": "Foreground"}),
        )
        .await;
    assert_eq!(
        (code, &answer["metadata"]["finalizers"]),
        (200, &json!(["foregroundDeletion"]))
    );
    until("the child is being deleted", || async {
        cluster.get(&path).await.1["metadata"]["deletionTimestamp"].is_string()
    })
    .await;
    assert_eq!(
        cluster.get(&format!("{MAPS}/owner")).await.0,
        200,
        "it waits for its child"
    );
    cluster
        .send(
            PATCH,
            &path,
            MERGE,
            &json!({"metadata": {"finalizers": null}}),
        )
        .await;
    until("the owner is gone", || {
        is_gone(&cluster, "/api/v1/namespaces/default/configmaps/owner")
    })
    .await;
    assert!(is_gone(&cluster, &path).await);
}

#[tokio::test]
async fn orphans_stay() {
    let cluster = Cluster::start().await;
    let owner = cluster
        .create(MAPS, json!({"metadata": {"name": "owner"}}))
        .await;
    owned(&cluster, "child", &owner, true).await;
    cluster
        .send(
            DELETE,
            &format!("{MAPS}/owner"),
            JSON,
            &json!({"propagationPolicy": "Orphan"}),
        )
        .await;
    until("the owner is gone", || {
        is_gone(&cluster, "/api/v1/namespaces/default/configmaps/owner")
    })
    .await;
    let (code, child) = cluster.get(&format!("{MAPS}/child")).await;
    assert_eq!(
        (code, &child["metadata"]["ownerReferences"]),
        (200, &Value::Null)
    );
}

#[tokio::test]
async fn a_dependent_of_nobody_goes() {
    let cluster = Cluster::start().await;
    let nobody =
        json!({"metadata": {"name": "nobody", "uid": "00000000-0000-4000-8000-000000000000"}});
    owned(&cluster, "child", &nobody, true).await;
    until("it is gone", || {
        is_gone(&cluster, "/api/v1/namespaces/default/configmaps/child")
    })
    .await;
}

#[tokio::test]
async fn a_running_pod_has_its_grace() {
    let cluster = Cluster::start().await;
    let mut object = pod("one");
    object["spec"]["nodeName"] = "node-a".into();
    let made = cluster.create(PODS, object).await;
    let path = format!("{PODS}/one");
    let (_, first) = cluster
        .send(DELETE, &path, JSON, &json!({"gracePeriodSeconds": 20}))
        .await;
    assert_eq!(first["metadata"]["deletionGracePeriodSeconds"], 20);
    let (_, longer) = cluster
        .send(DELETE, &path, JSON, &json!({"gracePeriodSeconds": 60}))
        .await;
    assert_eq!(
        longer["metadata"]["deletionGracePeriodSeconds"], 20,
        "a second deletion only shortens"
    );
    let (_, shorter) = cluster
        .send(DELETE, &path, JSON, &json!({"gracePeriodSeconds": 1}))
        .await;
    assert_eq!(shorter["metadata"]["deletionGracePeriodSeconds"], 1);
    let wrong = json!({"gracePeriodSeconds": 0, "preconditions": {"uid": "other"}});
    assert_eq!(cluster.send(DELETE, &path, JSON, &wrong).await.0, 409);
    let right = json!({"gracePeriodSeconds": 0, "preconditions": {"uid": made["metadata"]["uid"]}});
    assert_eq!(cluster.send(DELETE, &path, JSON, &right).await.0, 200);
    assert!(is_gone(&cluster, &path).await);
}

#[tokio::test]
async fn eviction_heeds_budgets() {
    let cluster = Cluster::start().await;
    let mut object = pod("one");
    object["spec"]["nodeName"] = "node-a".into();
    cluster.create(PODS, object).await;
    cluster
        .send(
            PATCH,
            &format!("{PODS}/one/status"),
            MERGE,
            &json!({"status": {"phase": "Running"}}),
        )
        .await;
    let budgets = "/apis/policy/v1/namespaces/default/poddisruptionbudgets";
    cluster.create(budgets, json!({"metadata": {"name": "b"}, "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "one"}}}})).await;
    let eviction =
        json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "one"}});
    let (code, answer) = cluster
        .send(
            reqwest::Method::POST,
            &format!("{PODS}/one/eviction"),
            JSON,
            &eviction,
        )
        .await;
    assert_eq!(code, 429, "{answer}");
    assert_eq!(answer["details"]["causes"][0]["reason"], "DisruptionBudget");
    cluster
        .send(DELETE, &format!("{budgets}/b"), JSON, &json!({}))
        .await;
    let (code, _) = cluster
        .send(
            reqwest::Method::POST,
            &format!("{PODS}/one/eviction"),
            JSON,
            &eviction,
        )
        .await;
    assert_eq!(code, 201);
    assert!(
        cluster.get(&format!("{PODS}/one")).await.1["metadata"]["deletionTimestamp"].is_string()
    );
}

#[tokio::test]
async fn a_collection_goes_by_its_labels() {
    let cluster = Cluster::start().await;
    for (name, run) in [("a", "1"), ("b", "1"), ("c", "2")] {
        cluster
            .create(
                MAPS,
                json!({"metadata": {"name": name, "labels": {"run": run}}}),
            )
            .await;
    }
    cluster
        .send(
            DELETE,
            &format!("{MAPS}?labelSelector=run%3D1"),
            JSON,
            &json!({}),
        )
        .await;
    let (_, left) = cluster.get(&format!("{MAPS}?labelSelector=run")).await;
    assert_eq!(left["items"].as_array().expect("a list").len(), 1);
}
