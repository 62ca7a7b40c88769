//! What else the contract asks of a worker: to apply what it is given, to stop in order, to
//! keep up; and of the producer: to know what it published.

use std::process::Command;
use std::time::{Duration, Instant};

use crate::support::process::{Pod, Worker};
use crate::support::{App, PATIENCE, broker};
use futures_util::StreamExt as _;
use lapin::options::BasicConsumeOptions;
use lapin::types::FieldTable;
use lapin::{Connection, ConnectionProperties};
use ms2m_worker::audit::{self, Source};
use ms2m_worker::producer::{self, Options, Record};
use rustix::process::Signal;
use tokio_util::sync::CancellationToken;

const PRODUCER: &str = env!("CARGO_BIN_EXE_ms2m-producer");

#[tokio::test(flavor = "multi_thread")]
async fn a_redelivered_double_is_applied_and_shown() {
    let broker = broker::shared();
    let app = App::declare(&broker.url()).await;
    app.published(&app.publish(5)).await;
    app.tamper(|bodies| bodies.insert(3, bodies[2].clone()))
        .await;
    take_without_acknowledgement(&app, 6).await;
    let worker = Worker::start(&app, &Pod::new("worker-r"), &[]).await;
    let report = worker.wait("done", |report| report.state.count == 6).await;
    assert_eq!(
        (report.lost, report.doubled, report.out_of_order),
        (0, 1, 0)
    );
    let p0 = &report.state.publishers["p0"];
    assert_eq!(
        (
            p0.doubled_redelivered,
            p0.doubled.numbers.to_string().as_str()
        ),
        (1, "3")
    );
}

