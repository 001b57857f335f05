//! Whole answers in OpenAI's chat dialect.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::read_messages::input;
use super::thoughts::{self, ThinkingBlock, Thoughts};
use super::tokens::Usage;
use crate::dialect::{Part, Reply, Stop, Tokens};
use crate::error::{ProviderError, Unavailability};

#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    model: Option<String>,
    choices: Vec<Choice>,
    #[serde(default, borrow)]
    usage: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Choice {
    message: Message,
    finish_reason: String,
}

#[derive(Deserialize)]
#[serde(default)]
#[derive(Default)]
struct Message {
    content: Option<String>,
    refusal: Option<String>,
    reasoning_content: Option<String>,
    reasoning: Option<String>,
    thinking_blocks: Option<Vec<ThinkingBlock>>,
    tool_calls: Option<Vec<ToolCall>>,
}

#[derive(Deserialize)]
struct ToolCall {
    id: String,
    function: Function,
}

#[derive(Deserialize)]
struct Function {
    name: String,
    #[serde(default)]
    arguments: String,
}

/// Reads a `chat.completion` with one choice; several are none in the words of
/// any other dialect.
///
/// # Errors
/// [`Unavailability::Garbage`] for anything else.
pub(crate) fn read_reply(body: &[u8]) -> Result<Reply, ProviderError> {
    read(body).ok_or_else(|| Unavailability::Garbage.into())
}

fn read(body: &[u8]) -> Option<Reply> {
    let mut answer: Answer<'_> = serde_json::from_slice(body).ok()?;
    let choice = answer.choices.pop()?;
    if !answer.choices.is_empty() {
        return None;
    }
    let parts = parts(choice.message)?;
    let uses_tools = parts
        .iter()
        .any(|part| matches!(part, Part::ToolUse { .. }));
    let stop = read_stop(&choice.finish_reason)?;
    Some(Reply {
        id: answer.id.unwrap_or_default(),
        model: answer.model.unwrap_or_default(),
        stop: if uses_tools {
            after_tool_use(stop)
        } else {
            stop
        },
        tokens: read_tokens(answer.usage).unwrap_or_default(),
        parts,
    })
}

fn parts(message: Message) -> Option<Vec<Part>> {
    let plain = message.reasoning_content.or(message.reasoning);
    let mut parts = thoughts::parts(plain, message.thinking_blocks.unwrap_or_default());
    let said = |text: &String| !text.is_empty();
    parts.extend(message.content.filter(said).map(Part::Text));
    parts.extend(message.refusal.filter(said).map(Part::Refusal));
    for call in message.tool_calls.unwrap_or_default() {
        parts.push(Part::ToolUse {
            id: call.id,
            name: call.function.name,
            input: input(&call.function.arguments)?,
        });
    }
    Some(parts)
}

/// A usage that is unreadable is as good as none: an answer is not lost for it.
pub(super) fn read_tokens(raw: Option<&RawValue>) -> Option<Tokens> {
    let usage: Option<Usage> = serde_json::from_str(raw?.get()).ok()?;
    usage.map(Tokens::from)
}

/// The reason to stop.
pub(super) fn read_stop(word: &str) -> Option<Stop> {
    match word {
        "stop" => Some(Stop::End),
        "tool_calls" | "function_call" => Some(Stop::ToolUse),
        "length" => Some(Stop::MaxTokens),
        "content_filter" => Some(Stop::Filtered),
        _ => None,
    }
}

/// The reason to stop of an answer that uses a tool. A model that was told
/// which one says `stop` when it used it, and so do some servers always.
pub(super) fn after_tool_use(stop: Stop) -> Stop {
    match stop {
        Stop::End => Stop::ToolUse,
        Stop::MaxTokens
        | Stop::Sequence(_)
        | Stop::ToolUse
        | Stop::Filtered
        | Stop::ContextFull
        | Stop::Paused => stop,
    }
}

/// OpenAI's word for the reason to stop.
pub(super) fn stop_word(stop: &Stop) -> &'static str {
    match stop {
        Stop::End | Stop::Sequence(_) | Stop::Paused => "stop",
        Stop::MaxTokens | Stop::ContextFull => "length",
        Stop::ToolUse => "tool_calls",
        Stop::Filtered => "content_filter",
    }
}

#[derive(Serialize)]
struct Written<'a> {
    id: &'a str,
    object: &'static str,
    created: u64,
    model: &'a str,
    choices: [WrittenChoice<'a>; 1],
    usage: Usage,
}

#[derive(Serialize)]
struct WrittenChoice<'a> {
    index: u64,
    message: WrittenMessage<'a>,
    logprobs: Option<()>,
    finish_reason: &'static str,
}

#[derive(Serialize)]
struct WrittenMessage<'a> {
    role: &'static str,
    content: Option<String>,
    refusal: Option<String>,
    #[serde(flatten)]
    thoughts: Thoughts,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<WrittenCall<'a>>,
}

/// A tool call as messages and answers hold it.
#[derive(Serialize)]
pub(super) struct WrittenCall<'a> {
    id: &'a str,
    r#type: &'static str,
    function: WrittenFunction<'a>,
}

#[derive(Serialize)]
struct WrittenFunction<'a> {
    name: &'a str,
    /// JSON in a string.
    arguments: &'a str,
}

/// Writes a `chat.completion`; `created` in seconds since 1970.
pub(crate) fn write_reply(reply: &Reply, created: u64) -> Bytes {
    let message = WrittenMessage {
        role: "assistant",
        content: joined(&reply.parts, text),
        refusal: joined(&reply.parts, refusal),
        thoughts: Thoughts::of(&reply.parts),
        tool_calls: reply.parts.iter().filter_map(tool_call).collect(),
    };
    let written = Written {
        id: &reply.id,
        object: "chat.completion",
        created,
        model: &reply.model,
        choices: [WrittenChoice {
            index: 0,
            message,
            logprobs: None,
            finish_reason: stop_word(&reply.stop),
        }],
        usage: Usage::from(reply.tokens),
    };
    super::json(&written)
}

fn joined(parts: &[Part], said: fn(&Part) -> Option<&str>) -> Option<String> {
    let mut texts = parts.iter().filter_map(said).peekable();
    texts.peek()?;
    Some(texts.collect())
}

fn text(part: &Part) -> Option<&str> {
    match part {
        Part::Text(text) => Some(text),
        Part::Refusal(_)
        | Part::Image(_)
        | Part::ToolUse { .. }
        | Part::ToolResult(_)
        | Part::Thinking { .. }
        | Part::RedactedThinking(_) => None,
    }
}

fn refusal(part: &Part) -> Option<&str> {
    match part {
        Part::Refusal(text) => Some(text),
        Part::Text(_)
        | Part::Image(_)
        | Part::ToolUse { .. }
        | Part::ToolResult(_)
        | Part::Thinking { .. }
        | Part::RedactedThinking(_) => None,
    }
}

pub(super) fn tool_call(part: &Part) -> Option<WrittenCall<'_>> {
    match part {
        Part::ToolUse { id, name, input } => Some(WrittenCall {
            id,
            r#type: "function",
            function: WrittenFunction {
                name,
                arguments: input.as_str(),
            },
        }),
        Part::Text(_)
        | Part::Refusal(_)
        | Part::Image(_)
        | Part::ToolResult(_)
        | Part::Thinking { .. }
        | Part::RedactedThinking(_) => None,
    }
}
