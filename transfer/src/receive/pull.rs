//! What both sides may read: manifests and blobs, by digest. It is all that there is on loopback,
//! where anything on the node may ask.

use hyper::header::{
    ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, HeaderMap, HeaderValue, RANGE,
};
use hyper::{Method, StatusCode};
use oci_client::manifest::OCI_IMAGE_MEDIA_TYPE;

use super::answer::{Answer, DIGEST, empty, full, part_of, sized, unknown, with, with_text};
use super::range::{Part, part};
use super::route::Route;
use super::store::Store;

/// The answer to a request that only reads; `None` where the route has other uses.
pub(super) fn answer(
    store: &Store,
    method: &Method,
    route: Route<'_>,
    headers: &HeaderMap,
) -> Option<Answer> {
    if !matches!(*method, Method::GET | Method::HEAD) {
        return None;
    }
    match route {
        Route::Base => Some(empty(StatusCode::OK)),
        Route::Manifest(digest) => Some(manifest(store, digest)),
        Route::Blob(digest) => {
            let range = headers.get(RANGE).and_then(|range| range.to_str().ok());
            Some(blob(store, digest, range, *method == Method::HEAD))
        }
        Route::Uploads | Route::Upload(_) | Route::Nothing => None,
    }
}

fn manifest(store: &Store, digest: &str) -> Answer {
    let Some(bytes) = store.manifest(digest) else {
        return unknown("MANIFEST_UNKNOWN");
    };
    let answer = sized(StatusCode::OK, bytes.len() as u64, full(bytes));
    let answer = with(
        answer,
        CONTENT_TYPE,
        HeaderValue::from_static(OCI_IMAGE_MEDIA_TYPE),
    );
    with_text(answer, DIGEST, digest)
}

fn blob(store: &Store, digest: &str, range: Option<&str>, head: bool) -> Answer {
    let Some(blob) = store.blob(digest) else {
        return unknown("BLOB_UNKNOWN");
    };
    let size = blob.bytes();
    let (status, wanted) = match part(range.filter(|_| !head), size) {
        Part::Whole => (StatusCode::OK, 0..size),
        Part::Bytes(wanted) => (StatusCode::PARTIAL_CONTENT, wanted),
        Part::Nowhere => {
            let answer = empty(StatusCode::RANGE_NOT_SATISFIABLE);
            return with_text(answer, CONTENT_RANGE, &format!("bytes */{size}"));
        }
    };
    let (first, length) = (wanted.start, wanted.end - wanted.start);
    let mut answer = if head {
        with(empty(status), CONTENT_LENGTH, HeaderValue::from(length))
    } else {
        sized(status, length, part_of(blob, wanted))
    };
    if status == StatusCode::PARTIAL_CONTENT {
        let last = first + length - 1;
        answer = with_text(
            answer,
            CONTENT_RANGE,
            &format!("bytes {first}-{last}/{size}"),
        );
    }
    let answer = with(answer, ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    let octets = HeaderValue::from_static("application/octet-stream");
    with_text(with(answer, CONTENT_TYPE, octets), DIGEST, digest)
}
