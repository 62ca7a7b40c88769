//! Who may do what, and what namespaces admit.

use serde_json::json;

use crate::support::{Cluster, pod};

const RBAC: &str = "/apis/rbac.authorization.k8s.io/v1";
const POST: reqwest::Method = reqwest::Method::POST;
const JSON: &str = "application/json";

async fn code_as(
    cluster: &Cluster,
    token: &str,
    method: reqwest::Method,
    path: &str,
) -> (u16, String) {
    let answer = reqwest::Client::builder()
        .no_proxy()
        .build()
        .expect("an HTTP client")
        .request(method, format!("{}{path}", cluster.server.url()))
        .bearer_auth(token)
        .send()
        .await
        .expect("an answer");
    (answer.status().as_u16(), answer.text().await.expect("text"))
}

/// A WebSocket begins with a GET, and `get` alone is not enough for it.
#[tokio::test]
async fn a_forward_takes_both_rights() {
    let cluster = Cluster::start().await;
    cluster
        .create("/api/v1/namespaces/default/pods", pod("one"))
        .await;
    let path = "/api/v1/namespaces/default/pods/one/portforward?ports=1";
    for (verb, lacking) in [("get", "create"), ("create", "get")] {
        let user = format!("may-{verb}");
        cluster
            .create(
                &format!("{RBAC}/clusterroles"),
                json!({"metadata": {"name": user}, "rules": [
                    {"verbs": [verb], "apiGroups": [""], "resources": ["pods/portforward"]},
                ]}),
            )
            .await;
        cluster.create(&format!("{RBAC}/clusterrolebindings"), json!({
            "metadata": {"name": user}, "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": user},
            "subjects": [{"kind": "User", "name": user}],
        })).await;
        let token = format!("user/{user}");
        let (code, text) = code_as(&cluster, &token, reqwest::Method::GET, path).await;
        assert_eq!(code, 403, "{text}");
        let words = format!("cannot {lacking} resource \\\"pods/portforward\\\"");
        assert!(text.contains(&words), "{text}");
    }
}

#[tokio::test]
async fn users_have_the_rights_that_are_bound_to_them() {
    let cluster = Cluster::start().await;
    let get = reqwest::Method::GET;
    let proxy = "/api/v1/nodes/node-a/proxy/checkpoint/a/b/c";
    let (code, text) = code_as(&cluster, "user/jane", POST, proxy).await;
    assert_eq!(code, 403);
    assert!(text.contains("nodes \\\"node-a\\\" is forbidden: User \\\"jane\\\" cannot create resource \\\"nodes/proxy\\\" in API group \\\"\\\" at the cluster scope"), "{text}");
    cluster.create(&format!("{RBAC}/clusterroles"), json!({"metadata": {"name": "ck"}, "rules": [
        {"verbs": ["create"], "apiGroups": [""], "resources": ["nodes/proxy"], "resourceNames": ["node-a"]},
    ]})).await;
    cluster.create(&format!("{RBAC}/clusterrolebindings"), json!({
        "metadata": {"name": "ck"}, "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "ck"},
        "subjects": [{"kind": "User", "name": "jane"}],
    })).await;
    assert_eq!(
        code_as(&cluster, "user/jane", POST, proxy).await.0,
        404,
        "allowed, but there is no such node"
    );
    assert_eq!(
        code_as(&cluster, "user/jane", POST, "/api/v1/nodes/node-b/proxy/x")
            .await
            .0,
        403
    );
    assert_eq!(
        code_as(
            &cluster,
            "user/jane",
            get.clone(),
            "/api/v1/nodes/node-a/proxy/x"
        )
        .await
        .0,
        403
    );
    assert_eq!(
        code_as(&cluster, "wrong", get.clone(), "/api/v1/pods")
            .await
            .0,
        401
    );
    assert_eq!(
        code_as(&cluster, "user/jane", get.clone(), "/apis").await.0,
        200,
        "everybody discovers"
    );
    assert_eq!(
        code_as(&cluster, "user/jane", get.clone(), "/metrics")
            .await
            .0,
        403
    );
    assert_eq!(
        code_as(&cluster, "user/jane", get, "/sandbox/requests")
            .await
            .0,
        403
    );
}

