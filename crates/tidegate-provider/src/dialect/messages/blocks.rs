//! Blocks of content, read into parts.

use crate::dialect::{Fields, Image, ImageData, Json, Part, Refusal, ToolResult};

const CONTENT: &str = "a string or a list of blocks";
const TEXT: &str = "a string";

/// What a turn holds: text, or blocks of every kind.
pub(super) fn content(fields: &mut Fields, by: &'static str) -> Result<Vec<Part>, Refusal> {
    let path = fields.path_of("content");
    let json: Json = fields.require("content", CONTENT)?;
    read_content(&json, &path, |json, path| block(json, path, by))
}

/// What may be absent, and holds text or blocks of text and images only.
///
/// Such blocks hold no others, which bounds how deep reading goes.
pub(super) fn plain_content(
    fields: &mut Fields,
    key: &str,
    by: &'static str,
) -> Result<Vec<Part>, Refusal> {
    let path = fields.path_of(key);
    match fields.take::<Json>(key, CONTENT)? {
        Some(json) => read_content(&json, &path, |json, path| plain_block(json, path, by)),
        None => Ok(Vec::new()),
    }
}

fn read_content(
    json: &Json,
    path: &str,
    read: impl Fn(&Json, String) -> Result<Part, Refusal>,
) -> Result<Vec<Part>, Refusal> {
    if let Ok(text) = serde_json::from_str(json.as_str()) {
        return Ok(vec![Part::Text(text)]);
    }
    let blocks: Vec<Json> =
        serde_json::from_str(json.as_str()).map_err(|_| Refusal::invalid(path, CONTENT))?;
    let blocks = blocks.iter().enumerate();
    blocks
        .map(|(index, block)| read(block, format!("{path}[{index}]")))
        .collect()
}

fn block(json: &Json, path: String, by: &'static str) -> Result<Part, Refusal> {
    let (kind, mut fields) = open(json, path)?;
    let part = match &*kind {
        "text" => text(&mut fields, by)?,
        "image" => image(&mut fields, by)?,
        "tool_use" => tool_use(&mut fields, by)?,
        "tool_result" => tool_result(&mut fields, by)?,
        "thinking" => thinking(&mut fields)?,
        "redacted_thinking" => Part::RedactedThinking(fields.require("data", TEXT)?),
        _ => return Err(Refusal::unsupported(fields.path_of("type"), by)),
    };
    fields.end(by)?;
    Ok(part)
}

fn plain_block(json: &Json, path: String, by: &'static str) -> Result<Part, Refusal> {
    let (kind, mut fields) = open(json, path)?;
    let part = match &*kind {
        "text" => text(&mut fields, by)?,
        "image" => image(&mut fields, by)?,
        _ => return Err(Refusal::unsupported(fields.path_of("type"), by)),
    };
    fields.end(by)?;
    Ok(part)
}

/// The kind of a block, and its fields without the hint to the cache.
fn open(json: &Json, path: String) -> Result<(String, Fields), Refusal> {
    let mut fields = Fields::read(json, path)?;
    fields.take::<Json>("cache_control", "an object")?;
    Ok((fields.require("type", TEXT)?, fields))
}

fn text(fields: &mut Fields, by: &'static str) -> Result<Part, Refusal> {
    if !fields.list("citations")?.is_empty() {
        return Err(Refusal::unsupported(fields.path_of("citations"), by));
    }
    Ok(Part::Text(fields.require("text", TEXT)?))
}

fn image(fields: &mut Fields, by: &'static str) -> Result<Part, Refusal> {
    const SOURCE: &str = "an object";
    let path = fields.path_of("source");
    let source = fields.object("source")?;
    let mut source = source.ok_or_else(|| Refusal::invalid(path, SOURCE))?;
    let kind: String = source.require("type", TEXT)?;
    let data = match &*kind {
        "base64" => ImageData::Base64 {
            media_type: source.require("media_type", TEXT)?,
            data: source.require("data", TEXT)?,
        },
        "url" => ImageData::Url(source.require("url", TEXT)?),
        _ => return Err(Refusal::unsupported(source.path_of("type"), by)),
    };
    source.end(by)?;
    Ok(Part::Image(Image { data, detail: None }))
}

fn tool_use(fields: &mut Fields, by: &'static str) -> Result<Part, Refusal> {
    if let Some(mut caller) = fields.object("caller")? {
        // What every use says that no other tool asked for.
        if caller.require::<String>("type", TEXT)? != "direct" {
            return Err(Refusal::unsupported(caller.path_of("type"), by));
        }
        caller.end(by)?;
    }
    let input: Json = fields.require("input", "an object")?;
    if !input.is_object() {
        return Err(Refusal::invalid(fields.path_of("input"), "an object"));
    }
    Ok(Part::ToolUse {
        id: fields.require("id", TEXT)?,
        name: fields.require("name", TEXT)?,
        input,
    })
}

fn tool_result(fields: &mut Fields, by: &'static str) -> Result<Part, Refusal> {
    Ok(Part::ToolResult(ToolResult {
        id: fields.require("tool_use_id", TEXT)?,
        content: plain_content(fields, "content", by)?,
        is_error: fields.take("is_error", "a boolean")?.unwrap_or(false),
    }))
}

fn thinking(fields: &mut Fields) -> Result<Part, Refusal> {
    let signature: Option<String> = fields.take("signature", TEXT)?;
    Ok(Part::Thinking {
        text: fields.require("thinking", TEXT)?,
        signature: signature.filter(|signature| !signature.is_empty()),
    })
}
