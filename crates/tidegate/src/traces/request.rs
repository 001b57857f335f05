//! The spans of one request, made from what is known when it has ended.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime};

use axum::extract::{MatchedPath, Request};
use axum::http::HeaderValue;
use opentelemetry::trace::{
    Span as _, SpanBuilder, SpanKind, Status, TraceContextExt, Tracer as _,
};
use opentelemetry::{Array, Context, KeyValue, StringValue, Value};
use opentelemetry_sdk::trace::Span;
use tidegate_engine::{AnswerHead, Attempt, Trail, Usage};

use super::names::{self, Attribute};
use super::profile::Profile;
use super::settings::Parents;
use super::upstreams::Upstreams;
use super::{Traces, parent};

/// A request that is traced.
pub(crate) struct Traced {
    span: Span,
    started: Started,
    operation: Option<&'static str>,
    /// Where the engine notes its calls.
    pub(crate) trail: Trail,
    /// Set when it is known who asks.
    pub(crate) tenant: Arc<OnceLock<String>>,
    /// Who serves it.
    under: Served,
    /// What the guard said.
    pub(crate) verdict: Option<HeaderValue>,
    /// Which prompt was put before the request.
    pub(crate) prompt: Option<HeaderValue>,
}

/// The revision of the configuration that serves a request.
pub(crate) struct Served {
    pub(crate) revision: u64,
    pub(crate) upstreams: Arc<Upstreams>,
}

/// A moment on both clocks: spans are told the time of day, and durations come
/// from the clock that never jumps.
#[derive(Debug, Clone, Copy)]
struct Started {
    at: Instant,
    on: SystemTime,
}

impl Started {
    fn time_of(&self, at: Instant) -> SystemTime {
        self.on + at.saturating_duration_since(self.at)
    }
}

/// What is known of a request when it has ended.
#[derive(Debug, Clone, Default)]
pub(crate) struct Facts<'a> {
    pub(crate) request_id: &'a str,
    /// Nothing where the client left before there was one.
    pub(crate) status: Option<u16>,
    /// The stable word of the error.
    pub(crate) error: Option<&'a str>,
    /// How the answer ended where it is not complete.
    pub(crate) ending: Option<&'static str>,
    pub(crate) head: Option<&'a AnswerHead>,
    pub(crate) overhead: Option<Duration>,
    /// Of the answer's stream, where it is one.
    pub(crate) stream: Option<StreamFacts>,
}

/// What is known of a stream when it has ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct StreamFacts {
    pub(crate) usage: Option<Usage>,
    /// The stable word for what ended it early.
    pub(crate) error: Option<&'static str>,
}

/// A call that nobody waited for: no fault of the upstream's.
const ABANDONED: &str = "abandoned";
/// No value is longer.
const MOST_VALUE_BYTES: usize = 256;

impl Traces {
    /// Begins to trace a request; nothing where it is not sampled, or not of
    /// interest.
    pub(crate) fn begin(&self, request: &Request, under: Served) -> Option<Box<Traced>> {
        let route = request.extensions().get::<MatchedPath>();
        let route = route.map(MatchedPath::as_str);
        if !route.is_none_or(names::is_traced) {
            return None;
        }
        let started = Started {
            at: Instant::now(),
            on: SystemTime::now(),
        };
        let parent = match self.parents {
            Parents::Continued => parent::parent(request.headers()),
            Parents::Ignored => None,
        };
        let context = Context::new();
        let context = match parent {
            Some(parent) => context.with_remote_span_context(parent),
            None => context,
        };
        let method = names::method(request.method().as_str());
        let mut attributes = Attributes::of(self.profile);
        attributes.put(names::METHOD, method);
        attributes.put(names::SCHEME, "http");
        attributes.maybe(names::ROUTE, route.map(bounded));
        let builder = SpanBuilder::from_name(names::request_span(method, route))
            .with_kind(SpanKind::Server)
            .with_start_time(started.on)
            .with_attributes(attributes.list);
        let span = self.tracer.build_with_context(builder, &context);
        span.is_recording().then(|| {
            Box::new(Traced {
                span,
                started,
                operation: route.and_then(names::operation),
                trail: Trail::kept(),
                tenant: Arc::default(),
                under,
                verdict: None,
                prompt: None,
            })
        })
    }
}

impl Traced {
    /// For the log.
    pub(crate) fn trace_id(&self) -> String {
        self.span.span_context().trace_id().to_string()
    }

    /// Ends all spans, now.
    pub(crate) fn end(mut self, traces: &Traces, facts: &Facts<'_>) {
        let now = Instant::now();
        let attempts = self.trail.attempts();
        let last = attempts.len().saturating_sub(1);
        let parent = Context::new().with_remote_span_context(self.span.span_context().clone());
        for (index, attempt) in attempts.iter().enumerate() {
            let stream = facts.stream.filter(|_| index == last);
            let call = Call {
                attempt,
                stream,
                ending: facts.ending,
            };
            self.call(traces, &parent, &call, now);
        }
        let mut attributes = Attributes::of(traces.profile);
        self.describe(&mut attributes, facts, attempts.len());
        self.span.set_attributes(attributes.list);
        let broke = facts.stream.is_some_and(|stream| stream.error.is_some());
        if broke || facts.status.is_some_and(|status| status >= 500) {
            self.span.set_status(Status::error(""));
        }
        self.span.end_with_timestamp(self.started.time_of(now));
    }

