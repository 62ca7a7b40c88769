//! One call is one checkpoint: whatever the answer, exactly one request goes out.

use std::time::Duration;

use ms2m::migration::error::PortError;
use ms2m::migration::ports::{Cluster as _, PortResult};

use crate::once::{Answer, Counting};

const JSON: &str = "application/json";
const TEXT: &str = "text/plain; charset=utf-8";
const LIMIT: Duration = Duration::from_secs(600);

async fn call(answer: Answer) -> (PortResult<String>, usize) {
    let server = Counting::start(answer).await;
    let end = server
        .cluster
        .checkpoint("node-a", "web-0", "main", LIMIT)
        .await;
    // Long enough for the client library's own retries, of which the first comes after 5 ms.
    tokio::time::sleep(Duration::from_millis(300)).await;
    (end, server.requests())
}

#[tokio::test]
async fn a_checkpoint_is_the_path_of_its_archive() {
    let body = r#"{"items":["/var/lib/kubelet/checkpoints/checkpoint-web-0_shop-main-2026-01-01T00:00:00Z.tar"]}"#;
    let (end, requests) = call(Answer::Status(200, JSON, body)).await;
    let path = end.expect("a path");
    assert!(path.ends_with("2026-01-01T00:00:00Z.tar"), "{path}");
    assert_eq!(requests, 1);
}

#[tokio::test]
async fn a_failed_call_is_never_repeated() {
    let status = r#"{"kind":"Status","apiVersion":"v1","status":"Failure","message":"come again","reason":"TooManyRequests","details":{"retryAfterSeconds":1},"code":429}"#;
    for answer in [
        Answer::Status(429, JSON, status),
        Answer::Status(429, TEXT, "slow down"),
        Answer::Status(500, TEXT, "checkpointing of shop/web-0/main failed (x)"),
        Answer::Status(502, TEXT, "bad gateway"),
        Answer::Status(503, TEXT, "unavailable"),
        Answer::Status(504, TEXT, "too late"),
        Answer::Cut,
        Answer::CutInside,
    ] {
        let (end, requests) = call(answer).await;
        assert!(end.is_err(), "{answer:?}");
        assert_eq!(requests, 1, "{answer:?}");
    }
}

#[tokio::test]
async fn a_second_call_is_a_second_request_on_purpose() {
    // A kept-alive connection that the server closes between two calls is where HTTP clients
    // repeat requests silently.
    let server = Counting::start(Answer::CutInside).await;
    for expected in 1..=3 {
        let end = server
            .cluster
            .checkpoint("node-a", "web-0", "main", LIMIT)
            .await;
        assert!(matches!(end, Err(PortError::Unreachable(_))), "{end:?}");
        assert_eq!(server.requests(), expected);
    }
}

#[tokio::test]
async fn refusals_keep_their_words_and_say_who_refuses() {
    let (end, _) = call(Answer::Status(403, TEXT, "Forbidden (user=kube-apiserver-kubelet-client, verb=create, resource=nodes, subresource(s)=[checkpoint])")).await;
    let Err(PortError::Denied(words)) = end else {
        panic!("{end:?}");
    };
    let said = "the kubelet refuses the API server: Forbidden (user=kube-apiserver-kubelet-client";
    assert!(words.starts_with(said), "{words}");
    let body = r#"{"kind":"Status","apiVersion":"v1","status":"Failure","message":"nodes \"node-a\" is forbidden: User \"jane\" cannot create resource \"nodes/proxy\"","reason":"Forbidden","code":403}"#;
    let (end, _) = call(Answer::Status(403, JSON, body)).await;
    let Err(PortError::Denied(words)) = end else {
        panic!("{end:?}");
    };
    assert!(
        words.starts_with("the API server refuses the checkpoint call: "),
        "{words}"
    );
    for (text, part) in [
        (
            "404 page not found",
            "knows no checkpoint: 404 page not found",
        ),
        ("pod does not exist", "pod does not exist"),
    ] {
        let (end, _) = call(Answer::Status(404, TEXT, text)).await;
        assert!(
            matches!(&end, Err(PortError::NotFound(words)) if words.contains(part)),
            "{end:?}"
        );
    }
    let (end, _) = call(Answer::Status(405, TEXT, "405: Method Not Allowed")).await;
    assert!(matches!(end, Err(PortError::Invalid(_))), "{end:?}");
}

#[tokio::test]
async fn silence_is_waited_for_as_long_as_the_limit_and_no_longer() {
    let server = Counting::start(Answer::Silence).await;
    tokio::time::pause();
    let begin = tokio::time::Instant::now();
    let end = server
        .cluster
        .checkpoint("node-a", "web-0", "main", LIMIT)
        .await;
    assert!(matches!(end, Err(PortError::Unreachable(_))), "{end:?}");
    assert!(begin.elapsed() >= LIMIT, "{:?}", begin.elapsed());
    assert!(begin.elapsed() < LIMIT + Duration::from_secs(60));
}

#[tokio::test]
async fn ordinary_requests_are_repeated_within_a_bound() {
    let server = Counting::start(Answer::Status(503, TEXT, "unavailable")).await;
    tokio::time::pause();
    let end = server.cluster.pod("web-0").await;
    assert!(matches!(end, Err(PortError::Busy(_))), "{end:?}");
    assert!(
        (5..40).contains(&server.requests()),
        "{}",
        server.requests()
    );
}
