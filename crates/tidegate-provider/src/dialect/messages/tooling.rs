//! Tools and whether they are used, read.

use crate::dialect::{Fields, Json, ParallelTools, Refusal, Tool, ToolChoice};

const TEXT: &str = "a string";

/// The tools that the caller runs; any other kind is refused.
pub(super) fn tools(fields: &mut Fields, by: &'static str) -> Result<Vec<Tool>, Refusal> {
    let tools = fields.list("tools")?.into_iter();
    tools.map(|(path, json)| tool(&json, path, by)).collect()
}

fn tool(json: &Json, path: String, by: &'static str) -> Result<Tool, Refusal> {
    let mut fields = Fields::read(json, path)?;
    fields.take::<Json>("cache_control", "an object")?;
    match fields.take::<String>("type", TEXT)?.as_deref() {
        None | Some("custom") => {}
        Some(_) => return Err(Refusal::unsupported(fields.path_of("type"), by)),
    }
    let schema: Json = fields.require("input_schema", "an object")?;
    if !schema.is_object() {
        return Err(Refusal::invalid(
            fields.path_of("input_schema"),
            "an object",
        ));
    }
    let tool = Tool {
        name: fields.require("name", TEXT)?,
        description: fields.take("description", TEXT)?,
        schema: Some(schema),
        strict: fields.take("strict", "a boolean")?,
    };
    fields.end(by)?;
    Ok(tool)
}

type Choice = (Option<ToolChoice>, Option<ParallelTools>);

/// Whether tools are used, and whether several at once.
pub(super) fn choice(fields: &mut Fields, by: &'static str) -> Result<Choice, Refusal> {
    let Some(mut fields) = fields.object("tool_choice")? else {
        return Ok((None, None));
    };
    let kind: String = fields.require("type", TEXT)?;
    let choice = match &*kind {
        "auto" => ToolChoice::Auto,
        "any" => ToolChoice::Any,
        "none" => ToolChoice::None,
        "tool" => ToolChoice::Tool(fields.require("name", TEXT)?),
        _ => return Err(Refusal::unsupported(fields.path_of("type"), by)),
    };
    let forbidden: Option<bool> = fields.take("disable_parallel_tool_use", "a boolean")?;
    let parallel = forbidden.map(|forbidden| match forbidden {
        true => ParallelTools::Forbidden,
        false => ParallelTools::Allowed,
    });
    fields.end(by)?;
    Ok((Some(choice), parallel))
}