    fn describe(&self, attributes: &mut Attributes, facts: &Facts<'_>, attempts: usize) {
        let stream_error = facts.stream.and_then(|stream| stream.error);
        attributes.maybe(names::STATUS, facts.status.map(i64::from));
        attributes.maybe(names::ERROR, stream_error.or(facts.error).map(bounded));
        attributes.put(names::REQUEST_ID, bounded(facts.request_id));
        attributes.maybe(
            names::TENANT,
            self.tenant.get().map(|tenant| bounded(tenant)),
        );
        attributes.put(names::REVISION, int(self.under.revision));
        if let Some(head) = facts.head {
            attributes.put(names::MODEL, bounded(&head.model));
            attributes.put(names::CACHE, head.cached.as_str());
        }
        if self.operation.is_some() {
            let attempts = facts
                .head
                .map_or(attempts as u64, |head| head.attempts.into());
            attributes.put(names::ATTEMPTS, int(attempts));
        }
        attributes.maybe(names::DEGRADED, facts.head.and_then(degraded));
        let millis = |overhead: Duration| (overhead.as_secs_f64() * 1e6).round() / 1e3;
        attributes.maybe(names::OVERHEAD, facts.overhead.map(millis));
        for (name, said) in [
            (names::VERDICT, &self.verdict),
            (names::PROMPT, &self.prompt),
        ] {
            let said = said.as_ref().and_then(|said| said.to_str().ok());
            attributes.maybe(name, said.map(bounded));
        }
        attributes.maybe(names::ENDING, facts.ending);
    }

    fn call(&self, traces: &Traces, parent: &Context, call: &Call<'_>, now: Instant) {
        let Call {
            attempt, stream, ..
        } = *call;
        let (provider, model) = attempt
            .entry
            .split_once('/')
            .unwrap_or(("", &attempt.entry));
        let operation = self.operation.unwrap_or("chat");
        let mut attributes = Attributes::of(traces.profile);
        attributes.put(names::OPERATION, operation);
        let upstream = self.under.upstreams.of(provider);
        match upstream.and_then(|upstream| upstream.system) {
            Some(system) => attributes.put(names::PROVIDER, system),
            None => attributes.put(names::PROVIDER, bounded(provider)),
        }
        attributes.put(names::REQUEST_MODEL, bounded(model));
        if let Some(upstream) = upstream {
            attributes.maybe(
                names::SERVER_ADDRESS,
                upstream.address.as_deref().map(bounded),
            );
            attributes.maybe(names::SERVER_PORT, upstream.port.map(i64::from));
        }
        let mut usage = attempt.usage;
        if let Some(stream) = stream.filter(|_| attempt.error.is_none()) {
            usage = stream.usage;
            attributes.put(names::STREAM, true);
            attributes.put(names::FIRST_CHUNK, attempt.took.as_secs_f64());
        }
        attributes.maybe(
            names::INPUT_TOKENS,
            usage.map(|usage| int(usage.prompt_tokens)),
        );
        attributes.maybe(
            names::OUTPUT_TOKENS,
            usage.map(|usage| int(usage.completion_tokens)),
        );
        attributes.maybe(names::ERROR, call.error());
        let builder = SpanBuilder::from_name(names::call_span(operation, &clipped(model)))
            .with_kind(SpanKind::Client)
            .with_start_time(self.started.time_of(attempt.sent_at))
            .with_attributes(attributes.list);
        let mut span = traces.tracer.build_with_context(builder, parent);
        if call.error().is_some_and(|error| error != ABANDONED) {
            span.set_status(Status::error(""));
        }
        span.end_with_timestamp(self.started.time_of(call.ended_at(now)));
    }
}

/// One call, and the stream that it became.
struct Call<'a> {
    attempt: &'a Attempt,
    stream: Option<StreamFacts>,
    ending: Option<&'static str>,
}

impl Call<'_> {
    fn error(&self) -> Option<&'static str> {
        let Some(stream) = self.stream.filter(|_| self.attempt.error.is_none()) else {
            return self.attempt.error;
        };
        stream.error.or(self.ending.map(|_| ABANDONED))
    }

    /// A stream that began ends with the request.
    fn ended_at(&self, now: Instant) -> Instant {
        if self.stream.is_some() && self.attempt.error.is_none() {
            now
        } else {
            self.attempt.sent_at + self.attempt.took
        }
    }
}

/// Attributes in the words of one profile.
struct Attributes {
    profile: Profile,
    list: Vec<KeyValue>,
}

impl Attributes {
    fn of(profile: Profile) -> Self {
        let list = Vec::with_capacity(16);
        Self { profile, list }
    }

    fn put(&mut self, attribute: Attribute, value: impl Into<Value>) {
        if let Some(name) = attribute.name(self.profile) {
            self.list.push(KeyValue::new(name, value));
        }
    }

    fn maybe(&mut self, attribute: Attribute, value: Option<impl Into<Value>>) {
        if let Some(value) = value {
            self.put(attribute, value);
        }
    }
}

fn int(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// At most so much of a text, whole characters of it.
fn clipped(text: &str) -> String {
    text[..text.floor_char_boundary(MOST_VALUE_BYTES)].to_owned()
}

fn bounded(text: &str) -> StringValue {
    StringValue::from(clipped(text))
}

fn degraded(head: &AnswerHead) -> Option<Value> {
    const MOST: usize = 16;
    let list = head.degraded.iter().take(MOST);
    let list: Vec<_> = list.map(|what| bounded(what)).collect();
    (!list.is_empty()).then_some(Value::Array(Array::String(list)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_cut_between_characters() {
        let text = format!("{}é", "x".repeat(MOST_VALUE_BYTES - 1));
        assert_eq!(clipped(&text).len(), MOST_VALUE_BYTES - 1);
        assert_eq!(clipped("short"), "short");
    }
}
