//! What one dialect says and the other does not, or says otherwise.
//!
//! `docs/dialects.md` is written from this table, and every row is tried with
//! its example: it cannot say what the code does not do.

mod chat_to_bedrock;
mod chat_to_messages;
mod messages_to_bedrock;
mod messages_to_chat;

use self::Trial::{Garbage, Omits, Says};
use super::Dialect::{self, Chat, Messages};

/// One line of `docs/dialects.md`.
#[derive(Debug)]
pub(crate) struct Loss {
    pub(crate) from: Dialect,
    pub(crate) to: Far,
    /// The field in the words of `from`; `[]` stands for any place in a list.
    pub(crate) field: &'static str,
    pub(crate) fate: Fate,
    /// What more there is to know, for people.
    pub(crate) note: &'static str,
    /// Fields of a request that has it, in JSON.
    pub(crate) example: &'static str,
}

/// Who is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Far {
    /// A server that speaks this dialect.
    Speaks(Dialect),
    /// Converse. Where an example names no other model it is one of Anthropic's.
    Bedrock,
}

/// What becomes of a field.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Fate {
    /// The request is refused, and the refusal names the field.
    Refused,
    /// It is left out: a hint that changes no answer, or no more than a hint may.
    Dropped,
    /// It is left out: this value says what is meant without it.
    Default,
    /// It is left out, and the request says what one with these fields says.
    SaidAs(&'static str),
    /// It stands at this place, with this value.
    Becomes(&'static str, &'static str),
}

/// A row: field, fate, note, example.
type Row = (&'static str, Fate, &'static str, &'static str);

/// The rows of one direction, in the order in which they are printed.
fn rows(from: Dialect, to: Far, rows: &'static [Row]) -> impl Iterator<Item = Loss> {
    let loss = move |&(field, fate, note, example): &Row| Loss {
        from,
        to,
        field,
        fate,
        note,
        example,
    };
    rows.iter().map(loss)
}

/// Every row of all directions.
pub(crate) fn losses() -> impl Iterator<Item = Loss> {
    rows(Chat, Far::Speaks(Messages), chat_to_messages::ROWS)
        .chain(rows(Messages, Far::Speaks(Chat), messages_to_chat::ROWS))
        .chain(rows(Chat, Far::Bedrock, chat_to_bedrock::ROWS))
        .chain(rows(Messages, Far::Bedrock, messages_to_bedrock::ROWS))
}

/// Fields of `from` that are not refused and not left out on the way to Bedrock
/// as they are on the way to the other dialect.
pub(crate) fn said_otherwise_to_bedrock(from: Dialect) -> &'static [&'static str] {
    match from {
        Chat => chat_to_bedrock::OTHERWISE,
        Messages => messages_to_bedrock::OTHERWISE,
        Dialect::Completion => &[],
    }
}

/// What is refused and left out on the way to the other dialect, as rows of the
/// way to Bedrock: both begin with the same reader.
pub(crate) fn shared_with_bedrock() -> impl Iterator<Item = Loss> {
    let there = losses().filter(|loss| loss.to != Far::Bedrock);
    let there = there.filter(|loss| match loss.fate {
        Fate::Refused | Fate::Dropped | Fate::Default => true,
        Fate::SaidAs(_) | Fate::Becomes(..) => false,
    });
    there.map(|loss| Loss {
        to: Far::Bedrock,
        ..loss
    })
}

