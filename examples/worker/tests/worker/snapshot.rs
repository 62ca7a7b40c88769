//! Checkpoint and restore of the real process over an inherited descriptor.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::support::process::{Pod, Worker, environment};
use crate::support::{App, PATIENCE, broker};
use ms2m_worker::audit::{self, Source};
use ms2m_worker::producer;
use ms2m_worker::snapshot::RuntimeEnd;
use ms2m_worker::state::Chain;
use serde_json::json;
use tokio::io::AsyncReadExt as _;
use tokio::net::UnixStream;
use tokio_util::sync::CancellationToken;

/// How long a frozen process is watched doing nothing.
const WATCH: Duration = Duration::from_millis(400);

async fn image_of(runtime: &mut RuntimeEnd<UnixStream>) -> Vec<u8> {
    let mut image = Vec::new();
    let mut reader = runtime.checkpoint().await.expect("checkpoints");
    reader.read_to_end(&mut image).await.expect("reads");
    image
}

/// A new process out of an image, in a pod, with nothing else to go by.
async fn restored(pod: &Pod, image: &[u8]) -> (Worker, RuntimeEnd<UnixStream>) {
    let (worker, mut runtime) = Worker::under_a_runtime(pod, BTreeMap::new());
    runtime
        .restore(&mut &image[..], image.len() as u64)
        .await
        .expect("restores");
    runtime.started().await.expect("begins");
    (worker, runtime)
}

