//! `chat`: a conversation with a model, guarded, limited and cached like any
//! other.

use std::fmt::Display;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use tidegate_provider::{ChatRequest, Dialect, RawObject, Usage};
use tidegate_tasks::{Job, TaskError};

use super::{InForce, tenant};
use crate::answer::AnswerBody;
use crate::assemble::Engine;
use crate::context::Context;

/// What a model is asked, checked when it is submitted.
#[derive(Debug, Deserialize)]
#[serde(try_from = "Asked")]
pub(super) struct Input(Asked);

/// `messages` as in a chat completion, or a `query` with what is to be known for
/// it in `context`.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    /// The first configured one where it is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<String>,
    #[serde(default)]
    messages: Vec<Message>,
    #[serde(default, skip_serializing)]
    query: Option<String>,
    #[serde(default, skip_serializing)]
    context: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stop: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_format: Option<Value>,
}

impl TryFrom<Asked> for Input {
    type Error = &'static str;

    fn try_from(mut asked: Asked) -> Result<Self, Self::Error> {
        match (asked.query.take(), asked.context.take()) {
            (Some(_), _) if !asked.messages.is_empty() => Err("messages or query, not both"),
            (None, Some(_)) => Err("context belongs to a query; messages have their own"),
            (None, None) if asked.messages.is_empty() => {
                Err("messages, at least one, or a query is wanted")
            }
            (None, None) => Ok(Self(asked)),
            (Some(query), context) => {
                let system = context.map(|context| message("system", &context));
                asked.messages.extend(system);
                asked.messages.push(message("user", &query));
                Ok(Self(asked))
            }
        }
    }
}

#[derive(Debug, Deserialize, Serialize)]
struct Message {
    role: String,
    content: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
}

/// What it answered.
#[derive(Debug, Serialize)]
pub(super) struct Output {
    /// The `provider/model` that answered.
    model: String,
    /// Its words; nothing where it answered otherwise.
    response: Option<String>,
    usage: Option<Tokens>,
    /// The whole chat completion.
    completion: Box<RawValue>,
}

#[derive(Debug, Serialize)]
struct Tokens {
    prompt_tokens: u64,
    completion_tokens: u64,
    total_tokens: u64,
}

impl From<Usage> for Tokens {
    fn from(usage: Usage) -> Self {
        Self {
            prompt_tokens: usage.prompt_tokens,
            completion_tokens: usage.completion_tokens,
            total_tokens: usage.total(),
        }
    }
}

pub(super) async fn run(in_force: Arc<dyn InForce>, job: Job<Input>) -> Result<Output, TaskError> {
    let (engine, caller) = tenant::of(&*in_force, &job.context)?;
    job.context.progress(0, 1, "asking the model");
    let request = request(&engine, job.input)?;
    let context = Context::new(caller, job.context.deadline);
    let answer = engine.chat(request, &context).await;
    let answer = answer.map_err(|error| tenant::failed(&error))?;
    let AnswerBody::Whole(body) = answer.body else {
        return Err(TaskError::lasting(
            "internal_error",
            "it was answered as a stream",
        ));
    };
    let text = String::from_utf8_lossy(&body).into_owned();
    let response = serde_json::from_str::<Value>(&text).ok();
    let response = response.and_then(|body| words(&body));
    let completion = RawValue::from_string(text);
    job.context.progress(1, 1, "answered");
    Ok(Output {
        model: answer.head.model.to_string(),
        response,
        usage: answer.head.usage.map(Tokens::from),
        completion: completion.map_err(|_| unreadable())?,
    })
}

fn unreadable() -> TaskError {
    TaskError::passing("upstream_failed", "the answer is no JSON")
}

fn words(body: &Value) -> Option<String> {
    let words = body.pointer("/choices/0/message/content")?;
    words.as_str().map(str::to_owned)
}

fn request(engine: &Engine, Input(mut asked): Input) -> Result<ChatRequest, TaskError> {
    let bad = |error: &dyn Display| TaskError::lasting("invalid_input", format!("input: {error}"));
    let first = || engine.models().first().map(|model| (*model).to_owned());
    asked.model = asked.model.take().or_else(first);
    let body = serde_json::to_vec(&asked).map_err(|error| bad(&error))?;
    let raw = RawObject::parse(&body.into()).map_err(|error| bad(&error))?;
    ChatRequest::of(Dialect::Chat, raw).map_err(|error| bad(&error))
}

fn message(role: &str, content: &str) -> Message {
    Message {
        role: role.to_owned(),
        content: json!(content),
        name: None,
    }
}
