//! `ms2m watch`: resources and ConfigMaps that somebody else carries out.

use serde_json::{Value, json};

use crate::stage::{Stage, begun, completed, manifest, rolled_back};

#[tokio::test(flavor = "multi_thread")]
async fn a_migration_is_followed_phase_by_phase_to_its_receipt() {
    let stage = Stage::set().await;
    stage.apply(&manifest("m")).await;
    let watch = stage.start(&["watch", "pod/worker-0", "-o", "json"]);
    let first = json!({
        "phaseTimings": {"Pending": "0.100s"},
        "handoff": {"stage": "Closed"},
    });
    stage.status("m", begun("Checkpointing", first)).await;
    watch.says("moving").await;
    watch.says("Pending done in 0.100s").await;
    watch.says("gate closed on queue orders").await;
    stage
        .status(
            "m",
            json!({"phase": "Replaying", "handoff": {"stage": "TargetAttached"}}),
        )
        .await;
    watch.says("the target consumes its replay queue").await;
    let mut end = completed();
    end["handoff"] = json!({"stage": "Dismantled"});
    stage.status("m", end).await;
    let outcome = watch.outcome().await.expect_code(0);
    for words in [
        "Restoring done in 0.500s",
        "committed",
        "completed in 5.000s",
    ] {
        assert!(outcome.stderr.contains(words), "{outcome:?}");
    }
    // One object a line, as it happens.
    let events: Vec<Value> = outcome
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).expect("each line is JSON"))
        .collect();
    let kinds: Vec<&str> = events
        .iter()
        .filter_map(|it| it["event"].as_str())
        .collect();
    assert_eq!((kinds[0], kinds.last()), ("started", Some(&"completed")));
    assert!(kinds.contains(&"phaseFinished"), "{kinds:?}");
    let result = outcome.json();
    assert_eq!(result["messagesReplayed"], 312);
    assert_eq!(result["phase"], "Completed");
    // Whoever comes late is told the same.
    let late = stage.run(&["watch", "m"]).await.expect_code(0);
    assert!(late.stdout.contains("312 messages replayed"), "{late:?}");
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_end_has_its_exit_code() {
    let stage = Stage::set().await;
    let end = |reason: &str| {
        let mut end = rolled_back("words of the runtime");
        end["conditions"][0]["reason"] = json!(reason);
        end
    };
    let mut refused = json!({"phase": "Failed", "message": "there is no pod worker-0"});
    refused["conditions"] = end("Invalid")["conditions"].clone();
    let doubts = json!(["the broker was killed"]);
    let mut doubtful = end("RolledBack");
    doubtful["receipt"] = completed()["receipt"].clone();
    doubtful["receipt"]["doubts"] = doubts.clone();
    let mut doubted = completed();
    doubted["receipt"]["doubts"] = doubts;
    let cases = [
        (
            "rolled-back",
            end("RolledBack"),
            4,
            "the source serves as before",
        ),
        ("lost", end("TargetLost"), 9, "nobody serves"),
        ("gone", end("SourceLost"), 9, "nobody serves"),
        ("refused", refused, 3, "there is no pod worker-0"),
        ("doubtful", doubtful.clone(), 11, "messages are in doubt"),
        ("doubted", doubted, 11, "the broker was killed"),
    ];
    for (name, end, code, words) in cases {
        stage.apply(&manifest(name)).await;
        let watch = stage.start(&["watch", name]);
        stage.status(name, end).await;
        let outcome = watch.outcome().await.expect_code(code);
        assert!(outcome.stderr.contains(words), "{outcome:?}");
    }
    let late = stage
        .run(&["watch", "doubted", "-o", "json"])
        .await
        .expect_code(11);
    assert_eq!(late.json()["doubts"][0], "the broker was killed");
    stage.end().await;
}

