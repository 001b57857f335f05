//! The events of a stream, written.
//!
//! This dialect says one block after the other, where others let them overlap.
//! What belongs to a later block waits until the one before it has ended, up to
//! [`MOST_WAITING_BYTES`].

use std::borrow::Cow;
use std::collections::VecDeque;

use serde::Serialize;

use super::usage::{Counted, usage};
use super::wire::{Block, Ending, Message, declined, json, message_id};
use crate::chunk::{Chunk, ChunkFacts};
use crate::dialect::{Event, Json, Opening, Piece, Stop, Tokens};
use crate::error::{ProviderError, Unavailability};

/// How much of later blocks may wait, in bytes of their pieces and openings.
pub(super) const MOST_WAITING_BYTES: usize = 2 << 20;

/// Writes the events of one stream.
#[derive(Debug)]
pub(crate) struct EventWriter {
    /// Parts in the order in which they were opened; the first one is being
    /// said, the others wait.
    parts: VecDeque<Waiting>,
    /// Of all parts that wait.
    waiting_bytes: usize,
    /// Blocks that were begun.
    blocks: usize,
    stop: Stop,
    tokens: Tokens,
    declines: Declines,
}

/// Whether the model declined in its own words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Declines {
    Yes,
    No,
}

#[derive(Debug)]
struct Waiting {
    /// As the conversation counts parts.
    index: usize,
    opening: Opening,
    /// The number of its block, once that was begun.
    block: Option<usize>,
    pieces: Vec<Piece>,
    /// What was counted of it while it waited.
    waiting_bytes: usize,
    closed: bool,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Said<'a> {
    MessageStart {
        message: Message<'a>,
    },
    ContentBlockStart {
        index: usize,
        content_block: Block<'a>,
    },
    ContentBlockDelta {
        index: usize,
        delta: Delta<'a>,
    },
    ContentBlockStop {
        index: usize,
    },
    MessageDelta {
        delta: Ending,
        usage: Counted,
    },
    MessageStop {},
}

