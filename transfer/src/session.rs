//! One blob's upload by the distribution specification: a session is opened, fed piece by piece,
//! asked where it stands when a connection broke, and committed. What to do when all of that
//! fails is `upload`'s to decide.
//!
//! oci-client has no way to ask for a session's state, hence these requests.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use oci_client::errors::OciDistributionError;
use reqwest::header::{
    CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, HeaderMap, LOCATION, RANGE, RETRY_AFTER,
};
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode, Url};

use crate::piece::Piece;
use crate::proxies::Proxies;
use crate::retry;

type Result<T> = std::result::Result<T, OciDistributionError>;

/// How long the registry may take to accept a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a request, a piece of the layer included, may take. Some registries verify the whole
/// layer before they answer the last one.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(180);

/// A session that is given up is the registry's to clean up; telling it so may not take long.
const CANCEL_TIMEOUT: Duration = Duration::from_secs(2);

/// How requests prove who sends them.
#[derive(Clone)]
pub(crate) enum Proof {
    Nothing,
    Token(String),
    Password(String, String),
}

/// Blobs of one repository.
pub(crate) struct Blobs {
    client: Client,
    registry: Url,
    repository: String,
    proof: RefCell<Proof>,
    /// How long the last refusal asked to wait.
    retry_after: Cell<Option<Duration>>,
}

/// An open session.
pub(crate) struct Session {
    pub(crate) location: Url,
    /// Bytes that the registry has acknowledged.
    pub(crate) offset: u64,
}

impl Blobs {
    /// Makes the client. No request is sent.
    ///
    /// # Errors
    /// When the host makes no URL or the client's TLS cannot be set up.
    pub(crate) fn new(
        plain_http: bool,
        proxies: &Proxies,
        host: &str,
        repository: &str,
    ) -> Result<Self> {
        let scheme = if plain_http { "http" } else { "https" };
        let registry = Url::parse(&format!("{scheme}://{host}/")).map_err(url_error)?;
        let client = Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .user_agent(crate::registry::USER_AGENT);
        let client = proxies.apply(client)?.build()?;
        Ok(Self {
            client,
            registry,
            repository: repository.to_owned(),
            proof: RefCell::new(Proof::Nothing),
            retry_after: Cell::new(None),
        })
    }

    /// Blobs of a receiver, with a client of its own that no request but these uses.
    pub(crate) fn direct(client: Client, receiver: Url, repository: &str, proof: Proof) -> Self {
        Self {
            client,
            registry: receiver,
            repository: repository.to_owned(),
            proof: RefCell::new(proof),
            retry_after: Cell::new(None),
        }
    }

    /// Sends this with every request from now on.
    pub(crate) fn prove(&self, proof: Proof) {
        self.proof.replace(proof);
    }

    /// How long the registry asked to wait when it refused a request last. Is told once.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        self.retry_after.take()
    }

    /// Opens a session.
    pub(crate) async fn open(&self) -> Result<Session> {
        let url = self.url("blobs/uploads/")?;
        let request = self.request(Method::POST, url).header(CONTENT_LENGTH, 0);
        let answer = self
            .expect(StatusCode::ACCEPTED, send(request).await?)
            .await?;
        Ok(Session {
            location: self.location(&answer)?,
            offset: 0,
        })
    }

    /// Sends a piece, or what is left of it.
    ///
    /// # Errors
    /// [`OciDistributionError::SpecViolationError`] where the registry takes no pieces.
    pub(crate) async fn append(&self, session: &mut Session, piece: Piece) -> Result<()> {
        let (start, length) = (session.offset, piece.len() as u64);
        let request = self
            .request(Method::PATCH, session.location.clone())
            .header(CONTENT_RANGE, format!("{start}-{}", start + length - 1))
            .header(CONTENT_LENGTH, length)
            .header(CONTENT_TYPE, "application/octet-stream")
            .body(piece.into_body());
        let answer = send(request).await?;
        if takes_no_pieces(answer.status()) {
            return Err(no_pieces(format!("it answered {}", answer.status())));
        }
        let answer = self.expect(StatusCode::ACCEPTED, answer).await?;
        let offset = acknowledged(answer.headers())
            .ok_or_else(|| no_pieces("it does not say how much it has".to_owned()))?;
        if offset != start + length {
            return Err(no_pieces(format!(
                "it has {offset} bytes after {}",
                start + length
            )));
        }
        session.location = self.location(&answer)?;
        session.offset = offset;
        Ok(())
    }

    /// Asks where the session stands.
    pub(crate) async fn ask(&self, session: &mut Session) -> Result<()> {
        let request = self.request(Method::GET, session.location.clone());
        let answer = self
            .expect(StatusCode::NO_CONTENT, send(request).await?)
            .await?;
        session.offset = acknowledged(answer.headers())
            .ok_or_else(|| no_pieces("it does not say how much it has".to_owned()))?;
        if answer.headers().contains_key(LOCATION) {
            session.location = self.location(&answer)?;
        }
        Ok(())
    }

    /// Makes the session a blob.
    pub(crate) async fn commit(&self, session: &Session, digest: &str) -> Result<()> {
        let request = self
            .request(Method::PUT, with_digest(&session.location, digest))
            .header(CONTENT_LENGTH, 0);
        self.expect(StatusCode::CREATED, send(request).await?)
            .await?;
        Ok(())
    }

    /// Whether there is such a blob. Not to know it counts as no.
    pub(crate) async fn has(&self, digest: &str) -> bool {
        let Ok(url) = self.url(&format!("blobs/{digest}")) else {
            return false;
        };
        let answer = send(self.request(Method::HEAD, url)).await;
        answer.is_ok_and(|answer| answer.status() == StatusCode::OK)
    }

    /// Gives the session up, so that the bytes sent so far do not lie about in the registry.
    pub(crate) async fn cancel(&self, session: &Session) {
        let request = self.request(Method::DELETE, session.location.clone());
        // The failure that led here matters, not this one.
        let _ = request.timeout(CANCEL_TIMEOUT).send().await;
    }

    pub(crate) fn url(&self, path: &str) -> Result<Url> {
        let path = format!("v2/{}/{path}", self.repository);
        self.registry.join(&path).map_err(url_error)
    }

    pub(crate) fn location(&self, answer: &Response) -> Result<Url> {
        let location = answer
            .headers()
            .get(LOCATION)
            .ok_or(OciDistributionError::RegistryNoLocationError)?;
        self.registry.join(location.to_str()?).map_err(url_error)
    }

    /// A request with what proves its sender. A registry may send an upload to another host, which
    /// must not get it.
    pub(crate) fn request(&self, method: Method, url: Url) -> RequestBuilder {
        let ours = url.origin() == self.registry.origin();
        let request = self.client.request(method, url);
        match &*self.proof.borrow() {
            Proof::Token(token) if ours => request.bearer_auth(token),
            Proof::Password(user, password) if ours => request.basic_auth(user, Some(password)),
            _ => request,
        }
    }

    /// The answer, if it has the status that the specification asks for.
    pub(crate) async fn expect(&self, status: StatusCode, answer: Response) -> Result<Response> {
        if answer.status() == status {
            return Ok(answer);
        }
        if answer.status().is_success() {
            let got = answer.status();
            return Err(no_pieces(format!("it answered {got} instead of {status}")));
        }
        let asked = answer.headers().get(RETRY_AFTER);
        let asked = asked.and_then(|value| value.to_str().ok());
        let asked = asked.and_then(|text| retry::after(text, jiff::Timestamp::now()));
        self.retry_after.set(asked);
        Err(OciDistributionError::ServerError {
            code: answer.status().as_u16(),
            url: answer.url().to_string(),
            message: answer.text().await?,
        })
    }
}

