//! Where faults are ordered of nodes, broker and registry: a small HTTP API on loopback. Those
//! of the Kubernetes API are ordered of the API server itself.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use color_eyre::eyre::{Result, WrapErr as _, bail, eyre};
use rustix::process::Signal;
use serde::Deserialize;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::node::{Fault, Faults, SetupOrder};
use crate::sandbox::Nodes;
use crate::services::{Broker, ProxyFault, Registry, sockets_of};

/// What can be made to fail.
#[derive(Clone)]
pub struct ControlState {
    /// The kubelets' faults.
    pub faults: Arc<Faults>,
    /// The nodes.
    pub nodes: Arc<Nodes>,
    /// The broker.
    pub broker: Arc<Broker>,
    /// The registry.
    pub registry: Arc<Registry>,
}

/// The running control endpoint.
pub struct Control {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Control {
    /// Serves on a free port of `address`.
    ///
    /// # Errors
    /// When that cannot be listened on.
    pub async fn start(address: IpAddr, state: ControlState) -> Result<Self> {
        let listener = TcpListener::bind((address, 0))
            .await
            .wrap_err("failed to listen for control calls")?;
        let address = listener.local_addr()?;
        let app = Router::new()
            .route("/kubelet", get(kubelet).post(order_kubelet))
            .route("/node", post(node))
            .route("/container", post(container))
            .route("/broker", post(broker))
            .route("/registry", get(registry).post(order_registry))
            .route("/faults", get(all).delete(clear))
            .with_state(state);
        let task = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, app).await {
                tracing::error!(%error, "control calls are not served any more");
            }
        });
        Ok(Self { address, task })
    }

    /// The base URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Ends the endpoint.
    pub async fn stop(self) {
        self.task.abort();
        // Cancelled, which is what was asked for.
        let _ = self.task.await;
    }
}

async fn all(State(state): State<ControlState>) -> Response {
    let body = json!({
        "kubelet": state.faults.open(),
        "registry": state.registry.proxy().ordered(),
    });
    Json(body).into_response()
}

async fn clear(State(state): State<ControlState>) -> StatusCode {
    state.faults.clear();
    state.registry.proxy().clear();
    StatusCode::NO_CONTENT
}

async fn kubelet(State(state): State<ControlState>) -> Json<Vec<Fault>> {
    Json(state.faults.open())
}

async fn order_kubelet(State(state): State<ControlState>, Json(fault): Json<Fault>) -> Response {
    match state.faults.order(fault) {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(error) => (StatusCode::BAD_REQUEST, error.to_string()).into_response(),
    }
}

/// What is to become of a node.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct NodeOrder {
    node: String,
    /// Whether it says that it is ready.
    ready: Option<bool>,
    /// Whether it has power.
    running: Option<bool>,
    /// Whether it now removes the images that no container uses.
    #[serde(default)]
    collect_images: bool,
    /// Whether its CRI-O has been told that localhost speaks plain HTTP.
    insecure_localhost: Option<bool>,
    /// How it is set up otherwise from now on.
    setup: Option<SetupOrder>,
}

async fn node(State(state): State<ControlState>, Json(order): Json<NodeOrder>) -> Response {
    let done = async {
        match order.running {
            Some(true) => state.nodes.start_one(&order.node).await?,
            Some(false) => state.nodes.kill(&order.node).await?,
            None => {}
        }
        if order.collect_images {
            state.nodes.collect_images(&order.node).await?;
        }
        if let Some(insecure) = order.insecure_localhost {
            let nodes = &state.nodes;
            nodes.set_insecure_localhost(&order.node, insecure).await?;
        }
        if let Some(setup) = order.setup {
            state.nodes.set_up(&order.node, setup).await?;
        }
        match order.ready {
            Some(ready) => state.nodes.set_ready(&order.node, ready).await,
            None => Ok(()),
        }
    };
    answer(done.await)
}

/// What is to become of a container.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ContainerOrder {
    /// `namespace/name`.
    pod: String,
    /// The first one if absent.
    container: Option<String>,
    #[serde(rename = "do")]
    action: ContainerAction,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum ContainerAction {
    /// SIGKILL to all its processes, as after running out of memory.
    Kill,
    /// Let its process hang.
    Pause,
    /// Let it go on.
    Resume,
}

async fn container(
    State(state): State<ControlState>,
    Json(order): Json<ContainerOrder>,
) -> Response {
    let signal = match order.action {
        ContainerAction::Kill => Signal::KILL,
        ContainerAction::Pause => Signal::STOP,
        ContainerAction::Resume => Signal::CONT,
    };
    let found = state
        .nodes
        .container(&order.pod, order.container.as_deref());
    answer(found.await.map(|container| container.signal(signal)))
}

/// What is to become of the broker.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct BrokerOrder {
    #[serde(rename = "do")]
    action: BrokerAction,
    /// `namespace/name` of the pod whose connections are meant; all connections if absent.
    pod: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum BrokerAction {
    /// Stop in order.
    Stop,
    /// Stop by SIGKILL.
    Kill,
    /// Start if it is not running.
    Start,
    /// Stop in order, then start.
    Restart,
    /// Close connections.
    Disconnect,
}

async fn broker(State(state): State<ControlState>, Json(order): Json<BrokerOrder>) -> Response {
    use BrokerAction::{Disconnect, Kill, Restart, Start, Stop};
    if order.action == Disconnect {
        return match disconnect(&state, order.pod.as_deref()).await {
            Ok(closed) => Json(json!({ "closed": closed })).into_response(),
            Err(error) => answer(Err(error)),
        };
    }
    let done = async {
        if order.pod.is_some() {
            bail!("only the connections can be those of one pod");
        }
        if matches!(order.action, Stop | Kill | Restart) {
            state.broker.stop(order.action == Kill).await?;
        }
        if matches!(order.action, Start | Restart) {
            state.broker.resume().await?;
        }
        Ok(())
    };
    answer(done.await)
}

/// Closes the connections of a pod's first container, or all.
async fn disconnect(state: &ControlState, pod: Option<&str>) -> Result<usize> {
    let sockets = match pod {
        Some(pod) => {
            let container = state.nodes.container(pod, None).await?;
            let pid = container
                .pid()
                .ok_or_else(|| eyre!("the container of pod {pod} has just ended"))?;
            Some(sockets_of(pid.as_raw_pid())?)
        }
        None => None,
    };
    Ok(state.broker.disconnect(sockets.as_ref()).await?)
}

async fn registry(State(state): State<ControlState>) -> Json<Vec<ProxyFault>> {
    Json(state.registry.proxy().ordered())
}

async fn order_registry(
    State(state): State<ControlState>,
    Json(fault): Json<ProxyFault>,
) -> StatusCode {
    state.registry.proxy().order(fault);
    StatusCode::NO_CONTENT
}

fn answer(done: Result<()>) -> Response {
    match done {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(error) => (StatusCode::BAD_REQUEST, format!("{error:#}")).into_response(),
    }
}
