//! A migration that the person at the command line does not let run: planned alone, interrupted,
//! killed.

use crate::support::{App, Options, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_changes_nothing() {
    let app = App::start("dry", &Options::default()).await;
    let (cluster, broker) = (app.cluster_listing().await, app.broker_listing().await);
    let outcome = app.migrate(&["--dry-run"]).await.expect_code(0);
    assert!(
        outcome.stdout.contains(&app.target),
        "the plan names the target pod:\n{}",
        outcome.stdout
    );
    assert_eq!(app.cluster_listing().await, cluster);
    assert_eq!(app.broker_listing().await, broker);
    app.end().await;
}

/// The first Ctrl-C rolls back.
#[tokio::test(flavor = "multi_thread")]
async fn an_interrupt_rolls_back() {
    // A worker that takes its time over the backlog holds the migration before the checkpoint.
    let options = Options {
        environment: vec![("PROCESSING_TIME", "50ms".to_owned())],
        ..Options::default()
    };
    let app = App::start("interrupt", &options).await;
    let backlog = app.publish(100).await;
    let (cluster, broker) = (app.cluster_listing().await, app.broker_listing().await);
    let producers = app.produce(5.0, Some(backlog));
    let running = app.start_ms2m(&app.migrate_arguments());
    eventually("the gate is in", async || {
        app.broker_listing()
            .await
            .iter()
            .any(|name| name.ends_with(".ms2m-gate"))
            .then_some(())
    })
    .await;
    running.signal("INT").await;
    let outcome = running.outcome().await.expect_code(130);
    assert_eq!(outcome.json()["error"]["kind"], "interrupted");
    let record = producers.stop().await;
    app.assert_exact(&record, &app.pod).await;
    app.await_broker(&broker).await;
    let journal_is_left = |name: &String| !name.starts_with("configmap/ms2m-");
    let now: Vec<String> = app
        .cluster_listing()
        .await
        .into_iter()
        .filter(journal_is_left)
        .collect();
    assert_eq!(
        now, cluster,
        "nothing but the record of the migration is left"
    );
    app.end().await;
}

/// Another process goes on where one was killed.
#[tokio::test(flavor = "multi_thread")]
async fn a_killed_migration_is_gone_on_with() {
    let options = Options {
        environment: vec![("PROCESSING_TIME", "20ms".to_owned())],
        ..Options::default()
    };
    let app = App::start("killed", &options).await;
    let backlog = app.publish(100).await;
    let producers = app.produce(10.0, Some(backlog));
    let running = app.start_ms2m(&app.migrate_arguments());
    eventually("the gate is in", async || {
        app.broker_listing()
            .await
            .iter()
            .any(|name| name.ends_with(".ms2m-gate"))
            .then_some(())
    })
    .await;
    running.signal("KILL").await;
    running.outcome().await;
    // The dead process's lock lasts for its lease time.
    let result = eventually(
        "the lock has expired and the migration is completed",
        async || {
            let outcome = app.migrate(&[]).await;
            (outcome.code != Some(3)).then_some(outcome)
        },
    )
    .await;
    result.expect_code(0);
    let record = producers.stop().await;
    app.assert_exact(&record, &app.target).await;
    app.end().await;
}