#[tokio::test]
async fn service_accounts_have_tokens_and_rights() {
    let cluster = Cluster::start().await;
    let path = "/api/v1/namespaces/default/pods";
    assert_eq!(
        code_as(&cluster, "sa/default/nobody", reqwest::Method::GET, path)
            .await
            .0,
        401
    );
    assert_eq!(
        code_as(&cluster, "sa/default/default", reqwest::Method::GET, path)
            .await
            .0,
        403
    );
    cluster.create(&format!("{RBAC}/namespaces/default/rolebindings"), json!({
        "metadata": {"name": "v"}, "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"},
        "subjects": [{"kind": "ServiceAccount", "name": "default", "namespace": "default"}],
    })).await;
    assert_eq!(
        code_as(&cluster, "sa/default/default", reqwest::Method::GET, path)
            .await
            .0,
        200
    );
    assert_eq!(
        code_as(
            &cluster,
            "sa/default/default",
            reqwest::Method::DELETE,
            path
        )
        .await
        .0,
        403
    );
    let (code, token) = cluster
        .send(
            POST,
            "/api/v1/namespaces/default/serviceaccounts/default/token",
            JSON,
            &json!({}),
        )
        .await;
    assert_eq!(
        (code, token["status"]["token"].as_str()),
        (201, Some("sa/default/default"))
    );
}

#[tokio::test]
async fn aggregated_roles_take_labelled_ones_in() {
    let cluster = Cluster::start().await;
    cluster.create(&format!("{RBAC}/clusterroles"), json!({
        "metadata": {"name": "extra", "labels": {"rbac.authorization.k8s.io/aggregate-to-view": "true"}},
        "rules": [{"verbs": ["get"], "apiGroups": ["example.io"], "resources": ["moves"]}],
    })).await;
    crate::support::until("admin has the rule", || async {
        let (_, admin) = cluster.get(&format!("{RBAC}/clusterroles/admin")).await;
        admin["rules"].as_array().is_some_and(|rules| {
            rules
                .iter()
                .any(|rule| rule["apiGroups"] == json!(["example.io"]))
        })
    })
    .await;
}

#[tokio::test]
async fn namespaces_with_a_level_refuse_host_paths() {
    let cluster = Cluster::start().await;
    cluster.create("/api/v1/namespaces", json!({"metadata": {"name": "tight", "labels": {"pod-security.kubernetes.io/enforce": "baseline"}}})).await;
    let mut object = pod("one");
    object["metadata"]["namespace"] = "tight".into();
    object["spec"]["volumes"] =
        json!([{"name": "checkpoints", "hostPath": {"path": "/var/lib/kubelet/checkpoints"}}]);
    let (code, answer) = cluster
        .send(POST, "/api/v1/namespaces/tight/pods", JSON, &object)
        .await;
    assert_eq!(code, 403);
    assert_eq!(
        answer["message"],
        "pods \"one\" is forbidden: violates PodSecurity \"baseline:latest\": hostPath volumes (volume \"checkpoints\")"
    );
    object["spec"]["volumes"] = json!([]);
    cluster
        .create("/api/v1/namespaces/tight/pods", object)
        .await;
}

#[tokio::test]
async fn a_pod_needs_its_service_account() {
    let cluster = Cluster::start().await;
    let mut object = pod("one");
    object["spec"]["serviceAccountName"] = "robot".into();
    let (code, answer) = cluster
        .send(POST, "/api/v1/namespaces/default/pods", JSON, &object)
        .await;
    assert_eq!(code, 403);
    assert_eq!(
        answer["message"],
        "pods \"one\" is forbidden: error looking up service account default/robot: serviceaccount \"robot\" not found"
    );
}
