//! Requests whose body is made while it is sent: a blob streamed into its session, and a blob whole.
//! They may take as long as they like, as long as they get on.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use oci_client::errors::OciDistributionError;
use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE, LOCATION};
use reqwest::{Body, Method, Response, StatusCode};

use crate::session::{Blobs, Session, acknowledged, no_pieces, takes_no_pieces, with_digest};

type Result<T> = std::result::Result<T, OciDistributionError>;

/// How long such a request may stand still: nothing more of its body is taken, and no answer comes.
/// Some registries verify the whole layer before they answer.
const STANDSTILL: Duration = Duration::from_secs(180);

impl Blobs {
    /// Sends all that is left of a blob in one request, whatever its size; `sent` counts the bytes
    /// that were taken of it. Returns how much the registry then says that it has, if it does.
    ///
    /// There is no `Content-Range`, which would have to name the end: the registry appends it, as
    /// it does for `docker push`.
    ///
    /// # Errors
    /// [`OciDistributionError::SpecViolationError`] where the registry takes whole blobs only.
    pub(crate) async fn stream(
        &self,
        session: &mut Session,
        blob: Body,
        sent: &AtomicU64,
    ) -> Result<Option<u64>> {
        let request = self
            .request(Method::PATCH, session.location.clone())
            .header(CONTENT_TYPE, "application/octet-stream")
            .body(blob);
        let answer = getting_on(request.send(), sent).await?;
        if takes_no_pieces(answer.status()) {
            return Err(no_pieces(format!("it answered {}", answer.status())));
        }
        // AWS ECR answers 201, as if that were all; after a single request it is.
        let expected = match answer.status() {
            status if status.is_success() => status,
            _ => StatusCode::ACCEPTED,
        };
        let answer = self.expect(expected, answer).await?;
        if answer.headers().contains_key(LOCATION) {
            session.location = self.location(&answer)?;
        }
        Ok(acknowledged(answer.headers()))
    }

    /// Sends the whole blob in one request that also completes it; `sent` as with
    /// [`Blobs::stream`].
    pub(crate) async fn put(
        &self,
        session: &Session,
        blob: impl Into<Body>,
        (digest, bytes): (&str, u64),
        sent: &AtomicU64,
    ) -> Result<()> {
        let request = self
            .request(Method::PUT, with_digest(&session.location, digest))
            .header(CONTENT_LENGTH, bytes)
            .header(CONTENT_TYPE, "application/octet-stream")
            .body(blob);
        let answer = getting_on(request.send(), sent).await?;
        self.expect(StatusCode::CREATED, answer).await?;
        Ok(())
    }
}

/// The answer, or an error once the request stands still. A connection whose other end is gone
/// without a word would else be waited for as long as the kernel tries, a quarter of an hour.
async fn getting_on(
    request: impl Future<Output = reqwest::Result<Response>>,
    sent: &AtomicU64,
) -> Result<Response> {
    let mut request = std::pin::pin!(request);
    loop {
        let before = sent.load(Ordering::Relaxed);
        match tokio::time::timeout(STANDSTILL, &mut request).await {
            Ok(answer) => return Ok(answer?),
            Err(_) if sent.load(Ordering::Relaxed) == before => {
                return Err(std::io::Error::new(
                    std::io::ErrorKind::TimedOut,
                    "it takes nothing more and does not answer",
                )
                .into());
            }
            Err(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_gets_on_may_take_long_and_what_does_not_may_not() {
        let sent = AtomicU64::new(0);
        let begun = tokio::time::Instant::now();
        let slow = async {
            for _ in 0..10 {
                tokio::time::sleep(STANDSTILL / 2).await;
                sent.fetch_add(1, Ordering::Relaxed);
            }
            std::future::pending().await
        };
        let error = getting_on(slow, &sent).await.expect_err("it stands still");
        assert!(error.to_string().contains("does not answer"), "{error}");
        let taken = begun.elapsed();
        assert!(taken >= STANDSTILL * 6, "{taken:?}");
        assert!(taken <= STANDSTILL * 7, "{taken:?}");
    }
}
