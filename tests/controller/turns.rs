//! Several migrations at once: who begins, and who waits.

use std::time::Duration;

use serde_json::Value;

use crate::support::controller::{Controller, condition, install_crd};
use crate::support::{App, Options, World};

/// So many applications in one namespace, each with a backlog for three seconds, and a controller.
async fn several(name: &str, count: usize, limits: &[&str]) -> (Vec<App>, Controller) {
    install_crd(World::get()).await;
    let options = Options {
        environment: vec![("PROCESSING_TIME", "50ms".to_owned())],
        ..Options::default()
    };
    let first = App::start(name, &options).await;
    first.make_secret().await;
    let mut apps = vec![first];
    for _ in 1..count {
        let another = App::start_beside(&apps[0], &options).await;
        apps.push(another);
    }
    let controller = Controller::start(&apps[0], limits).await;
    controller.leads().await;
    (apps, controller)
}

fn phase(found: &Value) -> &str {
    found["status"]["phase"].as_str().unwrap_or_default()
}

/// When it began and when it ended.
fn times_of(found: &Value) -> (String, String) {
    let time = |field: &str| {
        found["status"][field]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    };
    (time("startTime"), time("completionTime"))
}

/// Each began after the one before had ended. Gives them in their order.
fn assert_one_by_one(mut times: Vec<(String, String)>) -> Vec<(String, String)> {
    times.sort();
    for pair in times.windows(2) {
        assert!(
            pair[0].1 <= pair[1].0,
            "two were under way at once: {times:?}"
        );
    }
    times
}

#[tokio::test(flavor = "multi_thread")]
async fn one_at_a_time_and_the_oldest_first() {
    let (apps, controller) = several("turns", 3, &["--max-at-once", "1"]).await;
    let mut records = Vec::new();
    for app in &apps {
        records.push(app.publish(40).await);
    }
    for (app, name) in apps.iter().zip(["a", "b", "c"]) {
        app.apply(&app.resource(name)).await;
        // A creation time has whole seconds.
        tokio::time::sleep(Duration::from_millis(1_100)).await;
    }
    let queued = |found: &Value| condition(found, "Accepted").1 == "Queued";
    let waiting = apps[2].await_migration("c", "it waits", queued).await;
    assert_eq!(phase(&waiting), "Pending");
    let (status, _, message) = condition(&waiting, "Accepted");
    assert_eq!(status, "Unknown");
    assert!(
        message.contains("1 of 1 migrations are under way"),
        "{message}"
    );
    assert!(controller.metric("ms2m_migrations_waiting").await >= 1.0);
    let mut times = Vec::new();
    for (app, name) in apps.iter().zip(["a", "b", "c"]) {
        let found = app.await_end(name).await;
        assert_eq!(phase(&found), "Completed", "{found:#}");
        times.push(times_of(&found));
    }
    let sorted = assert_one_by_one(times.clone());
    assert_eq!(times, sorted, "the oldest came first");
    for (app, record) in apps.iter().zip(&records) {
        app.assert_exact(record, &app.target).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_than_may_be_at_one_node() {
    let limits = ["--max-at-once", "5", "--max-per-node", "1"];
    let (apps, _controller) = several("nodes", 3, &limits).await;
    let mut records = Vec::new();
    for app in &apps {
        records.push(app.publish(40).await);
    }
    for (app, name) in apps.iter().zip(["a", "b", "c"]) {
        app.apply(&app.resource(name)).await;
    }
    // They all leave the same node, so each begins after the one before has ended.
    let mut times = Vec::new();
    for (app, name) in apps.iter().zip(["a", "b", "c"]) {
        let found = app.await_end(name).await;
        assert_eq!(phase(&found), "Completed", "{found:#}");
        times.push(times_of(&found));
    }
    assert_one_by_one(times);
    for (app, record) in apps.iter().zip(&records) {
        app.assert_exact(record, &app.target).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_of_one_pod_go_one_after_the_other() {
    let (apps, _controller) = several("twice", 1, &[]).await;
    let app = &apps[0];
    let record = app.publish(60).await;
    app.apply(&app.resource("there")).await;
    app.apply(&app.resource("again")).await;
    let there = app.await_end("there").await;
    let again = app.await_end("again").await;
    let mut phases = [phase(&there), phase(&again)];
    phases.sort_unstable();
    // Whichever came second found no pod of that name any more.
    assert_eq!(phases, ["Completed", "Failed"], "{there:#}\n{again:#}");
    app.assert_exact(&record, &app.target).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_waits_goes_at_once_when_it_is_deleted() {
    let (apps, controller) = several("unwanted", 2, &["--max-at-once", "1"]).await;
    let record = apps[0].publish(60).await;
    apps[0].apply(&apps[0].resource("first")).await;
    controller.running.says("gate closed").await;
    apps[1].apply(&apps[1].resource("second")).await;
    let queued = |found: &Value| condition(found, "Accepted").1 == "Queued";
    apps[1].await_migration("second", "it waits", queued).await;
    let delete = [
        "delete",
        "sm",
        "second",
        "-n",
        &apps[1].namespace,
        "--timeout=10s",
    ];
    apps[1].world.kubectl(&delete).await;
    let first = apps[0].await_end("first").await;
    assert_eq!(phase(&first), "Completed");
    apps[0].assert_exact(&record, &apps[0].target).await;
    assert_eq!(controller.metric("ms2m_migrations_waiting").await, 0.0);
}
