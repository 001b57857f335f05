//! Answers that are known before anybody asks, from a request or from a file.

use std::path::Path;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use tidegate_engine::{Caller, ChatRequest, Context, Deadline, Dialect, Quota, WarmError, Warmed};

use super::Gate;
use super::cache::is_name;
use super::error::ApiError;
use super::live::Live;
use super::maxima::check_chat;

/// A request, and its answer where that is known.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Entry {
    request: Box<RawValue>,
    answer: Option<Box<RawValue>>,
    #[serde(default)]
    dialect: DialectWord,
    domain: Option<String>,
    /// Whose cache it is for; the caller's own unless it says so.
    tenant: Option<String>,
}

#[derive(Debug, Default, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum DialectWord {
    #[default]
    Chat,
    Completion,
    Messages,
}

impl From<DialectWord> for Dialect {
    fn from(word: DialectWord) -> Self {
        match word {
            DialectWord::Chat => Self::Chat,
            DialectWord::Completion => Self::Completion,
            DialectWord::Messages => Self::Messages,
        }
    }
}

/// The shape of one, for messages.
pub(super) const ENTRY: &str = "{request: object, answer?: object, \
dialect?: chat | completion | messages, domain?: string, tenant?: string}";

/// What came of one of them.
#[derive(Debug)]
pub(super) enum Outcome {
    /// It is in the cache now.
    Warmed,
    /// It was there already.
    Skipped,
    /// It is not in the cache.
    Failed(Box<ApiError>),
}

impl Outcome {
    /// As the answer of the endpoint shows it.
    pub(super) fn to_json(&self) -> Value {
        match self {
            Self::Warmed => json!({"outcome": "warmed"}),
            Self::Skipped => json!({"outcome": "skipped"}),
            Self::Failed(error) => json!({
                "outcome": "failed",
                "error": {"code": error.code(), "message": error.to_string()},
            }),
        }
    }
}

/// Requests that are run at once: enough to be quick, and most of the room is
/// left to those who wait for an answer.
const AT_ONCE: usize = 4;

/// Sees to each of them; the outcomes come in the same order.
pub(super) async fn warm_all(live: &Live, caller: &Caller, entries: Vec<Entry>) -> Vec<Outcome> {
    let outcomes = entries.into_iter().map(|entry| one(live, caller, entry));
    stream::iter(outcomes).buffered(AT_ONCE).collect().await
}

async fn one(live: &Live, caller: &Caller, mut entry: Entry) -> Outcome {
    // Of an operator's making: the limits that hold are those of the models.
    let named = entry.tenant.take();
    let named = named.map(|tenant| Caller::new(&tenant, Quota::unlimited()));
    let caller = named.as_ref().unwrap_or(caller);
    match try_one(live, caller, entry).await {
        Ok(Warmed::Kept) => Outcome::Warmed,
        Ok(Warmed::There) => Outcome::Skipped,
        Err(error) => Outcome::Failed(Box::new(error)),
    }
}

async fn try_one(live: &Live, caller: &Caller, entry: Entry) -> Result<Warmed, ApiError> {
    let dialect = entry.dialect.into();
    let body = Bytes::from(entry.request.get().to_owned());
    let mut request = ChatRequest::parse_as(dialect, body)?;
    check_chat(&request)?;
    // What it says about the cache is said already.
    let said = request.take("tidegate");
    if said.is_some_and(|said| names_prompt(&said)) {
        let message = "a request that is warmed names no prompt; give the messages that \
                       POST /v1/prompts/{name}/render answers";
        return Err(ApiError::invalid("unsupported_parameter", message).about("tidegate.prompt"));
    }
    if entry.domain.as_deref().is_some_and(|name| !is_name(name)) {
        let message = "domain must be a string of 1 to 256 bytes";
        return Err(ApiError::invalid("invalid_parameter", message).about("domain"));
    }
    let answer = entry.answer.as_deref().map(RawValue::get);
    if answer.is_some_and(|answer| !is_complete(dialect, answer)) {
        let message = "answer must be a whole answer that has ended: choices that all have a \
                       finish_reason, or content with a stop_reason";
        return Err(ApiError::invalid("invalid_parameter", message).about("answer"));
    }
    let deadline = Deadline::after(live.settings.deadline);
    let mut context = Context::new(caller.clone(), deadline);
    context.domain = entry.domain.map(Into::into);
    let answer = answer.map(|answer| Bytes::from(answer.to_owned()));
    let warmed = live.engine.warm(request, answer, &context).await;
    warmed.map_err(|error| match error {
        WarmError::Engine(error) => error.into(),
        WarmError::Stream => ApiError::invalid("invalid_parameter", error.to_string()),
        WarmError::NotKept { .. } => ApiError::invalid("answer_not_kept", error.to_string()),
    })
}

/// Whether the `tidegate` object of a request names a prompt.
fn names_prompt(said: &Bytes) -> bool {
    let said: Option<Value> = serde_json::from_slice(said).ok();
    said.is_some_and(|said| !said["prompt"].is_null())
}

/// Whether an answer is one that an upstream has finished.
fn is_complete(dialect: Dialect, answer: &str) -> bool {
    let Ok(answer) = serde_json::from_str::<Value>(answer) else {
        return false;
    };
    match dialect {
        Dialect::Chat | Dialect::Completion => {
            let choices = answer["choices"].as_array();
            let ended = |choice: &Value| choice["finish_reason"].is_string();
            choices.is_some_and(|choices| !choices.is_empty() && choices.iter().all(ended))
        }
        Dialect::Messages => answer["content"].is_array() && answer["stop_reason"].is_string(),
    }
}

impl Gate {
    /// Warms the cache from a file of one JSON object a line, and says once
    /// what came of it.
    pub(crate) async fn warm_from(&self, path: &Path) {
        let shown = path.display();
        let text = match tokio::fs::read_to_string(path).await {
            Ok(text) => text,
            Err(error) => {
                tracing::warn!(%error, "cache.warm: {shown} cannot be read: {error}");
                return;
            }
        };
        let (mut warmed, mut skipped, mut failed) = (0_u64, 0_u64, Vec::new());
        for (number, line) in numbered(&text) {
            let live = self.current.load();
            match self.warm_line(&live, line).await {
                Outcome::Warmed => warmed += 1,
                Outcome::Skipped => skipped += 1,
                Outcome::Failed(error) => failed.push((number, error)),
            }
        }
        let first = failed.first();
        let first = first.map(|(number, error)| format!("; line {number}: {error}"));
        let (count, first) = (failed.len(), first.unwrap_or_default());
        tracing::info!(
            warmed,
            skipped,
            failed = count,
            "cache.warm: {shown}: {warmed} answers warmed, {skipped} were there, {count} failed{first}"
        );
    }

    async fn warm_line(&self, live: &Live, line: &str) -> Outcome {
        match serde_json::from_str::<Entry>(line) {
            Ok(entry) => one(live, &Caller::default(), entry).await,
            Err(error) => {
                let column = error.column();
                let message = format!("the line must be {ENTRY}; it is not at column {column}");
                Outcome::Failed(Box::new(ApiError::invalid("invalid_json", message)))
            }
        }
    }
}

/// The lines that hold something, counted from 1.
pub(crate) fn numbered(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let lines = text.lines().enumerate();
    lines
        .map(|(index, line)| (index + 1, line.trim()))
        .filter(|(_, line)| !line.is_empty())
}
