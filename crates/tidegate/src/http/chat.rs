//! `POST /v1/chat/completions`, `POST /v1/completions`, `POST /v1/messages`: one
//! way through, three dialects.

use std::sync::Arc;
use std::time::Instant;

use axum::body::Body;
use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderName, HeaderValue, Request};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use tidegate_engine::{
    Answer, AnswerBody, AnswerHead, CacheUse, ChatRequest, Context, Deadline, Dialect, EngineError,
    Outcome, RawObject, RequestError,
};

use super::Gate;
use super::body::json_body;
use super::cache::is_name;
use super::cost::{Answered, Cost};
use super::error::ApiError;
use super::maxima::check_chat;
use super::prompts::{self, NamedPrompt, Prompted};
use super::sessions::Named;
use super::sse::{Framing, SseBody};
use super::visit::Visit;
use crate::metrics::Operation;

/// Answers a conversation in OpenAI's dialect.
pub(super) async fn chat(
    State(gate): State<Arc<Gate>>,
    visit: Visit,
    request: Request<Body>,
) -> Result<Response, ApiError> {
    converse(&gate, visit, Dialect::Chat, request).await
}

/// Answers one of OpenAI's legacy completions.
pub(super) async fn completions(
    State(gate): State<Arc<Gate>>,
    visit: Visit,
    request: Request<Body>,
) -> Result<Response, ApiError> {
    converse(&gate, visit, Dialect::Completion, request).await
}

/// Answers a conversation in Anthropic's dialect.
pub(super) async fn messages(
    State(gate): State<Arc<Gate>>,
    visit: Visit,
    request: Request<Body>,
) -> Result<Response, ApiError> {
    converse(&gate, visit, Dialect::Messages, request).await
}

/// Answers a request, whole or as a stream, in the words it came in.
async fn converse(
    gate: &Gate,
    visit: Visit,
    dialect: Dialect,
    request: Request<Body>,
) -> Result<Response, ApiError> {
    let started = Instant::now();
    let deadline = Deadline::after(visit.live.settings.deadline);
    let headers = request.headers().clone();
    let body = json_body(&visit.live, request, deadline).await?;
    let mut raw = RawObject::parse(&body).map_err(RequestError::from)?;
    let mut options = Options::take(&mut raw)?;
    let session = Named::of(options.session_id.take(), &headers)?;
    // A browser sends its cookie with everything, so with completions too.
    let session = session.filter(|named| named.is_meant() || dialect != Dialect::Completion);
    let asked = (dialect, raw, session.as_ref());
    let (request, prompt) = open(gate, &visit, options.prompt.take(), asked).await?;
    let mut context = visit.context(deadline);
    context.cache = options.cache.into();
    context.domain = options.domain;
    context.policy = options.policy;
    context.session = session.as_ref().map(|named| named.id.clone());
    let answer = visit.live.engine.chat(request, &context).await;
    let verdict = verdict_id(&visit, &context, judged(&answer)).await;
    let answer = match answer {
        Ok(answer) => answer,
        Err(error) => {
            let error = ApiError::after_calls(error, &context.spent, started);
            let mut refusal = match session {
                Some(named) => named.refused(error),
                None => error.into_response(),
            };
            refusal.headers_mut().extend(verdict);
            refusal.headers_mut().extend(prompt);
            return Ok(refusal);
        }
    };
    let operation = match dialect {
        Dialect::Chat => Operation::Chat,
        Dialect::Completion => Operation::Completion,
        Dialect::Messages => Operation::Messages,
    };
    let mut response = respond(gate, operation, answer, started);
    if let Some(named) = session {
        named.describe(&mut response, visit.live.engine.session_ttl());
    }
    response.headers_mut().extend(verdict);
    response.headers_mut().extend(prompt);
    Ok(response)
}

/// The request, after what the prompt that it names puts before it, and what the
/// answer says of that prompt.
async fn open(
    gate: &Gate,
    visit: &Visit,
    prompt: Option<NamedPrompt>,
    (dialect, raw, session): (Dialect, RawObject, Option<&Named>),
) -> Result<(ChatRequest, Option<(HeaderName, HeaderValue)>), ApiError> {
    let Some(prompt) = prompt else {
        let request = ChatRequest::of(dialect, raw)?;
        check_chat(&request)?;
        return Ok((request, None));
    };
    let session = session.map(|named| named.id.as_str());
    let prompted = Prompted::of(visit, prompt, (dialect, &raw), session).await?;
    let Prompted { request, rendered } = prompted;
    check_chat(&request)?;
    gate.metrics.rendered(&rendered);
    let said = prompts::header(&rendered).map(|value| (prompts::PROMPT, value));
    Ok((request, said))
}

/// What the guard said of a request and its answer, if it looked at them.
fn judged(answer: &Result<Answer, EngineError>) -> Option<(Outcome, Vec<Arc<str>>)> {
    match answer {
        Ok(answer) => {
            let guarded = answer.head.guarded.as_ref()?;
            Some((guarded.outcome, guarded.rules.clone()))
        }
        Err(EngineError::Blocked { rules, .. } | EngineError::NotRedacted { rules, .. }) => {
            Some((Outcome::Block, rules.clone()))
        }
        Err(_) => None,
    }
}

