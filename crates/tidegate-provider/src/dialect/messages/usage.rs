//! Tokens, as this dialect counts them.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::dialect::Tokens;
use crate::usage::Usage;

/// A usage object. In a stream it comes twice, and what the second one leaves
/// out the first one said.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Reported {
    input_tokens: Option<u64>,
    cache_creation_input_tokens: Option<u64>,
    cache_read_input_tokens: Option<u64>,
    output_tokens: Option<u64>,
    output_tokens_details: Option<Details>,
}

#[derive(Debug, Deserialize, Serialize)]
struct Details {
    #[serde(default)]
    thinking_tokens: u64,
}

/// Learns what a usage object says. One that is unreadable is as good as none:
/// an answer is not lost for it.
pub(super) fn learn(tokens: &mut Tokens, raw: Option<&RawValue>) {
    let reported = raw.and_then(|raw| serde_json::from_str(raw.get()).ok());
    let reported: Reported = reported.unwrap_or_default();
    let set = |known: &mut u64, told: Option<u64>| *known = told.unwrap_or(*known);
    set(&mut tokens.input, reported.input_tokens);
    set(
        &mut tokens.cache_write,
        reported.cache_creation_input_tokens,
    );
    set(&mut tokens.cache_read, reported.cache_read_input_tokens);
    set(&mut tokens.output, reported.output_tokens);
    let details = reported.output_tokens_details;
    set(
        &mut tokens.reasoning,
        details.map(|details| details.thinking_tokens),
    );
}

/// The same in the words that limits are counted in.
pub(super) fn usage(tokens: Tokens) -> Usage {
    let input = tokens.input.saturating_add(tokens.cache_read);
    Usage {
        prompt_tokens: input.saturating_add(tokens.cache_write),
        completion_tokens: tokens.output,
    }
}

/// A usage object, written.
#[derive(Debug, Serialize)]
pub(super) struct Counted {
    input_tokens: u64,
    cache_creation_input_tokens: u64,
    cache_read_input_tokens: u64,
    output_tokens: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    output_tokens_details: Option<Details>,
}

impl From<Tokens> for Counted {
    fn from(tokens: Tokens) -> Self {
        let thinking_tokens = tokens.reasoning;
        Self {
            input_tokens: tokens.input,
            cache_creation_input_tokens: tokens.cache_write,
            cache_read_input_tokens: tokens.cache_read,
            output_tokens: tokens.output,
            output_tokens_details: (thinking_tokens > 0).then_some(Details { thinking_tokens }),
        }
    }
}
