//! Answers, as the distribution specification wants them.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Frame;
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::{Response, StatusCode};

use super::store::Refusal;
use super::vault::Blob;

/// The body of an answer.
pub(super) type Body = UnsyncBoxBody<Bytes, io::Error>;
/// An answer.
pub(super) type Answer = Response<Body>;

/// What the manifest's digest is answered in.
pub(super) const DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");

/// An answer without a body.
pub(super) fn empty(status: StatusCode) -> Answer {
    let mut answer = Response::new(full(Bytes::new()));
    *answer.status_mut() = status;
    answer
}

/// A refusal in the specification's form, and in words.
pub(super) fn refusal(status: StatusCode, code: &str, words: &str) -> Answer {
    let text = serde_json::json!({"errors": [{"code": code, "message": words}]}).to_string();
    let mut answer = Response::new(full(text.into()));
    *answer.status_mut() = status;
    with(
        answer,
        CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    )
}

/// What is not here.
pub(super) fn unknown(code: &str) -> Answer {
    refusal(StatusCode::NOT_FOUND, code, "it is not here")
}

/// What was not taken.
pub(super) fn refused(refusal_: &Refusal) -> Answer {
    match refusal_ {
        Refusal::Digest(words) => refusal(StatusCode::BAD_REQUEST, "DIGEST_INVALID", words),
        Refusal::Manifest(words) => refusal(StatusCode::BAD_REQUEST, "MANIFEST_INVALID", words),
        Refusal::Disk(error) => disk(error),
    }
}

/// What could not be kept. More room does not come by itself.
pub(super) fn disk(error: &io::Error) -> Answer {
    let status = match error.kind() {
        io::ErrorKind::QuotaExceeded | io::ErrorKind::StorageFull => StatusCode::PAYLOAD_TOO_LARGE,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    };
    let words = format!("the target node's disk: {error}");
    refusal(status, "SIZE_INVALID", &words)
}

/// The answer with one more header.
pub(super) fn with(mut answer: Answer, name: HeaderName, value: HeaderValue) -> Answer {
    answer.headers_mut().insert(name, value);
    answer
}

/// The answer with a header made of text that this program has put together.
pub(super) fn with_text(answer: Answer, name: HeaderName, text: &str) -> Answer {
    match HeaderValue::from_str(text) {
        Ok(value) => with(answer, name, value),
        // Such as a digest that a client made up: it is not repeated.
        Err(_) => answer,
    }
}

/// A body that is in memory.
pub(super) fn full(bytes: Bytes) -> Body {
    Full::new(bytes)
        .map_err(|never| match never {})
        .boxed_unsync()
}

/// An answer that announces `bytes` bytes of `body`.
pub(super) fn sized(status: StatusCode, bytes: u64, body: Body) -> Answer {
    let mut answer = Response::new(body);
    *answer.status_mut() = status;
    with(answer, CONTENT_LENGTH, HeaderValue::from(bytes))
}

/// A part of a blob, opened chunk by chunk as it is sent.
pub(super) fn part_of(blob: Arc<Blob>, range: Range<u64>) -> Body {
    let pieces = stream::try_unfold((blob, range), |(blob, range)| async move {
        if range.is_empty() {
            return Ok(None);
        }
        let piece = tokio::task::block_in_place(|| blob.read(&range))?;
        let rest = range.start + piece.len() as u64..range.end;
        Ok::<_, io::Error>(Some((Frame::data(piece.into()), (blob, rest))))
    });
    StreamBody::new(pieces).boxed_unsync()
}
