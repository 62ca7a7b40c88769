//! Custom resources: definition, schema, rules, status, columns.

use serde_json::{Value, json};

use crate::support::Cluster;

fn definition() -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "moves.example.io"},
        "spec": {
            "group": "example.io", "scope": "Namespaced",
            "names": {"plural": "moves", "kind": "Move", "shortNames": ["mv"]},
            "versions": [{
                "name": "v1alpha1", "served": true, "storage": true, "subresources": {"status": {}},
                "additionalPrinterColumns": [
                    {"name": "Pod", "type": "string", "jsonPath": ".spec.pod"},
                    {"name": "Phase", "type": "string", "jsonPath": ".status.phase"},
                    {"name": "Ready", "type": "string", "priority": 1, "jsonPath": ".status.conditions[?(@.type==\"Ready\")].status"},
                    {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
                ],
                "schema": {"openAPIV3Schema": {"type": "object", "required": ["spec"], "properties": {
                    "spec": {
                        "type": "object", "required": ["pod"],
                        "description": "What is to be moved.",
                        "x-kubernetes-validations": [
                            {"rule": "self.pod == oldSelf.pod", "message": "pod is immutable"},
                            {"rule": "!has(self.cutoff) || self.cutoff < 100", "message": "cutoff is too long", "fieldPath": ".cutoff"},
                        ],
                        "properties": {
                            "pod": {"type": "string", "minLength": 1},
                            "strategy": {"type": "string", "enum": ["A", "B"], "default": "A"},
                            "cutoff": {"type": "integer", "minimum": 0},
                        },
                    },
                    "status": {"type": "object", "properties": {
                        "phase": {"type": "string"},
                        "conditions": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"],
                            "items": {"type": "object", "required": ["type", "status"], "properties": {
                                "type": {"type": "string"}, "status": {"type": "string"}}}},
                    }},
                }}},
            }],
        },
    })
}

fn object(spec: Value) -> Value {
    json!({"apiVersion": "example.io/v1alpha1", "kind": "Move", "metadata": {"name": "x"}, "spec": spec})
}

const PATH: &str = "/apis/example.io/v1alpha1/namespaces/default/moves";
const MERGE: &str = "application/merge-patch+json";

#[tokio::test]
async fn a_definition_serves_its_resource_at_once() {
    let cluster = Cluster::start().await;
    let manifest = definition().to_string();
    cluster.ok_with(&["apply", "-f", "-"], &manifest).await;
    cluster
        .ok(&[
            "wait",
            "--for=condition=Established",
            "crd/moves.example.io",
            "--timeout=50s",
        ])
        .await;
    let out = cluster
        .ok_with(
            &["apply", "-f", "-"],
            &object(json!({"pod": "w"})).to_string(),
        )
        .await;
    assert!(out.contains("move.example.io/x created"), "{out}");
    let out = cluster
        .ok_with(
            &["apply", "-f", "-"],
            &object(json!({"pod": "w"})).to_string(),
        )
        .await;
    assert!(out.contains("unchanged"), "{out}");
    let table = cluster.ok(&["get", "mv"]).await;
    let header: Vec<&str> = table
        .lines()
        .next()
        .expect("a header")
        .split_whitespace()
        .collect();
    assert_eq!(header, ["NAME", "POD", "PHASE", "AGE"]);
    assert!(
        cluster
            .ok(&["get", "moves", "-o", "wide"])
            .await
            .contains("READY")
    );
    assert!(
        cluster
            .ok(&["describe", "mv", "x"])
            .await
            .contains("Strategy:  A")
    );
    cluster.ok(&["delete", "crd", "moves.example.io"]).await;
    let (code, _) = cluster.get(PATH).await;
    assert_eq!(code, 404);
}

#[tokio::test]
async fn new_kubectl_explains_and_validates() {
    let cluster = Cluster::start().await;
    cluster
        .ok_with(&["apply", "-f", "-"], &definition().to_string())
        .await;
    let minor = cluster.kubectl_minor().await;
    if minor < 27 {
        // Before OpenAPI v3 there is nothing here to explain from.
        return;
    }
    assert!(
        cluster
            .ok(&["explain", "move.spec"])
            .await
            .contains("What is to be moved.")
    );
    assert!(
        cluster
            .ok(&["explain", "pod.spec.containers"])
            .await
            .contains("imagePullPolicy")
    );
    let out = cluster
        .ok_with(
            &["apply", "--dry-run=server", "-f", "-"],
            &object(json!({"pod": "w"})).to_string(),
        )
        .await;
    assert!(out.contains("created (server dry run)"), "{out}");
    assert_eq!(cluster.get(&format!("{PATH}/x")).await.0, 404);
    let (code, _, err) = cluster
        .run(
            &["create", "-f", "-"],
            Some(&object(json!({"pod": "w", "typo": 1})).to_string()),
        )
        .await;
    assert_ne!(code, 0);
    assert!(
        err.contains("strict decoding error: unknown field \"spec.typo\""),
        "{err}"
    );
}

