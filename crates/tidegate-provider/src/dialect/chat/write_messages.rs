//! The messages of a conversation, in OpenAI's chat dialect.

use serde::Serialize;

use super::UPSTREAM;
use super::answer::{WrittenCall, tool_call};
use super::thoughts::Thoughts;
use crate::dialect::{Conversation, Image, ImageData, Part, Refusal, Role, ToolResult};

#[derive(Serialize)]
#[serde(tag = "role", rename_all = "snake_case")]
pub(super) enum Message<'a> {
    System {
        content: Content<'a>,
    },
    User {
        content: Content<'a>,
    },
    Assistant {
        #[serde(skip_serializing_if = "Option::is_none")]
        content: Option<Content<'a>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        refusal: Option<&'a str>,
        #[serde(flatten)]
        thoughts: Thoughts,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        tool_calls: Vec<WrittenCall<'a>>,
    },
    Tool {
        tool_call_id: &'a str,
        content: Content<'a>,
    },
}

#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum Content<'a> {
    Text(&'a str),
    Parts(Vec<ContentPart<'a>>),
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum ContentPart<'a> {
    Text { text: &'a str },
    ImageUrl { image_url: Place<'a> },
    Refusal { refusal: &'a str },
}

#[derive(Serialize)]
pub(super) struct Place<'a> {
    url: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'a str>,
}

/// The instructions, then every turn.
pub(super) fn messages(conversation: &Conversation) -> Result<Vec<Message<'_>>, Refusal> {
    let mut messages = Vec::with_capacity(conversation.turns.len() + 1);
    if !conversation.system.is_empty() {
        let parts = texts(&conversation.system, "system")?;
        messages.push(Message::System {
            content: Content::of(parts),
        });
    }
    for (index, turn) in conversation.turns.iter().enumerate() {
        let path = format!("messages[{index}].content");
        match turn.role {
            Role::User => user(&turn.parts, &path, &mut messages)?,
            Role::Assistant => messages.push(assistant(&turn.parts, &path)?),
        }
    }
    Ok(messages)
}

impl<'a> Content<'a> {
    /// One text is a string, as every server takes it.
    fn of(mut parts: Vec<ContentPart<'a>>) -> Self {
        match parts.pop() {
            None => Self::Text(""),
            Some(ContentPart::Text { text }) if parts.is_empty() => Self::Text(text),
            Some(last) => {
                parts.push(last);
                Self::Parts(parts)
            }
        }
    }
}

/// Parts of which none but text has a word in their place.
fn texts<'a>(parts: &'a [Part], path: &str) -> Result<Vec<ContentPart<'a>>, Refusal> {
    let parts = parts.iter().enumerate().map(|(index, part)| match part {
        Part::Text(text) => Ok(ContentPart::Text { text }),
        Part::Image(_)
        | Part::ToolUse { .. }
        | Part::ToolResult(_)
        | Part::Thinking { .. }
        | Part::RedactedThinking(_)
        | Part::Refusal(_) => Err(unsupported(path, index)),
    });
    parts.collect()
}

fn unsupported(path: &str, index: usize) -> Refusal {
    Refusal::unsupported(format_args!("{path}[{index}]"), UPSTREAM)
}

/// The results of tools as messages of their own, which have to follow the
/// calls at once, then the rest.
fn user<'a>(parts: &'a [Part], path: &str, messages: &mut Vec<Message<'a>>) -> Result<(), Refusal> {
    let mut said = Vec::new();
    for (index, part) in parts.iter().enumerate() {
        match part {
            Part::Text(text) => said.push(ContentPart::Text { text }),
            Part::Image(image) => said.push(ContentPart::ImageUrl {
                image_url: place(image),
            }),
            Part::ToolResult(result) => {
                messages.push(tool(result, &format!("{path}[{index}].content"))?);
            }
            Part::ToolUse { .. }
            | Part::Thinking { .. }
            | Part::RedactedThinking(_)
            | Part::Refusal(_) => return Err(unsupported(path, index)),
        }
    }
    let only_results = said.is_empty() && !parts.is_empty();
    if !only_results {
        messages.push(Message::User {
            content: Content::of(said),
        });
    }
    Ok(())
}

/// OpenAI has no flag for a tool that failed; its content says so.
fn tool<'a>(result: &'a ToolResult, path: &str) -> Result<Message<'a>, Refusal> {
    Ok(Message::Tool {
        tool_call_id: &result.id,
        content: Content::of(texts(&result.content, path)?),
    })
}

fn place(image: &Image) -> Place<'_> {
    let url = match &image.data {
        ImageData::Base64 { media_type, data } => format!("data:{media_type};base64,{data}"),
        ImageData::Url(url) => url.clone(),
    };
    Place {
        url,
        detail: image.detail.as_deref(),
    }
}

fn assistant<'a>(parts: &'a [Part], path: &str) -> Result<Message<'a>, Refusal> {
    let mut said = Vec::new();
    for (index, part) in parts.iter().enumerate() {
        match part {
            Part::Text(text) => said.push(ContentPart::Text { text }),
            Part::Refusal(refusal) => said.push(ContentPart::Refusal { refusal }),
            Part::ToolUse { .. } | Part::Thinking { .. } | Part::RedactedThinking(_) => {}
            Part::Image(_) | Part::ToolResult(_) => return Err(unsupported(path, index)),
        }
    }
    let tool_calls: Vec<_> = parts.iter().filter_map(tool_call).collect();
    let (content, refusal) = match &said[..] {
        [ContentPart::Refusal { refusal }] => (None, Some(*refusal)),
        [] if !tool_calls.is_empty() => (None, None),
        _ => (Some(Content::of(said)), None),
    };
    Ok(Message::Assistant {
        content,
        refusal,
        thoughts: Thoughts::of(parts),
        tool_calls,
    })
}
