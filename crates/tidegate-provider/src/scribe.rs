//! What a model answered, as a message that can be put in front of the next
//! request.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use crate::chunk::Chunk;
use crate::dialect::Dialect;
use crate::said::Message;

/// What an answer's message keeps when it becomes part of a request. Other
/// fields are the upstream's remarks, which some refuse to hear again.
const KEPT: [&str; 4] = ["content", "refusal", "tool_calls", "function_call"];

#[derive(Deserialize)]
struct Whole<'a> {
    #[serde(default, borrow)]
    choices: Vec<Choice<'a>>,
    #[serde(default, borrow)]
    content: Option<Vec<&'a RawValue>>,
}

#[derive(Deserialize)]
struct Choice<'a> {
    #[serde(default, borrow)]
    message: BTreeMap<String, &'a RawValue>,
}

impl Message {
    /// What a whole answer says; the first of several answers. Nothing where it
    /// says nothing: upstreams refuse to hear an empty message.
    pub fn of_answer(dialect: Dialect, body: &Bytes) -> Option<Self> {
        let whole: Whole<'_> = serde_json::from_slice(body).ok()?;
        let fields: Vec<(&str, String)> = match dialect {
            Dialect::Chat => {
                let message = &whole.choices.first()?.message;
                let said = |key: &'static str| message.get(key).map(|raw| (raw.get(), key));
                let kept = KEPT.into_iter().filter_map(said);
                let kept = kept.filter(|(raw, _)| !matches!(*raw, "null" | "\"\"" | "[]"));
                kept.map(|(raw, key)| (key, raw.to_owned())).collect()
            }
            Dialect::Messages => {
                let blocks = whole.content?;
                let blocks = blocks.iter().map(|block| block.get());
                let blocks: Vec<&str> = blocks.filter(|block| !is_silent(block)).collect();
                let list = (!blocks.is_empty()).then(|| format!("[{}]", blocks.join(",")));
                list.map(|list| ("content", list)).into_iter().collect()
            }
            Dialect::Completion => return None,
        };
        assistant(dialect, &fields)
    }
}

