//! A conversation, written as a request in OpenAI's chat dialect.

use bytes::Bytes;
use serde::Serialize;

use super::UPSTREAM;
use super::write_messages::{Message, messages};
use crate::dialect::{
    Conversation, Effort, Json, MaxTokensField, OutputSchema, ParallelTools, Refusal, Sampling,
    Thinking, Tool, ToolChoice,
};

/// What a schema is called whose dialect has no label for it; OpenAI wants one.
pub(crate) const SCHEMA_NAME: &str = "answer";

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    messages: Vec<Message<'a>>,
    #[serde(flatten)]
    tooling: Tooling<'a>,
    #[serde(flatten)]
    choosing: Choosing<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_effort: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_format: Option<Format<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<&'a str>,
    #[serde(flatten)]
    streaming: Option<Streaming>,
}

#[derive(Serialize)]
struct Tooling<'a> {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<Typed<Function<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_choice: Option<Choice<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parallel_tool_calls: Option<bool>,
}

/// An object of type `function`.
#[derive(Serialize)]
struct Typed<F> {
    r#type: &'static str,
    function: F,
}

#[derive(Serialize)]
struct Function<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parameters: Option<&'a Json>,
    #[serde(skip_serializing_if = "Option::is_none")]
    strict: Option<bool>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Choice<'a> {
    Word(&'static str),
    Function(Typed<Name<'a>>),
}

#[derive(Serialize)]
struct Name<'a> {
    name: &'a str,
}

#[derive(Serialize)]
struct Choosing<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    max_completion_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<&'a Json>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<&'a Json>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_k: Option<u64>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    stop: &'a [String],
}

#[derive(Serialize)]
struct Format<'a> {
    r#type: &'static str,
    json_schema: Schema<'a>,
}

#[derive(Serialize)]
struct Schema<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    schema: &'a Json,
    #[serde(skip_serializing_if = "Option::is_none")]
    strict: Option<bool>,
}

#[derive(Serialize)]
struct Streaming {
    stream: bool,
    stream_options: StreamOptions,
}

#[derive(Serialize)]
struct StreamOptions {
    include_usage: bool,
}

/// Says `conversation` to a server in OpenAI's dialect that calls the model
/// `model` and reads the bound on its answer in `field`. Streams are asked for
/// their usage.
///
/// # Errors
/// [`Refusal::Unsupported`] names what OpenAI has no word for, in the words of
/// Anthropic, whose callers alone come here.
pub(crate) fn write_request(
    conversation: &Conversation,
    model: &str,
    field: MaxTokensField,
) -> Result<Bytes, Refusal> {
    refuse_budget(conversation.thinking.as_ref())?;
    let body = Body {
        model,
        messages: messages(conversation)?,
        tooling: tooling(conversation),
        choosing: choosing(&conversation.sampling, field),
        reasoning_effort: conversation.effort.map(effort),
        response_format: conversation.output_schema.as_ref().map(format),
        user: conversation.user.as_deref(),
        streaming: conversation.stream.then_some(Streaming {
            stream: true,
            stream_options: StreamOptions {
                include_usage: true,
            },
        }),
    };
    Ok(super::json(&body))
}

/// A bound on thoughts alone has no word. Thinking as much as the model sees
/// fit, or as little, is what it does when nothing is said.
fn refuse_budget(thinking: Option<&Thinking>) -> Result<(), Refusal> {
    match thinking {
        Some(Thinking::Budget(_)) => Err(Refusal::unsupported("thinking.budget_tokens", UPSTREAM)),
        Some(Thinking::Adaptive | Thinking::Disabled) | None => Ok(()),
    }
}

fn tooling(conversation: &Conversation) -> Tooling<'_> {
    let parallel = |parallel: ParallelTools| match parallel {
        ParallelTools::Allowed => true,
        ParallelTools::Forbidden => false,
    };
    Tooling {
        tools: conversation.tools.iter().map(tool).collect(),
        tool_choice: conversation.tool_choice.as_ref().map(tool_choice),
        parallel_tool_calls: conversation.parallel_tools.map(parallel),
    }
}

fn tool(tool: &Tool) -> Typed<Function<'_>> {
    Typed {
        r#type: "function",
        function: Function {
            name: &tool.name,
            description: tool.description.as_deref(),
            parameters: tool.schema.as_ref(),
            strict: tool.strict,
        },
    }
}

fn tool_choice(choice: &ToolChoice) -> Choice<'_> {
    match choice {
        ToolChoice::Auto => Choice::Word("auto"),
        ToolChoice::Any => Choice::Word("required"),
        ToolChoice::None => Choice::Word("none"),
        ToolChoice::Tool(name) => Choice::Function(Typed {
            r#type: "function",
            function: Name { name },
        }),
    }
}

fn choosing(sampling: &Sampling, field: MaxTokensField) -> Choosing<'_> {
    let (newer, older) = match field {
        MaxTokensField::MaxCompletionTokens => (sampling.max_tokens, None),
        MaxTokensField::MaxTokens => (None, sampling.max_tokens),
    };
    Choosing {
        max_completion_tokens: newer,
        max_tokens: older,
        temperature: sampling.temperature.as_ref(),
        top_p: sampling.top_p.as_ref(),
        top_k: sampling.top_k,
        stop: &sampling.stop,
    }
}

fn effort(effort: Effort) -> &'static str {
    match effort {
        Effort::Low => "low",
        Effort::Medium => "medium",
        Effort::High => "high",
    }
}

fn format(schema: &OutputSchema) -> Format<'_> {
    Format {
        r#type: "json_schema",
        json_schema: Schema {
            name: schema.name.as_deref().unwrap_or(SCHEMA_NAME),
            description: schema.description.as_deref(),
            schema: &schema.schema,
            strict: schema.strict,
        },
    }
}
