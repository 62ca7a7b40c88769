//! Bad manners on order: each switch does what it says, so that a test of how `ms2m` copes with it
//! tests that.

use std::time::{Duration, Instant};

use crate::support::process::{Pod, Worker};
use crate::support::{App, broker};
use serde_json::{Value, json};

fn start_replay(queue: &str) -> Value {
    json!({"type": "START_REPLAY", "payload": {"queue": queue}})
}

/// An application whose worker has these switches.
async fn worker(switches: &[(&'static str, &str)]) -> (App, String, Worker) {
    let app = App::declare(&broker::shared().url()).await;
    // Its control queue is named after it, and the broker is shared with other tests.
    let name = format!("manners-{}", app.exchange);
    let worker = Worker::start(&app, &Pod::new(&name), switches).await;
    (app, name, worker)
}

#[tokio::test(flavor = "multi_thread")]
async fn it_ignores_start_replay_for_ever() {
    let (app, name, worker) = worker(&[("IGNORE_START_REPLAY", "true")]).await;
    let replay = app.replay_queue().await;
    app.order(&name, start_replay(&replay)).await;
    // Orders are obeyed in their turn: with this one acknowledged, so is the first.
    app.order(&name, json!({"type": "PAUSE"})).await;
    worker.logged("ignored an unknown order").await;
    app.published(&app.publish(3)).await;
    let report = worker
        .wait("at work", |report| report.state.count == 3)
        .await;
    assert_eq!(report.queue, app.queue);
    assert_eq!(app.depth(&replay).await.1, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn it_obeys_later_and_consumes_on_meanwhile() {
    let (app, name, worker) = worker(&[("CONTROL_DELAY", "2s")]).await;
    let replay = app.replay_queue().await;
    let told = Instant::now();
    app.order(&name, start_replay(&replay)).await;
    app.published(&app.publish(5)).await;
    let report = worker
        .wait("at work", |report| report.state.count == 5)
        .await;
    if told.elapsed() < Duration::from_millis(1800) {
        assert_eq!(report.queue, app.queue, "it obeyed at once");
    }
    app.consumers(&replay, 1).await;
    assert!(told.elapsed() >= Duration::from_secs(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn it_drops_its_connection_on_end_replay() {
    let (app, name, worker) =
        worker(&[("DROP_ON_END_REPLAY", "true"), ("PROCESSING_TIME", "200ms")]).await;
    let replay = app.replay_queue().await;
    app.order(&name, start_replay(&replay)).await;
    app.consumers(&replay, 1).await;
    for seq in 1..=20 {
        let body = json!({"publisher": "r", "seq": seq}).to_string();
        app.send(&replay, body.as_bytes()).await;
    }
    worker
        .wait("replaying", |report| report.state.count > 0)
        .await;
    app.order(&name, json!({"type": "END_REPLAY"})).await;
    let back = worker
        .wait("back", |report| {
            report.queue == app.queue && report.consuming
        })
        .await;
    let left = app.depth(&replay).await;
    assert_eq!(
        left,
        (20 - u32::try_from(back.state.count).expect("is small"), 0)
    );
    assert!(left.0 > 0, "nothing was unacknowledged");
    // The order was acknowledged: it does not come again.
    app.order(&name, start_replay(&replay)).await;
    let report = worker.wait("done", |report| report.state.count >= 20).await;
    assert_eq!(
        (report.queue.as_str(), report.doubled, report.out_of_order),
        (replay.as_str(), 0, 0)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn it_lets_the_broker_acknowledge() {
    let switches = [("AUTO_ACK", "true"), ("PROCESSING_TIME", "100ms")];
    let (app, _, worker) = worker(&switches).await;
    app.published(&app.publish(30)).await;
    let before = worker
        .wait("at work", |report| report.state.count > 0)
        .await;
    assert!(before.state.count < 30);
    drop(worker);
    app.consumers(&app.queue, 0).await;
    assert_eq!(app.depth(&app.queue).await.0, 0, "something came back");
}

#[tokio::test(flavor = "multi_thread")]
async fn it_opens_several_consumers() {
    let (app, name, worker) = worker(&[("CONSUMERS", "2")]).await;
    app.consumers(&app.queue, 2).await;
    app.published(&app.publish(40)).await;
    let report = worker.wait("done", |report| report.state.count == 40).await;
    assert_eq!((report.lost, report.doubled), (0, 0));
    let replay = app.replay_queue().await;
    app.order(&name, start_replay(&replay)).await;
    app.consumers(&replay, 2).await;
    assert_eq!(app.depth(&app.queue).await.1, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn it_goes_by_its_old_name() {
    let app = App::declare(&broker::shared().url()).await;
    let name = format!("manners-{}", app.exchange);
    let pod = Pod::new(&name);
    let switches = [("CACHE_POD_NAME", "true"), ("DROP_ON_END_REPLAY", "true")];
    let worker = Worker::start(&app, &pod, &switches).await;
    pod.rename("another");
    // What makes it connect again.
    app.order(&name, json!({"type": "END_REPLAY"})).await;
    worker.logged("dropped by the worker itself").await;
    let back = worker.wait("back", |report| report.consuming).await;
    assert_eq!(back.pod, name);
    app.consumers(&format!("ms2m.control.{name}"), 1).await;
}
