//! Connections that go through the API server: the node proxy, pod logs, the pod proxy.
//!
//! Bodies are streamed both ways and there is no deadline, as in the real node proxy; when the
//! client goes away, so does the request to the kubelet.

use axum::body::Body;
use futures_util::TryStreamExt;
use http::request::Parts;
use http::{HeaderMap, HeaderName, Method, Response, StatusCode, header};
use serde_json::{Value, json};

use super::errors::{ApiError, ApiResult};
use super::handlers::Call;
use super::{meta, portforward};

/// Headers that are about one connection, and the caller's credentials, which stay here.
const NOT_FORWARDED: &[HeaderName] = &[
    header::CONNECTION,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::TE,
    header::TRAILER,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::AUTHORIZATION,
    header::HOST,
];

/// Whether this request is handled here, with its body unread.
pub(crate) fn is_streamed(call: &Call) -> bool {
    call.def.has_subresource(&call.info.subresource)
        && (call.info.connects() || (call.def.is("pods") && call.info.subresource == "log"))
}

/// Connects.
///
/// # Errors
/// 404 for an unknown node or pod, 503 when it cannot be reached.
pub(crate) async fn handle(call: Call, parts: Parts, body: Body) -> ApiResult<Response<Body>> {
    match (&*call.def.key, call.info.subresource.as_str()) {
        ("nodes", "proxy") => {
            let node = call.existing()?;
            let url = format!("{}{}", kubelet(&node)?, target(&call, &parts, ""));
            forward(&call, parts, body, &url).await
        }
        ("pods", "proxy") => pod_proxy(&call, parts, body).await,
        ("pods", "log") => log(&call).await,
        ("pods", "portforward") => portforward::handle(&call, parts).await,
        _ => Err(ApiError::bad_request(format!(
            "{} is not served by the sandbox",
            call.info.subresource
        ))),
    }
}

/// The path behind the proxy with the query, as it came.
fn target(call: &Call, parts: &Parts, default: &str) -> String {
    let path = if call.info.rest.is_empty() {
        default
    } else {
        &call.info.rest
    };
    match parts.uri.query() {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    }
}

/// The base URL of a node's kubelet.
fn kubelet(node: &Value) -> ApiResult<String> {
    let address = meta::list(node, "/status/addresses")
        .iter()
        .find(|address| meta::text(address, "/type") == Some("InternalIP"))
        .and_then(|address| meta::text(address, "/address"));
    let Some(address) = address else {
        return Err(ApiError::internal(
            "no preferred addresses found; known addresses: []",
        ));
    };
    let port = meta::int(node, "/status/daemonEndpoints/kubeletEndpoint/Port").unwrap_or(10250);
    Ok(format!("http://{address}:{port}"))
}

async fn forward(call: &Call, parts: Parts, body: Body, url: &str) -> ApiResult<Response<Body>> {
    let headers: HeaderMap = parts
        .headers
        .iter()
        .filter(|(name, _)| !NOT_FORWARDED.contains(name))
        .map(|(n, v)| (n.clone(), v.clone()))
        .collect();
    let mut request = call
        .server
        .http
        .request(parts.method.clone(), url)
        .headers(headers);
    if !matches!(parts.method, Method::GET | Method::HEAD) {
        request = request.body(reqwest::Body::wrap_stream(body.into_data_stream()));
    }
    let answer = request
        .send()
        .await
        .map_err(|error| unreachable_error(&error))?;
    let mut response = Response::new(Body::empty());
    *response.status_mut() = answer.status();
    for (name, value) in answer
        .headers()
        .iter()
        .filter(|(name, _)| !NOT_FORWARDED.contains(name))
    {
        response.headers_mut().append(name.clone(), value.clone());
    }
    *response.body_mut() = Body::from_stream(answer.bytes_stream());
    Ok(response)
}

fn unreachable_error(error: &reqwest::Error) -> ApiError {
    let mut cause: &dyn std::error::Error = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    ApiError::new(
        503,
        "ServiceUnavailable",
        format!("error trying to reach service: {cause}"),
    )
}