/// By what a verdict can be spoken of; of a stream it is the verdict on the
/// request.
async fn verdict_id(
    visit: &Visit,
    context: &Context,
    judged: Option<(Outcome, Vec<Arc<str>>)>,
) -> Option<(HeaderName, HeaderValue)> {
    let (outcome, rules) = judged?;
    let engine = &visit.live.engine;
    let chosen = engine.choose_policy(&visit.caller, context.policy.as_deref());
    let policy = chosen.ok()?.policy;
    let id = engine.verdict_id(&visit.caller, outcome, &rules, &policy);
    Some((VERDICT_ID, HeaderValue::from_str(&id.await).ok()?))
}

/// The answer as a response, with what is known of it in headers.
pub(super) fn respond(
    gate: &Gate,
    operation: Operation,
    answer: Answer,
    started: Instant,
) -> Response {
    let Answer { head, body } = answer;
    let cost = Cost::of_answer(&head, started);
    gate.metrics.answered(operation, &head, cost.overhead);
    let mut response = match body {
        AnswerBody::Whole(body) => {
            let mut response = Response::new(Body::from(body));
            response
                .headers_mut()
                .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            response
        }
        AnswerBody::Stream(stream) => {
            let body = SseBody::new(stream, operation.into(), head.clone(), cost);
            let end = body.end();
            let mut response = Response::new(Body::new(body));
            response.extensions_mut().insert(end);
            let headers = response.headers_mut();
            headers.insert(
                CONTENT_TYPE,
                HeaderValue::from_static("text/event-stream; charset=utf-8"),
            );
            headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
            response
        }
    };
    describe(&mut response, &head);
    cost.describe(response.headers_mut());
    response.extensions_mut().insert(Answered { head, cost });
    response
}

impl From<Operation> for Framing {
    fn from(operation: Operation) -> Self {
        match operation {
            Operation::Chat | Operation::Completion | Operation::Embeddings => Self::OpenAi,
            Operation::Messages => Self::Anthropic,
        }
    }
}

const CACHE: HeaderName = HeaderName::from_static("x-tidegate-cache");
const MODEL: HeaderName = HeaderName::from_static("x-tidegate-model");
const VERDICT: HeaderName = HeaderName::from_static("x-tidegate-verdict");
const VERDICT_ID: HeaderName = HeaderName::from_static("x-tidegate-verdict-id");
const DEGRADED: HeaderName = HeaderName::from_static("x-tidegate-degraded");

fn describe(response: &mut Response, head: &AnswerHead) {
    let headers = response.headers_mut();
    headers.insert(CACHE, HeaderValue::from_static(head.cached.as_str()));
    if let Some(guarded) = &head.guarded {
        let verdict = HeaderValue::from_static(guarded.outcome.as_str());
        headers.insert(VERDICT, verdict);
    }
    // A model's name may hold what a header may not.
    if let Ok(model) = HeaderValue::from_str(&head.model) {
        headers.insert(MODEL, model);
    }
    if !head.degraded.is_empty()
        && let Ok(list) = HeaderValue::from_str(&head.degraded.join(","))
    {
        headers.insert(DEGRADED, list);
    }
}

/// The `tidegate` object of a request body.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    #[serde(default)]
    cache: CacheWord,
    #[serde(default, deserialize_with = "domain")]
    domain: Option<Arc<str>>,
    session_id: Option<String>,
    policy: Option<String>,
    prompt: Option<NamedPrompt>,
}

/// A name, or nothing where it is null.
fn domain<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Arc<str>>, D::Error> {
    let given = Option::<String>::deserialize(deserializer)?;
    match given {
        Some(name) if !is_name(&name) => Err(D::Error::custom("not a name")),
        given => Ok(given.map(Into::into)),
    }
}

#[derive(Debug, Default, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum CacheWord {
    #[default]
    Default,
    Use,
    Skip,
    Refresh,
}

impl From<CacheWord> for CacheUse {
    fn from(word: CacheWord) -> Self {
        match word {
            CacheWord::Default => Self::Default,
            CacheWord::Use => Self::Use,
            CacheWord::Skip => Self::Skip,
            CacheWord::Refresh => Self::Refresh,
        }
    }
}

/// Options of the contract that this version has no room for yet.
const LATER: [&str; 4] = ["retrieve", "k", "mode", "priority"];

impl Options {
    fn take(request: &mut RawObject) -> Result<Self, ApiError> {
        let Some(raw) = request.remove("tidegate") else {
            return Ok(Self::default());
        };
        // A derived struct would take a list for an object.
        let object = Some(&raw).filter(|raw| raw.starts_with(b"{"));
        object
            .and_then(|raw| serde_json::from_slice(raw).ok())
            .ok_or_else(|| Self::explain(&raw))
    }

    fn explain(raw: &Bytes) -> ApiError {
        let fields: serde_json::Map<String, serde_json::Value> =
            serde_json::from_slice(raw).unwrap_or_default();
        let later = fields.keys().find(|key| LATER.contains(&key.as_str()));
        if let Some(key) = later {
            let message = format!("tidegate.{key} is not supported by this version");
            return ApiError::invalid("unsupported_parameter", message)
                .about(&format!("tidegate.{key}"));
        }
        let message = "tidegate must be an object of {cache: \"use\" | \"skip\" | \"refresh\", \
             domain: string of 1 to 256 bytes, session_id: string, policy: string, \
             prompt: {name: string, parameters?: object, budget_tokens?: integer, \
             variant?: string, variant_key?: string}}";
        ApiError::invalid("invalid_parameter", message).about("tidegate")
    }
}
