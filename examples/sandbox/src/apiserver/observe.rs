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
use tower::{Layer, Service};

use super::auth::{self, User};
use super::errors::{ApiError, ApiResult};
use super::faults::FaultAction;
use super::request::{Query, RequestInfo};
use super::server::Server;

/// What the layer found out, for the handlers: an extension of the request.
#[derive(Debug, Clone)]
pub(crate) struct Observed {
    pub(crate) info: RequestInfo,
    pub(crate) query: Query,
    pub(crate) user: ApiResult<User>,
}

/// The connection is to be closed without an answer.
#[derive(Debug, thiserror::Error)]
#[error("cut by an ordered fault")]
pub(crate) struct Cut;

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
        let target = request
            .uri()
            .path_and_query()
            .map_or_else(String::new, ToString::to_string);
        let agent = request
            .headers()
            .get(http::header::USER_AGENT)
            .and_then(|v| v.to_str().ok())
            .unwrap_or_default();
        let name = user.as_ref().map_or("", |user| user.name.as_str());
        let number = (!own).then(|| server.requests.begin(name, agent, &info, &target));
        let fault = if own {
            None
        } else {
            server.faults.take(&info, &target, name)
        };
        request.extensions_mut().insert(Observed {
            info: info.clone(),
            query,
            user,
        });
        Box::pin(async move {
            let response = match fault {
                Some(FaultAction::Cut) if info.verb == "watch" => {
                    let response = run(&mut inner, request).await;
                    response.map(cut_after_first_frame)
                }
                Some(FaultAction::Cut) => return Err(Cut),
                Some(FaultAction::Status { status, message }) => {
                    ordered_failure(status, &message).into_response()
                }
                Some(FaultAction::Delay(delay)) => {
                    tokio::time::sleep(delay).await;
                    run(&mut inner, request).await
                }
                None => run(&mut inner, request).await,
            };
            if let Some(number) = number {
                server.requests.end(number, response.status().as_u16());
            }
            Ok(response)
        })
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

fn ordered_failure(status: u16, message: &str) -> ApiError {
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
    ApiError::new(status, reason, message)
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
