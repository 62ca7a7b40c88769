//! A pod moves, and nothing is lost, doubled or out of order.

use std::time::Duration;

use ms2m_worker::producer::ExchangeType;
use serde_json::{Value, json};

use crate::support::{App, Options, eventually};

/// Migrates under `rate` messages a second, and audits.
async fn move_at(name: &str, rate: f64, options: Options, more: &[&str]) -> Value {
    let app = App::start(name, &options).await;
    let before = app.broker_listing().await;
    let producers = app.produce(rate, None);
    eventually("messages are applied", async || {
        app.report(&app.pod)
            .await
            .filter(|report| report.state.count >= 5)
    })
    .await;
    let result = app.migrate(more).await.expect_code(0).json();
    let record = producers.stop().await;
    let report = app.assert_exact(&record, &app.target).await;
    assert_eq!(report.pod, app.target, "the worker knows its new name");
    assert_eq!(
        report.hostname_variable, app.pod,
        "its environment is the old one: it was restored"
    );
    assert_eq!(report.restores, 1);
    assert_eq!(result["phase"], "Completed");
    assert_eq!(result["targetNode"], app.world.target_node.as_str());
    assert_eq!(result["messagesLeft"], 0);
    assert_eq!(result["messagesRouted"], result["messagesReplayed"]);
    assert_eq!(result["downtimeBy"], "seen");
    app.await_broker(&after_move(&before, &app)).await;
    let pods = app
        .world
        .kubectl(&["get", "pods", "-n", &app.namespace, "-o", "name"])
        .await;
    assert_eq!(
        pods.trim(),
        format!("pod/{}", app.target),
        "the target and nothing else is left"
    );
    app.end().await;
    result
}

/// What the broker shows after a move: as before, but for the pod's name in its control queue.
fn after_move(before: &[String], app: &App) -> Vec<String> {
    let mut after: Vec<String> = before
        .iter()
        .map(|name| name.replace(&app.pod, &app.target))
        .collect();
    after.sort();
    after
}

