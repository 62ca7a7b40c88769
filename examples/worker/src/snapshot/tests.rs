//! Tests of the two ends against each other, over a stream with a small buffer.

use tokio::io::AsyncReadExt as _;

use super::*;

type Stream = tokio::io::DuplexStream;

fn ends() -> (RuntimeEnd<Stream>, ProcessEnd<Stream>) {
    let (runtime, process) = tokio::io::duplex(64);
    (RuntimeEnd::new(runtime), ProcessEnd::new(process))
}

#[tokio::test]
async fn an_image_travels_whole_and_the_process_goes_on() {
    let image: Vec<u8> = (0..100_000_u32).flat_map(u32::to_le_bytes).collect();
    let (mut runtime, mut process) = ends();
    let sent = image.clone();
    let worker = tokio::spawn(async move {
        let begin = process.begin().await.expect("begins");
        process.started().await.expect("answers");
        assert_eq!(
            process.next().await.expect("is ordered"),
            Incoming::Checkpoint
        );
        process
            .send_image(&[&sent[..7], &sent[7..]])
            .await
            .expect("sends");
        assert_eq!(process.next().await.expect("is ordered"), Incoming::Resume);
        assert_eq!(process.next().await.expect("is told"), Incoming::Gone);
        begin
    });
    runtime
        .restore(&mut &image[..], image.len() as u64)
        .await
        .expect("restores");
    let mut reader = runtime.checkpoint().await.expect("checkpoints");
    assert_eq!(reader.limit(), image.len() as u64);
    let mut received = Vec::new();
    reader.read_to_end(&mut received).await.expect("reads");
    runtime.resume().await.expect("resumes");
    drop(runtime);
    assert!(received == image, "the image changed on its way out");
    assert!(
        worker.await.expect("ends") == Begin::Restore(image),
        "and on its way in"
    );
}

#[tokio::test]
async fn the_lines_are_those_of_the_protocol() {
    for (order, line) in [
        (Order::Start {}, r#"{"start":{}}"#),
        (Order::Restore { len: 5 }, r#"{"restore":{"len":5}}"#),
        (Order::Checkpoint {}, r#"{"checkpoint":{}}"#),
        (Order::Resume {}, r#"{"resume":{}}"#),
    ] {
        assert_eq!(serde_json::to_string(&order).expect("serialises"), line);
        assert_eq!(serde_json::from_str::<Order>(line).expect("parses"), order);
    }
    let answer = serde_json::to_string(&Answer::Image { len: 9 }).expect("serialises");
    assert_eq!(answer, r#"{"image":{"len":9}}"#);
}

#[tokio::test]
async fn a_short_image_is_an_error_on_both_ends() {
    let (mut runtime, mut process) = ends();
    let short = runtime
        .restore(&mut &b"abc"[..], 10)
        .await
        .expect_err("is too short");
    assert!(matches!(short, Error::Unexpected(_)), "{short}");
    drop(runtime);
    let closed = process.begin().await.expect_err("never gets the rest");
    assert!(matches!(closed, Error::Closed), "{closed}");
}

#[tokio::test]
async fn something_else_on_the_stream_is_no_order() {
    let (mut garbage, process) = tokio::io::duplex(64 * 1024);
    tokio::io::AsyncWriteExt::write_all(&mut garbage, &[b'x'; 10_000])
        .await
        .expect("writes");
    let error = ProcessEnd::new(process)
        .begin()
        .await
        .expect_err("is no protocol");
    assert!(matches!(error, Error::TooLong { .. }), "{error}");
}
