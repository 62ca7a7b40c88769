//! The minimal worker of the documentation keeps the contract that it is an example of.

#[path = "../../examples/minimal.rs"]
#[expect(dead_code, reason = "its main is the example's, not the test's")]
mod example;

use std::sync::{Arc, Mutex};
use std::time::Instant;

use crate::support::{App, PATIENCE, broker};
use ms2m_worker::audit::{self, Options};
use ms2m_worker::message::Message;
use ms2m_worker::producer;
use ms2m_worker::state::State;
use serde_json::json;
use tokio_util::sync::CancellationToken;

#[tokio::test(flavor = "multi_thread")]
async fn it_changes_queues_under_load_and_is_exact() {
    let broker = broker::shared();
    let app = App::declare(&broker.url()).await;
    let replay = app.replay_queue().await;
    let state = Arc::new(Mutex::new(State::default()));
    let worker = tokio::spawn({
        let (state, url, queue) = (Arc::clone(&state), app.url.clone(), app.queue.clone());
        async move {
            let mut apply = |body: Vec<u8>| {
                let message: Message = serde_json::from_slice(&body).expect("is numbered");
                let now = jiff::Timestamp::now();
                let mut state = state.lock().expect("nobody panics with it");
                state.apply(&message.publisher, message.seq, false, now);
            };
            example::work(&url, &queue, "minimal", &mut apply).await
        }
    });
    app.consumers(&app.queue, 1).await;
    let stop = CancellationToken::new();
    let publishing = tokio::spawn({
        let (stop, options) = (stop.clone(), app.publish(0));
        let options = producer::Options {
            rate: 500.0,
            count: None,
            publishers: 2,
            ..options
        };
        async move { producer::run(&options, None, stop).await }
    });
    app.order("minimal", json!({"type": "LATER_VERSION"})).await;
    for _ in 0..3 {
        let start = json!({"type": "START_REPLAY", "payload": {"queue": replay}});
        app.order("minimal", start).await;
        app.consumers(&app.queue, 0).await;
        app.consumers(&replay, 1).await;
        app.order("minimal", json!({"type": "END_REPLAY", "payload": {}}))
            .await;
        app.consumers(&replay, 0).await;
        app.consumers(&app.queue, 1).await;
    }
    stop.cancel();
    let record = publishing.await.expect("ends").expect("publishes");
    let deadline = Instant::now() + PATIENCE;
    loop {
        let verdict = {
            let state = state.lock().expect("nobody panics with it");
            audit::compare(&record, &state, Options::default())
        };
        if verdict.exact {
            break;
        }
        assert!(Instant::now() < deadline, "{}", audit::table(&verdict));
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    assert!(!worker.is_finished(), "the worker has ended");
    worker.abort();
}
