//! Whole answers, read and written.

use std::borrow::Cow;

use bytes::Bytes;
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::value::RawValue;

use super::facts::error_in;
use super::heard::Heard;
use super::usage::{learn, usage};
use super::wire::{Block, Ending, Message, declined, json, message_id, stop};
use crate::dialect::{Part, Reply, Stop, Tokens};
use crate::error::{ProviderError, Unavailability};
use crate::usage::Usage;

#[derive(Deserialize)]
struct Answer<'a, B> {
    #[serde(rename = "type", default, borrow)]
    kind: Option<Cow<'a, str>>,
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    model: Option<String>,
    #[serde(default = "Option::default")]
    content: Option<Vec<B>>,
    #[serde(default)]
    stop_reason: Option<String>,
    #[serde(default)]
    stop_sequence: Option<String>,
    #[serde(default, borrow)]
    usage: Option<&'a RawValue>,
    #[serde(default, borrow)]
    error: Option<&'a RawValue>,
}

/// Reads a message, with the error that a body may be instead.
fn read<B: DeserializeOwned>(body: &[u8]) -> Result<(Answer<'_, B>, Vec<B>), ProviderError> {
    let mut answer: Answer<'_, B> =
        serde_json::from_slice(body).map_err(|_| Unavailability::Garbage)?;
    if answer.error.is_some_and(|error| error.get() != "null") {
        return Err(error_in(body));
    }
    if answer.kind.as_deref() != Some("message") {
        return Err(Unavailability::Garbage.into());
    }
    let content = answer.content.take().ok_or(Unavailability::Garbage)?;
    Ok((answer, content))
}

/// Makes sure that a body is an answer, and reads its usage.
pub(crate) fn check_answer(body: &[u8]) -> Result<Option<Usage>, ProviderError> {
    let (answer, _) = read::<IgnoredAny>(body)?;
    let tokens = answer.usage.map(|raw| {
        let mut tokens = Tokens::default();
        learn(&mut tokens, Some(raw));
        tokens
    });
    Ok(tokens.map(usage))
}

/// Reads a whole answer. Citations are let go: only documents and searches have
/// them, which no conversation carries.
///
/// # Errors
/// The error's own class when it is one; [`Unavailability::Garbage`] when it is
/// no message, and for blocks and stops that no other dialect has.
pub(crate) fn read_reply(body: &[u8]) -> Result<Reply, ProviderError> {
    let (answer, content) = read::<Heard>(body)?;
    let parts: Option<Vec<Part>> = content.into_iter().map(Heard::part).collect();
    let stopped = match &answer.stop_reason {
        Some(word) => stop(word, answer.stop_sequence),
        None => Some(Stop::End),
    };
    let mut tokens = Tokens::default();
    learn(&mut tokens, answer.usage);
    Ok(Reply {
        id: answer.id.unwrap_or_default(),
        model: answer.model.unwrap_or_default(),
        parts: parts.ok_or(Unavailability::Garbage)?,
        stop: stopped.ok_or(Unavailability::Garbage)?,
        tokens,
    })
}

/// Writes a whole answer.
pub(crate) fn write_reply(reply: &Reply) -> Bytes {
    let declines = |part: &Part| matches!(part, Part::Refusal(_));
    let stop = reply.stop.clone();
    let stop = match reply.parts.iter().any(declines) {
        true => declined(stop),
        false => stop,
    };
    json(&Message {
        id: message_id(&reply.id),
        kind: "message",
        role: "assistant",
        model: &reply.model,
        content: reply.parts.iter().filter_map(block).collect(),
        ending: Ending::of(stop),
        usage: reply.tokens.into(),
    })
}

fn block(part: &Part) -> Option<Block<'_>> {
    match part {
        Part::Text(text) | Part::Refusal(text) => Block::text(text),
        Part::ToolUse { id, name, input } => Some(Block::ToolUse { id, name, input }),
        Part::Thinking { text, signature } => Some(Block::Thinking {
            thinking: text,
            signature: signature.as_deref().unwrap_or_default(),
        }),
        Part::RedactedThinking(data) => Some(Block::RedactedThinking { data }),
        // No model answers with these.
        Part::Image(_) | Part::ToolResult(_) => None,
    }
}
