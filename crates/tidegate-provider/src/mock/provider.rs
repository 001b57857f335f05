//! The mock in process, behind the seam that the engine calls.
//!
//! It reads a play the way an adapter reads its bytes, so that a test in
//! virtual time and a run against the server see the same errors.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::time::Instant;

use super::answer::DONE;
use super::ask::{Ask, Task};
use super::calls::{Call, Calls};
use super::play::{Answer, Kind, Play, Tail, play};
use super::script::Script;
use crate::chunk::Chunk;
use crate::dialect::Dialect;
use crate::dialect::messages::{EventFacts, check_answer};
use crate::embed_request::EmbedRequest;
use crate::error::{ErrorBody, ProviderError, Unavailability};
use crate::provider::{ChunkStream, Completion, Provider};
use crate::request::ChatRequest;
use crate::usage::Usage;

/// Calls that are remembered: more than any test makes, so that a mock that
/// serves a gateway for days does not fill its memory.
const MOST_LOGGED: usize = 1 << 20;
/// What a flood is said to have exceeded.
const MOST_ANSWER_BYTES: usize = 32 << 20;
/// A drip has begun once its first event, which says nothing, is there.
const FIRST_EVENT: &str = r#"{"choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}"#;
const FIRST_MESSAGES_EVENT: &str = r#"{"type":"ping"}"#;

/// A scripted upstream in process. All of its time is tokio's, so a paused
/// clock works; dropping a future or a stream before its end counts as
/// cancelled.
#[derive(Debug)]
pub struct Mock {
    calls: Arc<Calls>,
    log: Mutex<Vec<(Instant, String)>>,
}

impl Mock {
    /// An upstream that plays `script`.
    pub fn new(script: Script) -> Self {
        let calls = Arc::new(Calls::new(script, None, Instant::now()));
        Self {
            calls,
            log: Mutex::default(),
        }
    }

    /// Requests from now on get what `script` says. Its faults are drawn from
    /// the beginning; outages still count from the start of the mock.
    pub fn set_script(&self, script: Script) {
        self.calls.set_script(script);
    }

    /// Requests that arrived.
    pub fn calls(&self) -> u64 {
        self.calls.tally().requests
    }

    /// Requests that are being served now.
    pub fn in_flight(&self) -> u64 {
        self.calls.tally().in_flight
    }

    /// Most requests that were served at once.
    pub fn max_in_flight(&self) -> u64 {
        self.calls.tally().max_in_flight
    }

    /// Futures and streams that were dropped before their end.
    pub fn cancelled(&self) -> u64 {
        self.calls.tally().disconnects
    }

    /// When each request arrived, and for which model.
    pub fn log(&self) -> Vec<(Instant, String)> {
        self.log
            .lock()
            .expect("nothing panics while the log is held")
            .clone()
    }

    fn note(&self, now: Instant, model: &str) {
        let mut log = self
            .log
            .lock()
            .expect("nothing panics while the log is held");
        if log.len() < MOST_LOGGED {
            log.push((now, model.to_owned()));
        }
    }

    /// Takes a request and waits until the upstream speaks.
    async fn ask(
        &self,
        ask: serde_json::Result<Ask>,
    ) -> Result<(Ask, Answer, Call), ProviderError> {
        let ask = ask.map_err(|_| not_understood())?;
        let now = Instant::now();
        self.note(now, &ask.model);
        let call = self.calls.begin(&ask, None, now);
        if !call.latency().is_zero() {
            tokio::time::sleep(call.latency()).await;
        }
        match play(&ask, &call) {
            Play::Hang => std::future::pending().await,
            Play::Reset => {
                call.finish();
                Err(Unavailability::Reset.into())
            }
            Play::Answer(answer) if answer.status != 200 => {
                call.finish();
                let body = ErrorBody::parse(answer.status, &answer.frames.concat().into());
                Err(body.classify(answer.retry_after))
            }
            Play::Answer(answer) => Ok((ask, answer, call)),
        }
    }
}

#[async_trait]
impl Provider for Mock {
    async fn complete(
        &self,
        model: &str,
        request: &ChatRequest,
    ) -> Result<Completion, ProviderError> {
        let ask = Ask::of(request, &request.to_upstream(model)).map(Ask::unstreamed);
        let (ask, answer, call) = self.ask(ask).await?;
        whole(ask.dialect, answer, call).await
    }

    async fn stream(
        &self,
        model: &str,
        request: &ChatRequest,
    ) -> Result<ChunkStream, ProviderError> {
        let body = request.to_upstream_with_usage(model);
        let ask = Ask::of(request, &body).map(Ask::streamed);
        let (ask, answer, call) = self.ask(ask).await?;
        if answer.kind != Kind::Events {
            whole(ask.dialect, answer, call).await?;
            return Err(Unavailability::Garbage.into());
        }
        let playing = Playing::new(&ask, answer, call);
        Ok(stream::unfold(playing, Playing::next).boxed())
    }

    async fn embed(
        &self,
        model: &str,
        request: &EmbedRequest,
    ) -> Result<Completion, ProviderError> {
        let (ask, answer, call) = self.ask(Ask::embed(&request.to_upstream(model))).await?;
        whole(ask.dialect, answer, call).await
    }
}

impl Ask {
    fn of(request: &ChatRequest, body: &[u8]) -> serde_json::Result<Self> {
        match request.dialect() {
            Dialect::Chat => Self::chat(body),
            Dialect::Completion => Self::completion(body),
            Dialect::Messages => Self::messages(body),
        }
    }

