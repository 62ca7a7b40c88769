//! `--discover`: what nobody has said is looked up in the pod and at the broker.

use serde_json::{Value, json};

use crate::support::inside::Inside;
use crate::support::{App, Options, World};
use crate::tunnel::{annotations, leaves_no_trace, ms2m};

/// An application that says nothing of its broker and its queue; with these variables, and a Secret
/// `broker` with the URL, user and password.
async fn application(name: &str, broker: &Inside, environment: &[Value]) -> App {
    let options = Options {
        hosts: broker.hosts.clone(),
        annotations: annotations(broker.world),
        ..Options::default()
    };
    let app = App::named(broker.world, name, &options);
    let world = app.world;
    world
        .kubectl(&["create", "namespace", &app.namespace])
        .await;
    app.declare(options.exchange_type).await;
    let url = ms2m::broker::BrokerUrl::parse(&broker.url).expect("a broker URL");
    app.apply(&json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "broker"},
        "stringData": {"url": broker.url, "user": url.user(), "password": url.password()},
    }))
    .await;
    let mut pod = app.manifest(&options);
    let container = &mut pod["spec"]["containers"][0];
    let variables = container["env"].as_array_mut().expect("variables");
    variables.retain(|it| it["name"] != "AMQP_URL");
    variables.extend(environment.iter().cloned());
    app.apply(&pod).await;
    app.await_ready(&app.pod).await;
    app
}

/// How often `ms2m` has read Secrets of the application since request number `since`, and the number of
/// the latest request, as the sandbox has logged.
async fn secrets_read(app: &App, since: u64) -> (usize, u64) {
    let path = format!("/sandbox/requests?since={since}&user=admin");
    let log = app.world.kubectl(&["get", "--raw", &path]).await;
    let log: Value = serde_json::from_str(&log).expect("JSON");
    let path = format!("/namespaces/{}/secrets/", app.namespace);
    let all = log["log"].as_array().into_iter().flatten();
    let reads = all.filter(|it| {
        let agent = it["userAgent"].as_str().unwrap_or_default();
        let asked = it["path"].as_str().unwrap_or_default();
        it["verb"] == "get" && asked.contains(&path) && agent.starts_with("ms2m/")
    });
    (reads.count(), log["last"].as_u64().expect("a number"))
}

fn from_secret(name: &str, key: &str) -> Value {
    json!({"name": name, "valueFrom": {"secretKeyRef": {"name": "broker", "key": key}}})
}

