//! Conversations and answers of which every dialect can say everything.
//!
//! What only some can say is left out: it stands in `docs/dialects.md`, and
//! its tests go by name.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::dialect::{
    Conversation, Effort, Event, Image, ImageData, Json, Opening, OutputSchema, ParallelTools,
    Part, Piece, Reply, Role, Sampling, Stop, Tokens, Tool, ToolChoice, ToolResult, Turn,
};

/// How many of each kind one property looks at.
pub(crate) const CASES: u32 = 500;

/// Requests whose turns alternate, as all upstreams take them.
pub(crate) fn conversation() -> impl Strategy<Value = Conversation> {
    let words = (vec(text().prop_map(Part::Text), 0..3), turns());
    let choices = (tooling(), sampling(), option::of(effort()));
    let rest = (
        option::of(output_schema()),
        option::of(text()),
        any::<bool>(),
    );
    (words, choices, rest).prop_map(|((system, turns), choices, rest)| {
        let ((tools, tool_choice, parallel_tools), sampling, effort) = choices;
        let (output_schema, user, stream) = rest;
        Conversation {
            system,
            turns,
            tools,
            tool_choice,
            parallel_tools,
            sampling,
            thinking: None,
            effort,
            output_schema,
            user,
            stream,
        }
    })
}

/// Answers with at most one text, since OpenAI's have one `content`.
pub(crate) fn reply() -> impl Strategy<Value = Reply> {
    let parts = (
        vec(thought(), 0..3),
        option::of(text()),
        vec(tool_use(), 0..3),
    );
    ("msg_[A-Za-z0-9]{4,8}", name(), parts, stop(), tokens()).prop_map(
        |(id, model, (thoughts, text, uses), stop, tokens)| {
            let stop = match (uses.is_empty(), stop) {
                (false, Stop::End) => Stop::ToolUse,
                (_, stop) => stop,
            };
            let mut parts = thoughts;
            parts.extend(text.map(Part::Text));
            parts.extend(uses);
            Reply {
                id,
                model,
                parts,
                stop,
                tokens,
            }
        },
    )
}

/// Streams that say such an answer in pieces of any length.
pub(crate) fn events() -> impl Strategy<Value = Vec<Event>> {
    (reply(), vec(1usize..9, 1..8)).prop_map(|(reply, lengths)| streamed(&reply, &lengths))
}

/// The steps of `reply`, in pieces that are `lengths` characters long in turn.
pub(crate) fn streamed(reply: &Reply, lengths: &[usize]) -> Vec<Event> {
    let mut events = vec![Event::Start {
        id: reply.id.clone(),
        model: reply.model.clone(),
    }];
    for (index, part) in reply.parts.iter().enumerate() {
        let (opening, pieces) = steps(part, lengths);
        events.push(Event::Open { index, opening });
        let pieces = pieces.into_iter();
        events.extend(pieces.map(|piece| Event::Piece { index, piece }));
        events.push(Event::Close { index });
    }
    events.push(Event::Stop(reply.stop.clone()));
    events.push(Event::Tokens(reply.tokens));
    events.push(Event::End);
    events
}

fn steps(part: &Part, lengths: &[usize]) -> (Opening, Vec<Piece>) {
    let cut = |text: &str, piece: fn(String) -> Piece| -> Vec<Piece> {
        pieces(text, lengths).into_iter().map(piece).collect()
    };
    match part {
        Part::Text(text) => (Opening::Text, cut(text, Piece::Text)),
        Part::Refusal(text) => (Opening::Refusal, cut(text, Piece::Text)),
        Part::Thinking { text, signature } => {
            let mut said = cut(text, Piece::Text);
            said.extend(signature.clone().map(Piece::Signature));
            (Opening::Thinking, said)
        }
        Part::RedactedThinking(data) => (Opening::RedactedThinking(data.clone()), vec![]),
        Part::ToolUse { id, name, input } => {
            let opening = Opening::ToolUse {
                id: id.clone(),
                name: name.clone(),
            };
            (opening, cut(input.as_str(), Piece::Input))
        }
        Part::Image(_) | Part::ToolResult(_) => panic!("no part of an answer"),
    }
}

fn pieces(text: &str, lengths: &[usize]) -> Vec<String> {
    let mut chars = text.chars().peekable();
    let mut pieces = Vec::new();
    for length in lengths.iter().cycle() {
        if chars.peek().is_none() {
            break;
        }
        pieces.push(chars.by_ref().take(*length).collect());
    }
    pieces
}

fn text() -> impl Strategy<Value = String> {
    // Quotes, backslashes, line ends and letters of two to four bytes.
    "[a-z \"\\\\\n\u{e4}\u{20ac}\u{1f30a}]{1,16}"
        .prop_filter("some dialects refuse blank texts", |text| {
            !text.trim().is_empty()
        })
}

fn id() -> impl Strategy<Value = String> {
    "[a-z]{2,5}_[A-Za-z0-9]{4,8}"
}

fn name() -> impl Strategy<Value = String> {
    "[a-z][a-z0-9_-]{0,9}"
}

/// An object with what JSON has: numbers of all kinds, depth, odd keys.
pub(crate) fn object() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-1e9..1e9f64).prop_map(Value::from),
        text().prop_map(Value::from),
    ];
    let value = leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..3).prop_map(Value::from),
            vec((text(), inner), 0..3).prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
        ]
    });
    vec((text(), value), 0..3)
        .prop_map(|pairs| Json::from(&Value::Object(pairs.into_iter().collect())))
}

fn turns() -> impl Strategy<Value = Vec<Turn>> {
    (vec((user(), assistant()), 0..3), user()).prop_map(|(pairs, last)| {
        let pairs = pairs
            .into_iter()
            .flat_map(|(user, assistant)| [user, assistant]);
        pairs.chain([last]).collect()
    })
}

