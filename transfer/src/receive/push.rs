//! What the sender may do besides: upload blobs, piece by piece or whole, and push the manifest.
//! It is the part of the distribution specification that `session` uses, and no more.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::header::{CONTENT_RANGE, LOCATION, RANGE};
use hyper::{Method, Request, StatusCode};

use super::answer::{Answer, DIGEST, disk, empty, refusal, refused, unknown, with_text};
use super::range::{acknowledged, begins_at};
use super::route::{Route, digest_of_query};
use super::store::{Refusal, Store, Turn, Upload};
use super::vault::Writer;

/// The most that a manifest may have, as in other registries.
const MANIFEST_MAX: usize = 4 * 1024 * 1024;

/// The answer to a request of the sender that `pull` has none for.
pub(super) async fn answer(
    store: &Store,
    repository: &str,
    route: Route<'_>,
    request: Request<Incoming>,
) -> Answer {
    let upload = |id: &str| store.upload(id);
    match (request.method().clone(), route) {
        (Method::POST, Route::Uploads) => open(store, repository),
        (Method::PUT, Route::Manifest(digest)) => manifest(store, digest, request).await,
        (method, Route::Upload(id)) => {
            let Some(upload) = upload(id) else {
                return unknown("BLOB_UPLOAD_UNKNOWN");
            };
            let place = format!("/v2/{repository}/blobs/uploads/{id}");
            let at = At {
                store,
                id,
                place: &place,
            };
            match method {
                Method::PATCH => at.append(&upload, request).await,
                Method::GET => at.status(&upload).await,
                Method::PUT => at.commit(&upload, request, repository).await,
                Method::DELETE => {
                    upload.take_turn();
                    store.close(id);
                    empty(StatusCode::NO_CONTENT)
                }
                _ => empty(StatusCode::METHOD_NOT_ALLOWED),
            }
        }
        (_, Route::Nothing) => unknown("NAME_UNKNOWN"),
        _ => empty(StatusCode::METHOD_NOT_ALLOWED),
    }
}

fn open(store: &Store, repository: &str) -> Answer {
    match store.open() {
        Ok(id) => {
            let place = format!("/v2/{repository}/blobs/uploads/{id}");
            let answer = with_text(empty(StatusCode::ACCEPTED), LOCATION, &place);
            with_text(answer, RANGE, &acknowledged(0))
        }
        Err(error) => disk(&error),
    }
}

async fn manifest(store: &Store, digest: &str, request: Request<Incoming>) -> Answer {
    let body = Limited::new(request.into_body(), MANIFEST_MAX);
    let Ok(body) = body.collect().await else {
        let words = "the manifest did not come through, or is too large";
        return refusal(StatusCode::BAD_REQUEST, "MANIFEST_INVALID", words);
    };
    match store.keep_manifest(body.to_bytes(), digest) {
        Ok(()) => with_text(empty(StatusCode::CREATED), DIGEST, digest),
        Err(refusal) => refused(&refusal),
    }
}

/// An upload, and where requests for it go.
struct At<'a> {
    store: &'a Store,
    id: &'a str,
    place: &'a str,
}

impl At<'_> {
    /// Takes a piece. Of one that is cut, what came is kept.
    async fn append(&self, upload: &Arc<Upload>, request: Request<Incoming>) -> Answer {
        let mut turn = upload.take_turn();
        let begins = request
            .headers()
            .get(CONTENT_RANGE)
            .and_then(|range| range.to_str().ok())
            .and_then(begins_at);
        let mut writer = upload.writer.lock().await;
        let Some(open) = writer.as_mut() else {
            return unknown("BLOB_UPLOAD_UNKNOWN");
        };
        if begins.is_some_and(|begins| begins != open.bytes()) {
            let answer = self.at(StatusCode::RANGE_NOT_SATISFIABLE, open.bytes());
            return answer;
        }
        match take(open, request.into_body(), &mut turn).await {
            Ok(()) => self.at(StatusCode::ACCEPTED, open.bytes()),
            Err(Broken::Connection) => {
                let words = "the piece did not come through";
                refusal(StatusCode::BAD_REQUEST, "BLOB_UPLOAD_INVALID", words)
            }
            Err(Broken::Disk(error)) => {
                *writer = None;
                self.store.close(self.id);
                disk(&error)
            }
        }
    }

    /// Says how much has come.
    async fn status(&self, upload: &Arc<Upload>) -> Answer {
        upload.take_turn();
        let mut writer = upload.writer.lock().await;
        let Some(open) = writer.as_ref() else {
            return unknown("BLOB_UPLOAD_UNKNOWN");
        };
        let mut bytes = open.bytes();
        if bytes == 1 {
            // One byte cannot be told from none: it has to come again.
            if let Err(error) = self.store.begin_again(&mut writer) {
                return disk(&error);
            }
            bytes = 0;
        }
        self.at(StatusCode::NO_CONTENT, bytes)
    }

    /// Ends the upload: what comes with this request is the last of it.
    async fn commit(
        &self,
        upload: &Arc<Upload>,
        request: Request<Incoming>,
        repository: &str,
    ) -> Answer {
        let Some(digest) = digest_of_query(request.uri().query()) else {
            let words = "the request names no digest";
            return refusal(StatusCode::BAD_REQUEST, "DIGEST_INVALID", words);
        };
        let mut turn = upload.take_turn();
        let mut writer = upload.writer.lock().await;
        let Some(open) = writer.as_mut() else {
            return unknown("BLOB_UPLOAD_UNKNOWN");
        };
        let came = take(open, request.into_body(), &mut turn).await;
        if matches!(came, Err(Broken::Connection)) {
            let words = "the blob did not come through";
            return refusal(StatusCode::BAD_REQUEST, "BLOB_UPLOAD_INVALID", words);
        }
        self.store.close(self.id);
        let kept = match (came, writer.take()) {
            (Err(Broken::Disk(error)), _) => Err(Refusal::Disk(error)),
            (_, Some(whole)) => tokio::task::block_in_place(|| self.store.keep(whole, &digest)),
            (_, None) => return unknown("BLOB_UPLOAD_UNKNOWN"),
        };
        match kept {
            Ok(()) => {
                let place = format!("/v2/{repository}/blobs/{digest}");
                let answer = with_text(empty(StatusCode::CREATED), LOCATION, &place);
                with_text(answer, DIGEST, &digest)
            }
            Err(refusal) => refused(&refusal),
        }
    }

    fn at(&self, status: StatusCode, bytes: u64) -> Answer {
        let answer = with_text(empty(status), LOCATION, self.place);
        with_text(answer, RANGE, &acknowledged(bytes))
    }
}

/// Why a body did not come to its end.
enum Broken {
    Connection,
    Disk(io::Error),
}

/// Adds a body, as it comes.
async fn take(writer: &mut Writer, mut body: Incoming, turn: &mut Turn) -> Result<(), Broken> {
    loop {
        let frame = tokio::select! {
            frame = body.frame() => frame,
            () = turn.over() => return Err(Broken::Connection),
        };
        let data: Bytes = match frame {
            None => return Ok(()),
            Some(Err(_)) => return Err(Broken::Connection),
            Some(Ok(frame)) => frame.into_data().unwrap_or_default(),
        };
        tokio::task::block_in_place(|| writer.push(&data)).map_err(Broken::Disk)?;
    }
}
