//! What a model answers, in no dialect: whole, or as it comes.

use super::conversation::Part;

/// A whole answer.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Reply {
    /// The upstream's id; empty where it gives none.
    pub(crate) id: String,
    /// The model's name as the upstream says it.
    pub(crate) model: String,
    /// Text, tool uses, thinking, refusals.
    pub(crate) parts: Vec<Part>,
    pub(crate) stop: Stop,
    pub(crate) tokens: Tokens,
}

/// Why an answer ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Stop {
    /// The model had said everything.
    End,
    /// The bound on output tokens.
    MaxTokens,
    /// One of the caller's stop sequences, where the upstream says which.
    Sequence(Option<String>),
    /// The model waits for a tool's result.
    ToolUse,
    /// The upstream's safety system or the model declined.
    Filtered,
    /// The context window is full.
    ContextFull,
    /// The upstream paused a long turn; the caller may send it back to go on.
    Paused,
}

/// Tokens of one call. The three kinds of input do not overlap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Tokens {
    /// Input that was neither read from a cache nor written to one.
    pub(crate) input: u64,
    pub(crate) cache_read: u64,
    pub(crate) cache_write: u64,
    pub(crate) output: u64,
    /// The part of `output` that was thought and not said.
    pub(crate) reasoning: u64,
}

/// One step of a streamed answer.
///
/// The order is: [`Event::Start`], then for every part its opening, its pieces
/// and its end, then [`Event::Stop`], then [`Event::Tokens`], then
/// [`Event::End`]. Parts may overlap; `index` tells them apart and counts from
/// 0 in the order of their openings. [`Event::Tokens`] may come more than once,
/// each time with all that is known.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Event {
    Start { id: String, model: String },
    Open { index: usize, opening: Opening },
    Piece { index: usize, piece: Piece },
    Close { index: usize },
    Stop(Stop),
    Tokens(Tokens),
    End,
}

/// How a part begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Opening {
    Text,
    Thinking,
    /// Complete at once: nothing follows but its end.
    RedactedThinking(String),
    ToolUse {
        id: String,
        name: String,
    },
    Refusal,
}

/// A further piece of a part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Piece {
    /// Of text, thinking or a refusal.
    Text(String),
    /// A fragment of JSON of a tool's input.
    Input(String),
    /// The seal of a thinking part.
    Signature(String),
}
