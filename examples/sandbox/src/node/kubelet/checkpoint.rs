//! The kubelet's checkpoint call. Its errors are plain text, as a kubelet's are.

use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::Kubelet;
use super::server::Target;
use crate::node::faults::Point;
use crate::node::runtime::Container;

/// The directory of the archives, on the node.
const DIRECTORY: &str = "/var/lib/kubelet/checkpoints";

/// How long the runtime may take, in seconds, unless the caller grants more.
const RUNTIME_TIMEOUT: u64 = 120;

#[derive(Debug, Deserialize)]
pub(super) struct Options {
    timeout: Option<String>,
}

/// Answers one call.
pub(super) async fn handle(
    State(kubelet): State<Arc<Kubelet>>,
    Path(target): Path<Target>,
    Query(options): Query<Options>,
) -> Response {
    let container = match find(&kubelet, &target) {
        Ok(container) => container,
        Err(message) => return (StatusCode::NOT_FOUND, message).into_response(),
    };
    let timeout = match options.timeout.as_deref().map(str::parse::<u64>) {
        None => RUNTIME_TIMEOUT,
        // The parameter only raises the kubelet's own limit.
        Some(Ok(seconds)) => seconds.max(RUNTIME_TIMEOUT),
        Some(Err(_)) => {
            let message = "cannot parse value of timeout parameter";
            return (StatusCode::BAD_REQUEST, message).into_response();
        }
    };
    let Target {
        namespace,
        pod,
        container: name,
    } = &target;
    let path = format!(
        "{DIRECTORY}/checkpoint-{pod}_{namespace}-{name}-{:.0}.tar",
        Timestamp::now()
    );
    match run(&kubelet, &target, container, &path, timeout).await {
        Ok(()) => axum::Json(json!({ "items": [path] })).into_response(),
        Err(error) => {
            let message = format!("checkpointing of {namespace}/{pod}/{name} failed ({error})");
            (StatusCode::INTERNAL_SERVER_ERROR, message).into_response()
        }
    }
}

fn find(kubelet: &Kubelet, target: &Target) -> Result<Option<Arc<Container>>, String> {
    let (_, state) = kubelet
        .find(&target.namespace, &target.pod)
        .ok_or("pod does not exist")?;
    let container = state
        .containers
        .get(&target.container)
        .ok_or_else(|| format!("container {} does not exist", target.container))?;
    Ok(container.container.clone())
}

async fn run(
    kubelet: &Kubelet,
    target: &Target,
    container: Option<Arc<Container>>,
    path: &str,
    timeout: u64,
) -> Result<(), String> {
    let pod = format!("{}/{}", target.namespace, target.pod);
    let ordered = kubelet
        .faults
        .strike(&kubelet.name, &pod, Point::Checkpoint)
        .await;
    if let Some(error) = ordered {
        return Err(error);
    }
    let container = container.ok_or("container is not running")?;
    let archive = kubelet.dir.join(path.trim_start_matches('/'));
    let abandoned = CancellationToken::new();
    // The runtime goes on when the caller hangs up; it only learns of it.
    let _caller = abandoned.clone().drop_guard();
    let work = tokio::spawn(async move {
        let limit = std::time::Duration::from_secs(timeout);
        container.checkpoint(&archive, limit, abandoned).await
    });
    work.await.map_err(|error| error.to_string())?
}
