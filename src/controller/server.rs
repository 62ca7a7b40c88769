//! `/metrics`, `/healthz` and `/readyz`: what Prometheus and the kubelet ask for.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::health::Health;

/// What Prometheus expects of OpenMetrics.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Listens, and serves until `stop`. Gives the address, whose port may have been 0.
///
/// # Errors
/// The address is taken, or not ours.
pub(super) async fn serve(
    address: SocketAddr,
    health: Arc<Health>,
    stop: CancellationToken,
) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind(address).await?;
    let address = listener.local_addr()?;
    let router = Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .with_state(health);
    tokio::spawn(async move {
        let served = axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned());
        if let Err(error) = served.await {
            tracing::error!(%error, "nobody can ask for metrics and health any more");
        }
    });
    Ok(address)
}

async fn metrics(State(health): State<Arc<Health>>) -> Response {
    match health.scrape() {
        Ok(text) => ([(CONTENT_TYPE, OPEN_METRICS)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

async fn healthz(State(health): State<Arc<Health>>) -> Response {
    answer(health.is_alive())
}

async fn readyz(State(health): State<Arc<Health>>) -> Response {
    answer(health.is_ready())
}

/// `ok`, or what is wrong.
fn answer(verdict: Result<(), &'static str>) -> Response {
    match verdict {
        Ok(()) => (StatusCode::OK, "ok").into_response(),
        Err(why) => (StatusCode::SERVICE_UNAVAILABLE, why).into_response(),
    }
}
