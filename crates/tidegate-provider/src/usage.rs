//! Token counts as an upstream reports them.

use serde::Deserialize;
use serde_json::value::RawValue;

/// Tokens that one call used, in OpenAI's words.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub struct Usage {
    /// Tokens of the prompt.
    #[serde(default)]
    pub prompt_tokens: u64,
    /// Tokens of the answer.
    #[serde(default)]
    pub completion_tokens: u64,
}

impl Usage {
    /// Reads a usage object. One that is unreadable is as good as none: an
    /// answer is not lost for it.
    pub(crate) fn read(raw: Option<&RawValue>) -> Option<Self> {
        let usage: Option<Self> = serde_json::from_str(raw?.get()).ok()?;
        usage
    }

    /// Prompt and answer together; what a limit on tokens counts.
    pub fn total(&self) -> u64 {
        self.prompt_tokens.saturating_add(self.completion_tokens)
    }
}
