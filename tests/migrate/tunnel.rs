//! A broker inside the cluster, named by its Service, from a workstation where that name leads
//! nowhere.

use serde_json::{Value, json};

use crate::support::cli::{Outcome, Running, start};
use crate::support::inside::Inside;
use crate::support::{App, Options, World, eventually};

/// Settings that have nothing to do with the broker, as annotations.
pub(crate) fn annotations(world: &World) -> Value {
    json!({
        "migration.ms2m.io/repository": format!("{}/checkpoints", world.places.registry),
        "migration.ms2m.io/transfer-image": world.places.transfer_image,
        "migration.ms2m.io/registry-plain-http": world.plain_http.to_string(),
    })
}

/// Runs `ms2m` as it is typed, with nothing in its environment.
pub(crate) fn ms2m(app: &App, words: &[&str]) -> Running {
    let words = [words, &["-n", &app.namespace]].concat();
    start(app.world, &words, &[])
}

/// An application that has the broker by its Service's name.
async fn application(name: &str, broker: &Inside, annotated: bool) -> App {
    let mut annotations = annotations(broker.world);
    if annotated {
        annotations["migration.ms2m.io/broker-url"] = json!(broker.url);
    }
    let options = Options {
        environment: vec![("AMQP_URL", broker.url.clone())],
        hosts: broker.hosts.clone(),
        annotated,
        annotations,
        ..Options::default()
    };
    App::start_in(broker.world, name, &options).await
}

/// Nothing that names the way through the API server, and no password, is written anywhere.
pub(crate) async fn leaves_no_trace(app: &App, outcome: &Outcome) {
    let url = ms2m::broker::BrokerUrl::parse(&app.world.places.broker_url).expect("a URL");
    let said = format!("{}{}", outcome.stdout, outcome.stderr);
    assert!(!said.contains(&url.password()), "{said}");
    let kinds = "configmaps,jobs";
    let get = ["get", kinds, "-n", &app.namespace, "-l"];
    let get = [&get[..], &["migration.ms2m.io/migration", "-o", "yaml"]].concat();
    let kept = app.world.kubectl(&get).await;
    assert!(
        kept.contains("rabbit."),
        "the broker by its own name: {kept}"
    );
    assert!(!kept.contains("@rabbit"), "without credentials: {kept}");
    assert!(!kept.contains("amqp://127."), "{kept}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_annotated_pod_moves_without_a_flag() {
    let world = World::get();
    if !world.is_sandbox() {
        return;
    }
    let broker = Inside::start(world).await;
    let app = application("inside", &broker, true).await;
    let producers = app.produce(50.0, None);
    let moved = ms2m(&app, &["migrate", &app.pod, "--to", &app.to, "-v"]);
    let moved = moved.outcome().await.expect_code(0);
    let record = producers.stop().await;
    app.assert_exact(&record, &app.target).await;
    let service = format!("is a Service {}/rabbit", broker.namespace);
    for port in ["svc:5672", "svc:15672"] {
        let said = moved.stderr.lines();
        let mut said = said.filter(|line| line.contains(port) && line.contains(&service));
        assert!(said.next().is_some() && said.next().is_none(), "{moved:?}");
    }
    leaves_no_trace(&app, &moved).await;
    app.end().await;
    broker.end().await;
}

/// Whatever stands when the tunnel breaks, it is an outage of the broker like any other.
#[tokio::test(flavor = "multi_thread")]
async fn a_tunnel_that_breaks_in_every_phase_heals() {
    let world = World::get();
    if !world.is_sandbox() {
        return;
    }
    let broker = Inside::start(world).await;
    let app = application("cut", &broker, true).await;
    let producers = app.produce(50.0, None);
    let moving = ms2m(&app, &["migrate", &app.pod, "--to", &app.to]);
    let mut cut = 0;
    for words in [
        "gate closed",
        "checkpoint taken",
        "image pushed",
        "restored",
        "committed",
    ] {
        moving.says(words).await;
        cut += broker.cut().await;
    }
    let moved = moving.outcome().await.expect_code(0);
    assert!(cut >= 5, "{cut} connections were cut: {moved:?}");
    let record = producers.stop().await;
    app.assert_exact(&record, &app.target).await;
    app.end().await;
    broker.end().await;
}

/// The pod at the other end goes, and the next connection ends in another one.
#[tokio::test(flavor = "multi_thread")]
async fn another_pod_of_the_service_takes_over() {
    let world = World::get();
    if !world.is_sandbox() {
        return;
    }
    let broker = Inside::start(world).await;
    // The worker's own connection stays: it goes by the pod that is left.
    let mut broker = broker;
    let second = ["get", "pod", "rabbit-1", "-n", &broker.namespace, "-o"];
    let second = [&second[..], &["jsonpath={.status.podIP}"]].concat();
    broker.hosts[0]["ip"] = json!(world.kubectl(&second).await);
    let app = application("goes", &broker, true).await;
    let producers = app.produce(50.0, None);
    let moving = ms2m(&app, &["migrate", &app.pod, "--to", &app.to]);
    moving.says("checkpoint taken").await;
    let delete = ["delete", "pod", "rabbit-0", "-n", &broker.namespace];
    world.kubectl(&[&delete[..], &["--now"]].concat()).await;
    moving.outcome().await.expect_code(0);
    let record = producers.stop().await;
    app.assert_exact(&record, &app.target).await;
    app.end().await;
    broker.end().await;
}

/// A forward that is not to be had for a moment is asked for again, as everything else is.
#[tokio::test(flavor = "multi_thread")]
async fn an_api_server_that_is_busy_for_a_moment_is_no_broker_that_is_away() {
    let world = World::get();
    if !world.is_sandbox() {
        return;
    }
    let broker = Inside::start(world).await;
    let app = application("busy", &broker, true).await;
    let path = format!("/namespaces/{}/pods/.*/portforward", broker.namespace);
    // Both pods, twice.
    let order = json!({
        "match": {"path": path}, "times": 4,
        "action": {"status": 503, "message": "the server is currently unable to handle the request"},
    });
    world.order_of_api(order).await;
    let planned = ms2m(&app, &["plan", &app.pod, "--to", &app.to]);
    planned.outcome().await.expect_code(0);
    app.end().await;
    broker.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_is_not_there_or_has_no_pod_is_told() {
    let world = World::get();
    if !world.is_sandbox() {
        return;
    }
    let broker = Inside::start(world).await;
    let app = application("lost", &broker, true).await;
    let plan = async |url: &str| {
        let words = ["plan", &app.pod, "--to", &app.to, "--broker-url", url];
        ms2m(&app, &words).outcome().await.expect_code(3).stderr
    };
    let missing = plan("amqp://u:s3cret@rabit.nowhere.svc/").await;
    let words = "there is no Service rabit in namespace nowhere";
    assert!(missing.contains(words), "{missing}");
    let port = plan(&broker.url.replace(".svc", ".svc:5671")).await;
    let words = format!(
        "Service {}/rabbit has no port 5671; it has 5672, 15672",
        broker.namespace
    );
    assert!(port.contains(&words), "{port}");
    let delete = ["delete", "pod", "--all", "--now", "-n", &broker.namespace];
    world.kubectl(&delete).await;
    let words = format!("no pod of Service {}/rabbit is ready", broker.namespace);
    eventually("its pods are gone", async || {
        let none = plan(&broker.url).await;
        none.contains(&words).then_some(())
    })
    .await;
    app.end().await;
    broker.end().await;
}
