//! Several controllers: one leads, and another takes over when it is stopped or killed.

use serde_json::json;

use crate::support::controller::{Controller, install_crd};
use crate::support::{App, Options, World};

/// A slow application under messages, a leader that is in the middle of its migration, and another
/// controller that stands by.
async fn in_the_middle(name: &str) -> (App, Controller, Controller, ms2m_worker::producer::Record) {
    install_crd(World::get()).await;
    let options = Options {
        environment: vec![("PROCESSING_TIME", "50ms".to_owned())],
        ..Options::default()
    };
    let app = App::start(name, &options).await;
    app.make_secret().await;
    let leader = Controller::start(&app, &[]).await;
    leader.leads().await;
    let other = Controller::start(&app, &[]).await;
    other.running.says("\"stage\":\"StandsBy\"").await;
    assert_eq!(leader.metric("ms2m_leader").await, 1.0);
    assert_eq!(other.metric("ms2m_leader").await, 0.0);
    assert_eq!(other.get("/readyz").await.0, 200, "it can take over");
    let record = app.publish(60).await;
    app.apply(&app.resource("m")).await;
    leader.running.says("gate closed").await;
    (app, leader, other, record)
}

async fn completes(app: App, other: &Controller, record: &ms2m_worker::producer::Record) {
    let found = app.await_end("m").await;
    assert_eq!(
        found["status"]["phase"],
        json!("Completed"),
        "{found:#}\n{}",
        other.running.stderr()
    );
    other.running.says("goes on moving").await;
    app.assert_exact(record, &app.target).await;
    app.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_stopped_leaves_its_migrations_to_the_next() {
    let (app, leader, other, record) = in_the_middle("stopped").await;
    leader.running.signal("TERM").await;
    let outcome = leader.running.outcome().await.expect_code(0);
    assert!(
        outcome.stderr.contains("another controller can lead"),
        "{}",
        outcome.stderr
    );
    assert!(
        !outcome.stderr.contains("RollingBack"),
        "{}",
        outcome.stderr
    );
    completes(app, &other, &record).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_killed_is_taken_over_from() {
    let (app, leader, other, record) = in_the_middle("killed").await;
    leader.running.signal("KILL").await;
    completes(app, &other, &record).await;
}

/// A leader whose lease somebody takes away stops at once, and the next one goes on.
#[tokio::test(flavor = "multi_thread")]
async fn one_that_has_lost_its_lease_stops_at_once() {
    let (app, leader, other, record) = in_the_middle("robbed").await;
    let delete = ["delete", "lease", "ms2m-controller", "-n", &app.namespace];
    app.world.kubectl(&delete).await;
    let outcome = leader.running.outcome().await.expect_code(7);
    assert!(
        outcome.stderr.contains("the leadership was lost"),
        "{}",
        outcome.stderr
    );
    completes(app, &other, &record).await;
}
