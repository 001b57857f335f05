//! In which form data stands in a prompt, and what a text costs there.

use serde::Deserialize;
use serde_json::Value;

use crate::token::estimate_tokens;

/// In which form a list or an object stands in a prompt. A text always stands
/// there as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Form {
    /// Whichever takes the fewest tokens.
    #[default]
    Auto,
    /// TOON.
    Toon,
    /// JSON on one line.
    Json,
    /// The items as they are, with an empty line between them.
    Text,
}

impl Form {
    /// All there are.
    pub(super) const ALL: [Self; 4] = [Self::Auto, Self::Toon, Self::Json, Self::Text];

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Toon => "toon",
            Self::Json => "json",
            Self::Text => "text",
        }
    }

    /// `value` in this form, and the word for what it is in.
    pub(super) fn write(self, value: &Value) -> (String, &'static str) {
        match (self, value) {
            (Self::Auto, _) => smallest(value),
            (Self::Toon, _) => (toon(value), "toon"),
            (Self::Json, _) => (value.to_string(), "json"),
            (Self::Text, Value::Array(items)) => {
                let texts: Vec<String> = items.iter().map(as_text).collect();
                (texts.join("\n\n"), "text")
            }
            (Self::Text, _) => (as_text(value), "text"),
        }
    }
}

fn as_text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

// The one place that knows how TOON is written and tokens are counted.

fn smallest(value: &Value) -> (String, &'static str) {
    (value.to_string(), "json")
}

fn toon(value: &Value) -> String {
    value.to_string()
}

/// How many tokens `text` is.
pub(super) fn tokens(text: &str) -> u64 {
    estimate_tokens(text)
}

/// What dialects of chat add around each message.
pub(super) const MESSAGE_TOKENS: u64 = 4;
