//! In which form data stands in a prompt, and what a text costs there.

use serde::Deserialize;
use serde_json::Value;

use crate::tokens::{Encoding, count};
use crate::toon::compact::Abbreviations;
use crate::toon::{self, Dialect, Style};

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
    #[cfg(test)]
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
            (Self::Toon, _) => written(value),
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

/// Keys stay whole: nobody has told the model what is short for what.
fn style() -> Style {
    Style {
        abbreviations: Abbreviations::none(),
        ..Style::default()
    }
}

/// What is nested more deeply than the dialects go stays JSON.
fn smallest(value: &Value) -> (String, &'static str) {
    match toon::smallest(value, &style(), ENCODING) {
        Ok((dialect, text)) => (text, dialect.name()),
        Err(_) => (value.to_string(), Dialect::Json.name()),
    }
}

fn written(value: &Value) -> (String, &'static str) {
    match toon::write(value, Dialect::Toon, &style()) {
        Ok(text) => (text, Dialect::Toon.name()),
        Err(_) => (value.to_string(), Dialect::Json.name()),
    }
}

/// How the tokens of prompts are counted.
const ENCODING: Encoding = Encoding::O200kBase;

/// How many tokens `text` is.
pub(super) fn tokens(text: &str) -> u64 {
    count(text, ENCODING)
}

/// What dialects of chat add around each message.
pub(super) const MESSAGE_TOKENS: u64 = 4;
