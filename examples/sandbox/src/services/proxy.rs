//! A proxy in front of the registry that passes everything through, and breaks on order.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Request, State};
use axum::response::{IntoResponse as _, Response};
use http::{HeaderMap, StatusCode, header};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::Error;
use super::cut::{Cut, CutListener};

/// What the registry is to do wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ProxyFault {
    /// Only requests with this method; every one if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// Only requests whose path contains this text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Answer this status instead of passing the request on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Cut the connection once so many bytes of the request's body have passed. Requests with
    /// a shorter body pass, and do not count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cut_after_bytes: Option<u64>,
    /// Wait so many milliseconds before anything else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delay_ms: Option<u64>,
    /// How many requests.
    #[serde(default = "once")]
    pub times: u32,
}

fn once() -> u32 {
    1
}

/// The proxy's listening end.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    faults: Arc<Mutex<Vec<ProxyFault>>>,
    stopped: CancellationToken,
    _stop_on_drop: DropGuard,
}

#[derive(Clone)]
struct Forward {
    backend: SocketAddr,
    client: reqwest::Client,
    faults: Arc<Mutex<Vec<ProxyFault>>>,
}

impl Proxy {
    /// Listens on a free port of `address` and passes requests on to `backend`.
    pub(super) async fn start(address: IpAddr, backend: SocketAddr) -> Result<Self, Error> {
        let listener = TcpListener::bind((address, 0))
            .await
            .map_err(Error::io("listen for the registry's clients"))?;
        let address = listener
            .local_addr()
            .map_err(Error::io("listen for the registry's clients"))?;
        let faults = Arc::<Mutex<Vec<_>>>::default();
        let state = Forward {
            backend,
            client: reqwest::Client::builder()
                .redirect(reqwest::redirect::Policy::none())
                .no_proxy()
                .build()
                .map_err(|error| Error::io("make a client")(std::io::Error::other(error)))?,
            faults: Arc::clone(&faults),
        };
        let stopped = CancellationToken::new();
        let stop = stopped.clone();
        let app = Router::new()
            .fallback(forward)
            .with_state(state)
            .into_make_service_with_connect_info::<Cut>();
        tokio::spawn(async move {
            tokio::select! {
                // Serving ends only with the listener, which does not fail on loopback.
                _ = axum::serve(CutListener(listener), app).into_future() => {}
                () = stop.cancelled() => {}
            }
        });
        Ok(Self {
            address,
            faults,
            stopped: stopped.clone(),
            _stop_on_drop: stopped.drop_guard(),
        })
    }

    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Orders a fault, after those that are ordered already.
    pub fn order(&self, fault: ProxyFault) {
        self.lock().push(fault);
    }

    /// Takes all orders back.
    pub fn clear(&self) {
        self.lock().clear();
    }

    /// What is still ordered.
    pub fn ordered(&self) -> Vec<ProxyFault> {
        self.lock().clone()
    }

    pub(super) async fn shutdown(&self) {
        self.stopped.cancel();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<ProxyFault>> {
        self.faults.lock().expect("no holder panics")
    }
}

async fn forward(
    State(state): State<Forward>,
    ConnectInfo(connection): ConnectInfo<Cut>,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let length = parts
        .headers
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse().ok());
    let fault = take_fault(
        &state.faults,
        parts.method.as_str(),
        parts.uri.path(),
        length,
    );
    if let Some(delay) = fault.as_ref().and_then(|fault| fault.delay_ms) {
        tokio::time::sleep(Duration::from_millis(delay)).await;
    }
    if let Some(status) = fault.as_ref().and_then(|fault| fault.status) {
        return refuse(status);
    }
    if let Some(bytes) = fault.and_then(|fault| fault.cut_after_bytes) {
        connection.after(bytes);
    }
    let path = parts
        .uri
        .path_and_query()
        .map_or("/", http::uri::PathAndQuery::as_str);
    let has_body =
        length.is_some_and(|length| length > 0) || (length.is_none() && chunked(&parts.headers));
    let body = if has_body {
        reqwest::Body::wrap_stream(body.into_data_stream())
    } else {
        reqwest::Body::from("")
    };
    let sent = state
        .client
        .request(parts.method, format!("http://{}{path}", state.backend))
        .headers(end_to_end(parts.headers))
        .body(body)
        .send()
        .await;
    match sent {
        Ok(answer) => pass_back(answer),
        Err(error) => (StatusCode::BAD_GATEWAY, error.to_string()).into_response(),
    }
}

/// Takes the first fault that fits the request, and counts it down.
fn take_fault(
    faults: &Mutex<Vec<ProxyFault>>,
    method: &str,
    path: &str,
    length: Option<u64>,
) -> Option<ProxyFault> {
    let mut faults = faults.lock().expect("no holder panics");
    let fits = |fault: &ProxyFault| {
        fault.method.as_deref().is_none_or(|wanted| wanted == method)
            && fault.path.as_deref().is_none_or(|part| path.contains(part))
            && fault
                .cut_after_bytes
                .is_none_or(|cut| length.is_none_or(|length| length > cut))
            // A body of unknown length counts only where one is to be expected.
            && (fault.cut_after_bytes.is_none() || matches!(method, "PUT" | "PATCH" | "POST"))
    };
    let index = faults.iter().position(fits)?;
    faults[index].times = faults[index].times.saturating_sub(1);
    let fault = faults[index].clone();
    faults.retain(|fault| fault.times > 0);
    Some(fault)
}

/// The registry protocol's own error body, as a real one gives with such a status.
fn refuse(status: u16) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let code = match status.as_u16() {
        400 => "DIGEST_INVALID",
        401 => "UNAUTHORIZED",
        403 => "DENIED",
        404 => "NAME_UNKNOWN",
        429 => "TOOMANYREQUESTS",
        _ => "UNKNOWN",
    };
    let body = serde_json::json!({ "errors": [{ "code": code, "message": "ordered fault" }] });
    (status, axum::Json(body)).into_response()
}

fn chunked(headers: &HeaderMap) -> bool {
    headers.contains_key(header::TRANSFER_ENCODING)
}

fn end_to_end(mut headers: HeaderMap) -> HeaderMap {
    for name in [
        header::CONNECTION,
        header::TRANSFER_ENCODING,
        header::EXPECT,
    ] {
        headers.remove(name);
    }
    headers
}

fn pass_back(answer: reqwest::Response) -> Response {
    let status = answer.status();
    let headers = end_to_end(answer.headers().clone());
    let mut response = Response::new(Body::from_stream(answer.bytes_stream()));
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}
