//! The sandbox's own endpoints under `/sandbox/`: faults are ordered, open streams cut, requests
//! counted. RBAC keeps them to those who may do anything. Carrying faults out is not here.

use std::sync::Arc;

use axum::body::Body;
use bytes::Bytes;
use http::{Method, Response};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use super::errors::{ApiError, ApiResult, json_response};
use super::faults::{Fault, FaultMatch, FaultOrder, Matcher};
use super::request::Query;
use super::server::Server;

/// Answers a request for a path below `/sandbox/`.
pub(crate) fn handle(
    server: &Arc<Server>,
    method: &Method,
    path: &str,
    query: &Query,
    body: &Bytes,
) -> ApiResult<Response<Body>> {
    match (method, path) {
        (&Method::POST, "faults") => order(server, body),
        (&Method::GET, "faults") => Ok(json_response(
            200,
            &json!({"pending": server.faults.pending()}),
        )),
        (&Method::DELETE, "faults") => {
            server.faults.clear();
            Ok(json_response(200, &json!({})))
        }
        (&Method::DELETE, other) => cancel(server, other),
        (&Method::POST, "cut") => cut(server, body),
        (&Method::GET, "requests") => requests(server, query),
        (&Method::POST, "compact") => {
            server.store.compact();
            Ok(json_response(
                200,
                &json!({"resourceVersion": server.store.version().to_string()}),
            ))
        }
        _ => Err(ApiError::no_such_path()),
    }
}

fn order(server: &Server, body: &Bytes) -> ApiResult<Response<Body>> {
    let order: FaultOrder = read(body)?;
    let fault = Fault::try_from(order).map_err(ApiError::bad_request)?;
    let id = server
        .faults
        .order(fault)
        .map_err(|error| ApiError::bad_request(error.to_string()))?;
    Ok(json_response(200, &json!({"id": id})))
}

fn cancel(server: &Server, path: &str) -> ApiResult<Response<Body>> {
    let id = path
        .strip_prefix("faults/")
        .and_then(|id| id.parse().ok())
        .ok_or_else(ApiError::no_such_path)?;
    let code = if server.faults.cancel(id) { 200 } else { 404 };
    Ok(json_response(code, &json!({"id": id})))
}

/// Which streams are to be cut.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct CutOrder {
    #[serde(rename = "match", default)]
    matches: FaultMatch,
}

fn cut(server: &Server, body: &Bytes) -> ApiResult<Response<Body>> {
    let order: CutOrder = read(body)?;
    let matcher =
        Matcher::new(order.matches).map_err(|error| ApiError::bad_request(error.to_string()))?;
    let cut = server.streams.cut(&matcher);
    Ok(json_response(200, &json!({"cut": cut})))
}

fn requests(server: &Server, query: &Query) -> ApiResult<Response<Body>> {
    let since = query
        .number("since")?
        .and_then(|number| u64::try_from(number).ok())
        .unwrap_or(0);
    let report = server.requests.report(since, query.get("user"));
    let report = serde_json::to_value(report).map_err(ApiError::internal)?;
    Ok(json_response(200, &report))
}

fn read<T: DeserializeOwned>(body: &Bytes) -> ApiResult<T> {
    serde_json::from_slice(body).map_err(|error| ApiError::bad_request(error.to_string()))
}
