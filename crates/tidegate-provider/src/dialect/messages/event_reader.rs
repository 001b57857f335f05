//! The events of a stream, read.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::facts::error_in;
use super::heard::Heard;
use super::usage::learn;
use super::wire::stop;
use crate::chunk::Chunk;
use crate::dialect::{Event, Json, Opening, Part, Piece, Stop, Tokens};
use crate::error::{ProviderError, Unavailability};

/// Reads the events of one stream.
#[derive(Debug, Default)]
pub(crate) struct EventReader {
    stage: Stage,
    tokens: Tokens,
    /// Parts that were opened so far.
    opened: usize,
    /// Blocks that have not ended.
    open: Vec<Open>,
}

/// Blocks that are open at a time; models open one after the other.
const MOST_OPEN: usize = 1_024;

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Stage {
    #[default]
    Before,
    Speaking,
    Stopped,
    Over,
}

#[derive(Debug)]
struct Open {
    /// As the stream counts blocks.
    number: u64,
    index: usize,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Text,
    Thinking,
    Redacted,
    /// With the input that it began with, until a piece of it comes.
    Tool(Option<Json>),
}

/// Only the type is looked at before it is known what the rest has to be.
#[derive(Deserialize)]
struct Kinded<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
}

/// Every field that some kind of event has.
#[derive(Deserialize)]
struct Read<'a> {
    #[serde(default, borrow)]
    message: Option<Message<'a>>,
    #[serde(default)]
    index: Option<u64>,
    #[serde(default)]
    content_block: Option<Heard>,
    #[serde(default)]
    delta: Option<Delta>,
    #[serde(default, borrow)]
    usage: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    model: Option<String>,
    #[serde(default, borrow)]
    usage: Option<&'a RawValue>,
}

/// Every field that some kind of delta has.
#[derive(Deserialize)]
struct Delta {
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(default)]
    text: Option<String>,
    #[serde(default)]
    partial_json: Option<String>,
    #[serde(default)]
    thinking: Option<String>,
    #[serde(default)]
    signature: Option<String>,
    #[serde(default)]
    stop_reason: Option<String>,
    #[serde(default)]
    stop_sequence: Option<String>,
}

impl EventReader {
    /// Reads one event; most are one step, some are none.
    ///
    /// # Errors
    /// The error's own class when it is one; [`Unavailability::Garbage`] for
    /// what is no event, and for blocks and stops that no other dialect has.
    pub(crate) fn read(&mut self, chunk: &Chunk) -> Result<Vec<Event>, ProviderError> {
        let Kinded { kind } = parse(&chunk.json)?;
        let steps = match &*kind {
            "error" => return Err(error_in(&chunk.json)),
            "message_start" => self.start(parse(&chunk.json)?),
            "content_block_start" => self.begin(parse(&chunk.json)?),
            "content_block_delta" => self.piece(parse(&chunk.json)?),
            "content_block_stop" => self.close(parse(&chunk.json)?),
            "message_delta" => self.stop(parse(&chunk.json)?),
            "message_stop" => Some(self.end()),
            // `ping`, and what the dialect may learn yet.
            _ => Some(Vec::new()),
        };
        steps.ok_or_else(|| Unavailability::Garbage.into())
    }

    /// The steps that are missing when the stream is over, in case that it did
    /// not say so itself.
    pub(crate) fn end(&mut self) -> Vec<Event> {
        let before = std::mem::replace(&mut self.stage, Stage::Over);
        let mut steps: Vec<Event> = self.open.drain(..).flat_map(Open::end).collect();
        match before {
            Stage::Before | Stage::Over => return Vec::new(),
            Stage::Speaking => {
                steps.push(Event::Stop(Stop::End));
                steps.push(Event::Tokens(self.tokens));
            }
            Stage::Stopped => {}
        }
        steps.push(Event::End);
        steps
    }

    fn start(&mut self, read: Read<'_>) -> Option<Vec<Event>> {
        let message = read.message?;
        self.stage = Stage::Speaking;
        learn(&mut self.tokens, message.usage);
        Some(vec![Event::Start {
            id: message.id.unwrap_or_default(),
            model: message.model.unwrap_or_default(),
        }])
    }