/// Nobody carries it out; each command that waits has its limit.
#[tokio::test(flavor = "multi_thread")]
async fn a_wait_has_its_limit() {
    let stage = Stage::set().await;
    let mut held = manifest("m");
    held["metadata"]["finalizers"] = json!(["example.com/held"]);
    stage.apply(&held).await;
    stage.status("m", begun("Checkpointing", json!({}))).await;
    for arguments in [
        &["watch", "m"][..],
        &["abort", "m"],
        &["delete", "m", "--force"],
    ] {
        let arguments = [arguments, &["--timeout", "1s"]].concat();
        let outcome = stage.run(&arguments).await.expect_code(10);
        for words in ["within 1s", "it goes on without this command"] {
            assert!(outcome.stderr.contains(words), "{outcome:?}");
        }
        assert_eq!(outcome.stdout, "");
    }
    let free = r#"{"metadata":{"finalizers":null}}"#;
    stage
        .kubectl(&["patch", "sm", "m", "--type=merge", "-p", free])
        .await;
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_only_stops_watching() {
    let stage = Stage::set().await;
    stage.apply(&manifest("m")).await;
    let watch = stage.start(&["watch", "m"]);
    stage.status("m", begun("Transferring", json!({}))).await;
    watch.says("Transferring").await;
    watch.signal("INT").await;
    let outcome = watch.outcome().await.expect_code(130);
    let again = format!("ms2m watch m -n {}", stage.namespace);
    for words in ["stopped waiting", &again, "ms2m abort m"] {
        assert!(outcome.stderr.contains(words), "{outcome:?}");
    }
    let stored = stage.stored("m").await;
    assert_eq!(stored["spec"]["abort"], Value::Null);
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_says_that_nobody_carries_it_out_and_that_it_was_deleted() {
    let stage = Stage::set().await;
    stage.apply(&manifest("m")).await;
    let watch = stage.start(&["watch", "m"]);
    watch.says("nobody seems to carry migration m out").await;
    stage.kubectl(&["delete", "sm", "m"]).await;
    let outcome = watch.outcome().await.expect_code(1);
    assert!(outcome.stderr.contains("was deleted"), "{outcome:?}");
    let unknown = stage.run(&["watch", "m"]).await.expect_code(3);
    assert!(
        unknown.stderr.contains("there is no migration m"),
        "{unknown:?}"
    );
    stage.end().await;
}

/// A watch that breaks is begun anew, and misses nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_watch_that_is_cut_goes_on() {
    let stage = Stage::set().await;
    if !stage.world.is_sandbox() {
        return;
    }
    stage.apply(&manifest("m")).await;
    let watch = stage.start(&["watch", "m"]);
    stage.status("m", begun("Checkpointing", json!({}))).await;
    watch.says("Checkpointing").await;
    let path = format!("namespaces/{}/statefulmigrations", stage.namespace);
    let cut = json!({"match": {"verb": "watch", "path": path}}).to_string();
    let arguments = ["create", "--raw", "/sandbox/cut", "-f", "-"];
    stage.world.kubectl_with(&arguments, &cut).await;
    stage.status("m", completed()).await;
    watch.outcome().await.expect_code(0);
    stage.end().await;
}

/// Deleted and made again while nobody could look: the new one is another migration.
#[tokio::test(flavor = "multi_thread")]
async fn another_one_of_the_same_name_is_not_taken_for_it() {
    let stage = Stage::set().await;
    if !stage.world.is_sandbox() {
        return;
    }
    stage.apply(&manifest("m")).await;
    let watch = stage.start(&["watch", "m"]);
    stage.status("m", begun("Checkpointing", json!({}))).await;
    watch.says("Checkpointing").await;
    let path = format!("namespaces/{}/statefulmigrations", stage.namespace);
    let order = json!({
        "match": {"verb": "watch", "path": path, "userAgent": "ms2m/"},
        "action": {"status": 503, "message": "not now"},
    });
    stage.world.order_of_api(order).await;
    let post = async |path: &str, body: &str| {
        let arguments = ["create", "--raw", path, "-f", "-"];
        stage.world.kubectl_with(&arguments, body).await;
    };
    let cut = json!({"match": {"verb": "watch", "path": path}}).to_string();
    post("/sandbox/cut", &cut).await;
    watch.says("trying again").await;
    stage.kubectl(&["delete", "sm", "m"]).await;
    stage.apply(&manifest("m")).await;
    stage.status("m", completed()).await;
    post("/sandbox/compact", "{}").await;
    let outcome = watch.outcome().await.expect_code(1);
    assert!(outcome.stderr.contains("was deleted"), "{outcome:?}");
    stage.end().await;
}

/// An API server that has just started says for a moment that there is no such resource, and that
/// nobody may do anything.
#[tokio::test(flavor = "multi_thread")]
async fn an_api_server_that_restarts_is_waited_for() {
    let stage = Stage::set().await;
    if !stage.world.is_sandbox() {
        return;
    }
    stage.apply(&manifest("m")).await;
    let watch = stage.start(&["watch", "m"]);
    stage.status("m", begun("Checkpointing", json!({}))).await;
    watch.says("Checkpointing").await;
    let path = format!("namespaces/{}/statefulmigrations", stage.namespace);
    for (verb, status) in [("watch", 403), ("watch", 404), ("list", 404), ("list", 403)] {
        let order = json!({
            "match": {"verb": verb, "path": path, "userAgent": "ms2m/"},
            "action": {"status": status, "message": "it has just started"},
        });
        stage.world.order_of_api(order).await;
    }
    let cut = json!({"match": {"verb": "watch", "path": path}}).to_string();
    let arguments = ["create", "--raw", "/sandbox/cut", "-f", "-"];
    stage.world.kubectl_with(&arguments, &cut).await;
    watch.says("trying again").await;
    stage.status("m", completed()).await;
    watch.outcome().await.expect_code(0);
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_in_a_config_map_is_followed_too() {
    let stage = Stage::set().await;
    stage.config_map("old", begun("Restoring", json!({}))).await;
    let watch = stage.start(&["watch", "old"]);
    watch.says("Restoring").await;
    stage.config_map("old", completed()).await;
    let outcome = watch.outcome().await.expect_code(0);
    assert!(
        outcome.stdout.contains("312 messages replayed"),
        "{outcome:?}"
    );
    stage.end().await;
}
