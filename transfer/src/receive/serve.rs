//! The two listeners: plain HTTP on loopback, which only reads, and TLS with certificates on both
//! ends and a token on the node's address, which may write.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, HeaderMap};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;

use super::answer::{Answer, refusal, unknown};
use super::route::route;
use super::store::Store;
use super::{pull, push};

/// How long a connection may take to begin with TLS, and a request to be begun.
const BEGINNING: Duration = Duration::from_secs(20);

/// How many connections each listener takes at once: whoever holds none of the secrets must not be
/// able to fill the memory.
const CONNECTIONS: usize = 64;

/// How long a listener rests that could not accept.
const REST: Duration = Duration::from_millis(50);

/// What both listeners share.
pub(super) struct Shared {
    pub(super) store: Store,
    pub(super) repository: String,
    pub(super) token: String,
}

/// Serves what can be pulled on `listener`, for ever.
pub(super) async fn loopback(listener: TcpListener, shared: Arc<Shared>) {
    accept(listener, move |stream| {
        let shared = Arc::clone(&shared);
        async move { converse(stream, shared, read_only).await }
    })
    .await;
}

/// Serves the sender on `listener`, for ever.
pub(super) async fn sender(listener: TcpListener, tls: TlsAcceptor, shared: Arc<Shared>) {
    accept(listener, move |stream| {
        let (shared, tls) = (Arc::clone(&shared), tls.clone());
        async move {
            let begun = tokio::time::timeout(BEGINNING, tls.accept(stream)).await;
            match begun {
                Ok(Ok(stream)) => converse(stream, shared, read_and_write).await,
                Ok(Err(error)) => tracing::warn!("a sender was turned away: {error}"),
                Err(_) => tracing::warn!("a connection did not begin with TLS in time"),
            }
        }
    })
    .await;
}

async fn accept<F>(listener: TcpListener, converse: impl Fn(TcpStream) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let place = Arc::clone(&places).acquire_owned().await;
        match listener.accept().await {
            Ok((stream, _)) => {
                let _ = stream.set_nodelay(true);
                let conversation = converse(stream);
                tokio::spawn(async move {
                    conversation.await;
                    drop(place);
                });
            }
            Err(_) => tokio::time::sleep(REST).await,
        }
    }
}

async fn converse<S, F>(
    stream: S,
    shared: Arc<Shared>,
    answer: impl Fn(Arc<Shared>, Request<Incoming>) -> F,
) where
    S: AsyncRead + AsyncWrite + Unpin,
    F: Future<Output = Answer>,
{
    let service = service_fn(|request| {
        let answered = answer(Arc::clone(&shared), request);
        async { Ok::<_, Infallible>(answered.await) }
    });
    // A connection that breaks is its client's affair, and told by what comes after it.
    let _ = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(BEGINNING)
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

async fn read_only(shared: Arc<Shared>, request: Request<Incoming>) -> Answer {
    let route = route(request.uri().path(), &shared.repository);
    pull::answer(&shared.store, request.method(), route, request.headers())
        .unwrap_or_else(|| unknown("NAME_UNKNOWN"))
}

async fn read_and_write(shared: Arc<Shared>, request: Request<Incoming>) -> Answer {
    if !is_sender(request.headers(), &shared.token) {
        let words = "the token is missing or another one";
        return refusal(StatusCode::UNAUTHORIZED, "UNAUTHORIZED", words);
    }
    let path = request.uri().path().to_owned();
    let route = route(&path, &shared.repository);
    let (store, repository) = (&shared.store, &shared.repository);
    match pull::answer(store, request.method(), route, request.headers()) {
        Some(answer) => answer,
        None => push::answer(store, repository, route, request).await,
    }
}

/// Whether the request shows the token, compared in a time that says nothing about it.
fn is_sender(headers: &HeaderMap, token: &str) -> bool {
    let shown = headers
        .get(AUTHORIZATION)
        .and_then(|value| value.as_bytes().strip_prefix(b"Bearer "));
    shown.is_some_and(|shown| {
        aws_lc_rs::constant_time::verify_slices_are_equal(shown, token.as_bytes()).is_ok()
    })
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    #[test]
    fn only_the_token_is_the_token() {
        let shows = |value: &'static str| {
            let headers = HeaderMap::from_iter([(AUTHORIZATION, HeaderValue::from_static(value))]);
            is_sender(&headers, "secret")
        };
        assert!(shows("Bearer secret"));
        for other in [
            "Bearer secre",
            "Bearer secrets",
            "Bearer ",
            "Basic secret",
            "secret",
        ] {
            assert!(!shows(other), "{other}");
        }
        assert!(!is_sender(&HeaderMap::new(), "secret"));
    }
}