/// Everything a migration does to the two processes, by hand and without the broker's part.
#[tokio::test(flavor = "multi_thread")]
async fn a_restored_process_goes_on_where_the_checkpoint_was() {
    let broker = broker::shared();
    let app = App::declare(&broker.url()).await;
    let replay = app.replay_queue().await;
    let mut options = app.publish(300);
    options.publishers = 3;
    let record = app.published(&options).await;
    let old = Pod::new("worker-s");
    let mut variables = environment(&app, &old);
    variables.insert("STATE_BYTES", "1000000".to_owned());
    variables.insert("HOSTNAME", "worker-s".to_owned());
    let (mut source, mut runtime) = Worker::under_a_runtime(&old, variables);
    runtime.start().await.expect("starts");
    let before = source
        .wait("done", |report| report.state.count == 300)
        .await;
    let image = image_of(&mut runtime).await;
    runtime.resume().await.expect("resumes");
    assert!(
        source.state().await.is_some(),
        "the source does not serve on"
    );
    drop(runtime);
    assert!(
        source.ended().await.success(),
        "it does not end with its runtime"
    );

    // What is published from here on waits for the target.
    options.exchange = String::new();
    options.routing_key.clone_from(&replay);
    let record = producer::run(&options, Some(record), CancellationToken::new()).await;
    let record = record.expect("publishes");
    // The restored process finds its new name where its image says the file is.
    old.rename("worker-s-shadow");
    let asked = Instant::now();
    let (target, _runtime) = restored(&old, &image).await;
    // It listens at once, long before it has a connection again.
    let after = target.wait("there", |_| true).await;
    assert_eq!(after.state, before.state);
    assert_eq!(
        after.memory.ballast_checksum,
        before.memory.ballast_checksum
    );
    assert_eq!((after.memory.ballast_bytes, after.restores), (1_000_000, 1));
    let back = target
        .wait("on the primary queue", |report| report.consuming)
        .await;
    assert!(
        asked.elapsed() >= Duration::from_millis(100),
        "it did not wait to reconnect"
    );
    assert_eq!(
        (back.pod.as_str(), back.queue.as_str()),
        ("worker-s-shadow", app.queue.as_str())
    );
    assert_eq!(
        back.hostname_variable, "worker-s",
        "a restore changed the environment"
    );
    assert!(target.log().contains("Broken pipe"), "{}", target.log());
    app.order(
        "worker-s-shadow",
        json!({"type": "START_REPLAY", "payload": {"queue": replay}}),
    )
    .await;
    let source = Source::Url(target.state_url());
    let (verdict, report) = audit::audit(&record, &source, PATIENCE, audit::Options::default())
        .await
        .expect("audits");
    assert!(verdict.exact, "{}", audit::table(&verdict));
    assert_eq!(verdict.applied, 600);
    // The gap over the move is in the target's state.
    let moved = before.state.last_applied.expect("has applied");
    let gap = report.longest_gap.expect("has gaps");
    assert_eq!(
        gap.from, moved,
        "the longest gap is not the one over the move"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_process_does_nothing() {
    let broker = broker::shared();
    let app = App::declare(&broker.url()).await;
    let pod = Pod::new("worker-f");
    let (mut worker, mut runtime) = Worker::under_a_runtime(&pod, environment(&app, &pod));
    runtime.start().await.expect("starts");
    worker.wait("consuming", |report| report.consuming).await;
    let image = image_of(&mut runtime).await;
    app.published(&app.publish(10)).await;
    assert_eq!(
        worker.probe("/state", WATCH).await,
        None,
        "it answers while frozen"
    );
    assert_eq!(
        worker.probe("/healthz", WATCH).await,
        None,
        "it answers while frozen"
    );
    worker.signal(rustix::process::Signal::TERM);
    tokio::time::sleep(WATCH).await;
    runtime.resume().await.expect("it ended while frozen");
    assert!(worker.ended().await.success());
    // It was told to stop before it could go on: what it applied and acknowledged after the
    // checkpoint is at most a batch, and in no image.
    let (target, _runtime) = restored(&pod, &image).await;
    assert_eq!(target.wait("there", |_| true).await.state.count, 0);
}

/// Checkpoints in the middle of a load: whatever the instant, the image is of a whole number
/// of messages, and the process goes on without losing or doubling one.
#[tokio::test(flavor = "multi_thread")]
async fn an_image_is_of_one_instant() {
    let broker = broker::shared();
    let app = App::declare(&broker.url()).await;
    let pod = Pod::new("worker-i");
    let (worker, mut runtime) = Worker::under_a_runtime(&pod, environment(&app, &pod));
    runtime.start().await.expect("starts");
    worker.wait("consuming", |report| report.consuming).await;
    let options = producer::Options {
        rate: 1000.0,
        count: None,
        ..app.publish(0)
    };
    let stop = CancellationToken::new();
    let publishing = tokio::spawn({
        let stop = stop.clone();
        async move { producer::run(&options, None, stop).await }
    });
    let mut last = 0;
    for _ in 0..10 {
        worker
            .wait("further", |report| report.state.count > last + 20)
            .await;
        let image = image_of(&mut runtime).await;
        runtime.resume().await.expect("resumes");
        let report = of_image(&pod, &image).await;
        assert!(report.state.count > last, "the image is old");
        last = report.state.count;
        assert_eq!(
            report.state.hash,
            Chain::of("p0", last),
            "half a message at {last}"
        );
    }
    stop.cancel();
    let record = publishing.await.expect("ends").expect("publishes");
    let source = Source::Url(worker.state_url());
    let (verdict, _) = audit::audit(&record, &source, PATIENCE, audit::Options::default())
        .await
        .expect("audits");
    assert!(
        verdict.exact,
        "{}\n{}",
        audit::table(&verdict),
        worker.log()
    );
}

/// The state in an image, as a process restored from it shows it. That process must not touch
/// the queue, so its pod has another port and it is gone before it reconnects.
async fn of_image(pod: &Pod, image: &[u8]) -> ms2m_worker::worker::Report {
    // The hosts file of the image's pod names another address meanwhile.
    let elsewhere = Pod::new("elsewhere");
    let hosts = pod.dir().join("hosts");
    let own = std::fs::read(&hosts).expect("reads");
    let other = String::from_utf8_lossy(&own).replace(
        &pod.address.ip().to_string(),
        &elsewhere.address.ip().to_string(),
    );
    std::fs::write(&hosts, other).expect("writes");
    let (worker, _runtime) = {
        let mut there = Pod::new("there");
        there.address = (elsewhere.address.ip(), pod.address.port()).into();
        restored(&there, image).await
    };
    std::fs::write(&hosts, own).expect("writes");
    worker.state().await.expect("answers before it reconnects")
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_runtime_or_with_nonsense_it_says_so() {
    let pod = Pod::new("worker-n");
    let (mut worker, mut runtime) = Worker::under_a_runtime(&pod, BTreeMap::new());
    runtime
        .restore(&mut &b"nonsense, and not an image"[..], 26)
        .await
        .expect("is taken in");
    runtime.started().await.expect_err("begins with nonsense");
    assert_eq!(worker.ended().await.code(), Some(1));
    // Its last words may be read after its end is seen.
    worker.logged("the image is none of a worker").await;
}
