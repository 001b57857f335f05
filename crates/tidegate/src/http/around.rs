//! What every request gets: an id, an entry in the metrics, a line in the log.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderName, HeaderValue, Method};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http_body::Frame;
use tidegate_engine::AnswerHead;

use super::error::ErrorCode;
use super::maxima::check_head;
use super::sse::{Ending, StreamEnd};
use super::{AccessLog, Gate};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const MOST_ID_BYTES: usize = 128;

/// Wraps a handler.
pub(super) async fn around(
    State(gate): State<Arc<Gate>>,
    request: Request,
    next: Next,
) -> Response {
    let started = Instant::now();
    let id = request_id(request.headers().get(&REQUEST_ID));
    let route = request.extensions().get::<MatchedPath>().cloned();
    let method = request.method().clone();
    let _active = gate.metrics.active();
    let mut response = match check_head(&request) {
        Ok(()) => next.run(request).await,
        Err(error) => error.into_response(),
    };
    response.headers_mut().insert(REQUEST_ID, id.clone());
    let exchange = Exchange {
        status: response.status().as_u16(),
        head: response.extensions_mut().remove::<AnswerHead>(),
        code: response.extensions_mut().remove::<ErrorCode>(),
        gate,
        started,
        route,
        method,
        id,
    };
    match response.extensions_mut().remove::<StreamEnd>() {
        None => {
            exchange.note(Ending::Complete);
            response
        }
        Some(end) => response.map(|body| {
            Body::new(Watched {
                body,
                end,
                exchange: Some(exchange),
            })
        }),
    }
}

/// The caller's id where it is usable, else a new one.
fn request_id(inbound: Option<&HeaderValue>) -> HeaderValue {
    let usable = |id: &&HeaderValue| {
        (1..=MOST_ID_BYTES).contains(&id.len()) && id.as_bytes().iter().all(u8::is_ascii_graphic)
    };
    inbound.filter(usable).cloned().unwrap_or_else(|| {
        HeaderValue::from_str(&new_request_id()).expect("hexadecimal digits are valid in a header")
    })
}

/// 128 random bits.
pub(crate) fn new_request_id() -> String {
    format!("{:016x}{:016x}", fastrand::u64(..), fastrand::u64(..))
}

/// One request and its response, for metrics and log.
struct Exchange {
    gate: Arc<Gate>,
    started: Instant,
    route: Option<MatchedPath>,
    method: Method,
    id: HeaderValue,
    status: u16,
    head: Option<AnswerHead>,
    code: Option<ErrorCode>,
}

impl Exchange {
    fn note(&self, ending: Ending) {
        let took = self.started.elapsed();
        // Paths that do not exist share a label, or anybody could make series.
        let route = self.route.as_ref().map_or("unknown", MatchedPath::as_str);
        self.gate.metrics.request(route, self.status, took);
        if self.gate.settings.access_log == AccessLog::On {
            self.log(route, took, ending);
        }
    }

    fn log(&self, route: &str, took: Duration, ending: Ending) {
        let head = self.head.as_ref();
        tracing::info!(
            target: "access",
            id = self.id.to_str().unwrap_or_default(),
            method = self.method.as_str(),
            route,
            status = self.status,
            duration_ms = took.as_secs_f64() * 1e3,
            model = head.map(|head| &*head.model),
            attempts = head.map(|head| head.attempts),
            cache = head.map(|head| head.cached.as_str()),
            waited_ms = head.map(|head| head.waited.as_secs_f64() * 1e3),
            code = self.code.as_ref().map(|code| code.0.as_str()),
            ending = match ending {
                Ending::Complete => None,
                Ending::ClientLeft => Some("client_left"),
                Ending::Broken => Some("broken"),
            },
            "{} {route} {}", self.method, self.status
        );
    }
}

/// A streamed body that notes its exchange when it ends or is dropped.
struct Watched {
    body: Body,
    end: StreamEnd,
    exchange: Option<Exchange>,
}

impl http_body::Body for Watched {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        if let Some(exchange) = self.exchange.take() {
            exchange.note(self.end.get());
        }
    }
}
