//! A streamed answer as server-sent events.

use std::pin::Pin;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use bytes::{BufMut, Bytes, BytesMut};
use futures_util::Stream;
use http_body::Frame;
use serde::Serialize;
use tidegate_engine::{AnswerHead, AnswerStream, Chunk, EngineError};

use super::cost::Cost;
use super::error::ApiError;
use crate::traces::StreamFacts;

/// The body of a streamed answer. Chunks that are ready together are sent
/// together; the last event carries the `tidegate` object.
pub(super) struct SseBody {
    stream: Box<AnswerStream>,
    framing: Framing,
    /// The chunk that may turn out to be the last one.
    held: Option<Chunk>,
    closing: Closing,
    end: StreamEnd,
    over: bool,
}

/// How events are written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    /// Data only, closed by `[DONE]`.
    OpenAi,
    /// Each event with its name; the last one is an event like the others.
    Anthropic,
}

/// What the `tidegate` object of the last event says.
#[derive(Serialize)]
struct Closing {
    model: String,
    attempts: u32,
    cache: &'static str,
    degraded: Vec<String>,
    overhead_ms: f64,
}

/// How a stream ended, for whoever logs or traces the request.
#[derive(Debug, Clone, Default)]
pub(super) struct StreamEnd(Arc<End>);

#[derive(Debug, Default)]
struct End {
    ending: AtomicU8,
    facts: OnceLock<StreamFacts>,
    failed: OnceLock<ApiError>,
}

/// The ways in which a stream can end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// The client left before the end.
    ClientLeft,
    /// To the last event.
    Complete,
    /// In an error event.
    Broken,
}

impl StreamEnd {
    fn set(&self, ending: Ending, facts: StreamFacts) {
        let _ = self.0.facts.set(facts);
        let code = match ending {
            Ending::ClientLeft => 0,
            Ending::Complete => 1,
            Ending::Broken => 2,
        };
        self.0.ending.store(code, Ordering::Release);
    }

    pub(super) fn get(&self) -> Ending {
        match self.0.ending.load(Ordering::Acquire) {
            1 => Ending::Complete,
            2 => Ending::Broken,
            _ => Ending::ClientLeft,
        }
    }

    /// The error that ended it; the status of its answer was sent before.
    pub(super) fn failed(&self) -> Option<&ApiError> {
        self.0.failed.get()
    }

    /// What is known of the stream; nothing of one that was left.
    pub(super) fn facts(&self) -> StreamFacts {
        self.0.facts.get().copied().unwrap_or_default()
    }
}

/// Events are gathered up to this size before they are sent.
const MOST_GATHERED_BYTES: usize = 32 << 10;

impl SseBody {
    pub(super) fn new(
        stream: Box<AnswerStream>,
        framing: Framing,
        head: AnswerHead,
        cost: Cost,
    ) -> Self {
        let closing = Closing {
            model: head.model.to_string(),
            attempts: head.attempts,
            cache: head.cached.as_str(),
            degraded: head.degraded,
            overhead_ms: (cost.overhead_ms() * 1e3).round() / 1e3,
        };
        Self {
            stream,
            framing,
            held: None,
            closing,
            end: StreamEnd::default(),
            over: false,
        }
    }

    /// Tells how the stream ended, once it did.
    pub(super) fn end(&self) -> StreamEnd {
        self.end.clone()
    }

    fn take(&mut self, chunk: Chunk, out: &mut BytesMut) {
        if let Some(held) = self.held.take() {
            put_event(out, held.event.as_deref(), &held.json);
        }
        // Only an end or a usage report can be the last chunk; all others go
        // out at once.
        let only_usage = chunk.facts.without_choices && chunk.facts.usage.is_some();
        if chunk.facts.finished > 0 || only_usage {
            self.held = Some(chunk);
        } else {
            put_event(out, chunk.event.as_deref(), &chunk.json);
        }
    }

    fn finish(&mut self, out: &mut BytesMut) {
        if let Some(held) = self.held.take() {
            let json = with_closing(&held.json, &self.closing);
            put_event(out, held.event.as_deref(), &json);
        }
        match self.framing {
            Framing::OpenAi => out.put_slice(b"data: [DONE]\n\n"),
            Framing::Anthropic => {}
        }
        self.note(Ending::Complete, None);
        self.over = true;
    }

    fn note(&self, ending: Ending, error: Option<&'static str>) {
        let usage = self.stream.usage();
        self.end.set(ending, StreamFacts { usage, error });
    }

    fn fail(&mut self, error: EngineError, out: &mut BytesMut) {
        if let Some(held) = self.held.take() {
            put_event(out, held.event.as_deref(), &held.json);
        }
        let reason = if let EngineError::Upstream { reason, .. } = &error {
            Some(reason.code())
        } else {
            None
        };
        let error = ApiError::from(error);
        match self.framing {
            Framing::OpenAi => put_event(out, None, &error.to_json()),
            Framing::Anthropic => put_event(out, Some("error"), &error.to_anthropic_json(None)),
        }
        let _ = self.end.0.failed.set(error);
        self.note(Ending::Broken, reason);
        self.over = true;
    }
}

fn put_event(out: &mut BytesMut, name: Option<&str>, json: &[u8]) {
    out.reserve(json.len() + 8);
    // A name from an upstream may hold no line of its own.
    if let Some(name) = name.filter(|name| !name.contains(['\n', '\r'])) {
        out.put_slice(b"event: ");
        out.put_slice(name.as_bytes());
        out.put_u8(b'\n');
    }
    out.put_slice(b"data: ");
    out.put_slice(json);
    out.put_slice(b"\n\n");
}

/// The chunk with a `tidegate` field put before its closing brace.
fn with_closing(json: &Bytes, closing: &Closing) -> Bytes {
    let json = json.trim_ascii_end();
    let Some(open) = json.strip_suffix(b"}") else {
        return Bytes::copy_from_slice(json);
    };
    let object = serde_json::to_vec(closing).expect("the closing object is always valid JSON");
    let mut out = BytesMut::with_capacity(open.len() + object.len() + 16);
    out.put_slice(open);
    out.put_slice(b",\"tidegate\":");
    out.put_slice(&object);
    out.put_u8(b'}');
    out.freeze()
}

impl http_body::Body for SseBody {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if self.over {
            return Poll::Ready(None);
        }
        let mut out = BytesMut::new();
        while !self.over && out.len() < MOST_GATHERED_BYTES {
            match Pin::new(&mut *self.stream).poll_next(cx) {
                Poll::Ready(Some(Ok(chunk))) => self.take(chunk, &mut out),
                Poll::Ready(Some(Err(error))) => self.fail(error, &mut out),
                Poll::Ready(None) => self.finish(&mut out),
                Poll::Pending if out.is_empty() => return Poll::Pending,
                Poll::Pending => break,
            }
        }
        Poll::Ready(Some(Ok(Frame::data(out.freeze()))))
    }

    fn is_end_stream(&self) -> bool {
        self.over
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_closing_object_goes_into_the_last_chunk() {
        let closing = Closing {
            model: "p/m".to_owned(),
            attempts: 2,
            cache: "bypass",
            degraded: vec!["fallback:p/m".to_owned()],
            overhead_ms: 0.25,
        };
        let json = with_closing(&Bytes::from_static(b"{\"choices\":[]} "), &closing);
        assert_eq!(
            json,
            r#"{"choices":[],"tidegate":{"model":"p/m","attempts":2,"cache":"bypass","degraded":["fallback:p/m"],"overhead_ms":0.25}}"#
        );
    }
}
