//! A conversation in the words of Converse.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use bytes::Bytes;

use super::wire::{
    Additional, Block, Body, Choice, ImageBlock, ImageSource, Inference, Message, OneTool,
    OutputConfig, Reasoning, Schema, Structure, System, TextFormat, ThinkingMode, ToolConfig,
    ToolEntry, ToolResultBlock, ToolResultContent, ToolUse,
};
use crate::dialect::{
    Conversation, Dialect, Effort, Image, ImageData, Json, OutputSchema, ParallelTools, Part,
    Refusal, Role, Thinking, Tool, ToolChoice, ToolResult, Turn,
};

/// What refusals call such an upstream.
pub(super) const BEDROCK: &str = "a Bedrock model";

/// Whose words the caller used and who is to be asked.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ask<'a> {
    pub(super) dialect: Dialect,
    pub(super) model: &'a str,
    /// Where the caller sets no bound.
    pub(super) default_max_tokens: Option<u64>,
}

/// The body for Converse or ConverseStream.
pub(super) fn write(conversation: &Conversation, ask: &Ask<'_>) -> Result<Bytes, Refusal> {
    let body = Body {
        messages: messages(&conversation.turns)?,
        system: system(&conversation.system)?,
        inference_config: inference(conversation, ask)?,
        tool_config: tool_config(conversation, ask)?,
        additional_model_request_fields: additional(conversation, ask.model)?,
        additional_model_response_field_paths: (!conversation.sampling.stop.is_empty())
            .then_some([STOP_SEQUENCE]),
        request_metadata: metadata(conversation, ask.dialect)?,
        output_config: output_config(conversation),
    };
    let json = serde_json::to_vec(&body).expect("a body of strings and JSON is always JSON");
    Ok(Bytes::from(json))
}

/// Where models that say which stop sequence they met say it.
const STOP_SEQUENCE: &str = "/stop_sequence";

fn unsupported(path: impl std::fmt::Display) -> Refusal {
    Refusal::unsupported(path, BEDROCK)
}

/// Roles must alternate, so turns of one speaker that follow each other become
/// one message.
fn messages(turns: &[Turn]) -> Result<Vec<Message<'_>>, Refusal> {
    let mut messages: Vec<Message<'_>> = Vec::with_capacity(turns.len());
    for (index, turn) in turns.iter().enumerate() {
        let path = format!("messages[{index}]");
        let role = match turn.role {
            Role::User => "user",
            Role::Assistant if index == 0 => return Err(unsupported(path + ".role")),
            Role::Assistant => "assistant",
        };
        let content = blocks(turn, &path)?;
        match messages.last_mut().filter(|last| last.role == role) {
            Some(last) => last.content.extend(content),
            None => messages.push(Message { role, content }),
        }
    }
    for (index, message) in messages.iter_mut().enumerate() {
        // Bedrock takes no message without content.
        if message.content.is_empty() {
            return Err(unsupported(format_args!("messages[{index}].content")));
        }
        // Results must come before what the user adds to them.
        let is_result = |block: &Block<'_>| matches!(block, Block::ToolResult(_));
        message.content.sort_by_key(|block| !is_result(block));
    }
    Ok(messages)
}

fn blocks<'a>(turn: &'a Turn, path: &str) -> Result<Vec<Block<'a>>, Refusal> {
    let parts = turn.parts.iter().enumerate();
    let parts = parts.filter(|(_, part)| !is_left_out(part));
    parts
        .map(|(index, part)| block(part, turn.role, &format!("{path}.content[{index}]")))
        .collect()
}

/// A text block must not be empty, and leaving it out says the same. Thoughts
/// without their maker's seal cannot be shown again.
fn is_left_out(part: &Part) -> bool {
    match part {
        Part::Text(text) => text.is_empty(),
        Part::Thinking { signature, .. } => signature.is_none(),
        Part::Image(_)
        | Part::ToolUse { .. }
        | Part::ToolResult(_)
        | Part::RedactedThinking(_)
        | Part::Refusal(_) => false,
    }
}

