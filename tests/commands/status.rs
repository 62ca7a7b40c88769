//! `ms2m status` of resources.

use serde_json::json;

use crate::stage::{Stage, begun, completed, manifest, rolled_back};
use crate::support::eventually;

fn labelled(name: &str, team: &str) -> serde_json::Value {
    let mut manifest = manifest(name);
    manifest["metadata"]["labels"] = json!({"team": team});
    manifest
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_know_namespaces_and_labels() {
    let (one, two) = (Stage::set().await, Stage::set().await);
    one.apply(&labelled("in-one", "orders")).await;
    one.apply(&labelled("other-in-one", "bills")).await;
    two.apply(&labelled("in-two", "orders")).await;
    let own = one.run(&["status"]).await.expect_code(0).stdout;
    assert!(own.contains("in-one") && !own.contains("in-two"), "{own}");
    let all = one.run(&["status", "-A"]).await.expect_code(0).stdout;
    assert!(all.starts_with("NAMESPACE"), "{all}");
    assert!(all.contains(&two.namespace), "{all}");
    let names = ["status", "-A", "-l", "team=orders", "-o", "name"];
    let names = one.run(&names).await.expect_code(0).stdout;
    let ours = names.lines().filter(|line| line.contains("in-"));
    let expected = [
        format!("{}/in-one", one.namespace),
        format!("{}/in-two", two.namespace),
    ];
    assert!(ours.eq(expected.iter().map(String::as_str)), "{names}");
    let none = ["status", "-l", "team=nobody"];
    let none = one.run(&none).await.expect_code(0);
    assert!(
        none.stderr.contains("no migrations with the labels"),
        "{none:?}"
    );
    one.end().await;
    two.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_in_full_has_its_events_and_what_to_type_next() {
    let stage = Stage::set().await;
    let mut left = manifest("m");
    left["spec"]["messageQueueConfig"]["brokerUrl"] = json!("amqp://u:hunter2@broker/v");
    stage.apply(&left).await;
    stage.status("m", begun("Restoring", json!({}))).await;
    let uid = stage.stored("m").await["metadata"]["uid"].clone();
    stage
        .apply(&json!({
            "apiVersion": "v1", "kind": "Event",
            "metadata": {"name": "m.1", "namespace": stage.namespace},
            "involvedObject": {
                "apiVersion": "migration.ms2m.io/v1alpha1", "kind": "StatefulMigration",
                "name": "m", "namespace": stage.namespace, "uid": uid,
            },
            "type": "Warning", "reason": "RestoreSlow", "message": "the image is large",
            "lastTimestamp": "2026-01-02T03:04:06Z", "count": 3,
        }))
        .await;
    let shown = stage.run(&["status", "m"]).await.expect_code(0).stdout;
    for words in [
        "Driver    the controller",
        "Warning  RestoreSlow  the image is large (x3)",
        "to follow it: ms2m watch m",
        "to roll it back: ms2m abort m",
        "amqp://broker/v",
    ] {
        assert!(shown.contains(words), "'{words}' is not in:\n{shown}");
    }
    assert!(!shown.contains("--resume"), "{shown}");
    for format in ["json", "yaml", "wide", "table"] {
        for name in [&["m"][..], &[]] {
            let arguments = [&["status", "-o", format], name].concat();
            let shown = stage.run(&arguments).await.expect_code(0);
            assert!(!format!("{shown:?}").contains("hunter2"), "{shown:?}");
        }
    }
    stage.status("m", rolled_back("image not known")).await;
    let shown = stage.run(&["status", "m"]).await.expect_code(0).stdout;
    assert!(shown.contains("try again: ms2m retry m"), "{shown}");
    stage.end().await;
}

/// Off a terminal each change is a line of its own.
#[tokio::test(flavor = "multi_thread")]
async fn a_watch_appends_a_line_a_change() {
    let stage = Stage::set().await;
    let output = tempfile::NamedTempFile::new().expect("a file");
    let mut watch = tokio::process::Command::new(crate::support::world::binary("ms2m"))
        .args(["status", "-w", "-n", &stage.namespace])
        .env("KUBECONFIG", &stage.world.places.kubeconfig)
        .stdout(output.reopen().expect("the file"))
        .kill_on_drop(true)
        .spawn()
        .expect("ms2m starts");
    let seen = async |words: &str| {
        eventually(words, async || {
            let text = std::fs::read_to_string(output.path()).expect("it can be read");
            let found = text.lines().any(|line| {
                line.split_whitespace()
                    .collect::<Vec<_>>()
                    .join(" ")
                    .contains(words)
            });
            found.then_some(())
        })
        .await;
    };
    stage.apply(&manifest("m")).await;
    seen("m worker-0 - node-b - Pending").await;
    stage.status("m", begun("Transferring", json!({}))).await;
    seen("m worker-0 node-a node-b ShadowPod Transferring").await;
    stage.status("m", completed()).await;
    seen("Completed").await;
    stage.kubectl(&["delete", "sm", "m"]).await;
    seen("Deleted").await;
    watch.kill().await.expect("it ends");
    let text = std::fs::read_to_string(output.path()).expect("it can be read");
    assert_eq!(text.matches("NAME").count(), 1, "{text}");
    stage.end().await;
}
