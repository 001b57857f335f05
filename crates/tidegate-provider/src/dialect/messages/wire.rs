//! What this dialect looks like when it is written.

use bytes::Bytes;
use serde::Serialize;

use super::usage::Counted;
use crate::dialect::{Image, ImageData, Json, Stop};

/// A block of content.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Block<'a> {
    Text {
        text: &'a str,
    },
    Image {
        source: Source<'a>,
    },
    ToolUse {
        id: &'a str,
        name: &'a str,
        input: &'a Json,
    },
    ToolResult {
        tool_use_id: &'a str,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        content: Vec<Self>,
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        is_error: bool,
    },
    Thinking {
        thinking: &'a str,
        signature: &'a str,
    },
    RedactedThinking {
        data: &'a str,
    },
}

/// Where an image is.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Source<'a> {
    Base64 { media_type: &'a str, data: &'a str },
    Url { url: &'a str },
}

impl<'a> Block<'a> {
    /// A block of text. The API takes none that is empty.
    pub(super) fn text(text: &'a str) -> Option<Self> {
        (!text.is_empty()).then_some(Self::Text { text })
    }

    /// An image; how closely to look at it is not for the caller to say here.
    pub(super) fn image(image: &'a Image) -> Self {
        let source = match &image.data {
            ImageData::Base64 { media_type, data } => Source::Base64 { media_type, data },
            ImageData::Url(url) => Source::Url { url },
        };
        Self::Image { source }
    }
}

/// A whole answer, or the empty one with which a stream starts.
#[derive(Debug, Serialize)]
pub(super) struct Message<'a> {
    pub(super) id: String,
    #[serde(rename = "type")]
    pub(super) kind: &'static str,
    pub(super) role: &'static str,
    pub(super) model: &'a str,
    pub(super) content: Vec<Block<'a>>,
    #[serde(flatten)]
    pub(super) ending: Ending,
    pub(super) usage: Counted,
}

/// Why an answer ended; all null while it has not.
#[derive(Debug, Default, Serialize)]
pub(super) struct Ending {
    stop_reason: Option<&'static str>,
    stop_sequence: Option<String>,
}

impl Ending {
    pub(super) fn of(stop: Stop) -> Self {
        let word = match &stop {
            Stop::End => "end_turn",
            Stop::MaxTokens => "max_tokens",
            Stop::Sequence(_) => "stop_sequence",
            Stop::ToolUse => "tool_use",
            Stop::Filtered => "refusal",
            Stop::ContextFull => "model_context_window_exceeded",
            Stop::Paused => "pause_turn",
        };
        let stop_sequence = match stop {
            Stop::Sequence(sequence) => sequence,
            Stop::End
            | Stop::MaxTokens
            | Stop::ToolUse
            | Stop::Filtered
            | Stop::ContextFull
            | Stop::Paused => None,
        };
        Self {
            stop_reason: Some(word),
            stop_sequence,
        }
    }
}

/// The stop that a word names.
pub(super) fn stop(word: &str, sequence: Option<String>) -> Option<Stop> {
    Some(match word {
        "end_turn" => Stop::End,
        "max_tokens" => Stop::MaxTokens,
        "stop_sequence" => Stop::Sequence(sequence),
        "tool_use" => Stop::ToolUse,
        "refusal" => Stop::Filtered,
        "model_context_window_exceeded" => Stop::ContextFull,
        "pause_turn" => Stop::Paused,
        _ => return None,
    })
}

/// How an answer stops in which the model declined in its own words: this
/// dialect has no part for that.
pub(super) fn declined(stop: Stop) -> Stop {
    match stop {
        Stop::End => Stop::Filtered,
        Stop::MaxTokens
        | Stop::Sequence(_)
        | Stop::ToolUse
        | Stop::Filtered
        | Stop::ContextFull
        | Stop::Paused => stop,
    }
}

/// An id as this dialect has them, from one that another may have given.
pub(super) fn message_id(id: &str) -> String {
    const PREFIX: &str = "msg_";
    if id.starts_with(PREFIX) {
        return id.to_owned();
    }
    let kept = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    let rest: String = id
        .trim_start_matches("chatcmpl-")
        .chars()
        .filter(kept)
        .collect();
    let rest = if rest.is_empty() { "0" } else { &rest };
    format!("{PREFIX}{rest}")
}

/// JSON on one line.
pub(super) fn json(value: &impl Serialize) -> Bytes {
    Bytes::from(serde_json::to_vec(value).expect("keys are strings and values are valid JSON"))
}
