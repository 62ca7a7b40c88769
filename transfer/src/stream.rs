//! The layer in one request, streamed while it is made, as `docker push` and its likes do it. It is
//! the least work for the registry, which flushes its disk after each request, and where such clients
//! get through, so does this. When the connection breaks it is gone on with in another request, from
//! where the registry says that it stands.

use oci_client::errors::OciDistributionError;
use reqwest::Body;

use crate::failure::Failure;
use crate::layer::Blob;
use crate::registry::Registry;
use crate::session::{Session, no_pieces};
use crate::tape::Tape;

/// Why a pass over the archive was for nothing.
pub(crate) enum Stop {
    Archive(Failure),
    /// The registry, or something in front of it, does not take the layer in one stream.
    Stream(OciDistributionError),
    Registry(OciDistributionError),
}

impl From<OciDistributionError> for Stop {
    fn from(error: OciDistributionError) -> Self {
        Self::Registry(error)
    }
}

impl Registry<'_> {
    /// Pushes the layer in one request, and in as many more as it is cut.
    pub(crate) async fn push_stream(&self, tape: &Tape) -> Result<Blob, Stop> {
        let mut session = self.blobs.open().await?;
        let pushed = self.stream(&mut session, tape).await;
        if pushed.is_err() {
            tape.stop();
            self.blobs.cancel(&session).await;
        }
        pushed
    }

    async fn stream(&self, session: &mut Session, tape: &Tape) -> Result<Blob, Stop> {
        let mut attempt = 1;
        loop {
            let body = Body::wrap_stream(tape.from(session.offset));
            let answered = self.blobs.stream(session, body, tape.sent()).await;
            let taken = tape.stop();
            if tape.is_broken() {
                return Err(broke_off().into());
            }
            let error = match (answered, tape.end()) {
                (Ok(has), Some(blob)) if has.is_none_or(|has| has == blob.bytes) => {
                    session.offset = blob.bytes;
                    return self.complete(session, blob).await;
                }
                (Ok(_), _) => return Err(Stop::Stream(no_pieces("it has not got all".to_owned()))),
                (Err(error), _) => error,
            };
            if self.takes_no_stream(&error) {
                return Err(Stop::Stream(error));
            }
            attempt = self.go_on(session, 0..=taken, attempt, error).await?;
        }
    }

    /// Completes an upload of which the registry has not had to say what it has.
    async fn complete(&self, session: &Session, blob: Blob) -> Result<Blob, Stop> {
        match self.commit(session, &blob.digest).await {
            Ok(()) => Ok(blob),
            Err(error) if self.takes_no_stream(&error) => Err(Stop::Stream(error)),
            Err(error) => Err(error.into()),
        }
    }

    /// Answers that pieces may help against: a request of unknown length (411), or one that is too
    /// large (413), or without a range (416), and whatever else is not liked about it (400). A
    /// receiver takes every stream; there such an answer is about what it has room for.
    fn takes_no_stream(&self, error: &OciDistributionError) -> bool {
        let OciDistributionError::ServerError { code, .. } = error else {
            return false;
        };
        !self.is_receiver() && matches!(code, 400 | 411 | 413 | 416)
    }
}

/// Why is known to the task that makes the layer.
fn broke_off() -> OciDistributionError {
    std::io::Error::new(std::io::ErrorKind::UnexpectedEof, "the layer broke off").into()
}