    /// The caller of the seam says by the method whether it wants events.
    fn streamed(mut self) -> Self {
        if let Task::Chat(chat) = &mut self.task {
            chat.stream = true;
        }
        self
    }

    fn unstreamed(mut self) -> Self {
        if let Task::Chat(chat) = &mut self.task {
            chat.stream = false;
        }
        self
    }

    fn choices(&self) -> u64 {
        match &self.task {
            Task::Chat(chat) => chat.choices as u64,
            Task::Embed(_) => 0,
        }
    }
}

/// What reading a whole body gives.
async fn whole(dialect: Dialect, answer: Answer, call: Call) -> Result<Completion, ProviderError> {
    let outcome = match answer.tail {
        Tail::Complete => read(dialect, answer.frames.concat().into()),
        Tail::Close | Tail::Reset => Err(Unavailability::Reset.into()),
        Tail::Drip => std::future::pending().await,
        Tail::Flood => Err(too_large()),
    };
    call.finish();
    outcome
}

#[derive(Deserialize)]
struct Peek<'a> {
    usage: Option<Usage>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
}

fn read(dialect: Dialect, body: Bytes) -> Result<Completion, ProviderError> {
    if dialect == Dialect::Messages {
        let usage = check_answer(&body)?;
        return Ok(Completion { body, usage });
    }
    let peek: Peek<'_> = serde_json::from_slice(&body).map_err(|_| Unavailability::Garbage)?;
    if peek.error.is_some() {
        return Err(ErrorBody::parse(200, &body).classify(None));
    }
    let usage = peek.usage;
    Ok(Completion { body, usage })
}

fn too_large() -> ProviderError {
    Unavailability::TooLarge {
        limit_bytes: MOST_ANSWER_BYTES,
    }
    .into()
}

fn not_understood() -> ProviderError {
    let message = "the body is not a request that the mock understands".to_owned();
    let (kind, code, param) = (None, None, None);
    ProviderError::Rejected(ErrorBody {
        status: 400,
        message,
        kind,
        code,
        param,
    })
}

/// A stream under way.
struct Playing {
    /// The JSON of the events, without `[DONE]`.
    events: std::vec::IntoIter<Bytes>,
    tail: Tail,
    gap: Duration,
    dialect: Dialect,
    /// Of events in Anthropic's dialect.
    facts: EventFacts,
    /// Answers that have not ended yet.
    open_choices: u64,
    /// Something was said, so the next event keeps the gap.
    started: bool,
    call: Option<Call>,
}

impl Playing {
    fn new(ask: &Ask, answer: Answer, call: Call) -> Self {
        let mut events: Vec<Bytes> = answer.frames.iter().filter_map(event).collect();
        if answer.tail == Tail::Drip {
            let first = match ask.dialect {
                Dialect::Chat | Dialect::Completion => FIRST_EVENT,
                Dialect::Messages => FIRST_MESSAGES_EVENT,
            };
            events.push(Bytes::from_static(first.as_bytes()));
        }
        Self {
            events: events.into_iter(),
            tail: answer.tail,
            gap: call.script.event_gap,
            dialect: ask.dialect,
            facts: EventFacts::default(),
            open_choices: ask.choices(),
            started: false,
            call: Some(call),
        }
    }

    async fn next(mut self) -> Option<(Result<Chunk, ProviderError>, Self)> {
        self.call.as_ref()?;
        let Some(json) = self.events.next() else {
            let end = self.end().await;
            return end.map(|error| (Err(error), self));
        };
        if self.started && !self.gap.is_zero() {
            tokio::time::sleep(self.gap).await;
        }
        self.started = true;
        let chunk = match self.dialect {
            Dialect::Chat | Dialect::Completion => Chunk::parse(json),
            Dialect::Messages => self.facts.read(None, json),
        };
        match &chunk {
            Ok(chunk) => self.open_choices = self.open_choices.saturating_sub(chunk.facts.finished),
            Err(_) => self.finish(),
        }
        if self.events.len() == 0 && self.tail == Tail::Complete && self.open_choices == 0 {
            self.finish();
        }
        Some((chunk, self))
    }

    /// What follows the last event, if it is not a good end.
    async fn end(&mut self) -> Option<ProviderError> {
        let error = match self.tail {
            Tail::Complete if self.open_choices == 0 => None,
            Tail::Complete | Tail::Close | Tail::Reset => Some(Unavailability::Truncated.into()),
            Tail::Drip => std::future::pending().await,
            Tail::Flood => Some(too_large()),
        };
        self.finish();
        error
    }

    fn finish(&mut self) {
        if let Some(call) = self.call.take() {
            call.finish();
        }
    }
}

/// The JSON of a framed event; `[DONE]` is none, and neither is a flood's start.
fn event(frame: &Bytes) -> Option<Bytes> {
    if frame == DONE {
        return None;
    }
    let named = frame.starts_with(b"event: ");
    let name_bytes = frame.iter().position(|byte| named && *byte == b'\n');
    let frame = frame.slice(name_bytes.map_or(0, |at| at + 1)..);
    let start = if frame.starts_with(b"data: ") { 6 } else { 0 };
    Some(
        frame
            .slice(start..)
            .slice(..frame.len().saturating_sub(start + 2)),
    )
    .filter(|json| !json.is_empty())
}
