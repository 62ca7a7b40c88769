//! Forwarding ports of a pod over a WebSocket: in channels, as kube does it, or in the streams of
//! SPDY, as kubectl does since 1.31. SPDY by itself, as of older ones, is not spoken.

mod channels;
mod pod;
mod spdy;

use axum::body::Body;
use axum::extract::FromRequestParts;
use axum::extract::ws::WebSocketUpgrade;
use axum::response::IntoResponse;
use http::request::Parts;
use http::{HeaderMap, HeaderName, Response, header};

use super::errors::{ApiError, ApiResult};
use super::faults::Asked;
use super::handlers::Call;
use super::meta;

/// Upgrades and forwards until either side closes.
///
/// # Errors
/// 400 if it is no WebSocket of that protocol, 404 without the pod.
pub(crate) async fn handle(call: &Call, mut parts: Parts) -> ApiResult<Response<Body>> {
    let pod = call.existing()?;
    let offered = text(&parts.headers, &header::SEC_WEBSOCKET_PROTOCOL);
    let in_streams = offered.contains(spdy::PROTOCOL);
    // In streams each one says its port.
    let ports = if in_streams { Vec::new() } else { ports(call)? };
    let address = meta::text(&pod, "/status/podIP")
        .filter(|ip| !ip.is_empty())
        .map(str::to_owned)
        .ok_or_else(|| {
            ApiError::bad_request(format!(
                "unable to forward port because pod is not running. Current status={}",
                meta::text(&pod, "/status/phase").unwrap_or("Pending")
            ))
        })?;
    let upgrade = WebSocketUpgrade::from_request_parts(&mut parts, &())
        .await
        .map_err(|error| ApiError::bad_request(format!("unable to upgrade: {error}")))?;
    let stop = call.server.stop.clone();
    let target = parts.uri.path_and_query();
    let (cut, entry) = call.server.streams.enter(Asked {
        info: call.info.clone(),
        target: target.map_or_else(String::new, ToString::to_string),
        user: call.user.name.clone(),
        agent: text(&parts.headers, &header::USER_AGENT),
    });
    let response = upgrade
        .protocols([spdy::PROTOCOL, channels::PROTOCOL])
        .on_upgrade(move |socket| async move {
            let _entry = entry;
            let run = async {
                if in_streams {
                    spdy::run(socket, address).await;
                } else {
                    channels::run(socket, address, ports).await;
                }
            };
            let run = cut.run_until_cancelled_owned(Box::pin(run));
            // The connection is out of the listener's hands, so it has to hear of the end by itself.
            let _ = stop.run_until_cancelled_owned(run).await;
        });
    Ok(response.into_response())
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
