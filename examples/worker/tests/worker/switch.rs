//! The change of queues, under load and with messages waiting in both: nothing lost, nothing
//! applied twice, nothing out of order.

use std::time::Duration;

use crate::support::process::{Pod, Worker};
use crate::support::{App, PATIENCE, broker};
use ms2m_worker::audit::{self, Source};
use ms2m_worker::producer::{self, Options, Record};
use serde_json::json;
use tokio_util::sync::CancellationToken;

fn in_background(
    options: Options,
    stop: &CancellationToken,
) -> tokio::task::JoinHandle<Result<Record, producer::Error>> {
    let stop = stop.clone();
    tokio::spawn(async move { producer::run(&options, None, stop).await })
}

/// Publishes to both queues without a pause while the worker is sent to and fro.
async fn to_and_fro(rate: f64, more: &[(&'static str, &str)]) {
    let broker = broker::shared();
    let app = App::declare(&broker.url()).await;
    let replay = app.replay_queue().await;
    let stop = CancellationToken::new();
    let primary = Options {
        rate,
        count: None,
        ..app.publish(0)
    };
    let other = Options {
        exchange: String::new(),
        routing_key: replay.clone(),
        prefix: "r".to_owned(),
        ..primary.clone()
    };
    let publishing = [in_background(primary, &stop), in_background(other, &stop)];
    // Its control queue is named after it, and the broker is shared with other tests.
    let pod = format!("worker-{}", app.exchange);
    let worker = Worker::start(&app, &Pod::new(&pod), more).await;

    let mut applied = 0;
    for _ in 0..4 {
        let start = json!({"type": "START_REPLAY", "payload": {"queue": replay}});
        for (order, queue) in [
            (start, &replay),
            (json!({"type": "END_REPLAY"}), &app.queue),
        ] {
            app.order(&pod, order).await;
            app.consumers(queue, 1).await;
            let there = |report: &ms2m_worker::worker::Report| {
                report.queue == *queue && report.consuming && report.state.count > applied + 20
            };
            applied = worker
                .wait("at work on the named queue", there)
                .await
                .state
                .count;
            // It has left the other queue: only then can nobody take from both.
            let left = if *queue == replay {
                &app.queue
            } else {
                &replay
            };
            assert_eq!(app.depth(left).await.1, 0, "a consumer stayed on {left}");
        }
    }
    stop.cancel();
    let mut record = Record::default();
    for task in publishing {
        record
            .publishers
            .extend(task.await.expect("ends").expect("publishes").publishers);
    }
    // What is left waits in both queues. Each is drained in its turn.
    for (order, queue) in [
        (
            json!({"type": "START_REPLAY", "payload": {"queue": replay}}),
            &replay,
        ),
        (json!({"type": "END_REPLAY"}), &app.queue),
    ] {
        app.order(&pod, order).await;
        worker
            .wait("on the named queue", |report| report.queue == *queue)
            .await;
        let deadline = std::time::Instant::now() + PATIENCE;
        while app.depth(queue).await.0 > 0 {
            assert!(
                std::time::Instant::now() < deadline,
                "{queue} is never drained"
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    let source = Source::Url(worker.state_url());
    let (verdict, report) = audit::audit(&record, &source, PATIENCE, audit::Options::default())
        .await
        .expect("audits");
    assert!(
        verdict.exact,
        "{}\n{}",
        audit::table(&verdict),
        worker.log()
    );
    assert!(
        report.state.count > 160,
        "{} messages are no load",
        report.state.count
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn at_full_speed() {
    to_and_fro(500.0, &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn more_than_the_worker_can_process() {
    to_and_fro(400.0, &[("PROCESSING_TIME", "5ms"), ("PREFETCH", "30")]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_polled_control_queue() {
    let broker = broker::shared();
    let app = App::declare(&broker.url()).await;
    let replay = app.replay_queue().await;
    let pod = Pod::new("worker-p");
    let worker = Worker::start(&app, &pod, &[("CONTROL_POLL", "50ms")]).await;
    assert_eq!(
        app.depth("ms2m.control.worker-p").await.1,
        0,
        "it consumes the control queue"
    );
    app.order(
        "worker-p",
        json!({"type": "START_REPLAY", "payload": {"queue": replay}}),
    )
    .await;
    app.consumers(&replay, 1).await;
    app.order(
        "worker-p",
        json!({"type": "END_REPLAY", "payload": {}, "more": 1}),
    )
    .await;
    app.consumers(&app.queue, 1).await;
    app.consumers(&replay, 0).await;
    worker
        .wait("back", |report| report.queue == app.queue)
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_orders_are_ignored_and_orders_are_acknowledged() {
    let broker = broker::shared();
    let app = App::declare(&broker.url()).await;
    let pod = Pod::new("worker-u");
    let worker = Worker::start(&app, &pod, &[]).await;
    app.send("ms2m.control.worker-u", b"no JSON").await;
    app.order("worker-u", json!({"type": "START_REPLAY"})).await;
    app.order(
        "worker-u",
        json!({"type": "PAUSE", "payload": {"queue": "nowhere"}}),
    )
    .await;
    // The replay queue is not there yet: the worker declares it itself.
    let replay = format!("{}.new", app.queue);
    let start = json!({"type": "START_REPLAY", "payload": {"queue": replay}});
    app.order("worker-u", start.clone()).await;
    worker
        .wait("replaying", |report| {
            report.queue == replay && report.consuming
        })
        .await;
    app.order("worker-u", start).await;
    app.order("worker-u", json!({"type": "END_REPLAY"})).await;
    worker
        .wait("back", |report| {
            report.queue == app.queue && report.consuming
        })
        .await;
    app.replay_queue().await; // Its connection is alive: nothing before closed the channel.
    drop(worker);
    // Everything was acknowledged: nothing comes back when the worker is gone.
    app.consumers("ms2m.control.worker-u", 0).await;
    assert_eq!(app.depth("ms2m.control.worker-u").await.0, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_queue_with_arguments_is_taken_as_it_is() {
    let broker = broker::shared();
    let app = App::declare(&broker.url()).await;
    let queue = format!("{}.quorum", app.queue);
    let mut arguments = lapin::types::FieldTable::default();
    let quorum = lapin::types::AMQPValue::LongString("quorum".into());
    arguments.insert("x-queue-type".into(), quorum);
    let durable = lapin::options::QueueDeclareOptions::durable();
    app.channel
        .queue_declare(queue.as_str().into(), durable, arguments)
        .await
        .expect("declares");
    let worker = Worker::start(&app, &Pod::new("worker-q"), &[]).await;
    app.order(
        "worker-q",
        json!({"type": "START_REPLAY", "payload": {"queue": queue}}),
    )
    .await;
    worker
        .wait("replaying", |report| {
            report.queue == queue && report.consuming
        })
        .await;
    assert_eq!(
        worker.log().matches("no connection").count(),
        0,
        "{}",
        worker.log()
    );
}
