//! The kubelet's HTTP endpoint, which the API server's proxy and its log subresource talk to.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use serde::Deserialize;
use serde_json::json;
use tokio::net::TcpListener;

use super::logs::{LogQuery, follow};
use super::{Kubelet, checkpoint, stats};

/// Serves until the task is dropped.
pub(super) async fn serve(kubelet: Arc<Kubelet>, listener: TcpListener) {
    let app = Router::new()
        .route("/healthz", get(async || "ok"))
        .route("/metrics", get(metrics))
        .route("/stats/summary", get(stats::summary))
        .route("/pods", get(pods))
        .route("/containerLogs/{namespace}/{pod}/{container}", get(logs))
        .route(
            "/checkpoint/{namespace}/{pod}/{container}",
            post(checkpoint::handle),
        )
        .with_state(kubelet);
    if let Err(error) = axum::serve(listener, app).await {
        tracing::error!(%error, "a kubelet has stopped serving");
    }
}

/// The one metric that tells whether the checkpoint call is there.
async fn metrics(State(kubelet): State<Arc<Kubelet>>) -> String {
    let on = u8::from(kubelet.setup.borrow().container_checkpoint);
    format!(
        "# HELP kubernetes_feature_enabled [BETA] This metric records the data about the stage and enablement of a k8s feature.\n\
         # TYPE kubernetes_feature_enabled gauge\n\
         kubernetes_feature_enabled{{name=\"ContainerCheckpoint\",stage=\"BETA\"}} {on}\n"
    )
}

/// A container of a pod, as the endpoint's paths name it.
#[derive(Debug, Deserialize)]
pub(super) struct Target {
    pub(super) namespace: String,
    pub(super) pod: String,
    pub(super) container: String,
}

async fn pods(State(kubelet): State<Arc<Kubelet>>) -> Response {
    let pods = kubelet.pods.lock().expect("no holder panics");
    let items: Vec<_> = pods
        .values()
        .map(|handle| json!(**handle.object.borrow()))
        .collect();
    axum::Json(json!({ "kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": items }))
        .into_response()
}

async fn logs(
    State(kubelet): State<Arc<Kubelet>>,
    Path(target): Path<Target>,
    Query(query): Query<LogQuery>,
) -> Response {
    let Some((_, state)) = kubelet.find(&target.namespace, &target.pod) else {
        let message = format!("pod does not exist: {}/{}", target.namespace, target.pod);
        return (StatusCode::NOT_FOUND, message).into_response();
    };
    let Some(state) = state.containers.get(&target.container) else {
        let message = format!(
            "container {} not found in pod {}",
            target.container, target.pod
        );
        return (StatusCode::NOT_FOUND, message).into_response();
    };
    match follow(state, &query) {
        Ok(body) => body.into_response(),
        Err(message) => (StatusCode::BAD_REQUEST, message).into_response(),
    }
}
