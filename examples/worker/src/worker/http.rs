//! The HTTP endpoint: `/state`, `/applied`, `/healthz`, `/readyz`. Every answer takes the memory's lock,
//! so a frozen process answers nothing.

use std::sync::Arc;

use axum::extract::{Query, State as Shared};
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use serde::Deserialize;
use tokio::net::TcpListener;
use tokio::sync::Mutex;

use super::identity;
use super::memory::Memory;
use super::report::Report;
use super::times::Times;

/// Listens on the pod's own address, as it is now.
pub(super) async fn listen(memory: &Mutex<Memory>) -> std::io::Result<TcpListener> {
    let address = {
        let memory = memory.lock().await;
        let settings = &memory.settings;
        // Not the name that a restored process still believes in: its listening socket has
        // come along to the new pod, before it knows of that itself.
        let name = identity::pod_name(&settings.hostname_file, &memory.pod);
        (
            identity::pod_address(&settings.hosts_file, &name),
            settings.listen_port,
        )
    };
    let listener = TcpListener::bind(address).await?;
    tracing::info!(address = %listener.local_addr()?, "listening");
    Ok(listener)
}

/// Answers requests until it is dropped.
pub(super) async fn serve(
    listener: TcpListener,
    memory: Arc<Mutex<Memory>>,
) -> std::io::Result<()> {
    let router = Router::new()
        .route("/state", get(state))
        .route("/applied", get(applied))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .with_state(memory);
    axum::serve(listener, router).await
}

async fn state(Shared(memory): Shared<Arc<Mutex<Memory>>>) -> Json<Report> {
    Json(Report::of(&*memory.lock().await))
}

/// What is asked of `/applied`.
#[derive(Deserialize)]
struct Since {
    /// The place of the first message that is wanted.
    #[serde(default)]
    since: u64,
}

async fn applied(
    Shared(memory): Shared<Arc<Mutex<Memory>>>,
    Query(Since { since }): Query<Since>,
) -> Json<Times> {
    Json(memory.lock().await.times.since(since))
}

async fn healthz(Shared(memory): Shared<Arc<Mutex<Memory>>>) -> &'static str {
    let _running = memory.lock().await;
    "alive\n"
}

async fn readyz(Shared(memory): Shared<Arc<Mutex<Memory>>>) -> (StatusCode, &'static str) {
    if memory.lock().await.consuming {
        (StatusCode::OK, "consuming\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "not consuming\n")
    }
}
