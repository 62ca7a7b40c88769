//! What manifests are refused for, in which words.

use serde_json::{Value, json};

use super::validate::faults;

fn manifest() -> Value {
    json!({
        "apiVersion": "migration.ms2m.io/v1alpha1",
        "kind": "StatefulMigration",
        "metadata": {"name": "m"},
        "spec": {
            "sourcePod": "worker-0",
            "checkpointImageRepository": "registry.example.com/checkpoints",
            "messageQueueConfig": {
                "queueName": "q", "brokerUrl": "amqp://broker", "exchangeName": "x",
            },
        },
    })
}

fn lines(manifest: &Value) -> Vec<String> {
    faults(manifest).iter().map(ToString::to_string).collect()
}

#[test]
fn what_is_valid_has_no_fault() {
    assert_eq!(lines(&manifest()), [""; 0]);
    let mut generated = manifest();
    generated["metadata"] = json!({"generateName": "m-"});
    generated["spec"]["abort"] = Value::Null;
    generated["status"] = json!({"phase": 7});
    assert_eq!(lines(&generated), [""; 0]);
}

#[test]
fn each_field_gets_its_own_line() {
    let mut bad = manifest();
    bad["spec"]["sourcePod"] = json!("Worker_0");
    bad["spec"]["replayCutoffSeconds"] = json!(-1);
    bad["spec"]["migrationStrategy"] = json!("Teleport");
    bad["spec"]["targetNod"] = json!("b");
    bad["spec"]["timeouts"] = json!({"obey": "soon"});
    bad["spec"]["messageQueueConfig"] = json!({"queueName": 7, "brokerUrl": "http://x"});
    insta::assert_snapshot!(lines(&bad).join("\n"), @r#"
    spec.messageQueueConfig.exchangeName: Required value
    spec.messageQueueConfig.queueName: Invalid value: "integer": spec.messageQueueConfig.queueName in body must be of type string: "integer"
    spec.migrationStrategy: Unsupported value: "Teleport": supported values: "ShadowPod", "Sequential"
    spec.replayCutoffSeconds: Invalid value: -1: spec.replayCutoffSeconds in body should be greater than or equal to 0
    spec.targetNod: unknown field; did you mean targetNode?
    spec.messageQueueConfig.brokerUrl: Invalid value: "string": must begin with amqp:// or amqps://
    spec.sourcePod: Invalid value: "string": must be the name of a pod: lower-case letters, digits, '-' and '.'
    spec.timeouts.obey: Invalid value: "string": must be a duration such as 500ms, 1.5s or 1m30s
    "#);
}

#[test]
fn another_kind_of_object_is_told_apart() {
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}});
    insta::assert_snapshot!(lines(&pod).join("\n"), @r#"
    apiVersion: Unsupported value: "v1": supported values: "migration.ms2m.io/v1alpha1"
    kind: Unsupported value: "Pod": supported values: "StatefulMigration"
    "#);
    assert_eq!(lines(&json!(7)).len(), 2);
    let mut nameless = manifest();
    nameless["metadata"] = Value::Null;
    assert_eq!(
        lines(&nameless),
        ["metadata.name: Required value: name or generateName is required"]
    );
}
