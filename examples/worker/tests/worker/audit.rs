//! The audit against the real broker: it must find one message lost, doubled or swapped, and
//! must find nothing where nothing is wrong.

use std::process::Command;
use std::time::Duration;

use crate::support::process::{Pod, Worker};
use crate::support::{App, broker};
use ms2m_worker::audit::{self, Hash, Source, Verdict};
use ms2m_worker::producer::Record;

const PRODUCER: &str = env!("CARGO_BIN_EXE_ms2m-producer");

/// How long a faulty state is looked at before the verdict: the queue is drained by then.
const SHORT: Duration = Duration::from_secs(1);

/// Publishes from two publishers in turns, lets `change` at the queue, has a worker apply what
/// is there, and audits. Gives the record and the worker's address as well.
async fn judged(change: impl FnOnce(&mut Vec<Vec<u8>>)) -> (Verdict, Record, String, Worker) {
    let broker = broker::shared();
    let app = App::declare(&broker.url()).await;
    let mut options = app.publish(60);
    (options.publishers, options.rate) = (2, 500.0);
    let record = app.published(&options).await;
    app.tamper(change).await;
    let (left, _) = app.depth(&app.queue).await;
    let worker = Worker::start(&app, &Pod::new("worker-0"), &[]).await;
    let url = worker.state_url();
    worker
        .wait("done", |report| report.state.count == u64::from(left))
        .await;
    let source = Source::Url(url.clone());
    let options = audit::Options::default();
    let (verdict, _) = audit::audit(&record, &source, SHORT, options)
        .await
        .expect("audits");
    (verdict, record, url, worker)
}

/// What the command says about it, and with which exit code.
async fn command(record: &Record, url: &str) -> (Option<i32>, String) {
    let dir = tempfile::tempdir().expect("makes a directory");
    let file = dir.path().join("record.json");
    record.write(&file).expect("writes");
    let mut command = Command::new(PRODUCER);
    command
        .args(["audit", "--wait", "1s", "--state-url", url, "--record"])
        .arg(file);
    let output = tokio::task::spawn_blocking(move || command.output());
    let output = output.await.expect("runs").expect("runs");
    (
        output.status.code(),
        String::from_utf8(output.stdout).expect("is text"),
    )
}

/// Lost, doubled, out of order.
fn faults(verdict: &Verdict) -> [u64; 3] {
    [verdict.lost, verdict.doubled, verdict.out_of_order]
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_wrong() {
    let (verdict, record, url, _worker) = judged(|_| {}).await;
    assert!(verdict.exact, "{verdict:?}");
    assert_eq!((faults(&verdict), verdict.hash), ([0, 0, 0], Hash::Matches));
    assert_eq!((verdict.confirmed, verdict.applied), (60, 60));
    let (code, text) = command(&record, &url).await;
    assert_eq!(code, Some(0), "{text}");
    assert!(
        text.contains("0 lost, 0 doubled, 0 out of order: exact"),
        "{text}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn one_lost() {
    let (verdict, record, url, _worker) = judged(|bodies| drop(bodies.remove(17))).await;
    assert_eq!((verdict.exact, faults(&verdict)), (false, [1, 0, 0]));
    let (code, text) = command(&record, &url).await;
    assert_eq!(code, Some(1), "{text}");
    assert!(
        text.contains("1 lost, 0 doubled, 0 out of order: NOT EXACT"),
        "{text}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_one_lost() {
    let (verdict, ..) = judged(|bodies| drop(bodies.pop())).await;
    assert_eq!((verdict.exact, faults(&verdict)), (false, [1, 0, 0]));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_doubled() {
    let (verdict, record, url, _worker) =
        judged(|bodies| bodies.insert(40, bodies[17].clone())).await;
    assert_eq!((verdict.exact, faults(&verdict)), (false, [0, 1, 0]));
    let (code, text) = command(&record, &url).await;
    assert_eq!(code, Some(1), "{text}");
    assert!(
        text.contains("0 lost, 1 doubled, 0 out of order: NOT EXACT"),
        "{text}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn two_swapped() {
    let (verdict, record, url, _worker) = judged(|bodies| {
        // Two neighbours of one publisher: those of two may come either way.
        let publisher = |body: &Vec<u8>| body.windows(4).any(|text| text == b"\"p0\"");
        let of_p0: Vec<_> = (0..bodies.len())
            .filter(|&at| publisher(&bodies[at]))
            .collect();
        bodies.swap(of_p0[9], of_p0[10]);
    })
    .await;
    assert_eq!((verdict.exact, faults(&verdict)), (false, [0, 0, 1]));
    let (code, text) = command(&record, &url).await;
    assert_eq!(code, Some(1), "{text}");
    assert!(
        text.contains("0 lost, 0 doubled, 1 out of order: NOT EXACT"),
        "{text}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn no_state_at_all_is_no_verdict() {
    let record = Record::default();
    let (code, text) = command(&record, "http://127.0.0.1:9/state").await;
    assert_eq!((code, text.as_str()), (Some(2), ""));
}
