//! A streamed answer, written as chunks of OpenAI's chat dialect.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::answer::stop_word;
use super::tokens::Usage;
use crate::chunk::{Chunk, ChunkFacts};
use crate::dialect::{Event, Opening, Piece, Tokens};
use crate::error::{ProviderError, Unavailability};

/// How long a thought and its seal may be that have to be repeated at its end.
pub(super) const MOST_REPEATED_BYTES: usize = 2 << 20;

/// Turns the steps of an answer into chunks.
#[derive(Debug)]
pub(crate) struct EventWriter {
    created: u64,
    id: String,
    model: String,
    open: BTreeMap<usize, OpenPart>,
    /// Calls so far; OpenAI counts them apart from what else is said.
    calls: u64,
    tokens: Tokens,
}

/// What has to be known of a part until it closes.
#[derive(Debug)]
enum OpenPart {
    Text,
    Refusal,
    /// OpenAI's streams have no end of a thought: its seal comes with a
    /// repetition of the whole.
    Thinking {
        text: String,
        signature: String,
    },
    Redacted,
    Call {
        number: u64,
        has_input: bool,
    },
}

impl EventWriter {
    /// For an answer of this time, in seconds since 1970.
    pub(crate) fn new(created: u64) -> Self {
        Self {
            created,
            id: String::new(),
            model: String::new(),
            open: BTreeMap::new(),
            calls: 0,
            tokens: Tokens::default(),
        }
    }

    /// The chunks that say `event`.
    ///
    /// # Errors
    /// [`Unavailability::Garbage`] for a piece that belongs to no open part of
    /// its kind and would be lost; [`Unavailability::TooLarge`] for a thought
    /// that is too long to be repeated.
    pub(crate) fn write(&mut self, event: Event) -> Result<Vec<Chunk>, ProviderError> {
        let chunk = match event {
            Event::Start { id, model } => {
                (self.id, self.model) = (id, model);
                Some(self.delta(&json!({"role": "assistant", "content": ""})))
            }
            Event::Open { index, opening } => self.open(index, opening),
            Event::Piece { index, piece } => self.piece(index, piece)?,
            Event::Close { index } => self.close(index),
            Event::Stop(stop) => Some(self.choice(&json!({}), Some(stop_word(&stop)))),
            Event::Tokens(tokens) => {
                self.tokens = tokens;
                None
            }
            Event::End => Some(self.usage()),
        };
        Ok(chunk.into_iter().collect())
    }

    fn open(&mut self, index: usize, opening: Opening) -> Option<Chunk> {
        let (part, delta) = match opening {
            Opening::Text => (OpenPart::Text, None),
            Opening::Refusal => (OpenPart::Refusal, None),
            Opening::Thinking => (
                OpenPart::Thinking {
                    text: String::new(),
                    signature: String::new(),
                },
                None,
            ),
            Opening::RedactedThinking(data) => {
                let block = json!({"type": "redacted_thinking", "data": data});
                (
                    OpenPart::Redacted,
                    Some(json!({"thinking_blocks": [block]})),
                )
            }
            Opening::ToolUse { id, name } => {
                let number = self.calls;
                self.calls += 1;
                let function = json!({"name": name, "arguments": ""});
                let call =
                    json!({"index": number, "id": id, "type": "function", "function": function});
                let part = OpenPart::Call {
                    number,
                    has_input: false,
                };
                (part, Some(json!({"tool_calls": [call]})))
            }
        };
        self.open.insert(index, part);
        delta.map(|delta| self.delta(&delta))
    }

    fn piece(&mut self, index: usize, piece: Piece) -> Result<Option<Chunk>, Unavailability> {
        let part = self.open.get_mut(&index).ok_or(Unavailability::Garbage)?;
        let delta = match (part, piece) {
            (OpenPart::Text, Piece::Text(piece)) => json!({"content": piece}),
            (OpenPart::Refusal, Piece::Text(piece)) => json!({"refusal": piece}),
            (OpenPart::Thinking { text, .. }, Piece::Text(piece)) => {
                keep(text, &piece)?;
                json!({"reasoning_content": piece})
            }
            (OpenPart::Thinking { signature, .. }, Piece::Signature(piece)) => {
                keep(signature, &piece)?;
                return Ok(None);
            }
            (OpenPart::Call { number, has_input }, Piece::Input(piece)) => {
                *has_input |= !piece.is_empty();
                arguments(*number, &piece)
            }
            (OpenPart::Text | OpenPart::Refusal, Piece::Input(_) | Piece::Signature(_))
            | (OpenPart::Thinking { .. }, Piece::Input(_))
            | (OpenPart::Call { .. }, Piece::Text(_) | Piece::Signature(_))
            | (OpenPart::Redacted, Piece::Text(_) | Piece::Input(_) | Piece::Signature(_)) => {
                return Err(Unavailability::Garbage);
            }
        };
        Ok(Some(self.delta(&delta)))
    }

    fn close(&mut self, index: usize) -> Option<Chunk> {
        let delta = match self.open.remove(&index)? {
            OpenPart::Thinking { text, signature } if !signature.is_empty() => {
                let block = json!({"type": "thinking", "thinking": text, "signature": signature});
                json!({"thinking_blocks": [block]})
            }
            // No input at all means an empty one, and clients parse what they get.
            OpenPart::Call {
                number,
                has_input: false,
            } => arguments(number, "{}"),
            OpenPart::Text
            | OpenPart::Refusal
            | OpenPart::Redacted
            | OpenPart::Thinking { .. }
            | OpenPart::Call { .. } => return None,
        };
        Some(self.delta(&delta))
    }

    fn delta(&self, delta: &Value) -> Chunk {
        self.choice(delta, None)
    }

    fn choice(&self, delta: &Value, finish: Option<&str>) -> Chunk {
        let facts = ChunkFacts {
            has_content: has_content(delta),
            finished: u64::from(finish.is_some()),
            ..ChunkFacts::default()
        };
        let choice = json!({"index": 0, "delta": delta, "logprobs": null, "finish_reason": finish});
        self.chunk(&json!([choice]), None, facts)
    }

    fn usage(&self) -> Chunk {
        let usage = Usage::from(self.tokens);
        let facts = ChunkFacts {
            without_choices: true,
            usage: Some(usage.sums()),
            ..ChunkFacts::default()
        };
        self.chunk(&json!([]), Some(usage), facts)
    }

    fn chunk(&self, choices: &Value, usage: Option<Usage>, facts: ChunkFacts) -> Chunk {
        let chunk = json!({
            "id": self.id,
            "object": "chat.completion.chunk",
            "created": self.created,
            "model": self.model,
            "choices": choices,
            "usage": usage,
        });
        Chunk {
            event: None,
            json: super::json(&chunk),
            facts,
        }
    }
}

fn keep(kept: &mut String, piece: &str) -> Result<(), Unavailability> {
    let limit_bytes = MOST_REPEATED_BYTES;
    if kept.len() + piece.len() > limit_bytes {
        return Err(Unavailability::TooLarge { limit_bytes });
    }
    kept.push_str(piece);
    Ok(())
}

fn arguments(number: u64, piece: &str) -> Value {
    json!({"tool_calls": [{"index": number, "function": {"arguments": piece}}]})
}

/// Anything but the role, and not empty.
fn has_content(delta: &Value) -> bool {
    let mut fields = delta.as_object().into_iter().flatten();
    fields.any(|(key, value)| key != "role" && value.as_str() != Some(""))
}
