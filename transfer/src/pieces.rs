//! The layer on its way into the registry where that does not take it in one stream: piece by piece,
//! or whole. And what streams and pieces have in common: going on after a connection broke where the
//! registry says what it has, and the completion. Whether to start again is `upload`'s to decide.
//!
//! distribution (docker-registry 2.8 was tried) keeps what came of a piece that was cut and then
//! refuses the session (404, "upload resumed at wrong offset"), since the offset is signed into the
//! session's URL. There only a cut that left nothing of a piece can be gone on with.

use std::io;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, stream};
use oci_client::errors::OciDistributionError;

use crate::layer::{Blob, Counters, Layer, Part};
use crate::piece::Piece;
use crate::registry::Registry;
use crate::retry::{self, Kind, REQUEST_ATTEMPTS};
use crate::session::{Session, no_pieces};

/// Steps' names in events and messages.
const RESUMING: &str = "going on with the upload";
const COMMITTING: &str = "completing the upload";

impl Registry<'_> {
    /// Pushes the layer in one request a piece. A connection that breaks is gone on from where the
    /// registry says that it stands, if it says so.
    pub(crate) async fn push_pieces(
        &self,
        mut layer: Layer,
        counters: &Counters,
    ) -> Result<Blob, OciDistributionError> {
        let mut session = self.blobs.open().await?;
        let pushed = self.feed(&mut session, &mut layer, &counters.sent).await;
        if pushed.is_err() {
            self.blobs.cancel(&session).await;
        }
        pushed
    }

    async fn feed(
        &self,
        session: &mut Session,
        layer: &mut Layer,
        sent: &AtomicU64,
    ) -> Result<Blob, OciDistributionError> {
        let mut piece = Piece::default();
        loop {
            match layer.next().await? {
                Part::Data(mut frame) => {
                    piece.fill(&mut frame);
                    if frame.is_empty() {
                        continue;
                    }
                    self.push_piece(session, &piece).await?;
                    piece = Piece::default();
                    // It is smaller than a piece.
                    piece.fill(&mut frame);
                }
                Part::End(blob) => {
                    if piece.len() > 0 {
                        self.push_piece(session, &piece).await?;
                    }
                    sent.store(session.offset, Ordering::Relaxed);
                    self.commit(session, &blob.digest).await?;
                    return Ok(blob);
                }
            }
            sent.store(session.offset, Ordering::Relaxed);
        }
    }

    async fn push_piece(
        &self,
        session: &mut Session,
        piece: &Piece,
    ) -> Result<(), OciDistributionError> {
        let start = session.offset;
        let mut attempt = 1;
        loop {
            let done = usize::try_from(session.offset - start).unwrap_or(usize::MAX);
            if done == piece.len() {
                return Ok(());
            }
            let error = match self.blobs.append(session, piece.after(done)).await {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            let has = start..=start + piece.len() as u64;
            attempt = self.go_on(session, has, attempt, error).await?;
        }
    }

    /// After a failure: finds out whether and from where the session can be gone on with. `has` is
    /// how much the registry may have for that.
    ///
    /// # Errors
    /// The failure, when it cannot.
    pub(crate) async fn go_on(
        &self,
        session: &mut Session,
        has: RangeInclusive<u64>,
        attempt: u32,
        error: OciDistributionError,
    ) -> Result<u32, OciDistributionError> {
        let mut attempt = attempt;
        let tried = session.offset;
        loop {
            if attempt > 1 && retry::is_spoilt(&error) {
                // It was asked where it stands, and does not stand to that.
                return Err(error);
            }
            let kind = retry::upload_kind(&error, tried);
            let range = is_range(&error);
            if !(range || matches!(kind, Kind::Transient | Kind::Busy))
                || attempt == REQUEST_ATTEMPTS
            {
                return Err(error);
            }
            if is_denied(&error) {
                // Whether it worked is seen at the next request.
                let _ = self.authenticate().await;
            }
            match self.blobs.ask(session).await {
                Ok(()) if range && session.offset == tried => {
                    return Err(no_pieces(
                        "it refuses the very range it asks for".to_owned(),
                    ));
                }
                Ok(()) if has.contains(&session.offset) => {
                    // What has come through shows that it is worth going on.
                    let came = session.offset > tried;
                    attempt = if came { 2 } else { attempt + 1 };
                    if came && matches!(error, OciDistributionError::RequestError(_)) {
                        // Nobody asks for patience.
                        let at_once = Duration::ZERO;
                        self.announce(RESUMING, attempt, REQUEST_ATTEMPTS, at_once, &error);
                    } else {
                        self.wait_before(RESUMING, attempt, REQUEST_ATTEMPTS, kind, &error)
                            .await;
                    }
                    return Ok(attempt);
                }
                // It has lost what it had acknowledged, or the whole session.
                Ok(()) => return Err(error),
                Err(asked) if retry::kind(&asked) == Kind::Transient || is_denied(&asked) => {
                    attempt += 1;
                    self.wait_before(RESUMING, attempt, REQUEST_ATTEMPTS, kind, &asked)
                        .await;
                    if is_denied(&asked) {
                        let _ = self.authenticate().await;
                    }
                }
                Err(_) if range && tried == 0 => {
                    return Err(no_pieces("it refuses the first range".to_owned()));
                }
                Err(_) => return Err(error),
            }
        }
    }

    /// Makes a blob of the session. Where the answer was lost, the blob is there all the same.
    pub(crate) async fn commit(
        &self,
        session: &Session,
        digest: &str,
    ) -> Result<(), OciDistributionError> {
        let mut attempt = 1;
        loop {
            let error = match self.blobs.commit(session, digest).await {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            let kind = retry::upload_kind(&error, session.offset);
            if self.blobs.has(digest).await {
                return Ok(());
            }
            if !matches!(kind, Kind::Transient | Kind::Busy) || attempt == REQUEST_ATTEMPTS {
                return Err(error);
            }
            // Neither comes right by asking again.
            let gone = matches!(error, OciDistributionError::ServerError { code: 404, .. });
            if gone || retry::is_spoilt(&error) {
                return Err(error);
            }
            if is_denied(&error) {
                let _ = self.authenticate().await;
            }
            attempt += 1;
            self.wait_before(COMMITTING, attempt, REQUEST_ATTEMPTS, kind, &error)
                .await;
        }
    }

    /// Whether the registry has this blob already.
    pub(crate) async fn has(&self, blob: &Blob) -> bool {
        self.blobs.has(&blob.digest).await
    }

    /// Pushes the layer in one request, for which digest and size have to be known.
    pub(crate) async fn push_whole(
        &self,
        layer: Layer,
        counters: Arc<Counters>,
        blob: &Blob,
    ) -> Result<(), OciDistributionError> {
        let session = self.blobs.open().await?;
        let body = reqwest::Body::wrap_stream(frames(layer, Arc::clone(&counters)));
        let put = self
            .blobs
            .put(&session, body, (&blob.digest, blob.bytes), &counters.sent);
        put.await
    }
}

/// A layer's frames. What was taken counts as sent: in one request nothing is acknowledged before
/// the end.
fn frames(layer: Layer, counters: Arc<Counters>) -> impl Stream<Item = io::Result<Bytes>> {
    stream::try_unfold((layer, counters), |(mut layer, counters)| async move {
        match layer.next().await? {
            Part::Data(frame) => {
                let bytes = frame.len() as u64;
                counters.sent.fetch_add(bytes, Ordering::Relaxed);
                Ok(Some((frame, (layer, counters))))
            }
            Part::End(_) => Ok(None),
        }
    })
}

/// The registry refused a piece's range.
fn is_range(error: &OciDistributionError) -> bool {
    matches!(error, OciDistributionError::ServerError { code: 416, .. })
}

/// The registry does not, or no longer, know who asks.
fn is_denied(error: &OciDistributionError) -> bool {
    matches!(error, OciDistributionError::ServerError { code: 401, .. })
}