fn block<'a>(part: &'a Part, role: Role, path: &str) -> Result<Block<'a>, Refusal> {
    let wrong_speaker = || Err(unsupported(path));
    match (part, role) {
        (Part::Text(text), _) => Ok(Block::Text(text)),
        (Part::Image(it), Role::User) => Ok(Block::Image(image(it, path)?)),
        (Part::ToolResult(it), Role::User) => Ok(Block::ToolResult(tool_result(it, path)?)),
        (Part::ToolUse { id, name, input }, Role::Assistant) => {
            if !input.is_object() {
                return Err(Refusal::invalid(format!("{path}.input"), "an object"));
            }
            check_label(id, "_.:-", &format!("{path}.id"))?;
            check_label(name, "_-", &format!("{path}.name"))?;
            Ok(Block::ToolUse(ToolUse {
                tool_use_id: id,
                name,
                input,
            }))
        }
        (Part::Thinking { text, signature }, Role::Assistant) => {
            let signature = signature.as_deref();
            Ok(Block::ReasoningContent(Reasoning::ReasoningText {
                text,
                signature,
            }))
        }
        (Part::RedactedThinking(data), Role::Assistant) => {
            base64(data, &format!("{path}.data"))?;
            Ok(Block::ReasoningContent(Reasoning::RedactedContent(data)))
        }
        // Bedrock knows no refusal; the model's words are what counts.
        (Part::Refusal(text), Role::Assistant) => Ok(Block::Text(text)),
        (Part::Image(_) | Part::ToolResult(_), Role::Assistant)
        | (
            Part::ToolUse { .. }
            | Part::Thinking { .. }
            | Part::RedactedThinking(_)
            | Part::Refusal(_),
            Role::User,
        ) => wrong_speaker(),
    }
}

fn image<'a>(image: &'a Image, path: &str) -> Result<ImageBlock<'a>, Refusal> {
    let (media_type, data) = match &image.data {
        ImageData::Base64 { media_type, data } => (media_type.as_str(), data),
        // Bedrock fetches from S3 only.
        ImageData::Url(_) => return Err(unsupported(format!("{path}.url"))),
    };
    let format = match media_type {
        "image/png" => "png",
        "image/jpeg" | "image/jpg" => "jpeg",
        "image/gif" => "gif",
        "image/webp" => "webp",
        _ => return Err(unsupported(format!("{path}.media_type"))),
    };
    base64(data, path)?;
    Ok(ImageBlock {
        format,
        source: ImageSource::Bytes(data),
    })
}

fn tool_result<'a>(result: &'a ToolResult, path: &str) -> Result<ToolResultBlock<'a>, Refusal> {
    check_label(&result.id, "_.:-", &format!("{path}.id"))?;
    let mut content = Vec::with_capacity(result.content.len());
    for (index, part) in result.content.iter().enumerate() {
        let path = format!("{path}.content[{index}]");
        match part {
            Part::Text(text) if text.is_empty() => {}
            Part::Text(text) => content.push(ToolResultContent::Text(text)),
            Part::Image(it) => content.push(ToolResultContent::Image(image(it, &path)?)),
            Part::ToolUse { .. }
            | Part::ToolResult(_)
            | Part::Thinking { .. }
            | Part::RedactedThinking(_)
            | Part::Refusal(_) => return Err(unsupported(path)),
        }
    }
    Ok(ToolResultBlock {
        tool_use_id: &result.id,
        content,
        status: result.is_error.then_some("error"),
    })
}

fn system(parts: &[Part]) -> Result<Vec<System<'_>>, Refusal> {
    let mut texts = Vec::with_capacity(parts.len());
    for (index, part) in parts.iter().enumerate() {
        match part {
            Part::Text(text) if text.is_empty() => {}
            Part::Text(text) => texts.push(System::Text(text)),
            Part::Image(_)
            | Part::ToolUse { .. }
            | Part::ToolResult(_)
            | Part::Thinking { .. }
            | Part::RedactedThinking(_)
            | Part::Refusal(_) => return Err(unsupported(format_args!("system[{index}]"))),
        }
    }
    Ok(texts)
}