/// What a plan says.
async fn planned(app: &App, more: &[&str]) -> String {
    let words = ["plan", &app.pod, "--to", &app.to, "--discover"];
    let outcome = ms2m(app, &[&words[..], more].concat()).outcome().await;
    format!("{}{}", outcome.stdout, outcome.stderr)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_that_says_nothing_moves_without_a_flag_but_that() {
    let world = World::get();
    if !world.is_sandbox() {
        return;
    }
    let broker = Inside::start(world).await;
    let app = application("silent", &broker, &[from_secret("AMQP_URL", "url")]).await;
    let planned = planned(&app, &[]).await;
    let queue = format!("found queue {} in the broker's consumers", app.queue);
    assert!(planned.contains(&queue), "{planned}");
    assert!(planned.contains("\nSteps\n"), "{planned}");
    let words = ["check", &app.pod, "--to", &app.to, "--discover"];
    ms2m(&app, &words).outcome().await.expect_code(0);

    let producers = app.produce(50.0, None);
    let moved = ms2m(&app, &["migrate", &app.pod, "--to", &app.to, "--discover"]);
    let moved = moved.outcome().await.expect_code(0);
    let record = producers.stop().await;
    app.assert_exact(&record, &app.target).await;
    let found: Vec<&str> = moved
        .stderr
        .lines()
        .filter(|line| line.starts_with("found "))
        .collect();
    let place = "variable AMQP_URL (Secret broker (key url))";
    assert!(
        found[0].starts_with("found broker-url amqp://rabbit.") && found[0].ends_with(place),
        "{found:?}"
    );
    assert_eq!(found.len(), 4, "{found:?}");
    assert!(found[1].contains(&queue[6..]), "{found:?}");
    assert!(found[2].contains(&app.exchange), "{found:?}");
    assert!(found[3].contains(&app.routing_key), "{found:?}");
    leaves_no_trace(&app, &moved).await;
    app.end().await;
    broker.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_said_is_told_with_the_choices() {
    let world = World::get();
    if !world.is_sandbox() {
        return;
    }
    let broker = Inside::start(world).await;
    let variables = [
        from_secret("AMQP_URL", "url"),
        json!({"name": "OTHER_URL", "value": "amqp://u:hunter2@elsewhere/"}),
    ];
    let app = application("several", &broker, &variables).await;
    let (_, last) = secrets_read(&app, 0).await;
    let words = ["plan", &app.pod, "--discover"];
    let refused = ms2m(&app, &words).outcome().await.expect_code(2).stderr;
    for words in [
        "names several brokers",
        "amqp://elsewhere/ in variable OTHER_URL (the pod's spec)",
        "say it: MS2M_BROKER_URL",
    ] {
        assert!(refused.contains(words), "{refused}");
    }
    assert!(!refused.contains("hunter2"), "{refused}");

    // What is said is not looked up, and the queue is found all the same.
    let (read, last) = secrets_read(&app, last).await;
    assert!(read > 0, "to find the broker");
    let planned = planned(&app, &["--broker-url", &broker.url]).await;
    assert_eq!(secrets_read(&app, last).await.0, 0, "nothing else");
    assert!(!planned.contains("found broker-url"), "{planned}");
    assert!(planned.contains("found queue"), "{planned}");

    // Two bindings are two choices.
    let second = App {
        routing_key: "orders.old".to_owned(),
        pod: app.pod.clone(),
        target: app.target.clone(),
        namespace: app.namespace.clone(),
        exchange: app.exchange.clone(),
        queue: app.queue.clone(),
        from: app.from.clone(),
        to: app.to.clone(),
        workload: app.workload.clone(),
        ..app
    };
    second.declare(Options::default().exchange_type).await;
    let words = [
        "plan",
        &second.pod,
        "--discover",
        "--broker-url",
        &broker.url,
    ];
    let refused = ms2m(&second, &words).outcome().await.expect_code(2).stderr;
    assert!(refused.contains("has several bindings"), "{refused}");
    assert!(refused.contains("by key 'orders.old'"), "{refused}");
    second.end().await;
    broker.end().await;
}

/// A record holds no password, so whoever goes on with a migration has it looked up again.
#[tokio::test(flavor = "multi_thread")]
async fn a_migration_that_was_left_is_gone_on_with() {
    let world = World::get();
    if !world.is_sandbox() {
        return;
    }
    let broker = Inside::start(world).await;
    let app = application("left", &broker, &[from_secret("AMQP_URL", "url")]).await;
    let producers = app.produce(20.0, None);
    let words = ["migrate", &app.pod, "--to", &app.to, "--discover"];
    for end in ["gate closed", "restored and running"] {
        let left = ms2m(&app, &words);
        left.says(end).await;
        left.signal("KILL").await;
        left.outcome().await;
        if end == "gate closed" {
            let aborted = ms2m(&app, &["abort", "--pod", &app.pod, "--discover"]);
            let aborted = aborted.outcome().await.expect_code(0);
            assert!(aborted.stderr.contains("found broker-url"), "{aborted:?}");
            assert!(!aborted.stderr.contains("found queue"), "{aborted:?}");
        }
    }
    ms2m(&app, &words).outcome().await.expect_code(0);
    let record = producers.stop().await;
    app.assert_exact(&record, &app.target).await;
    app.end().await;
    broker.end().await;
}
