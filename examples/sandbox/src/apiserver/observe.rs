//! The tower layer around everything: reads what a request asks for and who asks, writes it
//! into the request log, and carries out the faults that are on order.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, HttpBody};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::{Request, Response};
use serde_json::json;
use tower::{Layer, Service};

use super::auth::{self, User};
use super::errors::{ApiError, ApiResult};
use super::faults::{Asked, Cut, Failure, FaultAction, Hit};
use super::request::{Query, RequestInfo};
use super::server::Server;

/// What the layer found out, for the handlers: an extension of the request.
#[derive(Debug, Clone)]
pub(crate) struct Observed {
    pub(crate) info: RequestInfo,
    pub(crate) query: Query,
    pub(crate) user: ApiResult<User>,
}

/// Makes [`Observe`] services.
#[derive(Debug, Clone)]
pub(crate) struct ObserveLayer {
    server: Arc<Server>,
}

impl ObserveLayer {
    pub(crate) fn new(server: Arc<Server>) -> Self {
        Self { server }
    }
}

impl<S> Layer<S> for ObserveLayer {
    type Service = Observe<S>;

    fn layer(&self, inner: S) -> Observe<S> {
        Observe {
            server: self.server.clone(),
            inner,
        }
    }
}

/// See [`ObserveLayer`].
#[derive(Debug, Clone)]
pub(crate) struct Observe<S> {
    server: Arc<Server>,
    inner: S,
}

impl<S> Service<Request<Body>> for Observe<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>
        + Clone
        + Send
        + 'static,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = Cut;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Cut>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Cut>> {
        self.inner
            .poll_ready(context)
            .map_err(|never| match never {})
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let server = self.server.clone();
        let mut inner = self.inner.clone();
        let query = Query::parse(request.uri());
        let info = RequestInfo::parse(request.method(), request.uri(), &query);
        let user = auth::authenticate(&server.store, &server.admin_token, request.headers());
        let own = info.path.starts_with("/sandbox/");
        let asked = Asked {
            target: request
                .uri()
                .path_and_query()
                .map_or_else(String::new, ToString::to_string),
            user: user
                .as_ref()
                .map_or_else(|_| String::new(), |user| user.name.clone()),
            agent: agent(&request),
            info: info.clone(),
        };
        let streamed = info.verb == "watch" || (info.subresource == "log" && query.flag("follow"));
        let number = (!own).then(|| server.requests.begin(&asked));
        let hit = if own {
            None
        } else {
            server.faults.take(&asked)
        };
        request
            .extensions_mut()
            .insert(Observed { info, query, user });
        Box::pin(async move {
            let mut response = disturbed(hit, &mut inner, request).await?;
            if streamed && !own && response.status().is_success() {
                response = response.map(|body| server.streams.track(asked, body));
            }
            if let Some(number) = number {
                server.requests.end(number, response.status().as_u16());
            }
            Ok(response)
        })
    }
}

fn agent(request: &Request<Body>) -> String {
    let agent = request.headers().get(http::header::USER_AGENT);
    agent
        .and_then(|agent| agent.to_str().ok())
        .unwrap_or_default()
        .to_owned()
}

/// Handles the request as the fault will have it.
async fn disturbed<S>(
    hit: Option<Hit>,
    inner: &mut S,
    request: Request<Body>,
) -> Result<Response<Body>, Cut>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
{
    let Some(Hit { action, after }) = hit else {
        return Ok(run(inner, request).await);
    };
    if after {
        // The worse of the two for a client, which cannot know whether it was done.
        let response = run(inner, request).await;
        return match action {
            FaultAction::Cut => Err(Cut),
            FaultAction::Status(failure) => Ok(failed(failure)),
            FaultAction::Delay(delay) => {
                tokio::time::sleep(delay).await;
                Ok(response)
            }
        };
    }
    let watch = request
        .extensions()
        .get::<Observed>()
        .is_some_and(|observed| observed.info.verb == "watch");
    match action {
        FaultAction::Cut if watch => Ok(run(inner, request).await.map(cut_after_first_frame)),
        FaultAction::Cut => Err(Cut),
        FaultAction::Status(failure) => Ok(failed(failure)),
        FaultAction::Delay(delay) => {
            tokio::time::sleep(delay).await;
            Ok(run(inner, request).await)
        }
    }
}

async fn run<S>(inner: &mut S, request: Request<Body>) -> Response<Body>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
{
    inner
        .call(request)
        .await
        .unwrap_or_else(|never| match never {})
}

fn failed(failure: Failure) -> Response<Body> {
    let Failure {
        status,
        message,
        retry_after,
    } = failure;
    let reason = match status {
        400 => "BadRequest",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "NotFound",
        409 => "Conflict",
        410 => "Expired",
        422 => "Invalid",
        429 => "TooManyRequests",
        500 => "InternalError",
        503 => "ServiceUnavailable",
        504 => "Timeout",
        _ => "Unknown",
    };
    let mut error = ApiError::new(status, reason, message);
    // As a real server has it, in the object as well as in a header.
    error.details = retry_after.map(|seconds| json!({ "retryAfterSeconds": seconds }));
    let mut response = error.into_response();
    if let Some(seconds) = retry_after {
        response
            .headers_mut()
            .insert(http::header::RETRY_AFTER, seconds.into());
    }
    response
}

/// How long a watch that is to be cut waits for a first frame before it is cut without one.
const CUT_WITHOUT_FRAME: Duration = Duration::from_millis(100);

/// Mid-stream: after what is sent first, so that the client has a living watch to lose.
fn cut_after_first_frame(body: Body) -> Body {
    if body.is_end_stream() {
        return body;
    }
    let frames = body.into_data_stream();
    let first = stream::once(async move {
        let mut frames = frames;
        match tokio::time::timeout(CUT_WITHOUT_FRAME, frames.next()).await {
            Ok(Some(Ok(frame))) => frame,
            _ => Bytes::new(),
        }
    });
    let end = stream::once(async {
        // Pending once, which makes hyper write out what it has before the stream breaks.
        tokio::task::yield_now().await;
        Err::<Bytes, _>(Cut)
    });
    Body::from_stream(first.map(Ok).chain(end))
}