    fn begin(&mut self, read: Read<'_>) -> Option<Vec<Event>> {
        if self.open.len() == MOST_OPEN {
            return None;
        }
        let (number, part) = (read.index?, read.content_block?.part()?);
        let index = self.opened;
        let piece = |piece| Event::Piece { index, piece };
        let text = |text: String| (!text.is_empty()).then(|| piece(Piece::Text(text)));
        let (opening, kind, first) = match part {
            Part::Text(said) => (Opening::Text, Kind::Text, vec![text(said)]),
            Part::Thinking {
                text: said,
                signature,
            } => {
                let seal = signature.map(|seal| piece(Piece::Signature(seal)));
                (Opening::Thinking, Kind::Thinking, vec![text(said), seal])
            }
            Part::RedactedThinking(data) => {
                (Opening::RedactedThinking(data), Kind::Redacted, vec![])
            }
            Part::ToolUse { id, name, input } => (
                Opening::ToolUse { id, name },
                Kind::Tool(Some(input)),
                vec![],
            ),
            Part::Image(_) | Part::ToolResult(_) | Part::Refusal(_) => return None,
        };
        self.opened += 1;
        self.open.push(Open {
            number,
            index,
            kind,
        });
        let mut steps = vec![Event::Open { index, opening }];
        steps.extend(first.into_iter().flatten());
        Some(steps)
    }

    fn piece(&mut self, read: Read<'_>) -> Option<Vec<Event>> {
        let (number, delta) = (read.index?, read.delta?);
        let open = self.open.iter_mut().find(|open| open.number == number)?;
        let (index, text) = (open.index, Piece::Text as fn(String) -> Piece);
        let (said, piece) = match (&*delta.kind, &mut open.kind) {
            ("text_delta", Kind::Text) => (delta.text?, text),
            ("thinking_delta", Kind::Thinking) => (delta.thinking?, text),
            ("signature_delta", Kind::Thinking) => (delta.signature?, Piece::Signature as _),
            ("input_json_delta", Kind::Tool(input)) => {
                let json = delta.partial_json?;
                if !json.is_empty() {
                    *input = None;
                }
                (json, Piece::Input as _)
            }
            // Only documents and searches have them, which no conversation
            // carries.
            ("citations_delta", Kind::Text) => return Some(Vec::new()),
            _ => return None,
        };
        let piece = (!said.is_empty()).then(|| piece(said));
        let step = piece.map(|piece| Event::Piece { index, piece });
        Some(step.into_iter().collect())
    }

    fn close(&mut self, read: Read<'_>) -> Option<Vec<Event>> {
        let number = read.index?;
        let at = self.open.iter().position(|open| open.number == number)?;
        Some(self.open.remove(at).end())
    }

    fn stop(&mut self, read: Read<'_>) -> Option<Vec<Event>> {
        learn(&mut self.tokens, read.usage);
        let delta = read.delta?;
        let mut steps = Vec::new();
        if let Some(word) = delta.stop_reason {
            self.stage = Stage::Stopped;
            steps.push(Event::Stop(stop(&word, delta.stop_sequence)?));
            steps.push(Event::Tokens(self.tokens));
        }
        Some(steps)
    }
}

fn parse<'a, T: Deserialize<'a>>(json: &'a [u8]) -> Result<T, Unavailability> {
    serde_json::from_slice(json).map_err(|_| Unavailability::Garbage)
}

impl Open {
    /// The end of a part. A tool's input that came in no pieces was complete
    /// when the part began.
    fn end(self) -> Vec<Event> {
        let index = self.index;
        let input = match self.kind {
            Kind::Tool(input) => input,
            Kind::Text | Kind::Thinking | Kind::Redacted => None,
        };
        let piece = input.map(|input| Piece::Input(input.as_str().to_owned()));
        let piece = piece.map(|piece| Event::Piece { index, piece });
        piece.into_iter().chain([Event::Close { index }]).collect()
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::chunk::ChunkFacts;

    #[test]
    fn no_more_than_1024_blocks_are_open_at_a_time() {
        let mut reader = EventReader::default();
        let mut read = |kind: &str, number: usize| {
            let rest = r#""content_block":{"type":"text","text":""}"#;
            let json = format!(r#"{{"type":"content_block_{kind}","index":{number},{rest}}}"#);
            reader.read(&Chunk {
                event: None,
                json: Bytes::from(json),
                facts: ChunkFacts::default(),
            })
        };
        for number in 0..1_024 {
            assert!(read("start", number).is_ok());
        }
        assert!(read("start", 1_024).is_err());
        assert!(read("stop", 3).is_ok());
        assert!(read("start", 1_024).is_ok());
    }
}