/// Takes messages as a consumer that dies before it has applied one: the broker gives them
/// back to the queue, marked as redelivered.
async fn take_without_acknowledgement(app: &App, count: usize) {
    let properties = ConnectionProperties::default();
    let connection = Connection::connect(&app.url, properties)
        .await
        .expect("connects");
    let channel = connection.create_channel().await.expect("opens a channel");
    let consumer = channel
        .basic_consume(
            app.queue.as_str().into(),
            "".into(),
            BasicConsumeOptions::default(),
            FieldTable::default(),
        )
        .await
        .expect("consumes");
    let taken = tokio::time::timeout(PATIENCE, consumer.take(count).collect::<Vec<_>>()).await;
    assert!(taken.expect("is delivered").iter().all(Result::is_ok));
    connection.close(200, "dead".into()).await.expect("closes");
    app.consumers(&app.queue, 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_told_to_stop_finishes_the_message_in_hand() {
    let broker = broker::shared();
    let app = App::declare(&broker.url()).await;
    app.published(&app.publish(20)).await;
    let pod = Pod::new("worker-t");
    let mut slow = Worker::start(&app, &pod, &[("PROCESSING_TIME", "200ms")]).await;
    let before = slow
        .wait("at work", |report| report.state.count >= 2)
        .await
        .state
        .count;
    let told = Instant::now();
    slow.signal(Signal::TERM);
    let status = slow.ended().await;
    assert!(status.success(), "{status}\n{}", slow.log());
    assert!(
        told.elapsed() < Duration::from_millis(900),
        "took {:?}",
        told.elapsed()
    );
    // What it had applied was acknowledged, and what it had only been handed went back: the
    // next worker begins exactly after it.
    let next = Worker::start(&app, &pod, &[]).await;
    let report = next
        .wait("done", |report| report.state.publishers.contains_key("p0"))
        .await;
    let report = match report.state.publishers["p0"].last {
        20 => report,
        _ => {
            next.wait("done", |report| report.state.publishers["p0"].last == 20)
                .await
        }
    };
    let ranges: Vec<_> = report.state.publishers["p0"].seen.iter().collect();
    assert_eq!(ranges.len(), 1, "{ranges:?}");
    // One more than was seen, or two if the next was begun before the signal came.
    assert!(
        (before + 1..=before + 2).contains(&ranges[0].0),
        "{ranges:?} after {before}"
    );
    assert_eq!(report.doubled, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_without_a_broker_stops_at_once_and_lives_until_then() {
    let broker = broker::shared();
    let mut app = App::declare(&broker.url()).await;
    app.url = "amqp://user:secret@127.0.0.1:9/%2f".to_owned();
    let pod = Pod::new("worker-b");
    let mut command = Command::new(crate::support::process::WORKER);
    command
        .env_clear()
        .envs(crate::support::process::environment(&app, &pod));
    let mut worker = Worker::spawn(command, &pod);
    worker.wait("alive", |report| !report.consuming).await;
    assert_eq!(worker.probe("/healthz", PATIENCE).await, Some(200));
    assert_eq!(worker.probe("/readyz", PATIENCE).await, Some(503));
    worker.signal(Signal::TERM);
    assert!(worker.ended().await.success());
    let log = worker.log();
    assert!(
        log.contains("127.0.0.1:9") && !log.contains("secret"),
        "{log}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_messages_a_second_are_kept_up_with() {
    let broker = broker::shared();
    let app = App::declare(&broker.url()).await;
    let worker = Worker::start(&app, &Pod::new("worker-k"), &[]).await;
    assert_eq!(worker.probe("/readyz", PATIENCE).await, Some(200));
    let options = Options {
        publishers: 4,
        rate: 1000.0,
        count: None,
        duration: Some(Duration::from_secs(3)),
        ..app.publish(0)
    };
    let record = app.published(&options).await;
    assert!(
        record.confirmed() > 2000,
        "only {} in 3 s",
        record.confirmed()
    );
    let kept_up = Instant::now();
    let source = Source::Url(worker.state_url());
    let (verdict, _) = audit::audit(&record, &source, PATIENCE, audit::Options::default())
        .await
        .expect("audits");
    assert!(verdict.exact, "{}", audit::table(&verdict));
    // Half a second of it is the audit's own settling.
    assert!(
        kept_up.elapsed() < Duration::from_secs(2),
        "lagged by {:?}",
        kept_up.elapsed()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_producer_goes_on_where_its_record_ends_and_stops_at_a_signal() {
    let broker = broker::shared();
    let app = App::declare(&broker.url()).await;
    let dir = tempfile::tempdir().expect("makes a directory");
    let file = dir.path().join("record.json");
    let run = |limit: &[&str]| {
        let mut command = Command::new(PRODUCER);
        command.args([
            "run",
            "--exchange",
            &app.exchange,
            "--routing-key",
            "in.y",
            "--record",
        ]);
        command
            .arg(&file)
            .args(["--publishers", "3", "--rate", "500"])
            .args(limit);
        command.env("AMQP_URL", &app.url);
        command
    };
    let counted = run(&["--count", "100"]).status().expect("runs");
    assert!(counted.success());
    assert_eq!(Record::read(&file).expect("reads").confirmed(), 100);
    let mut signalled = run(&["--until-signal", "--continue"])
        .spawn()
        .expect("runs");
    let worker = Worker::start(&app, &Pod::new("worker-c"), &[]).await;
    worker.wait("fed", |report| report.state.count > 200).await;
    crate::support::signal(&signalled, Signal::INT);
    assert!(signalled.wait().expect("ends").success());
    let record = Record::read(&file).expect("reads");
    assert!(
        record
            .publishers
            .values()
            .all(|log| log.unconfirmed.is_empty()),
        "{record:?}"
    );
    let source = Source::Url(worker.state_url());
    let (verdict, _) = audit::audit(&record, &source, PATIENCE, audit::Options::default())
        .await
        .expect("audits");
    assert!(verdict.exact, "{}", audit::table(&verdict));
    assert_eq!(verdict.publishers.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_queue_takes_is_recorded_as_returned() {
    let broker = broker::shared();
    let app = App::declare(&broker.url()).await;
    let options = Options {
        routing_key: "nobody".to_owned(),
        ..app.publish(7)
    };
    let record = app.published(&options).await;
    assert_eq!(record.publishers["p0"].returned.to_string(), "1-7");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_or_exchange_that_is_not_there_is_an_error_without_the_password() {
    let broker = broker::shared();
    let app = App::declare(&broker.url()).await;
    let nowhere = Options {
        amqp_url: "amqp://user:secret@127.0.0.1:9/%2f".to_owned(),
        ..app.publish(1)
    };
    let unknown = Options {
        exchange: "not-there".to_owned(),
        ..app.publish(1)
    };
    for options in [nowhere, unknown] {
        let error = producer::run(&options, None, CancellationToken::new()).await;
        let error = error.expect_err("publishes to nowhere");
        let whole = format!("{error}: {:?}", std::error::Error::source(&error));
        assert!(
            whole.contains("127.0.0.1:") && !whole.contains("secret"),
            "{whole}"
        );
    }
}
