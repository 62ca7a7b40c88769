//! The minimal workers of the documentation, in Rust and in Python, keep the contract that they are
//! examples of.

#[path = "../../examples/minimal.rs"]
#[expect(dead_code, reason = "its main is the example's, not the test's")]
mod example;

use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use crate::support::{App, PATIENCE, broker};
use ms2m_worker::audit::{self, Options};
use ms2m_worker::message::Message;
use ms2m_worker::producer::{self, Record};
use ms2m_worker::state::State;
use serde_json::json;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio_util::sync::CancellationToken;

#[tokio::test(flavor = "multi_thread")]
async fn the_one_in_rust_changes_queues_under_load_and_is_exact() {
    let broker = broker::shared();
    let app = App::declare(&broker.url()).await;
    let state = Arc::new(Mutex::new(State::default()));
    let worker = tokio::spawn({
        let (state, url, queue) = (Arc::clone(&state), app.url.clone(), app.queue.clone());
        async move {
            let mut apply = |body: Vec<u8>| applied(&state, &body);
            example::work(&url, &queue, "minimal", &mut apply).await
        }
    });
    let record = change_queues(&app, "minimal").await;
    expect_exact(&record, &state).await;
    assert!(!worker.is_finished(), "the worker has ended");
    worker.abort();
}

/// Runs the example with another name for its pod, and tells what it applies.
const PYTHON: &str = r#"
import sys
sys.path.insert(0, sys.argv[1])
import minimal

class Told(list):
    def append(self, body):
        print(body.decode(), flush=True)

minimal.state = Told()
minimal.pod_name = lambda: "minimal-python"
minimal.work()
"#;

#[tokio::test(flavor = "multi_thread")]
async fn the_one_in_python_changes_queues_under_load_and_is_exact() {
    let broker = broker::shared();
    let app = App::declare(&broker.url()).await;
    let state = Arc::new(Mutex::new(State::default()));
    // Debian's own, which has Debian's pika.
    let mut worker = tokio::process::Command::new("/usr/bin/python3")
        .args(["-B", "-c", PYTHON, env!("CARGO_MANIFEST_DIR")])
        .env("AMQP_URL", &app.url)
        .env("QUEUE", &app.queue)
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("python3 starts: install Debian's python3-pika");
    let mut lines = BufReader::new(worker.stdout.take().expect("it was piped")).lines();
    let told = Arc::clone(&state);
    tokio::spawn(async move {
        while let Ok(Some(line)) = lines.next_line().await {
            applied(&told, line.as_bytes());
        }
    });
    let record = change_queues(&app, "minimal-python").await;
    expect_exact(&record, &state).await;
    let ended = worker.try_wait().expect("it can be asked");
    assert!(ended.is_none(), "the worker has ended: {ended:?}");
}

fn applied(state: &Mutex<State>, body: &[u8]) {
    let message: Message = serde_json::from_slice(body).expect("is numbered");
    let now = jiff::Timestamp::now();
    let mut state = state.lock().expect("nobody panics with it");
    state.apply(&message.publisher, message.seq, false, now);
}

/// Orders the worker of that pod from queue to queue under load; gives what was published.
async fn change_queues(app: &App, pod: &str) -> Record {
    let replay = app.replay_queue().await;
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
    app.order(pod, json!({"type": "LATER_VERSION"})).await;
    for _ in 0..3 {
        let start = json!({"type": "START_REPLAY", "payload": {"queue": replay}});
        app.order(pod, start).await;
        app.consumers(&app.queue, 0).await;
        app.consumers(&replay, 1).await;
        app.order(pod, json!({"type": "END_REPLAY", "payload": {}}))
            .await;
        app.consumers(&replay, 0).await;
        app.consumers(&app.queue, 1).await;
    }
    stop.cancel();
    publishing.await.expect("ends").expect("publishes")
}

/// Waits until all of it is in the state, once and in order.
async fn expect_exact(record: &Record, state: &Mutex<State>) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let verdict = {
            let state = state.lock().expect("nobody panics with it");
            audit::compare(record, &state, Options::default())
        };
        if verdict.exact {
            return;
        }
        assert!(Instant::now() < deadline, "{}", audit::table(&verdict));
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}
