//! `usage` of OpenAI's chat dialect.
//!
//! OpenAI counts what a cache gave among the prompt's tokens, and thoughts
//! among the completion's. What was written to a cache has no word there; the
//! one used here is what gateways in front of Anthropic's models say.

use serde::{Deserialize, Serialize};

use crate::dialect::Tokens;

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Usage {
    prompt_tokens: u64,
    completion_tokens: u64,
    total_tokens: u64,
    prompt_tokens_details: Option<PromptDetails>,
    completion_tokens_details: Option<CompletionDetails>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct PromptDetails {
    #[serde(default)]
    cached_tokens: Option<u64>,
    #[serde(default)]
    cache_creation_tokens: Option<u64>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct CompletionDetails {
    #[serde(default)]
    reasoning_tokens: Option<u64>,
}

impl From<Tokens> for Usage {
    fn from(tokens: Tokens) -> Self {
        let cached = tokens.cache_read.saturating_add(tokens.cache_write);
        let prompt_tokens = tokens.input.saturating_add(cached);
        Self {
            prompt_tokens,
            completion_tokens: tokens.output,
            total_tokens: prompt_tokens.saturating_add(tokens.output),
            prompt_tokens_details: Some(PromptDetails {
                cached_tokens: Some(tokens.cache_read),
                cache_creation_tokens: Some(tokens.cache_write),
            }),
            completion_tokens_details: Some(CompletionDetails {
                reasoning_tokens: Some(tokens.reasoning),
            }),
        }
    }
}

impl From<Usage> for Tokens {
    fn from(usage: Usage) -> Self {
        let prompt = usage.prompt_tokens_details.unwrap_or_default();
        let cache_read = prompt.cached_tokens.unwrap_or(0);
        let cache_write = prompt.cache_creation_tokens.unwrap_or(0);
        let completion = usage.completion_tokens_details.unwrap_or_default();
        Self {
            input: usage
                .prompt_tokens
                .saturating_sub(cache_read.saturating_add(cache_write)),
            cache_read,
            cache_write,
            output: usage.completion_tokens,
            reasoning: completion.reasoning_tokens.unwrap_or(0),
        }
    }
}

impl Usage {
    /// The two numbers that limits are settled with.
    pub(super) fn sums(&self) -> crate::usage::Usage {
        crate::usage::Usage {
            prompt_tokens: self.prompt_tokens,
            completion_tokens: self.completion_tokens,
        }
    }
}
