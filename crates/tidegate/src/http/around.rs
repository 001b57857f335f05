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
use tidegate_engine::Trail;

use super::cost::Answered;
use super::error::ApiError;
use super::framing::Framing;
use super::live::Live;
use super::maxima::check_head;
use super::prompts::PROMPT;
use super::sse::{Ending, StreamEnd};
use super::visit::Under;
use super::{AccessLog, Gate};
use crate::metrics::Active;
use crate::traces::{Facts, Served, Traced};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const VERDICT: HeaderName = HeaderName::from_static("x-tidegate-verdict");
const MOST_ID_BYTES: usize = 128;

/// Wraps a handler.
pub(super) async fn around(
    State(gate): State<Arc<Gate>>,
    request: Request,
    next: Next,
) -> Response {
    let id = request_id(request.headers().get(&REQUEST_ID));
    let live = gate.current.load();
    let mut exchange = Exchange {
        _active: gate.metrics.active(),
        gate,
        started: Instant::now(),
        route: request.extensions().get::<MatchedPath>().cloned(),
        method: request.method().clone(),
        id: id.clone(),
        access_log: AccessLog::Off,
        status: CLIENT_LEFT,
        answered: None,
        failed: None,
        end: None,
        traced: None,
    };
    exchange.access_log = live.settings.access_log;
    let anthropic = is_anthropic(request.uri().path());
    let (framing, mut request) = Framing::watch(request);
    let checked = check_head(&request, &live.settings.hosts);
    let under = exchange.trace(&request, live);
    request.extensions_mut().insert(under);
    let mut response = match checked {
        Ok(()) => next.run(request).await,
        // Dropped before the answer is settled: nobody has read its body.
        Err(error) => refused(request, error),
    };
    exchange.failed = response.extensions_mut().remove::<ApiError>();
    if let Some(error) = &exchange.failed
        && anthropic
    {
        *response.body_mut() = Body::from(error.to_anthropic_json(id.to_str().ok()));
    }
    framing.settle(&mut response).await;
    response.headers_mut().insert(REQUEST_ID, id);
    exchange.heard(&mut response);
    if exchange.end.is_none() {
        return response;
    }
    response.map(|body| {
        Body::new(Watched {
            body,
            _exchange: exchange,
        })
    })
}

/// Paths whose callers speak Anthropic's dialect.
fn is_anthropic(path: &str) -> bool {
    path.starts_with("/v1/messages")
}

/// Refuses a request without a look at its body.
fn refused(_request: Request, error: ApiError) -> Response {
    error.into_response()
}

/// What is noted for a request whose client left before the answer began; the
/// number is nginx's.
const CLIENT_LEFT: u16 = 499;

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

/// One request and its response, for metrics and log; noted when it ends, in
/// whatever way.
struct Exchange {
    _active: Active,
    gate: Arc<Gate>,
    started: Instant,
    route: Option<MatchedPath>,
    method: Method,
    id: HeaderValue,
    access_log: AccessLog,
    status: u16,
    answered: Option<Answered>,
    failed: Option<ApiError>,
    /// How the stream ended, where the answer is one.
    end: Option<StreamEnd>,
    traced: Option<Box<Traced>>,
}

impl Drop for Exchange {
    fn drop(&mut self) {
        let took = self.started.elapsed();
        // Paths that do not exist share a label, or anybody could make series.
        let route = self.route.as_ref().map_or("unknown", MatchedPath::as_str);
        self.gate.metrics.request(route, self.status, took);
        if self.access_log == AccessLog::On {
            self.log(route, took);
        }
        if let Some(mut traced) = self.traced.take()
            && let Some(traces) = &self.gate.traces
        {
            // The head of a stream said what was known at its beginning.
            let verdict = self.failed().and_then(ApiError::verdict);
            if let Some(verdict) = verdict {
                traced.verdict = Some(HeaderValue::from_static(verdict));
            }
            traced.end(traces, &self.facts());
        }
    }
}

impl Exchange {
    /// Begins to trace the request, if it is to be traced.
    fn trace(&mut self, request: &Request, live: Arc<Live>) -> Under {
        let traces = self.gate.traces.as_ref();
        self.traced = traces.and_then(|traces| {
            let served = Served {
                revision: live.revision,
                upstreams: live.settings.upstreams.clone(),
            };
            traces.begin(request, served)
        });
        let traced = self.traced.as_ref();
        Under {
            live,
            trail: traced.map_or_else(Trail::default, |traced| traced.trail.clone()),
            tenant: traced.map(|traced| traced.tenant.clone()),
        }
    }

    /// Notes what the response says.
    fn heard(&mut self, response: &mut Response) {
        self.status = response.status().as_u16();
        if let Some(traced) = &mut self.traced {
            traced.verdict = response.headers().get(VERDICT).cloned();
            traced.prompt = response.headers().get(PROMPT).cloned();
        }
        let extensions = response.extensions_mut();
        self.answered = extensions.remove::<Answered>();
        self.end = extensions.remove::<StreamEnd>();
    }

    /// The error, whether it is the whole answer or the end of a stream.
    fn failed(&self) -> Option<&ApiError> {
        let of_stream = || self.end.as_ref().and_then(StreamEnd::failed);
        self.failed.as_ref().or_else(of_stream)
    }

    /// How the answer ended, where it is not complete.
    fn ending(&self) -> Option<&'static str> {
        let whole = if self.status == CLIENT_LEFT {
            Ending::ClientLeft
        } else {
            Ending::Complete
        };
        match self.end.as_ref().map_or(whole, StreamEnd::get) {
            Ending::Complete => None,
            Ending::ClientLeft => Some("client_left"),
            Ending::Broken => Some("broken"),
        }
    }

    /// What a trace tells of it.
    fn facts(&self) -> Facts<'_> {
        let (answered, failed) = (self.answered.as_ref(), self.failed());
        let overhead = answered.map(|answered| answered.cost.overhead);
        Facts {
            request_id: self.id.to_str().unwrap_or_default(),
            status: (self.status != CLIENT_LEFT).then_some(self.status),
            error: failed.map(ApiError::code),
            ending: self.ending(),
            head: answered.map(|answered| &answered.head),
            overhead: overhead.or(failed.and_then(ApiError::overhead)),
            stream: self.end.as_ref().map(StreamEnd::facts),
        }
    }

    fn log(&self, route: &str, took: Duration) {
        let head = self.answered.as_ref().map(|answered| &answered.head);
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
            code = self.failed().map(ApiError::code),
            ending = self.ending(),
            trace_id = self.traced.as_ref().map(|traced| traced.trace_id()),
            "{} {route} {}", self.method, self.status
        );
    }
}

/// A streamed body that keeps its exchange until it ends or is dropped.
struct Watched {
    body: Body,
    _exchange: Exchange,
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