pub(crate) async fn send(request: RequestBuilder) -> Result<Response> {
    Ok(request.timeout(REQUEST_TIMEOUT).send().await?)
}

/// Answers by which registries say that they only take whole blobs.
pub(crate) fn takes_no_pieces(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_IMPLEMENTED
    )
}

pub(crate) fn no_pieces(why: String) -> OciDistributionError {
    OciDistributionError::SpecViolationError(why)
}

fn url_error(error: impl std::fmt::Display) -> OciDistributionError {
    OciDistributionError::UrlParseError(error.to_string())
}

pub(crate) fn with_digest(location: &Url, digest: &str) -> Url {
    let mut url = location.clone();
    url.query_pairs_mut().append_pair("digest", digest);
    url
}

/// How many bytes a `Range` header acknowledges. The specification has no way to say none but
/// `0-0`, which would be one; a registry that has one byte refuses what follows the none.
pub(crate) fn acknowledged(headers: &HeaderMap) -> Option<u64> {
    let range = headers.get(RANGE)?.to_str().ok()?;
    let (first, last) = range.trim_start_matches("bytes=").split_once('-')?;
    match (first.parse::<u64>().ok()?, last.parse::<u64>().ok()?) {
        (0, 0) => Some(0),
        (0, last) => last.checked_add(1),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderValue;

    use super::*;

    #[test]
    fn ranges_say_how_much_is_there() {
        let parsed = |range: &'static str| {
            acknowledged(&HeaderMap::from_iter([(
                RANGE,
                HeaderValue::from_static(range),
            )]))
        };
        assert_eq!(parsed("0-999"), Some(1000));
        assert_eq!(parsed("bytes=0-999"), Some(1000));
        assert_eq!(parsed("0-0"), Some(0));
        for bad in ["", "0", "5-9", "0--1", "0-18446744073709551615", "a-b"] {
            assert_eq!(parsed(bad), None, "{bad}");
        }
        assert_eq!(acknowledged(&HeaderMap::new()), None);
    }

    #[test]
    fn only_the_registry_gets_the_password() {
        // As the binary does; the second test of a process is refused.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let blobs =
            Blobs::new(true, &Proxies::default(), "registry.example:5000", "cp").expect("a client");
        blobs.prove(Proof::Password("me".to_owned(), "hunter2".to_owned()));
        let proven = |url: &str| {
            let url = Url::parse(url).expect("a URL");
            let request = blobs.request(Method::GET, url).build().expect("a request");
            request.headers().contains_key("authorization")
        };
        assert!(proven("http://registry.example:5000/v2/cp/blobs/uploads/1"));
        assert!(!proven("http://registry.example/v2/cp/blobs/uploads/1"));
        assert!(!proven("https://storage.example/upload?signed"));
    }
}
