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
    /// Of redacted thoughts, over all blocks.
    sealed_bytes: usize,
}

/// Redacted thoughts are held until they end; real ones are some kilobytes.
const MOST_SEALED_BYTES: usize = 2 << 20;
/// Blocks that are begun at a time; models begin one after the other.
const MOST_BLOCKS: usize = 1_024;

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
            sealed_bytes: 0,
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
    /// and for pieces that do not belong to their block;
    /// [`Unavailability::TooLarge`] for redacted thoughts without end.
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
        self.hold(number, content)
    }

    fn hold(&mut self, number: i32, content: Content) -> Result<(), ProviderError> {
        if self.blocks.len() == MOST_BLOCKS {
            return Err(Unavailability::Garbage.into());
        }
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
                self.hold(number, content)?;
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
                self.sealed_bytes += more.as_ref().len();
                if self.sealed_bytes > MOST_SEALED_BYTES {
                    let limit_bytes = MOST_SEALED_BYTES;
                    return Err(Unavailability::TooLarge { limit_bytes }.into());
                }
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

#[cfg(test)]
mod tests {
    use aws_sdk_bedrockruntime::types::ContentBlockDeltaEvent;

    use super::*;

    fn redacted(number: i32, bytes: usize) -> ConverseStreamOutput {
        let sealed = ReasoningContentBlockDelta::RedactedContent(Blob::new(vec![0; bytes]));
        let delta = ContentBlockDeltaEvent::builder()
            .content_block_index(number)
            .delta(ContentBlockDelta::ReasoningContent(sealed));
        ConverseStreamOutput::ContentBlockDelta(delta.build().unwrap())
    }

    fn reason(result: Result<Vec<Event>, ProviderError>) -> String {
        format!("{:?}", result.unwrap_err())
    }

    #[test]
    fn redacted_thoughts_end_at_two_mebibytes() {
        let mut steps = Steps::new("id".to_owned(), "m");
        assert!(steps.step(redacted(0, MOST_SEALED_BYTES - 1)).is_ok());
        assert!(steps.step(redacted(1, 1)).is_ok());
        assert!(reason(steps.step(redacted(1, 1))).contains("TooLarge"));
    }

    #[test]
    fn no_more_than_1024_blocks_are_open_at_a_time() {
        let mut steps = Steps::new("id".to_owned(), "m");
        for number in 0..1_024 {
            assert!(steps.step(redacted(number, 1)).is_ok());
        }
        assert!(reason(steps.step(redacted(1_024, 1))).contains("Garbage"));
        assert!(steps.step(redacted(7, 1)).is_ok());
    }
}