/// A message of the model's with these fields of raw JSON.
fn assistant(dialect: Dialect, fields: &[(&str, String)]) -> Option<Message> {
    if fields.is_empty() {
        return None;
    }
    let mut json = r#"{"role":"assistant""#.to_owned();
    // Where only tools are called, the content is null and not absent.
    if fields.iter().all(|(key, _)| *key != "content") {
        json.push_str(r#","content":null"#);
    }
    for (key, raw) in fields {
        json.push_str(&format!(r#","{key}":{raw}"#));
    }
    json.push('}');
    Some(Message {
        dialect,
        json: json.into(),
    })
}

/// A text without any letter.
fn is_silent(block: &str) -> bool {
    let block: Result<Map<String, Value>, _> = serde_json::from_str(block);
    block.is_ok_and(|block| block.get("text") == Some(&json!("")) && block["type"] == "text")
}

/// Writes down what a stream says, to tell it as one message at its end.
#[derive(Debug)]
pub struct Scribe {
    dialect: Dialect,
    content: String,
    refusal: String,
    /// Calls of tools by their number, or blocks.
    parts: BTreeMap<u64, Part>,
    ink: Ink,
}

#[derive(Debug, Default)]
struct Part {
    /// What it began with.
    begun: Map<String, Value>,
    /// Pieces by the field that they belong to.
    pieces: BTreeMap<&'static str, String>,
    citations: Vec<Value>,
}

/// How much may still be written.
#[derive(Debug)]
struct Ink {
    bytes: usize,
    ran_out: bool,
}

impl Ink {
    fn spend(&mut self, bytes: usize) -> bool {
        self.ran_out |= bytes > self.bytes;
        self.bytes -= bytes.min(self.bytes);
        !self.ran_out
    }

    fn write(&mut self, to: &mut String, piece: Option<String>) {
        if let Some(piece) = piece.filter(|piece| self.spend(piece.len())) {
            to.push_str(&piece);
        }
    }
}

#[derive(Deserialize)]
struct ChatChunk {
    #[serde(default)]
    choices: Vec<ChunkChoice>,
}

#[derive(Deserialize)]
struct ChunkChoice {
    #[serde(default)]
    index: u64,
    #[serde(default)]
    delta: Option<ChatDelta>,
}

#[derive(Deserialize)]
struct ChatDelta {
    content: Option<String>,
    refusal: Option<String>,
    tool_calls: Option<Vec<CallDelta>>,
}

#[derive(Deserialize)]
struct CallDelta {
    #[serde(default)]
    index: u64,
    id: Option<String>,
    function: Option<FunctionDelta>,
}

#[derive(Deserialize)]
struct FunctionDelta {
    name: Option<String>,
    arguments: Option<String>,
}

#[derive(Deserialize)]
struct BlockEvent {
    #[serde(default)]
    index: u64,
    content_block: Option<Map<String, Value>>,
    delta: Option<BlockDelta>,
}

#[derive(Deserialize)]
struct BlockDelta {
    text: Option<String>,
    partial_json: Option<String>,
    thinking: Option<String>,
    signature: Option<String>,
    citation: Option<Value>,
}

/// The answer is longer than what may be written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the answer is longer than what may be written down")]
pub struct TooLong;

impl Scribe {
    /// Writes down at most `most_bytes` of a stream in this dialect.
    pub fn new(dialect: Dialect, most_bytes: usize) -> Self {
        Self {
            dialect,
            content: String::new(),
            refusal: String::new(),
            parts: BTreeMap::new(),
            ink: Ink {
                bytes: most_bytes,
                ran_out: false,
            },
        }
    }

    /// Hears the next chunk; the first of several answers counts.
    pub fn hear(&mut self, chunk: &Chunk) {
        match self.dialect {
            Dialect::Chat if chunk.facts.has_content => self.hear_chat(&chunk.json),
            Dialect::Messages => self.hear_block(&chunk.json),
            Dialect::Chat | Dialect::Completion => {}
        }
    }

    fn hear_chat(&mut self, json: &[u8]) {
        let Ok(chunk) = serde_json::from_slice::<ChatChunk>(json) else {
            return;
        };
        let first = chunk.choices.into_iter().filter(|choice| choice.index == 0);
        for delta in first.filter_map(|choice| choice.delta) {
            self.ink.write(&mut self.content, delta.content);
            self.ink.write(&mut self.refusal, delta.refusal);
            for call in delta.tool_calls.unwrap_or_default() {
                self.hear_call(call);
            }
        }
    }

    fn hear_call(&mut self, call: CallDelta) {
        if !self.ink.spend(PART_BYTES) {
            return;
        }
        let pieces = &mut self.parts.entry(call.index).or_default().pieces;
        self.ink.write(pieces.entry("id").or_default(), call.id);
        if let Some(function) = call.function {
            self.ink
                .write(pieces.entry("name").or_default(), function.name);
            let arguments = pieces.entry("arguments").or_default();
            self.ink.write(arguments, function.arguments);
        }
    }

    fn hear_block(&mut self, json: &[u8]) {
        let Ok(event) = serde_json::from_slice::<BlockEvent>(json) else {
            return;
        };
        if let Some(begun) = event.content_block
            && self.ink.spend(json.len())
        {
            self.parts.entry(event.index).or_default().begun = begun;
        }
        let part = self.parts.get_mut(&event.index);
        let (Some(delta), Some(part)) = (event.delta, part) else {
            return;
        };
        for (field, piece) in [
            ("text", delta.text),
            ("input", delta.partial_json),
            ("thinking", delta.thinking),
            ("signature", delta.signature),
        ] {
            if piece.is_some() {
                self.ink.write(part.pieces.entry(field).or_default(), piece);
            }
        }
        if let Some(citation) = delta.citation
            && self.ink.spend(json.len())
        {
            part.citations.push(citation);
        }
    }

    /// What was said; nothing where nothing was.
    ///
    /// # Errors
    /// [`TooLong`] when there was more than may be written down.
    pub fn message(self) -> Result<Option<Message>, TooLong> {
        if self.ink.ran_out {
            return Err(TooLong);
        }
        let mut fields = Vec::new();
        match self.dialect {
            Dialect::Chat => {
                let calls: Vec<Value> = self.parts.into_values().map(Part::into_call).collect();
                for (key, text) in [("content", self.content), ("refusal", self.refusal)] {
                    if !text.is_empty() {
                        fields.push((key, Value::from(text).to_string()));
                    }
                }
                if !calls.is_empty() {
                    fields.push(("tool_calls", Value::from(calls).to_string()));
                }
            }
            Dialect::Messages => {
                let blocks = self.parts.into_values().map(|part| part.into_block());
                let blocks = blocks.map(|block| block.to_string());
                let blocks: Vec<String> = blocks.filter(|block| !is_silent(block)).collect();
                if !blocks.is_empty() {
                    fields.push(("content", format!("[{}]", blocks.join(","))));
                }
            }
            Dialect::Completion => {}
        }
        Ok(assistant(self.dialect, &fields))
    }
}

/// What a call or a block takes beside its words.
const PART_BYTES: usize = 64;

impl Part {
    fn into_call(self) -> Value {
        let piece = |field| self.pieces.get(field).cloned().unwrap_or_default();
        json!({
            "id": piece("id"),
            "type": "function",
            "function": {"name": piece("name"), "arguments": piece("arguments")},
        })
    }

    fn into_block(self) -> Value {
        let mut block = self.begun;
        for (field, piece) in self.pieces {
            let value = if field == "input" {
                serde_json::from_str(&piece).unwrap_or_else(|_| json!({}))
            } else {
                let begun = block.get(field).and_then(Value::as_str);
                Value::from(begun.unwrap_or_default().to_owned() + &piece)
            };
            block.insert(field.to_owned(), value);
        }
        if !self.citations.is_empty() {
            block.insert("citations".to_owned(), self.citations.into());
        }
        Value::from(block)
    }
}

#[cfg(test)]
mod tests;