fn inference<'a>(
    conversation: &'a Conversation,
    ask: &Ask<'_>,
) -> Result<Option<Inference<'a>>, Refusal> {
    let sampling = &conversation.sampling;
    let max_tokens = sampling.max_tokens.or(ask.default_max_tokens);
    // The service reads a 32-bit integer.
    if max_tokens.is_some_and(|tokens| tokens > i32::MAX as u64) {
        return Err(unsupported("max_tokens"));
    }
    // OpenAI's temperatures go up to 2.
    if sampling.temperature.as_ref().and_then(Json::as_f64) > Some(1.0) {
        return Err(unsupported("temperature"));
    }
    let said = max_tokens.is_some()
        || sampling.temperature.is_some()
        || sampling.top_p.is_some()
        || !sampling.stop.is_empty();
    Ok(said.then_some(Inference {
        max_tokens,
        temperature: sampling.temperature.as_ref(),
        top_p: sampling.top_p.as_ref(),
        stop_sequences: &sampling.stop,
    }))
}

fn tool_config<'a>(
    conversation: &'a Conversation,
    ask: &Ask<'_>,
) -> Result<Option<ToolConfig<'a>>, Refusal> {
    let choice = conversation.tool_choice.as_ref();
    if conversation.tools.is_empty() {
        return match choice {
            // A history with tools must not come without their list.
            _ if uses_tools(conversation) => Err(unsupported("tools")),
            None | Some(ToolChoice::Auto | ToolChoice::None) => Ok(None),
            Some(ToolChoice::Any | ToolChoice::Tool(_)) => Err(unsupported("tool_choice")),
        };
    }
    let choice = match choice {
        None => None,
        Some(ToolChoice::Auto) => Some(Choice::Auto {}),
        Some(ToolChoice::Any) => Some(Choice::Any {}),
        Some(ToolChoice::Tool(name)) => Some(Choice::Tool { name }),
        // Converse has no word for "none". A model that is shown no tools uses
        // none, where the history lets us leave them out.
        Some(ToolChoice::None) if uses_tools(conversation) => {
            return Err(unsupported("tool_choice"));
        }
        Some(ToolChoice::None) => return Ok(None),
    };
    let one_at_a_time = conversation.parallel_tools == Some(ParallelTools::Forbidden);
    if one_at_a_time && !may_be_anthropic(ask.model) {
        return Err(unsupported(match ask.dialect {
            Dialect::Chat | Dialect::Completion => "parallel_tool_calls",
            Dialect::Messages => "tool_choice.disable_parallel_tool_use",
        }));
    }
    // Then `one_tool` says this kind of choice; no two places may.
    let said_elsewhere = one_at_a_time && matches!(choice, Some(Choice::Auto {}));
    let tools = conversation.tools.iter().enumerate();
    let tools = tools.map(|(index, it)| tool(it, &format!("tools[{index}]")));
    Ok(Some(ToolConfig {
        tools: tools.collect::<Result<_, _>>()?,
        tool_choice: choice.filter(|_| !said_elsewhere),
    }))
}

/// Converse has no word for one tool at a time, but hands Anthropic's own on.
/// That one wants a kind of choice exactly where Converse's choice has none.
fn one_tool(conversation: &Conversation) -> Option<OneTool> {
    let forbidden = conversation.parallel_tools == Some(ParallelTools::Forbidden);
    if !forbidden || conversation.tools.is_empty() {
        return None;
    }
    let kind = match &conversation.tool_choice {
        None | Some(ToolChoice::Auto) => Some("auto"),
        Some(ToolChoice::Any | ToolChoice::Tool(_)) => None,
        // No tools are shown then.
        Some(ToolChoice::None) => return None,
    };
    Some(OneTool {
        kind,
        disable_parallel_tool_use: true,
    })
}

fn uses_tools(conversation: &Conversation) -> bool {
    let mut parts = conversation.turns.iter().flat_map(|turn| &turn.parts);
    parts.any(|part| matches!(part, Part::ToolUse { .. } | Part::ToolResult(_)))
}

/// What a tool without parameters takes; Converse wants a schema from every tool.
static NO_PARAMETERS: LazyLock<Json> = LazyLock::new(|| {
    Json::parse(r#"{"type":"object","properties":{}}"#).expect("a constant that is valid JSON")
});

fn tool<'a>(tool: &'a Tool, path: &str) -> Result<ToolEntry<'a>, Refusal> {
    check_label(&tool.name, "_-", &format!("{path}.name"))?;
    let description = tool.description.as_deref();
    Ok(ToolEntry::ToolSpec {
        name: &tool.name,
        description: description.filter(|text| !text.is_empty()),
        input_schema: Schema::Json(tool.schema.as_ref().unwrap_or(&NO_PARAMETERS)),
        strict: tool.strict,
    })
}

