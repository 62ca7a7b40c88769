//! A broker that goes away under load and comes back. One of its own, since nobody else's test
//! would like that.

use std::time::Duration;

use crate::support::broker::Broker;
use crate::support::process::{Pod, Worker};
use crate::support::{App, PATIENCE};
use ms2m_worker::audit::{self, Source};
use ms2m_worker::message::control_queue;
use ms2m_worker::producer::{self, Options};
use serde_json::json;
use tokio_util::sync::CancellationToken;

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_and_the_worker_comes_back_under_its_new_name() {
    let mut broker = Broker::start();
    let app = App::declare(&broker.url()).await;
    let pod = Pod::new("before");
    let worker = Worker::start(&app, &pod, &[]).await;
    // On another queue meanwhile: the new connection begins on the primary all the same.
    let replay = app.replay_queue().await;
    app.order(
        "before",
        json!({"type": "START_REPLAY", "payload": {"queue": replay}}),
    )
    .await;
    worker
        .wait("replaying", |report| {
            report.queue == replay && report.consuming
        })
        .await;

    let stop = CancellationToken::new();
    let options = Options {
        publishers: 2,
        rate: 300.0,
        count: None,
        ..app.publish(0)
    };
    let publishing = tokio::spawn({
        let stop = stop.clone();
        async move { producer::run(&options, None, stop).await }
    });
    let deadline = std::time::Instant::now() + PATIENCE;
    while app.depth(&app.queue).await.0 < 50 {
        assert!(std::time::Instant::now() < deadline, "nothing is published");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    pod.rename("after");
    let broker = tokio::task::spawn_blocking(move || {
        broker.stop();
        broker.resume();
        broker
    });
    worker
        .wait("disconnected", |report| !report.consuming)
        .await;
    assert_eq!(worker.probe("/readyz", PATIENCE).await, Some(503));
    let broker = broker.await.expect("restarts");
    let back = worker.wait("back", |report| report.consuming).await;
    assert_eq!(
        (back.pod.as_str(), back.queue.as_str()),
        ("after", app.queue.as_str())
    );
    let applied = back.state.count;
    worker
        .wait("at work", |report| report.state.count > applied + 100)
        .await;
    stop.cancel();
    let record = publishing.await.expect("ends").expect("publishes");
    let source = Source::Url(worker.state_url());
    // At-least-once: what was applied and not acknowledged when the broker went comes again.
    let options = audit::Options {
        allow_redelivered: true,
    };
    let (verdict, _) = audit::audit(&record, &source, PATIENCE, options)
        .await
        .expect("audits");
    assert!(
        verdict.exact,
        "{}\n{}",
        audit::table(&verdict),
        worker.log()
    );

    let app = App::declare(&broker.url()).await;
    assert_eq!(
        app.depth(&control_queue("after")).await.1,
        1,
        "no consumer under the new name"
    );
    assert_eq!(app.depth(&control_queue("before")).await.1, 0);
}
