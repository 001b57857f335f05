//! What a form of a value saves, as the endpoint and the command say it.

use serde_json::{Value, json};
use tidegate_engine::Savings;

/// Savings in the fields that the dialect always had, against JSON without
/// white space, and in the same again against JSON as people read it.
pub(crate) fn savings_json(savings: &Savings) -> Value {
    let Savings {
        encoding,
        text,
        json,
        json_pretty,
    } = savings;
    json!({
        "encoding": encoding.name(),
        "toon_tokens": text.tokens,
        "toon_chars": text.chars,
        "json_tokens": json.tokens,
        "json_chars": json.chars,
        "savings_tokens": difference(json.tokens, text.tokens),
        "savings_percent": tenths(text.saved_percent(*json)),
        "json_pretty_tokens": json_pretty.tokens,
        "json_pretty_chars": json_pretty.chars,
        "savings_tokens_pretty": difference(json_pretty.tokens, text.tokens),
        "savings_percent_pretty": tenths(text.saved_percent(*json_pretty)),
    })
}

/// Less than zero where the text takes more.
fn difference(other: u64, own: u64) -> i64 {
    let signed = |tokens| i64::try_from(tokens).unwrap_or(i64::MAX);
    signed(other) - signed(own)
}

fn tenths(percent: f64) -> f64 {
    (percent * 10.0).round() / 10.0
}