/// `/pods/[<scheme>:]<name>[:<port>]/proxy/<path>`.
async fn pod_proxy(call: &Call, parts: Parts, body: Body) -> ApiResult<Response<Body>> {
    let (name, port) = match call.info.name.split(':').collect::<Vec<_>>().as_slice() {
        [name] | ["http", name, ""] => ((*name).to_owned(), None),
        [name, port] | ["http", name, port] => ((*name).to_owned(), Some((*port).to_owned())),
        _ => {
            return Err(ApiError::bad_request(format!(
                "invalid pod request {:?}",
                call.info.name
            )));
        }
    };
    let pod = pod(call, &name)?;
    let port = port
        .or_else(|| {
            meta::int(&pod, "/spec/containers/0/ports/0/containerPort").map(|port| port.to_string())
        })
        .unwrap_or_else(|| "80".to_owned());
    let address = meta::text(&pod, "/status/podIP")
        .filter(|ip| !ip.is_empty())
        .ok_or_else(|| {
            ApiError::new(
                503,
                "ServiceUnavailable",
                format!("address not allowed: pod {name:?} has no IP"),
            )
        })?;
    let url = format!("http://{address}:{port}{}", target(call, &parts, "/"));
    forward(call, parts, body, &url).await
}

/// The pod of that name.
pub(crate) fn pod(call: &Call, name: &str) -> ApiResult<std::sync::Arc<Value>> {
    call.server
        .store
        .get("pods", call.namespace(), name)
        .ok_or_else(|| ApiError::not_found(&call.def, name))
}

async fn log(call: &Call) -> ApiResult<Response<Body>> {
    let pod = call.existing()?;
    let container = log_container(call, &pod)?;
    let node_name = meta::text(&pod, "/spec/nodeName").unwrap_or_default();
    if node_name.is_empty() {
        // Nothing has been logged yet.
        return Ok(text(StatusCode::OK, Body::empty()));
    }
    let node = call
        .server
        .store
        .get("nodes", "", node_name)
        .ok_or_else(|| {
            ApiError::internal(format!(
                "Get \"https://{node_name}:10250/containerLogs\": no such node"
            ))
        })?;
    let mut url = url::Url::parse(&format!(
        "{}/containerLogs/{}/{}/{container}",
        kubelet(&node)?,
        call.namespace(),
        call.info.name
    ))
    .map_err(ApiError::internal)?;
    for option in [
        "follow",
        "previous",
        "sinceSeconds",
        "sinceTime",
        "timestamps",
        "tailLines",
        "limitBytes",
    ] {
        if let Some(value) = call.query.get(option) {
            url.query_pairs_mut().append_pair(option, value);
        }
    }
    let answer = call
        .server
        .http
        .get(url)
        .send()
        .await
        .map_err(|error| unreachable_error(&error))?;
    if answer.status() == StatusCode::OK {
        return Ok(text(
            StatusCode::OK,
            Body::from_stream(answer.bytes_stream().map_err(std::io::Error::other)),
        ));
    }
    let code = answer.status();
    let words = answer.text().await.unwrap_or_default();
    Err(match code.as_u16() {
        400 => ApiError::bad_request(words.trim_end()),
        404 => {
            let message = format!(
                "the server could not find the requested resource ( pods/log {})",
                call.info.name
            );
            let mut error = ApiError::new(404, "NotFound", message);
            error.details = Some(
                json!({"name": call.info.name, "kind": "pods/log", "causes": [
                    {"reason": "UnexpectedServerResponse", "message": words},
                ]}),
            );
            error
        }
        _ => ApiError::internal(words.trim_end()),
    })
}

fn text(code: StatusCode, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = code;
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        http::HeaderValue::from_static("text/plain"),
    );
    response
}

/// The container whose log is wanted; the only one if none is named.
fn log_container(call: &Call, pod: &Value) -> ApiResult<String> {
    let names = |pointer: &str| -> Vec<String> {
        meta::list(pod, pointer)
            .iter()
            .filter_map(|c| meta::text(c, "/name"))
            .map(str::to_owned)
            .collect()
    };
    let (containers, inits) = (names("/spec/containers"), names("/spec/initContainers"));
    if let Some(wanted) = call.query.get("container") {
        if containers.iter().chain(&inits).any(|name| name == wanted) {
            return Ok(wanted.to_owned());
        }
        return Err(ApiError::bad_request(format!(
            "container {wanted} is not valid for pod {}",
            call.info.name
        )));
    }
    match containers.as_slice() {
        [only] => Ok(only.clone()),
        many => {
            let mut message = format!(
                "a container name must be specified for pod {}, choose one of: [{}]",
                call.info.name,
                many.join(" ")
            );
            if !inits.is_empty() {
                message.push_str(&format!(
                    " or one of the init containers: [{}]",
                    inits.join(" ")
                ));
            }
            Err(ApiError::bad_request(message))
        }
    }
}
