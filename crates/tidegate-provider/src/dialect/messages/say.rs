//! A conversation, said in Anthropic's dialect.
//!
//! Left out because it changes nothing that this dialect can say: an image's
//! `detail`, the name and strictness of an output schema (it always holds
//! here), empty texts, thoughts without a seal, and the choice between tools
//! where there are none.

use std::borrow::Cow;

use bytes::Bytes;
use serde::Serialize;

use super::ANTHROPIC;
use super::wire::{Block, json};
use crate::dialect::{
    Conversation, Effort, Json, OutputSchema, ParallelTools, Part, Refusal, Role, Sampling,
    Thinking, Tool, ToolChoice, ToolResult, Turn,
};
use crate::raw::RawObject;

const COOLER: &str = "an Anthropic model, whose range is 0 to 1";
const TALKATIVE: &str = "an Anthropic model, which takes no empty message";

/// The body that asks `model`, which wants a bound on every answer.
///
/// # Errors
/// [`Refusal`] names what cannot be said here.
pub(crate) fn write_request(
    conversation: &Conversation,
    model: &str,
    default_max_tokens: u64,
) -> Result<Bytes, Refusal> {
    let user = conversation.user.as_deref();
    let request = Request {
        model,
        system: system(&conversation.system)?,
        messages: messages(&conversation.turns)?,
        tools: conversation.tools.iter().map(tool).collect(),
        tool_choice: tool_choice(conversation)?,
        sampling: sampling(&conversation.sampling, default_max_tokens)?,
        thinking: conversation.thinking.as_ref().map(thinking),
        output_config: output(conversation)?,
        metadata: user.map(|user_id| Metadata { user_id }),
        stream: conversation.stream,
    };
    Ok(json(&request))
}

#[derive(Serialize)]
struct Request<'a> {
    model: &'a str,
    #[serde(flatten)]
    sampling: Choosing<'a>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    system: Vec<Block<'a>>,
    messages: Vec<Message<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<ToolWords<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_choice: Option<Choice<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thinking: Option<ThinkingWords>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output_config: Option<Output<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<Metadata<'a>>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    stream: bool,
}

#[derive(Serialize)]
struct Choosing<'a> {
    max_tokens: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<&'a Json>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<&'a Json>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_k: Option<u64>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    stop_sequences: &'a [String],
}

#[derive(Serialize)]
struct Message<'a> {
    role: &'static str,
    content: Vec<Block<'a>>,
}

#[derive(Serialize)]
struct Metadata<'a> {
    user_id: &'a str,
}

fn sampling(sampling: &Sampling, default_max_tokens: u64) -> Result<Choosing<'_>, Refusal> {
    let temperature = sampling.temperature.as_ref();
    if temperature
        .and_then(Json::as_f64)
        .is_some_and(|it| it > 1.0)
    {
        return Err(Refusal::unsupported("temperature", COOLER));
    }
    Ok(Choosing {
        max_tokens: sampling.max_tokens.unwrap_or(default_max_tokens),
        temperature,
        top_p: sampling.top_p.as_ref(),
        top_k: sampling.top_k,
        stop_sequences: &sampling.stop,
    })
}

fn system(parts: &[Part]) -> Result<Vec<Block<'_>>, Refusal> {
    let said = parts.iter().enumerate().map(|(index, part)| match part {
        Part::Text(text) | Part::Refusal(text) => Ok(Block::text(text)),
        Part::Image(_)
        | Part::ToolUse { .. }
        | Part::ToolResult(_)
        | Part::Thinking { .. }
        | Part::RedactedThinking(_) => {
            Err(Refusal::unsupported(format!("system[{index}]"), ANTHROPIC))
        }
    });
    said.filter_map(Result::transpose).collect()
}

/// Turns of the same speaker that follow each other become one, in which the
/// results of tools come first: the API takes them nowhere else.
fn messages(turns: &[Turn]) -> Result<Vec<Message<'_>>, Refusal> {
    if turns.is_empty() {
        return Err(Refusal::unsupported("messages", TALKATIVE));
    }
    let mut messages: Vec<Message<'_>> = Vec::with_capacity(turns.len());
    for (index, turn) in turns.iter().enumerate() {
        let path = format!("messages[{index}].content");
        let content = blocks(&turn.parts, &path)?;
        if content.is_empty() {
            return Err(Refusal::unsupported(path, TALKATIVE));
        }
        let role = match turn.role {
            Role::User => "user",
            Role::Assistant => "assistant",
        };
        match messages.last_mut().filter(|last| last.role == role) {
            Some(last) => last.content.extend(content),
            None => messages.push(Message { role, content }),
        }
    }
    for message in &mut messages {
        let is_result = |block: &Block<'_>| matches!(block, Block::ToolResult { .. });
        message.content.sort_by_key(|block| !is_result(block));
    }
    Ok(messages)
}

fn blocks<'a>(parts: &'a [Part], path: &str) -> Result<Vec<Block<'a>>, Refusal> {
    let said = parts.iter().enumerate().map(|(index, part)| match part {
        Part::Text(text) | Part::Refusal(text) => Ok(Block::text(text)),
        Part::Image(image) => Ok(Some(Block::image(image))),
        Part::ToolUse { id, name, input } => Ok(Some(Block::ToolUse { id, name, input })),
        Part::ToolResult(result) => tool_result(result, &format!("{path}[{index}]")).map(Some),
        // Without its maker's seal a thought cannot be shown again.
        Part::Thinking { text, signature } => Ok(signature.as_deref().map(|signature| {
            let thinking = text;
            Block::Thinking {
                thinking,
                signature,
            }
        })),
        Part::RedactedThinking(data) => Ok(Some(Block::RedactedThinking { data })),
    });
    said.filter_map(Result::transpose).collect()
}

