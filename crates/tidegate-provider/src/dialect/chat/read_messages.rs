//! The messages of a request in OpenAI's chat dialect.

use super::read::function;
use super::thoughts;
use crate::dialect::{Fields, Image, ImageData, Json, Part, Refusal, Role, ToolResult, Turn};

const CONTENT: &str = "a string or a list of parts";

/// The instructions that stand first, and the turns. Messages of one role that
/// follow each other are one turn.
pub(super) fn messages(
    fields: &mut Fields,
    by: &'static str,
) -> Result<(Vec<Part>, Vec<Turn>), Refusal> {
    let (mut system, mut turns) = (Vec::new(), Vec::new());
    for (path, json) in fields.list("messages")? {
        let mut message = Fields::read(&json, path)?;
        let role: String = message.require("role", "a string")?;
        match &*role {
            "system" | "developer" if turns.is_empty() => {
                system.extend(content(&mut message, by, text_part)?);
            }
            "user" => push(
                &mut turns,
                Role::User,
                content(&mut message, by, user_part)?,
            ),
            "assistant" => push(&mut turns, Role::Assistant, assistant(&mut message, by)?),
            "tool" => push(&mut turns, Role::User, vec![tool_result(&mut message, by)?]),
            "system" | "developer" | "function" => {
                return Err(Refusal::unsupported(message.path_of("role"), by));
            }
            _ => {
                let expected = "`system`, `developer`, `user`, `assistant` or `tool`";
                return Err(Refusal::invalid(message.path_of("role"), expected));
            }
        }
        message.end(by)?;
    }
    Ok((system, turns))
}

fn push(turns: &mut Vec<Turn>, role: Role, parts: Vec<Part>) {
    match turns.last_mut() {
        Some(last) if last.role == role => last.parts.extend(parts),
        Some(_) | None => turns.push(Turn { role, parts }),
    }
}

