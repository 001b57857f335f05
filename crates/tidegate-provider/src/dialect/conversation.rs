//! What is asked of a model, in no dialect.

use super::json::Json;

/// A request: everything that at least two dialects can say.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Conversation {
    /// Instructions that stand before the first turn.
    pub(crate) system: Vec<Part>,
    pub(crate) turns: Vec<Turn>,
    pub(crate) tools: Vec<Tool>,
    pub(crate) tool_choice: Option<ToolChoice>,
    pub(crate) parallel_tools: Option<ParallelTools>,
    pub(crate) sampling: Sampling,
    pub(crate) thinking: Option<Thinking>,
    pub(crate) effort: Option<Effort>,
    pub(crate) output_schema: Option<OutputSchema>,
    /// Who the end user is, as the caller names them.
    pub(crate) user: Option<String>,
    pub(crate) stream: bool,
}

/// Who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    User,
    Assistant,
}

/// One message.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Turn {
    pub(crate) role: Role,
    pub(crate) parts: Vec<Part>,
}

/// One piece of a message.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Part {
    Text(String),
    Image(Image),
    ToolUse {
        id: String,
        name: String,
        /// A JSON object.
        input: Json,
    },
    ToolResult(ToolResult),
    /// What the model thought. `signature` is the maker's seal; without it the
    /// block cannot be shown to that maker again.
    Thinking {
        text: String,
        signature: Option<String>,
    },
    /// Thoughts that only the maker can read, in base64.
    RedactedThinking(String),
    /// The model declines, in its own words.
    Refusal(String),
}

/// An image and where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Image {
    pub(crate) data: ImageData,
    /// OpenAI's `detail`.
    pub(crate) detail: Option<String>,
}

/// Where an image is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ImageData {
    /// `media_type` such as `image/png`; `data` in standard base64.
    Base64 { media_type: String, data: String },
    /// An address that the upstream fetches, never we.
    Url(String),
}

/// What a tool said. `content` holds text and images only.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ToolResult {
    pub(crate) id: String,
    pub(crate) content: Vec<Part>,
    pub(crate) is_error: bool,
}

/// A tool that the caller runs.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Tool {
    pub(crate) name: String,
    pub(crate) description: Option<String>,
    /// A JSON Schema; absent for a tool without parameters.
    pub(crate) schema: Option<Json>,
    pub(crate) strict: Option<bool>,
}

/// Whether the model may, must or may not use tools.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ToolChoice {
    Auto,
    Any,
    None,
    /// This one.
    Tool(String),
}

/// Whether the model may use several tools in one turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ParallelTools {
    Allowed,
    Forbidden,
}

/// How words are chosen. Numbers stay as they were written.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Sampling {
    pub(crate) max_tokens: Option<u64>,
    pub(crate) temperature: Option<Json>,
    pub(crate) top_p: Option<Json>,
    pub(crate) top_k: Option<u64>,
    pub(crate) stop: Vec<String>,
}

/// Whether the model thinks before it answers, as Anthropic's models take it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Thinking {
    /// With at most this many tokens.
    Budget(u64),
    /// As much as the model sees fit.
    Adaptive,
    Disabled,
}

/// How hard the model tries: the levels that OpenAI and Anthropic share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effort {
    Low,
    Medium,
    High,
}

/// The answer must be JSON of this schema.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct OutputSchema {
    /// A label; some dialects have none.
    pub(crate) name: Option<String>,
    pub(crate) description: Option<String>,
    pub(crate) schema: Json,
    pub(crate) strict: Option<bool>,
}