/// Refuses names and ids that Converse does not take: letters, digits and
/// `also`, at most 64 of them.
fn check_label(text: &str, also: &str, path: &str) -> Result<(), Refusal> {
    let taken = |c: char| c.is_ascii_alphanumeric() || also.contains(c);
    if (1..=64).contains(&text.len()) && text.chars().all(taken) {
        Ok(())
    } else {
        Err(unsupported(path))
    }
}

fn additional(conversation: &Conversation, model: &str) -> Result<Option<Additional>, Refusal> {
    let (top_k, thinking) = (conversation.sampling.top_k, conversation.thinking.as_ref());
    if !may_be_anthropic(model) {
        if top_k.is_some() {
            return Err(unsupported("top_k"));
        }
        // Not to think is what every other model does anyway.
        return match thinking {
            None | Some(Thinking::Disabled) => Ok(None),
            Some(Thinking::Budget(_) | Thinking::Adaptive) => Err(unsupported("thinking")),
        };
    }
    let thinking = thinking.map(|thinking| match thinking {
        Thinking::Budget(tokens) => ThinkingMode::Enabled {
            budget_tokens: *tokens,
        },
        Thinking::Adaptive => ThinkingMode::Adaptive,
        Thinking::Disabled => ThinkingMode::Disabled,
    });
    let tool_choice = one_tool(conversation);
    let said = top_k.is_some() || thinking.is_some() || tool_choice.is_some();
    Ok(said.then_some(Additional {
        top_k,
        thinking,
        tool_choice,
    }))
}

/// True for Anthropic's models, and for ARNs of profiles and provisioned models,
/// which do not tell whose model they stand for.
fn may_be_anthropic(model: &str) -> bool {
    let by_number = ["application-inference-profile/", "provisioned-model/"];
    model.contains("anthropic.") || by_number.iter().any(|kind| model.contains(kind))
}

/// The name of the end user goes where Bedrock's invocation logs can be
/// filtered by it, if it is made of what Bedrock takes there.
fn metadata(
    conversation: &Conversation,
    dialect: Dialect,
) -> Result<Option<BTreeMap<&'static str, &str>>, Refusal> {
    let Some(user) = conversation.user.as_deref() else {
        return Ok(None);
    };
    let taken = |c: char| c.is_ascii_alphanumeric() || " \t\r\n:_@$#=/+,-.".contains(c);
    if user.len() > 256 || !user.chars().all(taken) {
        return Err(unsupported(match dialect {
            Dialect::Chat | Dialect::Completion => "user",
            Dialect::Messages => "metadata.user_id",
        }));
    }
    Ok(Some(BTreeMap::from([("user_id", user)])))
}

fn output_config(conversation: &Conversation) -> Option<OutputConfig<'_>> {
    let text_format = conversation.output_schema.as_ref().map(text_format);
    let effort = conversation.effort.map(|effort| match effort {
        Effort::Low => "low",
        Effort::Medium => "medium",
        Effort::High => "high",
    });
    let said = text_format.is_some() || effort.is_some();
    said.then_some(OutputConfig {
        text_format,
        effort,
    })
}

/// Bedrock holds every answer to the schema, `strict` or not.
fn text_format(schema: &OutputSchema) -> TextFormat<'_> {
    TextFormat {
        r#type: "json_schema",
        structure: Structure::JsonSchema {
            schema: schema.schema.as_str(),
            name: schema.name.as_deref(),
            description: schema.description.as_deref(),
        },
    }
}

/// Refuses what is not standard base64; a wrong body would be refused as a
/// whole, and without the path.
fn base64(data: &str, path: &str) -> Result<(), Refusal> {
    let digits = data.trim_end_matches('=');
    let well_padded = data.len().is_multiple_of(4) && data.len() - digits.len() <= 2;
    let digit = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'+' || byte == b'/';
    if well_padded && !data.is_empty() && digits.bytes().all(digit) {
        Ok(())
    } else {
        Err(Refusal::invalid(path, "standard base64"))
    }
}
