//! A request in Anthropic's dialect, read into a conversation.
//!
//! Two things are let go because they change no answer: `cache_control`,
//! wherever it stands, and `service_tier` when it is `auto`.

use super::blocks::{content, plain_content};
use super::tooling;
use crate::dialect::{
    Conversation, Effort, Fields, Json, OutputSchema, Part, Refusal, Role, Sampling, Thinking, Turn,
};
use crate::raw::RawObject;

/// Reads the body of a request that `by`, the kind of upstream, is to be asked
/// in another dialect.
pub(crate) fn read_request(raw: &RawObject, by: &'static str) -> Result<Conversation, Refusal> {
    let mut fields = Fields::new(raw.clone(), "");
    // Which model is asked is not part of what is said to it.
    fields.take::<Json>("model", "a string")?;
    skip_hints(&mut fields, by)?;
    let (tool_choice, parallel_tools) = tooling::choice(&mut fields, by)?;
    let (effort, output_schema) = output(&mut fields, by)?;
    let conversation = Conversation {
        system: system(&mut fields, by)?,
        turns: turns(&mut fields, by)?,
        tools: tooling::tools(&mut fields, by)?,
        tool_choice,
        parallel_tools,
        sampling: sampling(&mut fields)?,
        thinking: thinking(&mut fields, by)?,
        effort,
        output_schema,
        user: user(&mut fields, by)?,
        stream: fields.take("stream", "a boolean")?.unwrap_or(false),
    };
    fields.end(by)?;
    Ok(conversation)
}

fn skip_hints(fields: &mut Fields, by: &'static str) -> Result<(), Refusal> {
    fields.take::<Json>("cache_control", "an object")?;
    match fields
        .take::<String>("service_tier", "a string")?
        .as_deref()
    {
        None | Some("auto") => Ok(()),
        Some(_) => Err(Refusal::unsupported(fields.path_of("service_tier"), by)),
    }
}

fn system(fields: &mut Fields, by: &'static str) -> Result<Vec<Part>, Refusal> {
    let parts = plain_content(fields, "system", by)?;
    match parts.iter().position(|part| !matches!(part, Part::Text(_))) {
        None => Ok(parts),
        Some(at) => Err(Refusal::unsupported(format!("system[{at}].type"), by)),
    }
}

fn turns(fields: &mut Fields, by: &'static str) -> Result<Vec<Turn>, Refusal> {
    let messages = fields.list("messages")?.into_iter();
    messages.map(|(path, json)| turn(&json, path, by)).collect()
}

fn turn(json: &Json, path: String, by: &'static str) -> Result<Turn, Refusal> {
    let mut fields = Fields::read(json, path)?;
    let role: String = fields.require("role", "a string")?;
    let role = match &*role {
        "user" => Role::User,
        "assistant" => Role::Assistant,
        // Instructions between turns; a conversation has them only in front.
        "system" => return Err(Refusal::unsupported(fields.path_of("role"), by)),
        _ => {
            return Err(Refusal::invalid(
                fields.path_of("role"),
                "user or assistant",
            ));
        }
    };
    let parts = content(&mut fields, by)?;
    fields.end(by)?;
    Ok(Turn { role, parts })
}

fn sampling(fields: &mut Fields) -> Result<Sampling, Refusal> {
    const COUNT: &str = "an integer of at least 1";
    Ok(Sampling {
        max_tokens: Some(fields.require("max_tokens", COUNT)?),
        temperature: number(fields, "temperature")?,
        top_p: number(fields, "top_p")?,
        top_k: fields.take("top_k", "an integer of at least 0")?,
        stop: fields
            .take("stop_sequences", "a list of strings")?
            .unwrap_or_default(),
    })
}

/// A number, as it was written.
fn number(fields: &mut Fields, key: &str) -> Result<Option<Json>, Refusal> {
    const NUMBER: &str = "a number";
    let json: Option<Json> = fields.take(key, NUMBER)?;
    match json {
        Some(json) if json.as_f64().is_none() => Err(Refusal::invalid(fields.path_of(key), NUMBER)),
        json => Ok(json),
    }
}

fn thinking(fields: &mut Fields, by: &'static str) -> Result<Option<Thinking>, Refusal> {
    let Some(mut fields) = fields.object("thinking")? else {
        return Ok(None);
    };
    let kind: String = fields.require("type", "a string")?;
    let thinking = match &*kind {
        "enabled" => Thinking::Budget(fields.require("budget_tokens", "an integer")?),
        "adaptive" => Thinking::Adaptive,
        "disabled" => Thinking::Disabled,
        _ => return Err(Refusal::unsupported(fields.path_of("type"), by)),
    };
    fields.end(by)?;
    Ok(Some(thinking))
}

type Output = (Option<Effort>, Option<OutputSchema>);

fn output(fields: &mut Fields, by: &'static str) -> Result<Output, Refusal> {
    let Some(mut fields) = fields.object("output_config")? else {
        return Ok((None, None));
    };
    let effort = fields.take::<String>("effort", "a string")?;
    let effort = match effort.as_deref() {
        None => None,
        Some("low") => Some(Effort::Low),
        Some("medium") => Some(Effort::Medium),
        Some("high") => Some(Effort::High),
        Some(_) => return Err(Refusal::unsupported(fields.path_of("effort"), by)),
    };
    let format = fields.object("format")?;
    let schema = format.map(|format| output_schema(format, by)).transpose()?;
    fields.end(by)?;
    Ok((effort, schema))
}

fn output_schema(mut fields: Fields, by: &'static str) -> Result<OutputSchema, Refusal> {
    let kind: String = fields.require("type", "a string")?;
    if kind != "json_schema" {
        return Err(Refusal::unsupported(fields.path_of("type"), by));
    }
    let schema: Json = fields.require("schema", "an object")?;
    if !schema.is_object() {
        return Err(Refusal::invalid(fields.path_of("schema"), "an object"));
    }
    fields.end(by)?;
    Ok(OutputSchema {
        name: None,
        description: None,
        schema,
        // Here it always holds; elsewhere that has to be said.
        strict: Some(true),
    })
}

fn user(fields: &mut Fields, by: &'static str) -> Result<Option<String>, Refusal> {
    let Some(mut metadata) = fields.object("metadata")? else {
        return Ok(None);
    };
    let user = metadata.take("user_id", "a string")?;
    metadata.end(by)?;
    Ok(user)
}
