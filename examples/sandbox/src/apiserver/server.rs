//! The server's state, and the way of a request through it: who, whether, which handler.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::body::{Body, to_bytes};
use bytes::Bytes;
use color_eyre::eyre::{Result, WrapErr};
use http::{Method, Request, Response};
use tokio_util::sync::CancellationToken;

use super::errors::{ApiError, ApiResult, bytes_response, json_response};
use super::faults::{Faults, Streams};
use super::handlers::{self, Call};
use super::observe::Observed;
use super::rbac::{self, Attributes};
use super::requests::RequestLog;
use super::resource::Registry;
use super::store::Store;
use super::tls::{self, Tls};
use super::{Options, auth, builtin, discovery, openapi, orders, proxy};

/// The most a request's body may have, as in a real server (3 MiB).
const BODY_LIMIT: usize = 3 * 1024 * 1024;

/// Everything that requests share.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) store: Store,
    pub(crate) registry: Registry,
    pub(crate) faults: Faults,
    pub(crate) streams: Streams,
    pub(crate) requests: RequestLog,
    pub(crate) admin_token: String,
    pub(crate) addr: SocketAddr,
    pub(crate) tls: Tls,
    /// Ends what outlives its connection.
    pub(crate) stop: CancellationToken,
    /// For the proxies: no deadline and no kept connections, which might be dead ones.
    pub(crate) http: reqwest::Client,
}

impl Server {
    pub(crate) fn new(
        options: &Options,
        addr: SocketAddr,
        stop: CancellationToken,
    ) -> Result<Self> {
        let http = reqwest::Client::builder()
            .no_proxy()
            .http1_only()
            .pool_max_idle_per_host(0)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .wrap_err("cannot make an HTTP client for the proxies")?;
        Ok(Self {
            store: Store::new(options.history),
            registry: Registry::new(builtin::resources()),
            faults: Faults::default(),
            streams: Streams::default(),
            requests: RequestLog::default(),
            admin_token: options.admin_token.clone(),
            addr,
            stop,
            tls: tls::make(addr.ip())?,
            http,
        })
    }
}

/// Answers any request.
pub(crate) async fn respond(server: Arc<Server>, mut request: Request<Body>) -> Response<Body> {
    let Some(observed) = request.extensions_mut().remove::<Observed>() else {
        return ApiError::internal("a request came past the observing layer").into_response();
    };
    let result = route(server, observed, request).await;
    result.unwrap_or_else(ApiError::into_response)
}

async fn route(
    server: Arc<Server>,
    observed: Observed,
    request: Request<Body>,
) -> ApiResult<Response<Body>> {
    let Observed { info, query, user } = observed;
    let mut user = user?;
    if let Some(other) = auth::impersonated(request.headers()) {
        let wanted = Attributes {
            verb: "impersonate".into(),
            resource: "users".into(),
            name: other.name.clone(),
            ..Attributes::default()
        };
        rbac::allows(&server.store, &user, &wanted).ok_or_else(|| wanted.refusal(&user))?;
        user = other;
    }
    let wanted = Attributes::of(&info);
    if rbac::allows(&server.store, &user, &wanted).is_none() {
        return Err(wanted.refusal(&user));
    }
    if info.enters_a_pod() {
        // A WebSocket begins with a GET, which is not to be enough: since 1.35 (KEP-4006).
        let create = Attributes {
            verb: "create".into(),
            ..wanted
        };
        rbac::allows(&server.store, &user, &create).ok_or_else(|| create.refusal(&user))?;
    }
    if !info.is_resource {
        return no_resource(&server, request).await;
    }
    let def = server
        .registry
        .find(&info.group, &info.version, &info.resource)
        .ok_or_else(ApiError::no_such_path)?;
    let (parts, body) = request.into_parts();
    let call = Call {
        server,
        def,
        info,
        query,
        user,
        headers: parts.headers.clone(),
    };
    if proxy::is_streamed(&call) {
        return proxy::handle(call, parts, body).await;
    }
    let body = read(body).await?;
    handlers::handle(call, &body)
}

async fn read(body: Body) -> ApiResult<Bytes> {
    to_bytes(body, BODY_LIMIT).await.map_err(|error| {
        ApiError::new(
            413,
            "RequestEntityTooLarge",
            format!("Request entity too large: {error} (limit is {BODY_LIMIT})"),
        )
    })
}

async fn no_resource(server: &Arc<Server>, request: Request<Body>) -> ApiResult<Response<Body>> {
    let path = request.uri().path().trim_end_matches('/').to_owned();
    if let Some(rest) = path.strip_prefix("/sandbox/") {
        let (parts, body) = request.into_parts();
        let query = super::request::Query::parse(&parts.uri);
        return orders::handle(server, &parts.method, rest, &query, &read(body).await?);
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return Err(ApiError::method_not_allowed());
    }
    match path.as_str() {
        "/healthz" | "/readyz" | "/livez" => Ok(bytes_response(
            200,
            "text/plain; charset=utf-8",
            Bytes::from_static(b"ok"),
        )),
        "/version" => Ok(json_response(200, &discovery::version())),
        "/metrics" => Ok(bytes_response(
            200,
            "text/plain; version=0.0.4; charset=utf-8",
            metrics(server).into(),
        )),
        "/openapi/v2" => Ok(openapi::v2(request.headers())),
        "/openapi/v3" => Ok(json_response(200, &openapi::v3_index(server))),
        _ => match path.strip_prefix("/openapi/v3/") {
            Some(of) => openapi::v3(server, of).map(|document| json_response(200, &document)),
            None => {
                discovery::discover(server, &path).map(|document| json_response(200, &document))
            }
        },
    }
}

fn metrics(server: &Server) -> String {
    let requests = server.requests.report(u64::MAX, None);
    format!(
        "# HELP sandbox_apiserver_resource_version The version of the newest change.\n\
         # TYPE sandbox_apiserver_resource_version counter\nsandbox_apiserver_resource_version {}\n\
         # HELP apiserver_request_total Requests so far.\n# TYPE apiserver_request_total counter\napiserver_request_total {}\n",
        server.store.version(),
        requests.last()
    )
}