/// What answers say otherwise, or not at all: from, what, what becomes of it,
/// and how that is tried.
pub(crate) const ANSWERS: &[(Dialect, &str, &str, Trial)] = &[
    (
        Chat,
        "several `choices`",
        "no answer: the next model is tried",
        Garbage(
            r#"{"choices":[{"index":0,"message":{"role":"assistant","content":"x"},"finish_reason":"stop"},{"index":1,"message":{"role":"assistant","content":"x"},"finish_reason":"stop"}]}"#,
        ),
    ),
    (
        Chat,
        "a `finish_reason` that OpenAI does not have",
        "the same",
        Garbage(
            r#"{"choices":[{"index":0,"message":{"role":"assistant","content":"x"},"finish_reason":"bored"}]}"#,
        ),
    ),
    (
        Chat,
        "`finish_reason: stop` beside `tool_calls`",
        "`stop_reason: tool_use`",
        Says(
            r#"{"choices":[{"index":0,"message":{"role":"assistant","tool_calls":[{"id":"1","type":"function","function":{"name":"f","arguments":"{}"}}]},"finish_reason":"stop"}]}"#,
            "stop_reason",
            r#""tool_use""#,
        ),
    ),
    (
        Chat,
        "`refusal`",
        "a text, and `stop_reason: refusal`",
        Says(
            r#"{"choices":[{"index":0,"message":{"role":"assistant","refusal":"no"},"finish_reason":"stop"}]}"#,
            "stop_reason",
            r#""refusal""#,
        ),
    ),
    (
        Chat,
        "`reasoning_content` or `reasoning`",
        "a `thinking` block, with an empty seal unless `thinking_blocks` has one",
        Says(
            r#"{"choices":[{"index":0,"message":{"role":"assistant","content":"x","reasoning":"y"},"finish_reason":"stop"}]}"#,
            "content[0]",
            r#"{"type":"thinking","thinking":"y","signature":""}"#,
        ),
    ),
    (
        Chat,
        "`created`, `system_fingerprint`, `service_tier`, `annotations`",
        "left out",
        Omits(
            r#"{"created":4711,"system_fingerprint":"4711","service_tier":"4711","choices":[{"index":0,"message":{"role":"assistant","content":"x","annotations":["4711"]},"finish_reason":"stop"}]}"#,
            "4711",
        ),
    ),
    (
        Messages,
        "several `text` blocks",
        "one `content`, joined by nothing",
        Says(
            r#"{"content":[{"type":"text","text":"a "},{"type":"text","text":"b"}],"stop_reason":"end_turn"}"#,
            "choices[0].message.content",
            r#""a b""#,
        ),
    ),
    (
        Messages,
        "the order of blocks",
        "thoughts, `content`, `tool_calls`",
        Says(
            r#"{"content":[{"type":"tool_use","id":"1","name":"f","input":{}},{"type":"text","text":"b"}],"stop_reason":"tool_use"}"#,
            "choices[0].message.content",
            r#""b""#,
        ),
    ),
    (
        Messages,
        "`stop_reason: stop_sequence` and `stop_sequence`",
        "`finish_reason: stop`; which one it was is left out",
        Omits(
            r#"{"content":[{"type":"text","text":"a"}],"stop_reason":"stop_sequence","stop_sequence":"4711"}"#,
            "4711",
        ),
    ),
    (
        Messages,
        "`stop_reason: pause_turn`",
        "`finish_reason: stop`",
        Says(
            r#"{"content":[{"type":"text","text":"a"}],"stop_reason":"pause_turn"}"#,
            "choices[0].finish_reason",
            r#""stop""#,
        ),
    ),
    (
        Messages,
        "`stop_reason: refusal`",
        "`finish_reason: content_filter`",
        Says(
            r#"{"content":[{"type":"text","text":"a"}],"stop_reason":"refusal"}"#,
            "choices[0].finish_reason",
            r#""content_filter""#,
        ),
    ),
    (
        Messages,
        "`stop_reason: model_context_window_exceeded`",
        "`finish_reason: length`",
        Says(
            r#"{"content":[{"type":"text","text":"a"}],"stop_reason":"model_context_window_exceeded"}"#,
            "choices[0].finish_reason",
            r#""length""#,
        ),
    ),
    (
        Messages,
        "`cache_creation_input_tokens`",
        "`prompt_tokens_details.cache_creation_tokens`, and among `prompt_tokens`",
        Says(
            r#"{"content":[{"type":"text","text":"a"}],"stop_reason":"end_turn","usage":{"input_tokens":1,"cache_creation_input_tokens":2,"output_tokens":3}}"#,
            "usage",
            r#"{"prompt_tokens":3,"completion_tokens":3,"total_tokens":6,"prompt_tokens_details":{"cached_tokens":0,"cache_creation_tokens":2},"completion_tokens_details":{"reasoning_tokens":0}}"#,
        ),
    ),
    (
        Messages,
        "`citations`, and what further fields a text has",
        "left out",
        Omits(
            r#"{"content":[{"type":"text","text":"a","citations":["4711"],"odd":"4711"}],"stop_reason":"end_turn"}"#,
            "4711",
        ),
    ),
    (
        Messages,
        "a block of a kind that OpenAI does not have",
        "no answer: the next model is tried",
        Garbage(
            r#"{"content":[{"type":"server_tool_use","id":"1","name":"f","input":{}}],"stop_reason":"end_turn"}"#,
        ),
    ),
];

/// An answer of the upstream, and what of it reaches the caller.
#[derive(Debug)]
pub(crate) enum Trial {
    /// It is taken for no answer.
    Garbage(&'static str),
    /// At this place stands this value.
    Says(&'static str, &'static str, &'static str),
    /// This text stands nowhere.
    Omits(&'static str, &'static str),
}
