//! A pod moves without a registry: its checkpoint goes straight to a receiver on the target node,
//! and is pulled from there. No registry is named, so none can have been asked.
//!
//! Each test has a port of its own, since a receiver has its node's.

use std::sync::OnceLock;

use ms2m_worker::producer::Record;
use serde_json::{Value, json};

use crate::support::cli::Outcome;
use crate::support::{App, Options, World, eventually};

/// Arguments of a direct migration, which names no repository.
fn arguments(app: &App, port: &str) -> Vec<String> {
    let mut arguments = app.migrate_arguments();
    let at = arguments.iter().position(|it| it == "--repository");
    let at = at.expect("it is given");
    arguments.drain(at..=at + 1);
    arguments.retain(|it| it != "--registry-plain-http");
    arguments.extend(["--direct", "--direct-port", port].map(str::to_owned));
    arguments
}

/// Moves under 100 messages a second, and audits.
async fn move_directly(app: App, port: &str) {
    let before = app.cluster_listing().await;
    let producers = app.produce(100.0, None);
    eventually("messages are applied", async || {
        app.report(&app.pod)
            .await
            .filter(|report| report.state.count >= 5)
    })
    .await;
    let result = app.ms2m(&arguments(&app, port)).await.expect_code(0).json();
    let record = producers.stop().await;
    let report = app.assert_exact(&record, &app.target).await;
    assert_eq!(report.restores, 1);
    let image = result["checkpointImage"].as_str().unwrap_or_default();
    let named = format!("localhost:{port}/ms2m/");
    assert!(image.starts_with(&named), "{result}");
    assert!(image.contains("@sha256:"), "{result}");
    let after: Vec<String> = without_records(app.cluster_listing().await);
    let expected: Vec<String> = before
        .iter()
        .map(|name| name.replace(&app.pod, &app.target))
        .collect();
    assert_eq!(after, expected, "neither pods nor Secrets are left");
    port_is_free(&app, port).await;
    app.end().await;
}

fn without_records(names: Vec<String>) -> Vec<String> {
    let is_no_record = |name: &String| !name.starts_with("configmap/ms2m-");
    names.into_iter().filter(is_no_record).collect()
}

/// Nothing listens on the target node any more.
async fn port_is_free(app: &App, port: &str) {
    if !app.world.is_sandbox() {
        return;
    }
    let address = app
        .world
        .kubectl(&[
            "get",
            "node",
            &app.to,
            "-o",
            "jsonpath={.status.addresses[?(@.type=='InternalIP')].address}",
        ])
        .await;
    let place = format!("{}:{port}", address.trim());
    let asked = tokio::net::TcpStream::connect(&place).await;
    assert!(asked.is_err(), "{place} still listens");
}

#[tokio::test(flavor = "multi_thread")]
async fn between_nodes_with_cri_o() {
    let app = App::start("direct", &Options::default()).await;
    move_directly(app, "5361").await;
}

/// A sandbox of nodes that behave as containerd.
fn containerd() -> &'static World {
    static WORLD: OnceLock<World> = OnceLock::new();
    WORLD.get_or_init(|| World::sandbox(&["node-a=containerd", "node-b=containerd"]))
}

#[tokio::test(flavor = "multi_thread")]
async fn between_nodes_with_containerd() {
    if !World::get().is_sandbox() {
        return;
    }
    let app = App::start_in(containerd(), "direct", &Options::default()).await;
    move_directly(app, "5361").await;
}

/// Two handoffs, a receiver each: the pod of a StatefulSet moves as a shadow, which then gives its
/// state to a pod of the set's own name.
#[tokio::test(flavor = "multi_thread")]
async fn a_pod_of_a_stateful_set() {
    let options = Options {
        owner: crate::support::app::Owner::StatefulSet,
        ..Options::default()
    };
    let app = App::start("directset", &options).await;
    let producers = app.produce(20.0, None);
    let mut arguments = arguments(&app, "5363");
    // As a set's pod moves by itself: with the source gone before its copy runs.
    let refused = app.ms2m(&arguments).await.expect_code(3);
    assert!(refused.stderr.contains("Sequential"), "{}", refused.stderr);
    arguments.extend(["--strategy", "shadow-pod"].map(str::to_owned));
    app.ms2m(&arguments).await.expect_code(0);
    let record = producers.stop().await;
    app.assert_exact(&record, &app.target).await;
    let left = without_records(app.cluster_listing().await);
    assert!(
        !left.iter().any(|name| name.contains("receiver")),
        "{left:?}"
    );
    app.end().await;
}

/// What is as it was before, source and all.
async fn assert_rolled_back(app: &App, before: &[String], record: &Record) {
    let report = app.assert_exact(record, &app.pod).await;
    assert_eq!(report.restores, 0, "it is the source itself");
    let now = without_records(app.cluster_listing().await);
    assert_eq!(now, before);
}

fn says(outcome: &Outcome, words: &[&str]) {
    let all = format!("{}{}", outcome.stdout, outcome.stderr);
    for word in words {
        assert!(all.contains(word), "'{word}' is not in:\n{all}");
    }
}

/// CRI-O speaks HTTPS to localhost unless it was told otherwise.
#[tokio::test(flavor = "multi_thread")]
async fn a_runtime_that_was_not_told() {
    if !World::get().is_sandbox() {
        return;
    }
    // It has the node to itself.
    let app = App::start_in(untold(), "untold", &Options::default()).await;
    let order = json!({"node": app.to, "insecureLocalhost": false});
    app.world.order("/node", order).await;
    let before = app.cluster_listing().await;
    let producers = app.produce(20.0, None);
    let outcome = app.ms2m(&arguments(&app, "5361")).await.expect_code(4);
    let record = producers.stop().await;
    says(
        &outcome,
        &[
            "server gave HTTP response to HTTPS client",
            "/etc/containers/registries.conf.d",
            "insecure = true",
            &app.to,
        ],
    );
    assert_rolled_back(&app, &before, &record).await;
    app.end().await;
}

fn untold() -> &'static World {
    static WORLD: OnceLock<World> = OnceLock::new();
    WORLD.get_or_init(|| World::sandbox(&["node-a", "node-b"]))
}

/// With the receiver goes what it had, or was to get.
#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_is_killed_in_mid_transfer() {
    if !World::get().is_sandbox() {
        return;
    }
    let app = App::start("killed", &Options::default()).await;
    let before = app.cluster_listing().await;
    let producers = app.produce(20.0, None);
    let mut arguments = arguments(&app, "5365");
    arguments.extend(["--name", "m-1", "--compression", "none"].map(str::to_owned));
    let running = app.start_ms2m(&arguments);
    // It takes nothing more from before there is a checkpoint, so that no transfer is quick enough to be over
    // before the kill.
    let order = async |what: &str| {
        let pod = format!("{}/m-1-receiver", app.namespace);
        let order = json!({ "pod": pod, "do": what });
        app.world.order("/container", order).await;
    };
    running.says("Checkpointing").await;
    order("pause").await;
    running.says("% of").await;
    order("kill").await;
    let outcome = running.outcome().await.expect_code(4);
    let record = producers.stop().await;
    says(&outcome, &["could not be sent"]);
    let error: Value = outcome.json()["error"].clone();
    assert_eq!(error["kind"], "rolledBack");
    assert_rolled_back(&app, &before, &record).await;
    app.end().await;
}
