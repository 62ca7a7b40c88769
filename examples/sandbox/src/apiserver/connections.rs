//! Accepting connections, with TLS or without as the client begins, and speaking HTTP on them.
//! A request that is to be cut fails its service, and that ends the connection.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use http::Request;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::{Layer, ServiceExt, service_fn};

use super::observe::ObserveLayer;
use super::server::{Server, respond};

/// Accepts until `stop`; each connection is a task of `tasks`.
pub(crate) async fn serve(
    listener: TcpListener,
    server: Arc<Server>,
    stop: CancellationToken,
    tasks: TaskTracker,
) {
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                tasks.spawn(
                    stop.clone()
                        .run_until_cancelled_owned(connection(stream, server.clone())),
                );
            }
            Err(error) => {
                // Out of descriptors, most likely; trying again at once would only spin.
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

async fn connection(stream: TcpStream, server: Arc<Server>) {
    /// The first byte of a TLS handshake; no HTTP method begins with it.
    const HANDSHAKE: u8 = 0x16;
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "cannot switch Nagle's algorithm off");
    }
    let mut first = [0];
    if !matches!(stream.peek(&mut first).await, Ok(1)) {
        return;
    }
    if first == [HANDSHAKE] {
        match server.tls.acceptor.clone().accept(stream).await {
            Ok(stream) => serve_http(stream, server).await,
            Err(error) => tracing::debug!(%error, "no TLS with a client"),
        }
    } else {
        serve_http(stream, server).await;
    }
}

async fn serve_http(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    server: Arc<Server>,
) {
    let observed = server.clone();
    let inner = service_fn(move |request: Request<Body>| {
        let server = server.clone();
        async move { Ok::<_, std::convert::Infallible>(respond(server, request).await) }
    });
    let service = ObserveLayer::new(observed)
        .layer(inner)
        .map_request(|request: Request<hyper::body::Incoming>| request.map(Body::new));
    let builder = Builder::new(TokioExecutor::new());
    let served = builder
        .serve_connection_with_upgrades(TokioIo::new(stream), TowerToHyperService::new(service))
        .await;
    if let Err(error) = served {
        tracing::trace!(%error, "connection ended");
    }
}
