//! Streamed answers of Converse.

use aws_sdk_bedrockruntime::primitives::Blob;
use aws_sdk_bedrockruntime::types::{
    ContentBlockDelta, ContentBlockStart, ConverseStreamOutput, MessageStopEvent,
    ReasoningContentBlockDelta, TokenUsage,
};
use aws_smithy_types::{Document, base64};

use super::answer::{Counts, stop};
use crate::dialect::{Event, Opening, Piece};
use crate::error::{ProviderError, Unavailability};

/// What has come of one answer.
#[derive(Debug)]
pub(super) struct Steps {
    id: String,
    model: String,
    started: bool,
    stopped: bool,
    /// Parts that were opened so far.
    opened: usize,
    /// Blocks that have begun and not ended.
    blocks: Vec<Block>,
}

#[derive(Debug)]
struct Block {
    /// Bedrock's number.
    number: i32,
    content: Content,
}

#[derive(Debug)]
enum Content {
    Text {
        index: usize,
    },
    Thinking {
        index: usize,
    },
    ToolUse {
        index: usize,
    },
    /// Said at its end, when all of it is there.
    Redacted(Vec<u8>),
}

impl Content {
    fn index(&self) -> Option<usize> {
        match self {
            Self::Text { index } | Self::Thinking { index } | Self::ToolUse { index } => {
                Some(*index)
            }
            Self::Redacted(_) => None,
        }
    }
}

impl Steps {
    pub(super) fn new(id: String, model: &str) -> Self {
        Self {
            id,
            model: model.to_owned(),
            started: false,
            stopped: false,
            opened: 0,
            blocks: Vec::new(),
        }
    }

    /// Whether the model said why it stopped.
    pub(super) fn stopped(&self) -> bool {
        self.stopped
    }

    /// What one event of Bedrock's means.
    ///
    /// # Errors
    /// [`Unavailability::Garbage`] for content that no dialect of ours can say,
    /// and for pieces that do not belong to their block.
    pub(super) fn step(
        &mut self,
        event: ConverseStreamOutput,
    ) -> Result<Vec<Event>, ProviderError> {
        let mut events = Vec::new();
        match event {
            ConverseStreamOutput::MessageStart(_) => self.start(&mut events),
            ConverseStreamOutput::ContentBlockStart(begun) => {
                self.start(&mut events);
                if let Some(start) = begun.start {
                    self.open_tool(begun.content_block_index, start, &mut events)?;
                }
            }
            ConverseStreamOutput::ContentBlockDelta(delta) => {
                self.start(&mut events);
                if let Some(piece) = delta.delta {
                    self.piece(delta.content_block_index, piece, &mut events)?;
                }
            }
            ConverseStreamOutput::ContentBlockStop(ended) => {
                self.close(ended.content_block_index, &mut events);
            }
            ConverseStreamOutput::MessageStop(ended) => self.stop(&ended, &mut events)?,
            ConverseStreamOutput::Metadata(metadata) => {
                events.extend(metadata.usage.as_ref().map(tokens));
            }
            // Events that are newer than this code carry no part of the answer:
            // those have their place in content blocks.
            _ => {}
        }
        Ok(events)
    }

    fn start(&mut self, events: &mut Vec<Event>) {
        if !std::mem::replace(&mut self.started, true) {
            events.push(Event::Start {
                id: self.id.clone(),
                model: self.model.clone(),
            });
        }
    }

    fn open_tool(
        &mut self,
        number: i32,
        start: ContentBlockStart,
        events: &mut Vec<Event>,
    ) -> Result<(), ProviderError> {
        let ContentBlockStart::ToolUse(tool) = start else {
            return Err(Unavailability::Garbage.into());
        };
        let opening = Opening::ToolUse {
            id: tool.tool_use_id,
            name: tool.name,
        };
        let index = self.open(opening, events);
        let content = Content::ToolUse { index };
        self.blocks.push(Block { number, content });
        Ok(())
    }

    fn open(&mut self, opening: Opening, events: &mut Vec<Event>) -> usize {
        let index = self.opened;
        self.opened += 1;
        events.push(Event::Open { index, opening });
        index
    }