/// Reads one part of a content: its type, its other fields, who it is for.
type ReadPart = fn(&str, &mut Fields, &'static str) -> Result<Part, Refusal>;

/// The content of a message that must have one.
fn content(message: &mut Fields, by: &'static str, read: ReadPart) -> Result<Vec<Part>, Refusal> {
    let missing = Refusal::invalid(message.path_of("content"), CONTENT);
    content_or_none(message, by, read)?.ok_or(missing)
}

fn content_or_none(
    message: &mut Fields,
    by: &'static str,
    read: ReadPart,
) -> Result<Option<Vec<Part>>, Refusal> {
    let path = message.path_of("content");
    let Some(json) = message.take::<Json>("content", CONTENT)? else {
        return Ok(None);
    };
    if let Ok(text) = serde_json::from_str(json.as_str()) {
        return Ok(Some(vec![Part::Text(text)]));
    }
    let items: Vec<Json> =
        serde_json::from_str(json.as_str()).map_err(|_| Refusal::invalid(&path, CONTENT))?;
    let parts = items.iter().enumerate().map(|(index, item)| {
        let mut fields = Fields::read(item, format!("{path}[{index}]"))?;
        let kind: String = fields.require("type", "a string")?;
        let part = read(&kind, &mut fields, by)?;
        fields.end(by)?;
        Ok(part)
    });
    parts.collect::<Result<_, _>>().map(Some)
}

fn text_part(kind: &str, part: &mut Fields, by: &'static str) -> Result<Part, Refusal> {
    match kind {
        "text" => part.require("text", "a string").map(Part::Text),
        _ => Err(Refusal::unsupported(part.path_of("type"), by)),
    }
}

fn user_part(kind: &str, part: &mut Fields, by: &'static str) -> Result<Part, Refusal> {
    match kind {
        "image_url" => image(part, by).map(Part::Image),
        _ => text_part(kind, part, by),
    }
}

fn assistant_part(kind: &str, part: &mut Fields, by: &'static str) -> Result<Part, Refusal> {
    match kind {
        "refusal" => part.require("refusal", "a string").map(Part::Refusal),
        _ => text_part(kind, part, by),
    }
}

fn image(part: &mut Fields, by: &'static str) -> Result<Image, Refusal> {
    let missing = Refusal::invalid(part.path_of("image_url"), "an object");
    let mut place = part.object("image_url")?.ok_or(missing)?;
    let url: String = place.require("url", URL)?;
    let data = image_data(url).ok_or_else(|| Refusal::invalid(place.path_of("url"), URL))?;
    let detail = place.take("detail", "a string")?;
    place.end(by)?;
    Ok(Image { data, detail })
}

const URL: &str = "an http or https URL, or a data URL in base64";

fn image_data(url: String) -> Option<ImageData> {
    if url.starts_with("http://") || url.starts_with("https://") {
        return Some(ImageData::Url(url));
    }
    let (media_type, data) = url.strip_prefix("data:")?.split_once(";base64,")?;
    Some(ImageData::Base64 {
        media_type: media_type.to_owned(),
        data: data.to_owned(),
    })
}

fn assistant(message: &mut Fields, by: &'static str) -> Result<Vec<Part>, Refusal> {
    let mut parts = thoughts::read(message, by)?;
    let said = content_or_none(message, by, assistant_part)?.unwrap_or_default();
    // Beside tool calls many clients say an empty text where they mean none.
    parts.extend(
        said.into_iter()
            .filter(|part| *part != Part::Text(String::new())),
    );
    let refusal: Option<String> = message.take("refusal", "a string")?;
    parts.extend(refusal.filter(|text| !text.is_empty()).map(Part::Refusal));
    for (path, json) in message.list("tool_calls")? {
        parts.push(tool_use(Fields::read(&json, path)?, by)?);
    }
    // What a client repeats of an answer has an empty list here.
    if !message.list("annotations")?.is_empty() {
        return Err(Refusal::unsupported(message.path_of("annotations"), by));
    }
    skip(message, &ADDED)?;
    Ok(parts)
}

/// What clients add to an answer for their own use and send back with it: what
/// OpenAI's own parsed the content into, and what LiteLLM keeps beside it.
const ADDED: [&str; 2] = ["parsed", "provider_specific_fields"];

/// The same beside a call: its number in a stream, and what LiteLLM and Google
/// keep with it.
const ADDED_TO_CALLS: [&str; 3] = ["index", "provider_specific_fields", "extra_content"];

fn skip(fields: &mut Fields, keys: &[&str]) -> Result<(), Refusal> {
    for key in keys {
        fields.take::<Json>(key, "JSON")?;
    }
    Ok(())
}

fn tool_use(mut call: Fields, by: &'static str) -> Result<Part, Refusal> {
    let mut function = function(&mut call, by)?;
    let arguments: String = function.require("arguments", ARGUMENTS)?;
    let input = input(&arguments)
        .ok_or_else(|| Refusal::invalid(function.path_of("arguments"), ARGUMENTS))?;
    let part = Part::ToolUse {
        id: call.require("id", "a string")?,
        name: function.require("name", "a string")?,
        input,
    };
    skip(&mut function, &["parsed_arguments"])?;
    function.end(by)?;
    skip(&mut call, &ADDED_TO_CALLS)?;
    call.end(by)?;
    Ok(part)
}

const ARGUMENTS: &str = "a JSON object in a string";

/// The input that `arguments` are. Models that give none to a tool without
/// parameters say nothing instead of `{}`.
pub(super) fn input(arguments: &str) -> Option<Json> {
    let text = match arguments.trim() {
        "" => "{}",
        text => text,
    };
    Json::parse(text).filter(Json::is_object)
}

fn tool_result(message: &mut Fields, by: &'static str) -> Result<Part, Refusal> {
    let mut content = content(message, by, text_part)?;
    content.retain(|part| *part != Part::Text(String::new()));
    Ok(Part::ToolResult(ToolResult {
        id: message.require("tool_call_id", "a string")?,
        content,
        is_error: false,
    }))
}
