//! A resource is carried out, and everything stands in it.

use serde_json::json;

use crate::support::api::Api;
use crate::support::controller::{Controller, condition, install_crd, requests_of};
use crate::support::{App, Options, World, eventually};

/// An application in a world with the CRD, and a controller that leads in its namespace.
pub(crate) async fn led(name: &str, options: &Options) -> (App, Controller) {
    install_crd(World::get()).await;
    let app = App::start(name, options).await;
    app.make_secret().await;
    let controller = Controller::start(&app, &[]).await;
    controller.leads().await;
    (app, controller)
}

#[tokio::test(flavor = "multi_thread")]
async fn from_the_resource_to_its_receipt() {
    let (app, controller) = led("carried", &Options::default()).await;
    let producers = app.produce(100.0, None);
    eventually("messages are applied", async || {
        let report = app.report(&app.pod).await;
        report.filter(|report| report.state.count >= 5)
    })
    .await;
    app.apply(&app.resource("m")).await;
    let wait = [
        "wait",
        "sm/m",
        "-n",
        &app.namespace,
        "--for=condition=Completed",
        "--timeout=60s",
    ];
    if let Err(words) = app.world.try_kubectl(&wait, "").await {
        panic!("{words}\n{}", controller.running.stderr());
    }
    let record = producers.stop().await;
    app.assert_exact(&record, &app.target).await;

    let sealed = |found: &serde_json::Value| {
        found["metadata"]["labels"]["migration.ms2m.io/ended"] == "true"
            && found["metadata"]["finalizers"].is_null()
    };
    let found = app.await_migration("m", "it is let go", sealed).await;
    let status = &found["status"];
    assert_eq!(status["phase"], "Completed");
    assert_eq!(status["observedGeneration"], 1);
    assert_eq!(status["targetPod"], app.target.as_str());
    for kind in [
        "Accepted",
        "Checkpointed",
        "Restored",
        "CaughtUp",
        "Completed",
    ] {
        assert_eq!(condition(&found, kind).0, "True", "{kind}: {found:#}");
    }
    assert!(status["receipt"]["downtime"].is_string(), "{found:#}");

    let described = app
        .world
        .kubectl(&["describe", "sm", "m", "-n", &app.namespace])
        .await;
    for reason in [
        "Accepted",
        "Checkpointing",
        "Transferring",
        "Restoring",
        "Replaying",
        "Finalizing",
        "Committed",
        "Completed",
    ] {
        let told = described.lines().any(|line| {
            let mut words = line.split_whitespace();
            words.next() == Some("Normal") && words.next() == Some(reason)
        });
        assert!(told, "no {reason} in:\n{described}");
    }
    let api = Api::of(app.world).await;
    let requests = requests_of(&api, &app.namespace).await;
    let own: Vec<String> = requests
        .iter()
        .map(|it| format!("{} {}", it["verb"], it["resource"]).replace('"', ""))
        // Of the controller and by time, not of the migration.
        .filter(|it| {
            ![
                "list statefulmigrations",
                "watch statefulmigrations",
                "update leases",
                "get nodes",
            ]
            .contains(&it.as_str())
        })
        .collect();
    assert!(own.len() < 60, "{} requests: {own:#?}", own.len());

    let leases = ["get", "leases", "-n", &app.namespace, "-o", "name"];
    let leases = app.world.kubectl(&leases).await;
    assert_eq!(leases.trim(), "lease.coordination.k8s.io/ms2m-controller");

    let finished = "ms2m_migrations_finished_total{result=\"completed\"}";
    assert_eq!(controller.metric(finished).await, 1.0);
    assert!(controller.metric("ms2m_messages_replayed_total").await > 0.0);
    let said = controller.running.stderr();
    let name = format!("{}/m", app.namespace);
    let lines: Vec<serde_json::Value> = said
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}")))
        .filter(|line: &serde_json::Value| line["span"]["migration"] == json!(name))
        .collect();
    assert!(lines.len() > 10, "{said}");
    app.end().await;
}