/// Results of tools come first, as every dialect wants them.
fn user() -> impl Strategy<Value = Turn> {
    let said = prop_oneof![text().prop_map(Part::Text), image().prop_map(Part::Image)];
    (vec(tool_result(), 0..3), vec(said, 0..3), text()).prop_map(|(results, said, text)| {
        let mut parts: Vec<Part> = results.into_iter().chain(said).collect();
        if parts.is_empty() {
            parts.push(Part::Text(text));
        }
        let role = Role::User;
        Turn { role, parts }
    })
}

fn assistant() -> impl Strategy<Value = Turn> {
    let texts = vec(text().prop_map(Part::Text), 0..3);
    let uses = vec(tool_use(), 0..3);
    (vec(thought(), 0..3), texts, uses, text()).prop_map(|(thoughts, texts, uses, text)| {
        let mut parts: Vec<Part> = thoughts.into_iter().chain(texts).chain(uses).collect();
        if parts.is_empty() {
            parts.push(Part::Text(text));
        }
        let role = Role::Assistant;
        Turn { role, parts }
    })
}

fn image() -> impl Strategy<Value = Image> {
    let kinds = prop_oneof![Just("image/png"), Just("image/jpeg"), Just("image/webp")];
    let data = (kinds, "[A-Za-z0-9+/]{4}").prop_map(|(kind, data)| ImageData::Base64 {
        media_type: kind.to_owned(),
        data,
    });
    let url = "https://[a-z]{1,8}\\.example/[a-z?&=]{0,8}".prop_map(ImageData::Url);
    prop_oneof![data, url].prop_map(|data| Image { data, detail: None })
}

fn tool_use() -> impl Strategy<Value = Part> {
    (id(), name(), object()).prop_map(|(id, name, input)| Part::ToolUse { id, name, input })
}

fn tool_result() -> impl Strategy<Value = Part> {
    (id(), vec(text().prop_map(Part::Text), 0..3)).prop_map(|(id, content)| {
        Part::ToolResult(ToolResult {
            id,
            content,
            is_error: false,
        })
    })
}

/// Thoughts with their seal: without it they cannot go back to their maker.
fn thought() -> impl Strategy<Value = Part> {
    let sealed = (text(), "[A-Za-z0-9+/]{8}").prop_map(|(text, signature)| Part::Thinking {
        text,
        signature: Some(signature),
    });
    prop_oneof![sealed, "[A-Za-z0-9+/]{8}".prop_map(Part::RedactedThinking)]
}

type Tooling = (Vec<Tool>, Option<ToolChoice>, Option<ParallelTools>);

/// A choice only where there are tools to choose from, and a word on several
/// at once only where tools may be used at all.
fn tooling() -> impl Strategy<Value = Tooling> {
    let choice = prop_oneof![
        Just(ToolChoice::Auto),
        Just(ToolChoice::Any),
        Just(ToolChoice::None),
        name().prop_map(ToolChoice::Tool),
    ];
    let parallel = option::of(Just(ParallelTools::Forbidden));
    (vec(tool(), 0..3), option::of(choice), parallel).prop_map(|(tools, choice, parallel)| {
        let choice = choice.filter(|_| !tools.is_empty());
        let uses = matches!(
            choice,
            Some(ToolChoice::Auto | ToolChoice::Any | ToolChoice::Tool(_))
        );
        let parallel = parallel.filter(|_| uses);
        (tools, choice, parallel)
    })
}

fn tool() -> impl Strategy<Value = Tool> {
    let strict = option::of(any::<bool>());
    (name(), option::of(text()), schema(), strict).prop_map(
        |(name, description, schema, strict)| Tool {
            name,
            description,
            schema: Some(schema),
            strict,
        },
    )
}

fn schema() -> impl Strategy<Value = Json> {
    object().prop_map(|inner| {
        let inner: Value = serde_json::from_str(inner.as_str()).unwrap();
        Json::from(&json!({"type": "object", "properties": {"x": inner}}))
    })
}

/// Temperatures that all dialects have, and always a bound: one of them wants it.
fn sampling() -> impl Strategy<Value = Sampling> {
    let number = |text: &'static str| Just(Json::parse(text).unwrap());
    let share = prop_oneof![number("0"), number("0.25"), number("1"), number("1.0")];
    (
        1u64..100_000,
        option::of(share.clone()),
        option::of(share),
        option::of(1u64..500),
        vec(text(), 0..4),
    )
        .prop_map(|(max_tokens, temperature, top_p, top_k, stop)| Sampling {
            max_tokens: Some(max_tokens),
            temperature,
            top_p,
            top_k,
            stop,
        })
}

fn effort() -> impl Strategy<Value = Effort> {
    prop_oneof![Just(Effort::Low), Just(Effort::Medium), Just(Effort::High)]
}

/// Without a label; strict, as not every dialect can say otherwise.
fn output_schema() -> impl Strategy<Value = OutputSchema> {
    schema().prop_map(|schema| OutputSchema {
        name: None,
        description: None,
        schema,
        strict: Some(true),
    })
}

fn stop() -> impl Strategy<Value = Stop> {
    prop_oneof![Just(Stop::End), Just(Stop::MaxTokens), Just(Stop::Filtered)]
}

fn tokens() -> impl Strategy<Value = Tokens> {
    let some = || 0u64..1_000_000;
    (some(), some(), some(), some()).prop_map(|(input, cache_read, cache_write, output)| Tokens {
        input,
        cache_read,
        cache_write,
        output,
        reasoning: 0,
    })
}
