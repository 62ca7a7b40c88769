//! The kubelet's checkpoint call. Its errors are plain text, as a kubelet's are.

use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use jiff::Timestamp;
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec,
};
use kube::Api;
use kube::api::PostParams;
use serde::Deserialize;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::Kubelet;
use super::host;
use super::server::Target;
use crate::node::faults::Point;
use crate::node::runtime::Container;

/// The directory of the archives, on the node.
const DIRECTORY: &str = "/var/lib/kubelet/checkpoints";

/// The name in the client certificate by which kubeadm lets the API server call kubelets.
const API_SERVER: &str = "kube-apiserver-kubelet-client";

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
    if let Err(refusal) = authorized(&kubelet).await {
        return refusal.into_response();
    }
    if !kubelet.setup.borrow().container_checkpoint {
        // There is no such route.
        return (StatusCode::NOT_FOUND, "404 page not found\n").into_response();
    }
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

/// Whether the API server's own identity may ask for checkpoints: a kubelet looks before it routes the
/// call.
async fn authorized(kubelet: &Kubelet) -> Result<(), (StatusCode, String)> {
    if kubelet.setup.borrow().api_server_is_admin {
        return Ok(());
    }
    let reviews: Api<SubjectAccessReview> = Api::all(kubelet.client.clone());
    let review = SubjectAccessReview {
        spec: SubjectAccessReviewSpec {
            user: Some(API_SERVER.to_owned()),
            groups: Some(vec!["system:authenticated".to_owned()]),
            resource_attributes: Some(ResourceAttributes {
                verb: Some("create".to_owned()),
                resource: Some("nodes".to_owned()),
                subresource: Some("checkpoint".to_owned()),
                name: Some(kubelet.name.clone()),
                ..ResourceAttributes::default()
            }),
            ..SubjectAccessReviewSpec::default()
        },
        ..SubjectAccessReview::default()
    };
    let answer = reviews.create(&PostParams::default(), &review).await;
    match answer {
        Ok(answer) if answer.status.as_ref().is_some_and(|it| it.allowed) => Ok(()),
        Ok(_) => Err((
            StatusCode::FORBIDDEN,
            format!(
                "Forbidden (user={API_SERVER}, verb=create, resource=nodes, subresource(s)=[checkpoint])\n"
            ),
        )),
        Err(error) => Err((
            StatusCode::INTERNAL_SERVER_ERROR,
            format!("Authorization error: {error}\n"),
        )),
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
    let personality = kubelet.runtime.personality;
    if let Some(refusal) = host::refusal(&kubelet.dir, personality, &container) {
        return Err(refusal);
    }
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
