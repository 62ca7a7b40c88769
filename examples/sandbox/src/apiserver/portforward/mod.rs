//! Forwarding ports of a pod: in the channels of a WebSocket, as kube does it, or in the streams of
//! SPDY, as kubectl does, within a WebSocket or without.

mod channels;
mod pod;
mod spdy;

use std::pin::Pin;

use axum::body::Body;
use axum::extract::FromRequestParts;
use axum::extract::ws::WebSocketUpgrade;
use axum::response::IntoResponse;
use http::request::Parts;
use http::{HeaderMap, HeaderName, Response, StatusCode, header};
use hyper::upgrade::OnUpgrade;

use super::errors::{ApiError, ApiResult};
use super::faults::Asked;
use super::handlers::Call;
use super::meta;

/// Upgrades and forwards until either side closes.
///
/// # Errors
/// 400 if it is no upgrade to one of these, 404 without the pod.
pub(crate) async fn handle(call: &Call, mut parts: Parts) -> ApiResult<Response<Body>> {
    let pod = call.existing()?;
    let address = meta::text(&pod, "/status/podIP")
        .filter(|ip| !ip.is_empty())
        .map(str::to_owned)
        .ok_or_else(|| {
            ApiError::bad_request(format!(
                "unable to forward port because pod is not running. Current status={}",
                meta::text(&pod, "/status/phase").unwrap_or("Pending")
            ))
        })?;
    let target = parts.uri.path_and_query();
    let (cut, entry) = call.server.streams.enter(Asked {
        info: call.info.clone(),
        target: target.map_or_else(String::new, ToString::to_string),
        user: call.user.name.clone(),
        agent: text(&parts.headers, &header::USER_AGENT),
    });
    // The connection is out of the listener's hands, so it has to hear of the end by itself.
    let stop = call.server.stop.clone();
    let held = async move |run: Run| {
        let _entry = entry;
        let run = cut.run_until_cancelled_owned(run);
        let _ = stop.run_until_cancelled_owned(run).await;
    };
    if text(&parts.headers, &header::UPGRADE).eq_ignore_ascii_case(spdy::UPGRADE) {
        let upgrade = parts.extensions.remove::<OnUpgrade>();
        let upgrade = upgrade.ok_or_else(|| ApiError::bad_request("unable to upgrade"))?;
        tokio::spawn(held(Box::pin(spdy::on_connection(upgrade, address))));
        return switched();
    }
    let offered = text(&parts.headers, &header::SEC_WEBSOCKET_PROTOCOL);
    let in_streams = offered.contains(spdy::IN_WEB_SOCKET);
    // In streams each one says its port.
    let ports = if in_streams { Vec::new() } else { ports(call)? };
    let upgrade = WebSocketUpgrade::from_request_parts(&mut parts, &())
        .await
        .map_err(|error| ApiError::bad_request(format!("unable to upgrade: {error}")))?;
    let response = upgrade
        .protocols([spdy::IN_WEB_SOCKET, channels::PROTOCOL])
        .on_upgrade(move |socket| {
            let run: Run = if in_streams {
                Box::pin(spdy::in_messages(socket, address))
            } else {
                Box::pin(channels::run(socket, address, ports))
            };
            held(run)
        });
    Ok(response.into_response())
}

/// What carries the bytes.
type Run = Pin<Box<dyn Future<Output = ()> + Send>>;

/// From here on it is SPDY.
fn switched() -> ApiResult<Response<Body>> {
    Response::builder()
        .status(StatusCode::SWITCHING_PROTOCOLS)
        .header(header::CONNECTION, "Upgrade")
        .header(header::UPGRADE, spdy::UPGRADE)
        .header("X-Stream-Protocol-Version", spdy::PROTOCOL)
        .body(Body::empty())
        .map_err(ApiError::internal)
}

fn text(headers: &HeaderMap, name: &HeaderName) -> String {
    let text = headers.get(name).and_then(|text| text.to_str().ok());
    text.unwrap_or_default().to_owned()
}

/// The ports asked for, as `ports=1,2` or `ports=1&ports=2`.
fn ports(call: &Call) -> ApiResult<Vec<u16>> {
    let text = call
        .query
        .get("ports")
        .ok_or_else(|| ApiError::bad_request("query parameter \"ports\" is required"))?;
    text.split(',')
        .map(|port| {
            port.parse()
                .map_err(|_| ApiError::bad_request(format!("unable to parse {port:?} as a port")))
        })
        .collect()
}
