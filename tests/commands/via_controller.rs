//! `ms2m migrate --via-controller`.

use serde_json::{Value, json};

use crate::stage::{Stage, completed, rolled_back};
use crate::support::cli::Running;

async fn started(stage: &Stage, name: &str) -> Running {
    stage
        .apply(&json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "worker-0"},
            "spec": {"nodeName": "nowhere", "containers": [{"name": "c", "image": "none"}]},
        }))
        .await;
    let running = stage.start(&[
        "migrate",
        "worker-0",
        "--via-controller",
        "--to",
        "node-b",
        "--queue",
        "orders",
        "--exchange",
        "events",
        "--repository",
        "registry.example.com/checkpoints",
        "--broker-url",
        "amqp://broker",
        "--name",
        name,
    ]);
    running.says("you may safely stop waiting").await;
    running
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_made_and_followed_to_its_end() {
    let stage = Stage::set().await;
    for (name, end, code) in [
        ("good", completed(), 0),
        ("bad", rolled_back("image not known"), 4),
    ] {
        let running = started(&stage, name).await;
        let stored = stage.stored(name).await;
        assert_eq!(stored["metadata"]["labels"], Value::Null);
        stage.status(name, end).await;
        let outcome = running.outcome().await.expect_code(code);
        if code == 0 {
            assert!(
                outcome.stdout.contains("312 messages replayed"),
                "{outcome:?}"
            );
        } else {
            assert!(outcome.stderr.contains("ms2m retry bad"), "{outcome:?}");
        }
    }
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_leaves_the_migration_to_the_controller() {
    let stage = Stage::set().await;
    let running = started(&stage, "m").await;
    running.signal("INT").await;
    let outcome = running.outcome().await.expect_code(130);
    assert!(outcome.stderr.contains("ms2m watch m"), "{outcome:?}");
    assert_eq!(stage.stored("m").await["spec"]["abort"], Value::Null);
    stage.end().await;
}