#[tokio::test(flavor = "multi_thread")]
async fn at_10_messages_a_second() {
    move_at("slow", 10.0, Options::default(), &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn at_100_messages_a_second() {
    let result = move_at("usual", 100.0, Options::default(), &[]).await;
    assert!(
        result["messagesReplayed"].as_i64().unwrap_or(0) > 0,
        "{result}"
    );
    assert!(
        result["downtimeSeconds"].as_f64().unwrap_or(0.0) > 0.0,
        "{result}"
    );
    assert!(
        result["checkpointImage"]
            .as_str()
            .unwrap_or_default()
            .contains("@sha256:"),
        "{result}"
    );
    let phases: Vec<&str> = result["phaseSeconds"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|entry| entry[0].as_str())
        .collect();
    assert_eq!(
        phases,
        [
            "Pending",
            "Checkpointing",
            "Transferring",
            "Restoring",
            "Replaying",
            "Finalizing"
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn at_1000_messages_a_second() {
    move_at("fast", 1000.0, Options::default(), &[]).await;
}

/// A Job that was made early and does not run in time is removed, and made again for the archive.
#[tokio::test(flavor = "multi_thread")]
async fn with_a_transfer_that_starts_late() {
    let app = App::start("latejob", &Options::default()).await;
    if !app.world.is_sandbox() {
        app.end().await;
        return;
    }
    let pods = format!("{}/.*-transfer-", app.namespace);
    let fault = json!({"node": app.world.source_node, "pod": pods, "on": "start", "delayMs": 60_000, "times": 1});
    app.world.order("/kubelet", fault).await;
    let producers = app.produce(50.0, None);
    let result = app.migrate(&[]).await.expect_code(0).json();
    // So long it was waited for, and no longer.
    let pending = result["phaseSeconds"][0][1].as_f64().unwrap_or(0.0);
    assert!((30.0..55.0).contains(&pending), "{result}");
    let record = producers.stop().await;
    app.assert_exact(&record, &app.target).await;
    app.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn through_a_direct_exchange_without_compression() {
    let options = Options {
        exchange_type: ExchangeType::Direct,
        ..Options::default()
    };
    move_at("direct", 50.0, options, &["--compression", "none"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn through_a_fanout_exchange_with_a_worker_that_polls_its_control_queue() {
    let options = Options {
        exchange_type: ExchangeType::Fanout,
        environment: vec![
            ("CONTROL_POLL", "1s".to_owned()),
            ("RECONNECT_DELAY", "3s".to_owned()),
        ],
        ..Options::default()
    };
    move_at("polls", 40.0, options, &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_500_messages_waiting() {
    let options = Options {
        environment: vec![("PROCESSING_TIME", "4ms".to_owned())],
        ..Options::default()
    };
    let app = App::start("backlog", &options).await;
    let backlog = app.publish(500).await;
    let producers = app.produce(20.0, Some(backlog));
    app.migrate(&[]).await.expect_code(0);
    let record = producers.stop().await;
    app.assert_exact(&record, &app.target).await;
    app.end().await;
}

/// The replay queue can never drain by itself: the cutoff ends it.
#[tokio::test(flavor = "multi_thread")]
async fn at_more_than_the_worker_can_do() {
    let options = Options {
        environment: vec![("PROCESSING_TIME", "20ms".to_owned())],
        ..Options::default()
    };
    let app = App::start("flood", &options).await;
    let producers = app.produce(40.0, None);
    let arguments = ["--replay-cutoff", "3s", "--max-pause", "0s"];
    let migration = app.migrate(&arguments).await;
    // What a flood leaves in the primary queue would take the audit minutes.
    let record = producers.stop().await;
    let result = migration.expect_code(0).json();
    // It counts from the moment that the target runs, which is a part of the restore.
    let side_by_side = seconds_of(&result, "Restoring") + seconds_of(&result, "Replaying");
    assert!(side_by_side >= 3.0, "the cutoff was waited for: {result}");
    app.assert_exact(&record, &app.target).await;
    app.end().await;
}

fn seconds_of(result: &Value, phase: &str) -> f64 {
    let entries = result["phaseSeconds"].as_array().into_iter().flatten();
    entries
        .filter(|entry| entry[0] == phase)
        .filter_map(|entry| entry[1].as_f64())
        .sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn there_and_back() {
    let app = App::start("back", &Options::default()).await;
    let producers = app.produce(50.0, None);
    app.migrate(&[]).await.expect_code(0);
    let mut arguments = app.migrate_arguments();
    arguments[1].clone_from(&app.target);
    arguments[3].clone_from(&app.world.source_node);
    app.ms2m(&arguments).await.expect_code(0);
    let record = producers.stop().await;
    let report = app.assert_exact(&record, &app.pod).await;
    assert_eq!(report.restores, 2);
    app.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_annotated_pod_needs_few_flags() {
    let options = Options {
        annotated: true,
        ..Options::default()
    };
    let app = App::start("annotated", &options).await;
    let producers = app.produce(50.0, None);
    let world = app.world;
    let repository = format!("{}/checkpoints", world.places.registry);
    let config = tempfile::NamedTempFile::new().expect("a file");
    let settings = json!({
        "repository": repository,
        "transfer-image": world.places.transfer_image,
        "registry-plain-http": world.plain_http,
    });
    std::fs::write(config.path(), settings.to_string()).expect("the file is written");
    let pod = format!("pod/{}", app.pod);
    let mut environment = app.environment();
    environment.push(("MS2M_CONFIG", config.path().display().to_string()));
    let environment: Vec<(&str, &str)> = environment
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    let arguments = [
        "migrate",
        &pod,
        "--to",
        &world.target_node,
        "-n",
        &app.namespace,
    ];
    let outcome = crate::support::cli::start(world, &arguments, &environment)
        .outcome()
        .await
        .expect_code(0);
    assert!(
        outcome.stdout.contains("Checkpointing"),
        "a table for people:\n{}",
        outcome.stdout
    );
    assert!(
        outcome.stderr.contains("gate closed"),
        "plain lines off a terminal:\n{}",
        outcome.stderr
    );
    let record = producers.stop().await;
    app.assert_exact(&record, &app.target).await;
    app.end().await;
}

/// The labels by which a Service selects are the target's once it serves, and not before.
#[tokio::test(flavor = "multi_thread")]
async fn the_target_takes_the_labels() {
    let options = Options {
        labels: json!({"tier": "orders"}),
        ..Options::default()
    };
    let app = App::start("labels", &options).await;
    let producers = app.produce(50.0, None);
    app.migrate(&["--replay-cutoff", "30s"])
        .await
        .expect_code(0);
    let record = producers.stop().await;
    app.assert_exact(&record, &app.target).await;
    let selected = app
        .world
        .kubectl(&[
            "get",
            "pods",
            "-n",
            &app.namespace,
            "-l",
            "app=worker,tier=orders",
            "-o",
            "name",
        ])
        .await;
    assert_eq!(selected.trim(), format!("pod/{}", app.target));
    app.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_at_once_do_not_disturb_each_other() {
    let options = Options::default();
    let (one, other) = tokio::join!(App::start("one", &options), App::start("other", &options));
    let producers = (one.produce(50.0, None), other.produce(50.0, None));
    let outcomes = tokio::join!(one.migrate(&[]), other.migrate(&[]));
    outcomes.0.expect_code(0);
    outcomes.1.expect_code(0);
    tokio::time::timeout(Duration::from_secs(120), async {
        one.assert_exact(&producers.0.stop().await, &one.target)
            .await;
        other
            .assert_exact(&producers.1.stop().await, &other.target)
            .await;
    })
    .await
    .expect("both audits end");
    one.end().await;
    other.end().await;
}

/// Nobody names a node: one that the pod can go to is chosen, and it is not the source's.
#[tokio::test(flavor = "multi_thread")]
async fn without_a_named_node() {
    let app = App::start("anywhere", &Options::default()).await;
    let record = app.publish(20).await;
    let mut arguments = app.migrate_arguments();
    let to = arguments.iter().position(|it| it == "--to");
    arguments.drain(to.expect("it is given")..=to.expect("it is given") + 1);
    let result = app.ms2m(&arguments).await.expect_code(0).json();
    assert_ne!(result["targetNode"], app.from.as_str(), "{result}");
    app.assert_exact(&record, &app.target).await;
    app.end().await;
}