#[derive(Serialize)]
#[serde(tag = "type")]
enum Delta<'a> {
    #[serde(rename = "text_delta")]
    Text { text: &'a str },
    #[serde(rename = "thinking_delta")]
    Thinking { thinking: &'a str },
    #[serde(rename = "input_json_delta")]
    Input { partial_json: &'a str },
    #[serde(rename = "signature_delta")]
    Signature { signature: &'a str },
}

impl EventWriter {
    /// A writer of one stream.
    pub(crate) fn new() -> Self {
        Self {
            parts: VecDeque::new(),
            waiting_bytes: 0,
            blocks: 0,
            stop: Stop::End,
            tokens: Tokens::default(),
            declines: Declines::No,
        }
    }

    /// Writes one step; most are one event, some are none.
    ///
    /// # Errors
    /// [`Unavailability::Garbage`] for a piece of a part that is not open, which
    /// would be lost; [`Unavailability::TooLarge`] when more would have to wait
    /// than may.
    pub(crate) fn write(&mut self, event: Event) -> Result<Vec<Chunk>, ProviderError> {
        match event {
            Event::Start { id, model } => return Ok(vec![start(&id, &model)]),
            Event::Open { index, opening } => self.open(index, opening)?,
            Event::Piece { index, piece } => self.piece(index, piece)?,
            Event::Close { index } => self.close(index),
            Event::Stop(stop) => {
                self.stop = stop;
                self.parts.iter_mut().for_each(|part| part.closed = true);
            }
            Event::Tokens(tokens) => self.tokens = tokens,
            Event::End => return Ok(self.end()),
        }
        Ok(self.say_what_can_be_said())
    }

    fn open(&mut self, index: usize, opening: Opening) -> Result<(), Unavailability> {
        let bytes = opening_bytes(&opening);
        self.parts.push_back(Waiting::new(index, opening));
        self.count(self.parts.len() - 1, bytes)
    }

    fn piece(&mut self, index: usize, piece: Piece) -> Result<(), Unavailability> {
        let at = self.position(index).ok_or(Unavailability::Garbage)?;
        let bytes = piece_text(&piece).len() + size_of::<Piece>();
        self.parts[at].pieces.push(piece);
        self.count(at, bytes)
    }

    fn close(&mut self, index: usize) {
        if let Some(at) = self.position(index) {
            self.parts[at].closed = true;
        }
    }

    /// Counts what has to wait: everything but the first part.
    fn count(&mut self, at: usize, bytes: usize) -> Result<(), Unavailability> {
        if at == 0 {
            return Ok(());
        }
        let limit_bytes = MOST_WAITING_BYTES;
        self.parts[at].waiting_bytes += bytes;
        self.waiting_bytes += bytes;
        if self.waiting_bytes > limit_bytes {
            return Err(Unavailability::TooLarge { limit_bytes });
        }
        Ok(())
    }

    fn position(&self, index: usize) -> Option<usize> {
        let mut parts = self.parts.iter();
        parts.position(|part| part.index == index && !part.closed)
    }

    fn say_what_can_be_said(&mut self) -> Vec<Chunk> {
        let mut chunks = Vec::new();
        while let Some(part) = self.parts.front_mut() {
            part.say(&mut self.blocks, &mut chunks);
            if !part.closed {
                break;
            }
            if part.opening == Opening::Refusal && part.block.is_some() {
                self.declines = Declines::Yes;
            }
            self.parts.pop_front();
            if let Some(next) = self.parts.front_mut() {
                self.waiting_bytes -= std::mem::take(&mut next.waiting_bytes);
            }
        }
        chunks
    }

    fn end(&mut self) -> Vec<Chunk> {
        self.parts.iter_mut().for_each(|part| part.closed = true);
        let mut chunks = self.say_what_can_be_said();
        let stop = match self.declines {
            Declines::Yes => declined(self.stop.clone()),
            Declines::No => self.stop.clone(),
        };
        let reported = ChunkFacts {
            usage: Some(usage(self.tokens)),
            ..ChunkFacts::default()
        };
        let ending = Said::MessageDelta {
            delta: Ending::of(stop),
            usage: self.tokens.into(),
        };
        chunks.push(chunk(&ending, reported));
        let finished = ChunkFacts {
            finished: 1,
            ..ChunkFacts::default()
        };
        chunks.push(chunk(&Said::MessageStop {}, finished));
        chunks
    }
}

impl Waiting {
    fn new(index: usize, opening: Opening) -> Self {
        Self {
            index,
            opening,
            block: None,
            pieces: Vec::new(),
            waiting_bytes: 0,
            closed: false,
        }
    }

    /// Says everything that is there of this part, which is the first one.
    fn say(&mut self, blocks: &mut usize, chunks: &mut Vec<Chunk>) {
        let pieces = std::mem::take(&mut self.pieces);
        let pieces = pieces.iter().filter(|piece| !piece_text(piece).is_empty());
        let deltas: Vec<Delta<'_>> = pieces.map(|piece| delta(&self.opening, piece)).collect();
        let index = match self.block {
            Some(block) => block,
            // The API takes no empty text, so none is begun before its first
            // word.
            None if self.is_text() && deltas.is_empty() => return,
            None => {
                let block = *blocks;
                *blocks += 1;
                self.block = Some(block);
                chunks.push(block_start(block, &self.opening));
                block
            }
        };
        for delta in deltas {
            let facts = ChunkFacts {
                has_content: !matches!(delta, Delta::Signature { .. }),
                ..ChunkFacts::default()
            };
            chunks.push(chunk(&Said::ContentBlockDelta { index, delta }, facts));
        }
        if self.closed {
            let stop = Said::ContentBlockStop { index };
            chunks.push(chunk(&stop, ChunkFacts::default()));
        }
    }

    fn is_text(&self) -> bool {
        matches!(self.opening, Opening::Text | Opening::Refusal)
    }
}

/// The first event. What the input cost is not known yet; the last one says it.
fn start(id: &str, model: &str) -> Chunk {
    let message = Message {
        id: message_id(id),
        kind: "message",
        role: "assistant",
        model,
        content: Vec::new(),
        ending: Ending::default(),
        usage: Tokens::default().into(),
    };
    chunk(&Said::MessageStart { message }, ChunkFacts::default())
}

fn block_start(index: usize, opening: &Opening) -> Chunk {
    let nothing = Json::parse("{}").expect("an empty object is valid JSON");
    let (content_block, has_content) = match opening {
        Opening::Text | Opening::Refusal => (Block::Text { text: "" }, false),
        Opening::Thinking => {
            let (thinking, signature) = ("", "");
            let block = Block::Thinking {
                thinking,
                signature,
            };
            (block, false)
        }
        Opening::RedactedThinking(data) => (Block::RedactedThinking { data }, true),
        Opening::ToolUse { id, name } => {
            let input = &nothing;
            (Block::ToolUse { id, name, input }, true)
        }
    };
    let facts = ChunkFacts {
        has_content,
        ..ChunkFacts::default()
    };
    let start = Said::ContentBlockStart {
        index,
        content_block,
    };
    chunk(&start, facts)
}

fn piece_text(piece: &Piece) -> &str {
    match piece {
        Piece::Text(said) | Piece::Input(said) | Piece::Signature(said) => said,
    }
}

fn opening_bytes(opening: &Opening) -> usize {
    let said = match opening {
        Opening::Text | Opening::Thinking | Opening::Refusal => 0,
        Opening::RedactedThinking(data) => data.len(),
        Opening::ToolUse { id, name } => id.len() + name.len(),
    };
    said + size_of::<Waiting>()
}

fn delta<'a>(opening: &Opening, piece: &'a Piece) -> Delta<'a> {
    match piece {
        Piece::Text(thinking) if *opening == Opening::Thinking => Delta::Thinking { thinking },
        Piece::Text(text) => Delta::Text { text },
        Piece::Input(partial_json) => Delta::Input { partial_json },
        Piece::Signature(signature) => Delta::Signature { signature },
    }
}

fn chunk(said: &Said<'_>, facts: ChunkFacts) -> Chunk {
    let name = match said {
        Said::MessageStart { .. } => "message_start",
        Said::ContentBlockStart { .. } => "content_block_start",
        Said::ContentBlockDelta { .. } => "content_block_delta",
        Said::ContentBlockStop { .. } => "content_block_stop",
        Said::MessageDelta { .. } => "message_delta",
        Said::MessageStop {} => "message_stop",
    };
    Chunk {
        event: Some(Cow::Borrowed(name)),
        json: json(said),
        facts,
    }
}
