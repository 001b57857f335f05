//! A streamed answer in OpenAI's chat dialect, read chunk by chunk.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::answer::{after_tool_use, read_stop, read_tokens};
use super::thoughts::ThinkingBlock;
use crate::chunk::Chunk;
use crate::dialect::{Event, Opening, Piece, Stop};
use crate::error::{ProviderError, Unavailability};

/// Turns chunks into the steps of an answer.
///
/// Parts follow each other: a part ends where the next one begins, since the
/// chunks say nothing of ends.
#[derive(Debug, Default)]
pub(crate) struct EventReader {
    started: bool,
    open: Option<Open>,
    /// Parts so far.
    parts: usize,
    uses_tools: bool,
    stopped: bool,
    events: Vec<Event>,
}

/// The part that has not ended yet; its index is the last one given.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Open {
    Text,
    Refusal,
    Thinking,
    /// By the number and the id that the upstream gave.
    Call {
        number: Option<u64>,
        id: String,
    },
}

#[derive(Deserialize)]
struct Body<'a> {
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    model: Option<String>,
    choices: Vec<Choice>,
    #[serde(default, borrow)]
    usage: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Choice {
    #[serde(default)]
    index: u64,
    #[serde(default)]
    delta: Option<Delta>,
    #[serde(default)]
    finish_reason: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Delta {
    content: Option<String>,
    refusal: Option<String>,
    reasoning_content: Option<String>,
    reasoning: Option<String>,
    thinking_blocks: Option<Vec<ThinkingBlock>>,
    tool_calls: Option<Vec<Call>>,
}

#[derive(Deserialize)]
struct Call {
    #[serde(default)]
    index: Option<u64>,
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    function: Option<Function>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Function {
    name: Option<String>,
    arguments: Option<String>,
}

impl EventReader {
    /// The steps that `chunk` says.
    ///
    /// # Errors
    /// [`Unavailability::Garbage`] for what is no chunk, and for a second
    /// answer beside the first.
    pub(crate) fn read(&mut self, chunk: &Chunk) -> Result<Vec<Event>, ProviderError> {
        let body = serde_json::from_slice(&chunk.json).ok();
        let read: Option<()> = body.and_then(|body| self.body(body));
        let events = std::mem::take(&mut self.events);
        read.map(|()| events)
            .ok_or_else(|| Unavailability::Garbage.into())
    }

    /// What closes when the upstream's stream has ended cleanly.
    pub(crate) fn end(&mut self) -> Vec<Event> {
        self.start(None, None);
        // The upstream said that this was all, if not why.
        if !self.stopped {
            self.stop(Stop::End);
        }
        self.events.push(Event::End);
        std::mem::take(&mut self.events)
    }

    fn body(&mut self, body: Body<'_>) -> Option<()> {
        let tokens = read_tokens(body.usage);
        // Before the answer some servers only say what they think of the prompt.
        if !body.choices.is_empty() || tokens.is_some() {
            self.start(body.id, body.model);
        }
        let mut choices = body.choices.into_iter();
        if let Some(choice) = choices.next() {
            if choice.index != 0 || choices.next().is_some() {
                return None;
            }
            let (stopped, before) = (self.stopped, self.events.len());
            self.choice(choice)?;
            if stopped && self.events.len() > before {
                return None;
            }
        }
        self.events.extend(tokens.map(Event::Tokens));
        Some(())
    }

    fn start(&mut self, id: Option<String>, model: Option<String>) {
        if !self.started {
            self.started = true;
            self.events.push(Event::Start {
                id: id.unwrap_or_default(),
                model: model.unwrap_or_default(),
            });
        }
    }

    fn choice(&mut self, choice: Choice) -> Option<()> {
        let delta = choice.delta.unwrap_or_default();
        self.thoughts(
            delta.reasoning_content.or(delta.reasoning),
            delta.thinking_blocks.unwrap_or_default(),
        );
        self.text(Open::Text, delta.content);
        self.text(Open::Refusal, delta.refusal);
        for call in delta.tool_calls.unwrap_or_default() {
            self.call(call)?;
        }
        if let Some(word) = choice.finish_reason.filter(|_| !self.stopped) {
            self.stop(read_stop(&word)?);
        }
        Some(())
    }

    fn stop(&mut self, stop: Stop) {
        self.close();
        self.stopped = true;
        let stop = if self.uses_tools {
            after_tool_use(stop)
        } else {
            stop
        };
        self.events.push(Event::Stop(stop));
    }

    /// Blocks without a seal repeat the plain text where there is one.
    fn thoughts(&mut self, plain: Option<String>, blocks: Vec<ThinkingBlock>) {
        let has_plain = plain.is_some();
        self.text(Open::Thinking, plain);
        for block in blocks {
            match block {
                ThinkingBlock::Thinking {
                    thinking,
                    signature: Some(signature),
                } => {
                    // A seal repeats the whole thought that it closes.
                    if self.open != Some(Open::Thinking) {
                        self.begin(Open::Thinking, Opening::Thinking);
                        self.piece(
                            Some(thinking)
                                .filter(|text| !text.is_empty())
                                .map(Piece::Text),
                        );
                    }
                    self.piece(Some(Piece::Signature(signature)));
                    self.close();
                }
                ThinkingBlock::Thinking {
                    thinking,
                    signature: None,
                } if !has_plain => self.text(Open::Thinking, Some(thinking)),
                ThinkingBlock::Thinking { .. } => {}
                ThinkingBlock::RedactedThinking { data } => {
                    self.begin(Open::Thinking, Opening::RedactedThinking(data));
                    self.close();
                }
            }
        }
    }

    fn text(&mut self, kind: Open, text: Option<String>) {
        let Some(text) = text.filter(|text| !text.is_empty()) else {
            return;
        };
        if self.open.as_ref() != Some(&kind) {
            let opening = match kind {
                Open::Refusal => Opening::Refusal,
                Open::Thinking => Opening::Thinking,
                Open::Text | Open::Call { .. } => Opening::Text,
            };
            self.begin(kind, opening);
        }
        self.piece(Some(Piece::Text(text)));
    }

    /// A call goes on under the same number, and some servers give every call
    /// the number 0 and a new id, or no number at all.
    fn call(&mut self, call: Call) -> Option<()> {
        let function = call.function.unwrap_or_default();
        let id = call.id.unwrap_or_default();
        let goes_on = matches!(&self.open, Some(Open::Call { number, id: open })
            if (call.index.is_none() || *number == call.index) && (id.is_empty() || id == *open));
        if !goes_on {
            // A fragment of a call that has ended, or never began, has no name.
            let name = function.name.filter(|name| !name.is_empty())?;
            let opening = Opening::ToolUse {
                id: id.clone(),
                name,
            };
            let number = call.index;
            self.begin(Open::Call { number, id }, opening);
            self.uses_tools = true;
        }
        let arguments = function.arguments.filter(|text| !text.is_empty());
        self.piece(arguments.map(Piece::Input));
        Some(())
    }

    fn begin(&mut self, open: Open, opening: Opening) {
        self.close();
        self.open = Some(open);
        let index = self.parts;
        self.parts += 1;
        self.events.push(Event::Open { index, opening });
    }

    fn piece(&mut self, piece: Option<Piece>) {
        let index = self.parts.saturating_sub(1);
        let event = piece.map(|piece| Event::Piece { index, piece });
        self.events.extend(event);
    }

    fn close(&mut self) {
        if self.open.take().is_some() {
            let index = self.parts.saturating_sub(1);
            self.events.push(Event::Close { index });
        }
    }
}
