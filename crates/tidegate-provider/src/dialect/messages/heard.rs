//! One block of an answer, as it was heard.

use serde::Deserialize;

use crate::dialect::{Json, Part};

/// Every field that some kind of block has. A tagged enum could not carry
/// `input` byte for byte.
#[derive(Debug, Deserialize)]
pub(super) struct Heard {
    #[serde(rename = "type")]
    pub(super) kind: String,
    #[serde(default)]
    pub(super) text: Option<String>,
    #[serde(default)]
    pub(super) id: Option<String>,
    #[serde(default)]
    pub(super) name: Option<String>,
    #[serde(default)]
    pub(super) input: Option<Json>,
    #[serde(default)]
    pub(super) thinking: Option<String>,
    #[serde(default)]
    pub(super) signature: Option<String>,
    #[serde(default)]
    pub(super) data: Option<String>,
}

impl Heard {
    /// The part that it is; `None` for a kind that no other dialect has, and
    /// for a block without what its kind needs.
    pub(super) fn part(self) -> Option<Part> {
        Some(match &*self.kind {
            "text" => Part::Text(self.text?),
            "tool_use" => Part::ToolUse {
                id: self.id?,
                name: self.name?,
                input: self.input.filter(Json::is_object)?,
            },
            "thinking" => Part::Thinking {
                text: self.thinking?,
                signature: self.signature.filter(|seal| !seal.is_empty()),
            },
            "redacted_thinking" => Part::RedactedThinking(self.data?),
            _ => return None,
        })
    }
}