#[tokio::test]
async fn objects_are_defaulted_pruned_and_validated() {
    let cluster = Cluster::start().await;
    cluster
        .create(
            "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
            definition(),
        )
        .await;
    let refused = |answer: &Value| answer["message"].as_str().unwrap_or_default().to_owned();
    let post = reqwest::Method::POST;
    let (code, answer) = cluster
        .send(post.clone(), PATH, "application/json", &object(json!({})))
        .await;
    assert_eq!(code, 422);
    assert_eq!(
        refused(&answer),
        "Move.example.io \"x\" is invalid: spec.pod: Required value"
    );
    assert_eq!(
        answer["details"]["causes"][0],
        json!({"reason": "FieldValueRequired", "message": "Required value", "field": "spec.pod"})
    );
    let (_, answer) = cluster
        .send(
            post.clone(),
            PATH,
            "application/json",
            &object(json!({"pod": "w", "cutoff": -1, "strategy": "C"})),
        )
        .await;
    assert!(
        refused(&answer).contains("spec.cutoff in body should be greater than or equal to 0"),
        "{answer}"
    );
    assert!(
        refused(&answer)
            .contains("spec.strategy: Unsupported value: \"C\": supported values: \"A\", \"B\""),
        "{answer}"
    );
    let (code, answer) = cluster
        .send(
            post.clone(),
            PATH,
            "application/json",
            &object(json!({"pod": "w", "cutoff": 100})),
        )
        .await;
    assert_eq!(code, 422);
    assert!(refused(&answer).contains("cutoff is too long"), "{answer}");
    let mut first = object(json!({"pod": "w", "unknown": 1}));
    first["status"] = json!({"phase": "Done"});
    let made = cluster.create(PATH, first).await;
    assert_eq!(made["spec"], json!({"pod": "w", "strategy": "A"}));
    assert_eq!(made["status"], Value::Null, "a new object has no status");
    assert_eq!(made["metadata"]["generation"], 1);
    let (code, answer) = cluster
        .send(
            reqwest::Method::PATCH,
            &format!("{PATH}/x"),
            MERGE,
            &json!({"spec": {"pod": "v"}}),
        )
        .await;
    assert_eq!(code, 422);
    assert!(
        refused(&answer).contains("spec: Invalid value: \"object\": pod is immutable"),
        "{answer}"
    );
}

#[tokio::test]
async fn status_has_an_endpoint_of_its_own() {
    let cluster = Cluster::start().await;
    cluster
        .create(
            "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
            definition(),
        )
        .await;
    cluster.create(PATH, object(json!({"pod": "w"}))).await;
    let patch = reqwest::Method::PATCH;
    let both = json!({"spec": {"cutoff": 5}, "status": {"phase": "Pending"}, "metadata": {"labels": {"a": "b"}}});
    let (_, after) = cluster
        .send(patch.clone(), &format!("{PATH}/x/status"), MERGE, &both)
        .await;
    assert_eq!(
        (&after["status"]["phase"], &after["spec"]["cutoff"]),
        (&json!("Pending"), &Value::Null)
    );
    assert_eq!(
        (
            &after["metadata"]["generation"],
            &after["metadata"]["labels"]
        ),
        (&json!(1), &Value::Null)
    );
    let (_, after) = cluster
        .send(
            patch.clone(),
            &format!("{PATH}/x"),
            MERGE,
            &json!({"spec": {"cutoff": 5}, "status": {"phase": "Gone"}}),
        )
        .await;
    assert_eq!(
        (&after["status"]["phase"], &after["spec"]["cutoff"]),
        (&json!("Pending"), &json!(5))
    );
    assert_eq!(after["metadata"]["generation"], 2);
    let (code, _) = cluster
        .send(
            patch,
            &format!("{PATH}/x"),
            "application/strategic-merge-patch+json",
            &json!({}),
        )
        .await;
    assert_eq!(code, 415);
}

#[tokio::test]
async fn applying_an_object_leaves_its_status_to_others() {
    const APPLY: &str = "application/apply-patch+yaml";
    let cluster = Cluster::start().await;
    cluster
        .create(
            "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
            definition(),
        )
        .await;
    let patch = reqwest::Method::PATCH;
    let mut whole = object(json!({"pod": "w"}));
    whole["status"] = json!({"phase": "Pending"});
    let (code, made) = cluster
        .send(
            patch.clone(),
            &format!("{PATH}/x?fieldManager=user"),
            APPLY,
            &whole,
        )
        .await;
    assert_eq!((code, &made["status"]), (201, &Value::Null));
    let status = json!({"apiVersion": "example.io/v1alpha1", "kind": "Move", "metadata": {"name": "x", "labels": {"a": "b"}}, "status": {"phase": "Done"}});
    let (code, after) = cluster
        .send(
            patch.clone(),
            &format!("{PATH}/x/status?fieldManager=controller"),
            APPLY,
            &status,
        )
        .await;
    assert_eq!(
        (
            code,
            &after["status"]["phase"],
            &after["metadata"]["labels"]
        ),
        (200, &json!("Done"), &Value::Null)
    );
    let (code, after) = cluster
        .send(patch, &format!("{PATH}/x?fieldManager=user"), APPLY, &whole)
        .await;
    assert_eq!(
        (code, &after["status"]["phase"]),
        (200, &json!("Done")),
        "no conflict over what it cannot set: {after}"
    );
    let managers = after["metadata"]["managedFields"]
        .as_array()
        .expect("managers");
    assert_eq!(managers.len(), 2);
    assert_eq!(managers[1]["subresource"], "status");
}

#[tokio::test]
async fn broken_definitions_are_refused() {
    let cluster = Cluster::start().await;
    let path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    let mut wrong = definition();
    wrong["metadata"]["name"] = "other.example.io".into();
    let (code, answer) = cluster
        .send(reqwest::Method::POST, path, "application/json", &wrong)
        .await;
    assert_eq!(code, 422, "{answer}");
    let mut wrong = definition();
    wrong["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["x-kubernetes-validations"]
        [0]["rule"] = "self.(".into();
    let (code, answer) = cluster
        .send(reqwest::Method::POST, path, "application/json", &wrong)
        .await;
    assert_eq!(code, 422, "{answer}");
}
