//! Whole answers of Converse.

use serde::Deserialize;

use crate::dialect::{Json, Part, Reply, Stop, Tokens};
use crate::error::{ProviderError, Unavailability};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    output: Output,
    stop_reason: String,
    #[serde(default)]
    usage: Usage,
    #[serde(default)]
    additional_model_response_fields: Option<Additional>,
}

#[derive(Deserialize)]
struct Output {
    message: Message,
}

#[derive(Deserialize)]
struct Message {
    content: Vec<Block>,
}

/// One of these is there; none is for a kind of block that we do not know.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Block {
    text: Option<String>,
    tool_use: Option<ToolUse>,
    reasoning_content: Option<Reasoning>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ToolUse {
    tool_use_id: String,
    name: String,
    input: Json,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Reasoning {
    reasoning_text: Option<ReasoningText>,
    redacted_content: Option<String>,
}

#[derive(Deserialize)]
struct ReasoningText {
    text: String,
    signature: Option<String>,
}

#[derive(Deserialize)]
struct Additional {
    stop_sequence: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Usage {
    input_tokens: u64,
    output_tokens: u64,
    total_tokens: u64,
    cache_read_input_tokens: Option<u64>,
    cache_write_input_tokens: Option<u64>,
}

/// Reads the body of an answer. `id` is the request's, for want of an answer's.
pub(super) fn read(body: &[u8], id: String, model: &str) -> Result<Reply, ProviderError> {
    let answer: Answer = serde_json::from_slice(body).map_err(|_| Unavailability::Garbage)?;
    let usage = answer.usage;
    let met = answer
        .additional_model_response_fields
        .and_then(|fields| fields.stop_sequence);
    let parts: Result<_, ProviderError> = answer
        .output
        .message
        .content
        .into_iter()
        .map(part)
        .collect();
    Ok(Reply {
        id,
        model: model.to_owned(),
        parts: parts?,
        stop: stop(&answer.stop_reason, met)?,
        tokens: Counts {
            input: usage.input_tokens,
            output: usage.output_tokens,
            total: usage.total_tokens,
            cache_read: usage.cache_read_input_tokens.unwrap_or(0),
            cache_write: usage.cache_write_input_tokens.unwrap_or(0),
        }
        .tokens(),
    })
}

/// A block that is none of these carries part of the answer in a form that no
/// dialect of ours can say: an answer without it would not be the answer.
fn part(block: Block) -> Result<Part, ProviderError> {
    if let Some(text) = block.text {
        return Ok(Part::Text(text));
    }
    if let Some(tool) = block.tool_use {
        return Ok(Part::ToolUse {
            id: tool.tool_use_id,
            name: tool.name,
            input: tool.input,
        });
    }
    let reasoning = block.reasoning_content.ok_or(Unavailability::Garbage)?;
    if let Some(sealed) = reasoning.redacted_content {
        return Ok(Part::RedactedThinking(sealed));
    }
    let thought = reasoning.reasoning_text.ok_or(Unavailability::Garbage)?;
    Ok(Part::Thinking {
        text: thought.text,
        signature: thought.signature,
    })
}

/// Why an answer ended. A model that could not finish its output in the form
/// that it had to keep has given no answer. A reason that is not known yet
/// counts as an end: the answer is there.
pub(super) fn stop(reason: &str, met: Option<String>) -> Result<Stop, ProviderError> {
    Ok(match reason {
        "tool_use" => Stop::ToolUse,
        "max_tokens" => Stop::MaxTokens,
        "stop_sequence" => Stop::Sequence(met),
        "guardrail_intervened" | "content_filtered" | "refusal" => Stop::Filtered,
        "model_context_window_exceeded" => Stop::ContextFull,
        "pause_turn" => Stop::Paused,
        "malformed_model_output" | "malformed_tool_use" => {
            return Err(Unavailability::Garbage.into());
        }
        _ => Stop::End,
    })
}

/// Counts as Bedrock gives them.
pub(super) struct Counts {
    pub(super) input: u64,
    pub(super) output: u64,
    pub(super) total: u64,
    pub(super) cache_read: u64,
    pub(super) cache_write: u64,
}

impl Counts {
    /// Bedrock counts cached tokens apart from `inputTokens`. Some models
    /// count them twice; the total tells which.
    pub(super) fn tokens(&self) -> Tokens {
        let cached = self.cache_read.saturating_add(self.cache_write);
        let twice = cached > 0 && self.total == self.input.saturating_add(self.output);
        Tokens {
            input: if twice {
                self.input.saturating_sub(cached)
            } else {
                self.input
            },
            cache_read: self.cache_read,
            cache_write: self.cache_write,
            output: self.output,
            reasoning: 0,
        }
    }
}