    fn piece(
        &mut self,
        number: i32,
        delta: ContentBlockDelta,
        events: &mut Vec<Event>,
    ) -> Result<(), ProviderError> {
        let at = match self.blocks.iter().position(|block| block.number == number) {
            Some(at) => at,
            None => {
                // Only tools announce themselves.
                let content = self.begin(&delta, events)?;
                self.blocks.push(Block { number, content });
                self.blocks.len() - 1
            }
        };
        let piece = match (&mut self.blocks[at].content, delta) {
            (Content::Text { .. }, ContentBlockDelta::Text(text)) => Piece::Text(text),
            (Content::ToolUse { .. }, ContentBlockDelta::ToolUse(part)) => Piece::Input(part.input),
            (Content::Thinking { .. }, ContentBlockDelta::ReasoningContent(part)) => match part {
                ReasoningContentBlockDelta::Text(text) => Piece::Text(text),
                ReasoningContentBlockDelta::Signature(seal) => Piece::Signature(seal),
                _ => return Err(Unavailability::Garbage.into()),
            },
            (Content::Redacted(all), ContentBlockDelta::ReasoningContent(part)) => {
                let more = sealed(&part).ok_or(Unavailability::Garbage)?;
                all.extend_from_slice(more.as_ref());
                return Ok(());
            }
            _ => return Err(Unavailability::Garbage.into()),
        };
        if let Some(index) = self.blocks[at]
            .content
            .index()
            .filter(|_| !is_empty(&piece))
        {
            events.push(Event::Piece { index, piece });
        }
        Ok(())
    }

    fn begin(
        &mut self,
        delta: &ContentBlockDelta,
        events: &mut Vec<Event>,
    ) -> Result<Content, ProviderError> {
        Ok(match delta {
            ContentBlockDelta::Text(_) => Content::Text {
                index: self.open(Opening::Text, events),
            },
            ContentBlockDelta::ReasoningContent(part) if sealed(part).is_some() => {
                Content::Redacted(Vec::new())
            }
            ContentBlockDelta::ReasoningContent(_) => Content::Thinking {
                index: self.open(Opening::Thinking, events),
            },
            _ => return Err(Unavailability::Garbage.into()),
        })
    }

    fn close(&mut self, number: i32, events: &mut Vec<Event>) {
        let Some(at) = self.blocks.iter().position(|block| block.number == number) else {
            return;
        };
        let index = match self.blocks.remove(at).content {
            Content::Text { index } | Content::Thinking { index } | Content::ToolUse { index } => {
                index
            }
            Content::Redacted(all) => {
                self.open(Opening::RedactedThinking(base64::encode(all)), events)
            }
        };
        events.push(Event::Close { index });
    }

    fn stop(
        &mut self,
        ended: &MessageStopEvent,
        events: &mut Vec<Event>,
    ) -> Result<(), ProviderError> {
        self.start(events);
        while let Some(block) = self.blocks.first() {
            let number = block.number;
            self.close(number, events);
        }
        let met = ended.additional_model_response_fields.as_ref();
        events.push(Event::Stop(stop(
            ended.stop_reason.as_str(),
            met.and_then(stop_sequence),
        )?));
        self.stopped = true;
        Ok(())
    }
}

fn sealed(part: &ReasoningContentBlockDelta) -> Option<&Blob> {
    part.as_redacted_content().ok()
}

/// Bedrock opens tool inputs with an empty piece, which says nothing.
fn is_empty(piece: &Piece) -> bool {
    match piece {
        Piece::Text(text) | Piece::Input(text) | Piece::Signature(text) => text.is_empty(),
    }
}

fn stop_sequence(fields: &Document) -> Option<String> {
    let met = fields.as_object()?.get("stop_sequence")?;
    met.as_string().map(str::to_owned)
}

fn tokens(usage: &TokenUsage) -> Event {
    let count = |value: i32| u64::try_from(value).unwrap_or(0);
    let counts = Counts {
        input: count(usage.input_tokens),
        output: count(usage.output_tokens),
        total: count(usage.total_tokens),
        cache_read: count(usage.cache_read_input_tokens.unwrap_or(0)),
        cache_write: count(usage.cache_write_input_tokens.unwrap_or(0)),
    };
    Event::Tokens(counts.tokens())
}
