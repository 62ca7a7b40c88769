//! The layer on its way into the registry: piece by piece, going on after a connection broke where
//! the registry says what it has, or whole. Whether to start again is `upload`'s to decide.
//!
//! distribution (docker-registry 2.8 was tried) keeps what came of a piece that was cut and then
//! refuses the session (404, "upload resumed at wrong offset"), since the offset is signed into the
//! session's URL. There only a cut that left nothing of a piece can be gone on with.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
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
        let pushed = async {
            loop {
                match layer.next().await? {
                    Part::Data(piece) => self.push_piece(&mut session, &piece).await?,
                    Part::End(blob) => {
                        self.commit(&session, &blob.digest).await?;
                        return Ok(blob);
                    }
                }
                counters.sent.store(session.offset, Ordering::Relaxed);
            }
        }
        .await;
        if pushed.is_err() {
            self.blobs.cancel(&session).await;
        }
        pushed
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
            attempt = self
                .go_on(session, (start, piece.len() as u64), attempt, error)
                .await?;
        }
    }

    /// After a failure: finds out whether and from where the session can be gone on with.
    ///
    /// # Errors
    /// The failure, when it cannot.
    async fn go_on(
        &self,
        session: &mut Session,
        (start, length): (u64, u64),
        attempt: u32,
        error: OciDistributionError,
    ) -> Result<u32, OciDistributionError> {
        let mut attempt = attempt;
        let tried = session.offset;
        loop {
            let kind = retry::upload_kind(&error, tried);
            let range = is_range(&error);
            if !(range || matches!(kind, Kind::Transient | Kind::Busy))
                || attempt == REQUEST_ATTEMPTS
            {
                return Err(error);
            }
            if let OciDistributionError::ServerError { code: 401, .. } = error {
                // Whether it worked is seen at the next request.
                let _ = self.authenticate().await;
            }
            match self.blobs.ask(session).await {
                Ok(()) if range && session.offset == tried => {
                    return Err(no_pieces(
                        "it refuses the very range it asks for".to_owned(),
                    ));
                }
                Ok(()) if (start..=start + length).contains(&session.offset) => {
                    // What has come through shows that it is worth going on.
                    attempt = if session.offset > tried {
                        2
                    } else {
                        attempt + 1
                    };
                    self.wait_before(RESUMING, attempt, REQUEST_ATTEMPTS, kind, &error)
                        .await;
                    return Ok(attempt);
                }
                // It has lost what it had acknowledged, or the whole session.
                Ok(()) => return Err(error),
                Err(asked) if retry::kind(&asked) == Kind::Transient => {
                    attempt += 1;
                    self.wait_before(RESUMING, attempt, REQUEST_ATTEMPTS, kind, &asked)
                        .await;
                }
                Err(_) if range && tried == 0 => {
                    return Err(no_pieces("it refuses the first range".to_owned()));
                }
                Err(_) => return Err(error),
            }
        }
    }

    /// Makes a blob of the session. Where the answer was lost, the blob is there all the same.
    async fn commit(&self, session: &Session, digest: &str) -> Result<(), OciDistributionError> {
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
            if matches!(error, OciDistributionError::ServerError { code: 404, .. }) {
                return Err(error);
            }
            if let OciDistributionError::ServerError { code: 401, .. } = error {
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
        let layer = reqwest::Body::wrap_stream(blocks(layer, counters));
        self.blobs
            .put(&session, layer, &blob.digest, blob.bytes)
            .await
    }
}

/// A layer's blocks. What was taken counts as sent: in one request nothing is acknowledged before
/// the end.
fn blocks(layer: Layer, counters: Arc<Counters>) -> impl Stream<Item = io::Result<Bytes>> {
    let pieces = stream::try_unfold(layer, |mut layer| async move {
        match layer.next().await? {
            Part::Data(piece) => Ok(Some((piece, layer))),
            Part::End(_) => Ok::<_, io::Error>(None),
        }
    });
    pieces.flat_map(move |piece| {
        let blocks: Vec<io::Result<Bytes>> = match piece {
            Ok(piece) => {
                let bytes = piece.len() as u64;
                counters.sent.fetch_add(bytes, Ordering::Relaxed);
                piece.into_blocks().into_iter().map(Ok).collect()
            }
            Err(error) => vec![Err(error)],
        };
        stream::iter(blocks)
    })
}

/// The registry refused a piece's range.
fn is_range(error: &OciDistributionError) -> bool {
    matches!(error, OciDistributionError::ServerError { code: 416, .. })
}
