//! A request in OpenAI's chat dialect, read into a conversation.

use super::read_messages::messages;
use crate::dialect::{
    Conversation, Effort, Fields, Json, OutputSchema, ParallelTools, Refusal, Sampling, Thinking,
    Tool, ToolChoice,
};
use crate::raw::RawObject;

/// Fields that may be there as long as they say what is meant without them.
/// Numbers stand in both of their spellings.
pub(crate) const DEFAULTS: [(&str, &[&str]); 11] = [
    ("frequency_penalty", &["0", "0.0"]),
    ("logit_bias", &["{}"]),
    ("logprobs", &["false"]),
    ("metadata", &["{}"]),
    ("modalities", &[r#"["text"]"#]),
    ("n", &["1"]),
    ("presence_penalty", &["0", "0.0"]),
    ("service_tier", &[r#""auto""#, r#""default""#]),
    ("store", &["false"]),
    ("top_logprobs", &["0"]),
    ("verbosity", &[r#""medium""#]),
];

/// Reads every field of a request; `by` is the kind of upstream that what has
/// no word in a conversation cannot be said to.
pub(crate) fn read_request(raw: &RawObject, by: &'static str) -> Result<Conversation, Refusal> {
    let mut fields = Fields::new(raw.clone(), "");
    // The upstream's own name for the model comes with the writing.
    fields.take::<Json>("model", "a string")?;
    defaults(&mut fields, by)?;
    stream_options(&mut fields, by)?;
    let (system, turns) = messages(&mut fields, by)?;
    let conversation = Conversation {
        system,
        turns,
        tools: tools(&mut fields, by)?,
        tool_choice: tool_choice(&mut fields, by)?,
        parallel_tools: parallel_tools(&mut fields)?,
        sampling: sampling(&mut fields)?,
        thinking: thinking(&mut fields, by)?,
        effort: effort(&mut fields, by)?,
        output_schema: output_schema(&mut fields, by)?,
        user: fields.take("user", "a string")?,
        stream: fields.take("stream", "a boolean")?.unwrap_or(false),
    };
    fields.end(by)?;
    Ok(conversation)
}

fn defaults(fields: &mut Fields, by: &'static str) -> Result<(), Refusal> {
    for (key, meant) in DEFAULTS {
        let Some(value) = fields.take::<Json>(key, "JSON")? else {
            continue;
        };
        if !meant
            .iter()
            .any(|word| Json::parse(word).as_ref() == Some(&value))
        {
            return Err(Refusal::unsupported(fields.path_of(key), by));
        }
    }
    Ok(())
}

/// Whether usage is wanted was read with the request; what pads the events of
/// a stream has no meaning beyond them.
fn stream_options(fields: &mut Fields, by: &'static str) -> Result<(), Refusal> {
    let Some(mut options) = fields.object("stream_options")? else {
        return Ok(());
    };
    options.take::<bool>("include_usage", "a boolean")?;
    options.take::<bool>("include_obfuscation", "a boolean")?;
    options.end(by)
}

fn tools(fields: &mut Fields, by: &'static str) -> Result<Vec<Tool>, Refusal> {
    let list = fields.list("tools")?.into_iter();
    list.map(|(path, json)| tool(Fields::read(&json, path)?, by))
        .collect()
}

fn tool(mut fields: Fields, by: &'static str) -> Result<Tool, Refusal> {
    let mut function = function(&mut fields, by)?;
    let schema: Option<Json> = function.take("parameters", "a JSON Schema object")?;
    if schema.as_ref().is_some_and(|schema| !schema.is_object()) {
        let param = function.path_of("parameters");
        return Err(Refusal::invalid(param, "a JSON Schema object"));
    }
    let tool = Tool {
        name: function.require("name", "a string")?,
        description: function.take("description", "a string")?,
        schema,
        strict: function.take("strict", "a boolean")?,
    };
    function.end(by)?;
    fields.end(by)?;
    Ok(tool)
}

/// The `function` of an object that is nothing but a type and a function.
pub(super) fn function(fields: &mut Fields, by: &'static str) -> Result<Fields, Refusal> {
    let kind: String = fields.require("type", "a string")?;
    if kind != "function" {
        return Err(Refusal::unsupported(fields.path_of("type"), by));
    }
    let missing = Refusal::invalid(fields.path_of("function"), "an object");
    fields.object("function")?.ok_or(missing)
}

fn tool_choice(fields: &mut Fields, by: &'static str) -> Result<Option<ToolChoice>, Refusal> {
    const KEY: &str = "tool_choice";
    let Some(choice) = fields.take::<Json>(KEY, "a string or an object")? else {
        return Ok(None);
    };
    let choice = match choice.as_str() {
        r#""auto""# => ToolChoice::Auto,
        r#""required""# => ToolChoice::Any,
        r#""none""# => ToolChoice::None,
        _ if choice.is_object() => {
            let mut outer = Fields::read(&choice, fields.path_of(KEY))?;
            let mut function = function(&mut outer, by)?;
            let name = function.require("name", "a string")?;
            function.end(by)?;
            outer.end(by)?;
            ToolChoice::Tool(name)
        }
        _ => {
            let expected = "`auto`, `none`, `required` or a function";
            return Err(Refusal::invalid(fields.path_of(KEY), expected));
        }
    };
    Ok(Some(choice))
}

fn parallel_tools(fields: &mut Fields) -> Result<Option<ParallelTools>, Refusal> {
    let allowed: Option<bool> = fields.take("parallel_tool_calls", "a boolean")?;
    Ok(allowed.map(|allowed| match allowed {
        true => ParallelTools::Allowed,
        false => ParallelTools::Forbidden,
    }))
}

fn sampling(fields: &mut Fields) -> Result<Sampling, Refusal> {
    Ok(Sampling {
        max_tokens: max_tokens(fields)?,
        temperature: number(fields, "temperature")?,
        top_p: number(fields, "top_p")?,
        top_k: fields.take("top_k", "an integer of at least 0")?,
        stop: stop(fields)?,
    })
}

fn max_tokens(fields: &mut Fields) -> Result<Option<u64>, Refusal> {
    const EXPECTED: &str = "an integer of at least 1";
    let tokens: Option<u64> = fields.take("max_completion_tokens", EXPECTED)?;
    let older: Option<u64> = fields.take("max_tokens", EXPECTED)?;
    match (tokens, older) {
        (Some(tokens), Some(older)) if tokens != older => Err(Refusal::invalid(
            fields.path_of("max_tokens"),
            "the same as max_completion_tokens",
        )),
        (tokens, older) => Ok(tokens.or(older)),
    }
}

fn number(fields: &mut Fields, key: &str) -> Result<Option<Json>, Refusal> {
    let value: Option<Json> = fields.take(key, "a number")?;
    match value {
        Some(value) if value.as_f64().is_none() => {
            Err(Refusal::invalid(fields.path_of(key), "a number"))
        }
        value => Ok(value),
    }
}

fn stop(fields: &mut Fields) -> Result<Vec<String>, Refusal> {
    const EXPECTED: &str = "a string or a list of strings";
    let Some(stop) = fields.take::<Json>("stop", EXPECTED)? else {
        return Ok(Vec::new());
    };
    let one = serde_json::from_str(stop.as_str()).map(|one| vec![one]);
    one.or_else(|_| serde_json::from_str(stop.as_str()))
        .map_err(|_| Refusal::invalid(fields.path_of("stop"), EXPECTED))
}

/// Not OpenAI's, but what its clients send to models that think.
fn thinking(fields: &mut Fields, by: &'static str) -> Result<Option<Thinking>, Refusal> {
    let Some(mut thinking) = fields.object("thinking")? else {
        return Ok(None);
    };
    let kind: String = thinking.require("type", "a string")?;
    let read = match &*kind {
        "enabled" => {
            Thinking::Budget(thinking.require("budget_tokens", "an integer of at least 1")?)
        }
        "adaptive" => Thinking::Adaptive,
        "disabled" => Thinking::Disabled,
        _ => return Err(Refusal::unsupported(thinking.path_of("type"), by)),
    };
    thinking.end(by)?;
    Ok(Some(read))
}

fn effort(fields: &mut Fields, by: &'static str) -> Result<Option<Effort>, Refusal> {
    let Some(effort) = fields.take::<String>("reasoning_effort", "a string")? else {
        return Ok(None);
    };
    match &*effort {
        "low" => Ok(Some(Effort::Low)),
        "medium" => Ok(Some(Effort::Medium)),
        "high" => Ok(Some(Effort::High)),
        _ => Err(Refusal::unsupported(fields.path_of("reasoning_effort"), by)),
    }
}

fn output_schema(fields: &mut Fields, by: &'static str) -> Result<Option<OutputSchema>, Refusal> {
    let Some(mut format) = fields.object("response_format")? else {
        return Ok(None);
    };
    let kind: String = format.require("type", "a string")?;
    let read = match &*kind {
        "text" => None,
        "json_schema" => Some(json_schema(&mut format, by)?),
        _ => return Err(Refusal::unsupported(format.path_of("type"), by)),
    };
    format.end(by)?;
    Ok(read)
}

fn json_schema(format: &mut Fields, by: &'static str) -> Result<OutputSchema, Refusal> {
    let missing = Refusal::invalid(format.path_of("json_schema"), "an object");
    let mut labelled = format.object("json_schema")?.ok_or(missing)?;
    let schema: Json = labelled.require("schema", "a JSON Schema object")?;
    if !schema.is_object() {
        let param = labelled.path_of("schema");
        return Err(Refusal::invalid(param, "a JSON Schema object"));
    }
    let read = OutputSchema {
        name: labelled.take("name", "a string")?,
        description: labelled.take("description", "a string")?,
        schema,
        strict: labelled.take("strict", "a boolean")?,
    };
    labelled.end(by)?;
    Ok(read)
}