fn tool_result<'a>(result: &'a ToolResult, path: &str) -> Result<Block<'a>, Refusal> {
    let content = result.content.iter().enumerate();
    let content = content.map(|(index, part)| match part {
        Part::Text(text) | Part::Refusal(text) => Ok(Block::text(text)),
        Part::Image(image) => Ok(Some(Block::image(image))),
        Part::ToolUse { .. }
        | Part::ToolResult(_)
        | Part::Thinking { .. }
        | Part::RedactedThinking(_) => {
            let path = format!("{path}.content[{index}]");
            Err(Refusal::unsupported(path, ANTHROPIC))
        }
    });
    Ok(Block::ToolResult {
        tool_use_id: &result.id,
        content: content
            .filter_map(Result::transpose)
            .collect::<Result<_, _>>()?,
        is_error: result.is_error,
    })
}

#[derive(Serialize)]
struct ToolWords<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    input_schema: Schema<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    strict: Option<bool>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Schema<'a> {
    Given(&'a Json),
    /// Of a tool without parameters; here every tool has a schema.
    Nothing {
        #[serde(rename = "type")]
        kind: &'static str,
        properties: NoProperties,
    },
}

#[derive(Serialize)]
struct NoProperties {}

fn tool(tool: &Tool) -> ToolWords<'_> {
    let nothing = Schema::Nothing {
        kind: "object",
        properties: NoProperties {},
    };
    ToolWords {
        name: &tool.name,
        description: tool.description.as_deref(),
        input_schema: tool.schema.as_ref().map_or(nothing, Schema::Given),
        strict: tool.strict,
    }
}

#[derive(Serialize)]
struct Choice<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    disable_parallel_tool_use: Option<bool>,
}

/// Whether tools are used and whether several at once, which this dialect says
/// in one place. Without tools it says neither.
fn tool_choice(conversation: &Conversation) -> Result<Option<Choice<'_>>, Refusal> {
    let choice = conversation.tool_choice.as_ref();
    if conversation.tools.is_empty() {
        return match choice {
            None | Some(ToolChoice::Auto | ToolChoice::None) => Ok(None),
            Some(ToolChoice::Any | ToolChoice::Tool(_)) => Err(Refusal::invalid(
                "tool_choice",
                "absent where there are no tools",
            )),
        };
    }
    let disable = conversation.parallel_tools.map(|parallel| match parallel {
        ParallelTools::Allowed => false,
        ParallelTools::Forbidden => true,
    });
    let (kind, name) = match choice {
        None if disable.is_none() => return Ok(None),
        None | Some(ToolChoice::Auto) => ("auto", None),
        Some(ToolChoice::Any) => ("any", None),
        Some(ToolChoice::Tool(name)) => ("tool", Some(&**name)),
        Some(ToolChoice::None) => ("none", None),
    };
    Ok(Some(Choice {
        kind,
        name,
        // No tool at all is never several.
        disable_parallel_tool_use: disable.filter(|_| kind != "none"),
    }))
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum ThinkingWords {
    Enabled { budget_tokens: u64 },
    Adaptive,
    Disabled,
}

fn thinking(thinking: &Thinking) -> ThinkingWords {
    match thinking {
        Thinking::Budget(budget_tokens) => ThinkingWords::Enabled {
            budget_tokens: *budget_tokens,
        },
        Thinking::Adaptive => ThinkingWords::Adaptive,
        Thinking::Disabled => ThinkingWords::Disabled,
    }
}

#[derive(Serialize)]
struct Output<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    effort: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    format: Option<Format<'a>>,
}

#[derive(Serialize)]
struct Format<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    schema: Cow<'a, Json>,
}

fn output(conversation: &Conversation) -> Result<Option<Output<'_>>, Refusal> {
    let effort = conversation.effort.map(|effort| match effort {
        Effort::Low => "low",
        Effort::Medium => "medium",
        Effort::High => "high",
    });
    let format = conversation.output_schema.as_ref().map(format_words);
    let format = format.transpose()?;
    Ok((effort.is_some() || format.is_some()).then_some(Output { effort, format }))
}

fn format_words(output: &OutputSchema) -> Result<Format<'_>, Refusal> {
    Ok(Format {
        kind: "json_schema",
        schema: described(output)?,
    })
}

/// The schema with its description inside, where alone this dialect has a
/// place for it. Another one that stands there already is not overwritten.
fn described(output: &OutputSchema) -> Result<Cow<'_, Json>, Refusal> {
    let Some(description) = &output.description else {
        return Ok(Cow::Borrowed(&output.schema));
    };
    let lost = || Refusal::unsupported("response_format.json_schema.description", ANTHROPIC);
    let bytes = Bytes::copy_from_slice(output.schema.as_str().as_bytes());
    let schema = RawObject::parse(&bytes).map_err(|_| lost())?;
    match schema.get("description") {
        None => {
            let with = schema.to_json_with(&[("description", &json(description))]);
            let with = std::str::from_utf8(&with).ok().and_then(Json::parse);
            with.map(Cow::Owned).ok_or_else(lost)
        }
        Some(own) if serde_json::from_slice(own).is_ok_and(|own: String| own == *description) => {
            Ok(Cow::Borrowed(&output.schema))
        }
        Some(_) => Err(lost()),
    }
}
