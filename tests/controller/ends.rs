//! How a resource ends otherwise than completed: refused, aborted, deleted.

use serde_json::json;

use crate::carries::led;
use crate::support::controller::{Controller, condition};
use crate::support::{App, Options, eventually};

/// An application that takes three seconds for what waits in its queue, so that there is time to
/// disturb its migration; with a migration that waits for it.
async fn slow(name: &str) -> (App, Controller, ms2m_worker::producer::Record) {
    let options = Options {
        environment: vec![("PROCESSING_TIME", "50ms".to_owned())],
        ..Options::default()
    };
    let (app, controller) = led(name, &options).await;
    let record = app.publish(60).await;
    app.apply(&app.resource("m")).await;
    controller.running.says("gate closed").await;
    (app, controller, record)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_abort_rolls_back() {
    let (app, controller, record) = slow("aborted").await;
    let before = app.broker_listing().await;
    assert!(
        before.iter().any(|it| it.contains("ms2m-replay")),
        "{before:?}"
    );
    let patch = ["patch", "sm", "m", "-n", &app.namespace, "--type=merge"];
    let patch = [&patch[..], &["-p", r#"{"spec":{"abort":true}}"#]].concat();
    app.world.kubectl(&patch).await;
    let found = app.await_end("m").await;
    let (status, reason, _) = condition(&found, "Failed");
    assert_eq!(
        (status.as_str(), reason.as_str()),
        ("True", "RolledBack"),
        "{found:#}"
    );
    assert_eq!(found["status"]["observedGeneration"], 2, "{found:#}");
    app.assert_exact(&record, &app.pod).await;
    let aborted = "ms2m_migrations_finished_total{result=\"aborted\"}";
    assert_eq!(controller.metric(aborted).await, 1.0);
    let left = app.broker_listing().await;
    assert!(!left.iter().any(|it| it.contains(".ms2m-")), "{left:?}");
    app.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_in_mid_migration_rolls_back_first() {
    let (app, _controller, record) = slow("deleted").await;
    let delete = ["delete", "sm", "m", "-n", &app.namespace, "--timeout=60s"];
    app.world.kubectl(&delete).await;
    assert!(app.migration("m").await.is_none());
    app.assert_exact(&record, &app.pod).await;
    let left = app.broker_listing().await;
    assert!(!left.iter().any(|it| it.contains(".ms2m-")), "{left:?}");
    let pods = ["get", "pods", "-n", &app.namespace, "-o", "name"];
    let pods = app.world.kubectl(&pods).await;
    assert_eq!(pods.trim(), format!("pod/{}", app.pod));
    app.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_refusal_stands_in_its_resource_and_holds_nobody_up() {
    let (app, controller) = led("refused", &Options::default()).await;
    let record = app.publish(20).await;
    let cases = [
        ("no-pod", "/spec/sourcePod", json!("nobody"), "nobody"),
        ("no-node", "/spec/targetNode", json!("nowhere"), "nowhere"),
        (
            "no-queue",
            "/spec/messageQueueConfig/queueName",
            json!("no-such-queue"),
            "no-such-queue",
        ),
        (
            "no-secret",
            "/spec/messageQueueConfig/credentials/password/secretKeyRef/name",
            json!("no-such-secret"),
            "there is no Secret no-such-secret",
        ),
        (
            "no-key",
            "/spec/messageQueueConfig/credentials/password/secretKeyRef/key",
            json!("no-such-key"),
            "Secret broker has no key no-such-key",
        ),
        (
            "no-broker",
            "/spec/messageQueueConfig/brokerUrl",
            json!("amqp://mq/a/b"),
            "virtual host",
        ),
    ];
    for (name, field, value, _) in &cases {
        let mut resource = app.resource(name);
        *resource.pointer_mut(field).expect("the field is there") = value.clone();
        app.apply(&resource).await;
    }
    app.apply(&app.resource("good")).await;
    for (name, _, _, words) in &cases {
        let found = app.await_end(name).await;
        for kind in ["Accepted", "Failed"] {
            let (status, reason, message) = condition(&found, kind);
            let wanted = if kind == "Failed" { "True" } else { "False" };
            assert_eq!(
                (status.as_str(), reason.as_str()),
                (wanted, "Refused"),
                "{found:#}"
            );
            assert!(message.contains(words), "'{words}' is not in: {message}");
        }
    }
    let found = app.await_end("good").await;
    assert_eq!(found["status"]["phase"], "Completed", "{found:#}");
    app.assert_exact(&record, &app.target).await;
    let refused = "ms2m_migrations_finished_total{result=\"refused\"}";
    assert_eq!(controller.metric(refused).await, 6.0);
    app.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_reached_is_tried_again() {
    let (app, _controller) = led("unreached", &Options::default()).await;
    let mut resource = app.resource("m");
    resource["spec"]["messageQueueConfig"]["brokerUrl"] = json!("amqp://127.0.0.1:9");
    app.apply(&resource).await;
    let noted = |found: &serde_json::Value| condition(found, "Accepted").1 == "Retrying";
    let found = app.await_migration("m", "it is noted", noted).await;
    let (status, _, message) = condition(&found, "Accepted");
    assert_eq!(status, "Unknown", "{found:#}");
    assert!(message.contains("cannot reach the broker"), "{message}");
    assert_eq!(found["status"]["phase"], "Pending");
    let delete = ["delete", "sm", "m", "-n", &app.namespace, "--timeout=60s"];
    app.world.kubectl(&delete).await;
    app.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_in_the_resource_is_warned_about_and_told_nobody() {
    let (app, controller) = led("open", &Options::default()).await;
    let mut resource = app.resource("m");
    let queue = &mut resource["spec"]["messageQueueConfig"];
    queue["brokerUrl"] = json!(app.world.places.broker_url);
    queue
        .as_object_mut()
        .expect("it is one")
        .remove("credentials");
    let record = app.publish(20).await;
    app.apply(&resource).await;
    let found = app.await_end("m").await;
    assert_eq!(found["status"]["phase"], "Completed", "{found:#}");
    app.assert_exact(&record, &app.target).await;
    let events = ["get", "events", "-n", &app.namespace, "-o", "json"];
    let events = eventually("the warning is an Event", async || {
        let events = app.world.kubectl(&events).await;
        events.contains("has a password in it").then_some(events)
    })
    .await;
    let broker =
        ms2m::broker::BrokerUrl::parse(&app.world.places.broker_url).expect("a broker URL");
    let secret = format!("{}:{}@", broker.user(), broker.password());
    let told = [
        events,
        controller.running.stderr(),
        found["status"].to_string(),
    ]
    .concat();
    assert!(!told.contains(&secret), "a password was told");
    app.end().await;
}
