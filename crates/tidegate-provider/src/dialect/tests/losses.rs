//! `docs/dialects.md` says what the code does, row by row.

use std::fmt::Write as _;

use bytes::Bytes;
use serde_json::{Value, json};

use crate::dialect::losses::{
    ANSWERS, Far, Fate, Loss, Trial, losses, said_otherwise_to_bedrock, shared_with_bedrock,
};
use crate::dialect::{Dialect, OutputBound, Refusal, answer, request};
use crate::error::{ProviderError, Unavailability};
use crate::provider::Completion;
use crate::request::ChatRequest;

/// The smallest request of a dialect, with these fields.
fn body(dialect: Dialect, fields: &str) -> Value {
    let mut body = json!({"model": "m", "messages": [{"role": "user", "content": "x"}]});
    if dialect == Dialect::Messages {
        body["max_tokens"] = 5.into();
    }
    let fields: Value = serde_json::from_str(fields).unwrap();
    for (key, value) in fields.as_object().unwrap() {
        body[key] = value.clone();
    }
    body
}

/// What the far side gets.
fn told(loss: &Loss, body: &Value) -> Result<Value, Refusal> {
    let asked = ChatRequest::parse_as(loss.from, Bytes::from(body.to_string())).unwrap();
    let told = match loss.to {
        Far::Speaks(dialect) => {
            request(&asked, dialect, "m", OutputBound::default())?.to_upstream("m")
        }
        Far::Bedrock => converse(&asked, body["model"].as_str().unwrap())?,
    };
    Ok(serde_json::from_slice(&told).unwrap())
}

#[cfg(feature = "bedrock")]
fn converse(asked: &ChatRequest, model: &str) -> Result<Bytes, Refusal> {
    let model = match model {
        "m" => "anthropic.claude-sonnet-4-20250514-v1:0",
        other => other,
    };
    crate::bedrock::body(model, asked)
}

#[cfg(not(feature = "bedrock"))]
fn converse(_: &ChatRequest, _: &str) -> Result<Bytes, Refusal> {
    unreachable!("without the feature no row is tried on Bedrock")
}

/// Whether this build can ask the far side.
fn can_be_tried(loss: &Loss) -> bool {
    loss.to != Far::Bedrock || cfg!(feature = "bedrock")
}

/// The value at a place such as `messages[0].content`.
fn at<'a>(value: &'a Value, place: &str) -> Option<&'a Value> {
    value.pointer(&format!(
        "/{}",
        place.replace(['.', '['], "/").replace(']', "")
    ))
}

/// Takes away every field at a place such as `messages[].name`; counts them.
fn strip(value: &mut Value, place: &str) -> usize {
    let (first, rest) = place.split_once('.').unwrap_or((place, ""));
    let (key, is_list) = match first.strip_suffix("[]") {
        Some(key) => (key, true),
        None => (first, false),
    };
    let Some(fields) = value.as_object_mut() else {
        return 0;
    };
    if rest.is_empty() {
        return usize::from(fields.remove(key).is_some());
    }
    let Some(inner) = fields.get_mut(key) else {
        return 0;
    };
    match inner.as_array_mut().filter(|_| is_list) {
        Some(items) => items.iter_mut().map(|item| strip(item, rest)).sum(),
        None => strip(inner, rest),
    }
}

/// A place without the numbers in its brackets.
fn anywhere(place: &str) -> String {
    let mut inside = false;
    let kept = place.chars().filter(|char| {
        inside = *char == '[' || inside && *char != ']';
        !(inside && char.is_ascii_digit())
    });
    kept.collect()
}

/// Whether what the row says is true of its example, or what happens instead.
fn holds(loss: &Loss) -> Result<(), String> {
    let example = body(loss.from, loss.example);
    let told_it = told(loss, &example);
    let instead = format!("{loss:?} gives {told_it:?}");
    let is_true = match loss.fate {
        Fate::Refused => {
            matches!(&told_it, Err(Refusal::Unsupported { param, .. }) if anywhere(param) == loss.field)
        }
        Fate::Dropped | Fate::Default => {
            let mut without = example.clone();
            let stripped = strip(&mut without, loss.field);
            stripped > 0 && told_it.is_ok() && told_it == told(loss, &without)
        }
        Fate::SaidAs(other) => told_it.is_ok() && told_it == told(loss, &body(loss.from, other)),
        Fate::Becomes(place, value) => {
            let value: Value = serde_json::from_str(value).unwrap();
            told_it.is_ok_and(|told_it| at(&told_it, place) == Some(&value))
        }
    };
    is_true.then_some(()).ok_or(instead)
}

#[test]
fn every_row_is_true_of_its_example() {
    let wrong = losses()
        .filter(can_be_tried)
        .filter_map(|loss| holds(&loss).err());
    let wrong: Vec<String> = wrong.collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The page says so, and which fields are the exceptions.
#[test]
fn what_is_refused_or_left_out_elsewhere_is_so_for_bedrock_but_for_what_is_listed() {
    for loss in shared_with_bedrock().filter(can_be_tried) {
        let listed = said_otherwise_to_bedrock(loss.from).contains(&loss.field);
        match holds(&loss) {
            Ok(()) => assert!(!listed, "{loss:?} is no exception"),
            Err(instead) => assert!(listed, "{instead}"),
        }
    }
}

/// The smallest answer of a dialect, with these fields, in the words of the other.
fn answered(from: Dialect, fields: &str) -> Result<Value, ProviderError> {
    let mut body = json!({"id": "1", "model": "m", "object": "chat.completion",
        "type": "message", "role": "assistant", "usage": {}});
    let fields: Value = serde_json::from_str(fields).unwrap();
    for (key, value) in fields.as_object().unwrap() {
        body[key] = value.clone();
    }
    let to = match from {
        Dialect::Chat => Dialect::Messages,
        Dialect::Messages | Dialect::Completion => Dialect::Chat,
    };
    let body = Bytes::from(body.to_string());
    let told = answer(Completion { body, usage: None }, from, to, 7)?;
    Ok(serde_json::from_slice(&told.body).unwrap())
}

#[test]
fn every_row_on_answers_is_true_of_its_example() {
    for (from, what, _, trial) in ANSWERS {
        match trial {
            Trial::Garbage(example) => {
                let garbage = Unavailability::Garbage.into();
                assert_eq!(answered(*from, example), Err(garbage), "{what}");
            }
            Trial::Says(example, place, value) => {
                let told = answered(*from, example).unwrap();
                let value: Value = serde_json::from_str(value).unwrap();
                assert_eq!(at(&told, place), Some(&value), "{what}: {told}");
            }
            Trial::Omits(example, text) => {
                let told = answered(*from, example).unwrap().to_string();
                assert!(
                    example.contains(text) && !told.contains(text),
                    "{what}: {told}"
                );
            }
        }
    }
}

#[test]
fn every_default_that_is_accepted_is_refused_otherwise() {
    for (key, _) in crate::dialect::chat::DEFAULTS {
        let refused = |loss: &Loss| matches!(loss.fate, Fate::Refused) && loss.field == key;
        assert!(losses().any(|loss| refused(&loss)), "{key} has no row");
    }
}

const HEAD: &str = "\
# Dialects

A request in the dialect that its upstream speaks passes as it came: every value keeps its bytes, \
while `model` is replaced by the upstream's name, `tidegate` is taken out, and a stream of \
OpenAI's dialects is asked for its usage (`stream_usage`). Every other one is read field by field and said again in the upstream's words, and the answer comes back the same way. \
A field that cannot be said is refused by its full name: `400`, code `unsupported_parameter`, \
after every other model of the chain had its chance. Nothing is left out but what these tables \
list. A field that is null counts as absent.

Legacy completions (`prompt`) are said to servers in OpenAI's dialect only.
";

const FATES: &str = "\
*refused*: the request is not sent. *left out*: a hint. *meant anyway*: this value says what is \
meant without the field.
";

fn name(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Chat => "OpenAI's chat completions",
        Dialect::Completion => "OpenAI's legacy completions",
        Dialect::Messages => "Anthropic's messages",
    }
}

fn page() -> String {
    let mut page = format!("{HEAD}\n{FATES}");
    for (from, to) in [
        (Dialect::Chat, Dialect::Messages),
        (Dialect::Messages, Dialect::Chat),
    ] {
        let (asked, answered) = (name(from), name(to));
        let title = format!("Requests in {asked}, to an upstream that speaks {answered}");
        write!(page, "\n## {title}\n\n{}", table(from, Far::Speaks(to))).unwrap();
        let title = format!("Answers in {asked}, to callers of {answered}");
        write!(page, "\n## {title}\n\n{}", answers(from)).unwrap();
    }
    for from in [Dialect::Chat, Dialect::Messages] {
        let title = format!("Requests in {}, to a model on AWS Bedrock", name(from));
        let shared = shared(from);
        let table = table(from, Far::Bedrock);
        write!(page, "\n## {title}\n\n{shared}\n\n{table}").unwrap();
    }
    page
}

fn table(from: Dialect, to: Far) -> String {
    let mut table = "| Field | What becomes of it | Note |\n|---|---|---|\n".to_owned();
    for loss in losses().filter(|loss| loss.from == from && loss.to == to) {
        let fate = match loss.fate {
            Fate::Refused => "refused".to_owned(),
            Fate::Dropped | Fate::SaidAs(_) => "left out".to_owned(),
            Fate::Default => "meant anyway".to_owned(),
            Fate::Becomes(place, _) => format!("`{}`", anywhere(place)),
        };
        writeln!(table, "| `{}` | {fate} | {} |", loss.field, loss.note).unwrap();
    }
    table
}

fn answers(from: Dialect) -> String {
    let mut table = "| What | What becomes of it |\n|---|---|\n".to_owned();
    for (_, what, becomes, _) in ANSWERS.iter().filter(|(of, ..)| *of == from) {
        writeln!(table, "| {what} | {becomes} |").unwrap();
    }
    table
}

fn shared(from: Dialect) -> String {
    let other = match from {
        Dialect::Chat => Dialect::Messages,
        Dialect::Messages | Dialect::Completion => Dialect::Chat,
    };
    let fields = said_otherwise_to_bedrock(from).iter();
    let fields: Vec<_> = fields.map(|field| format!("`{field}`")).collect();
    format!(
        "What is refused, left out or meant anyway on the way to {} is so here too, except {}. \
         A refusal by Bedrock's own rules counts messages and parts as Bedrock would hear them. \
         More stands in [AWS Bedrock](bedrock.md).",
        name(other),
        fields.join(", ")
    )
}

#[test]
fn the_page_is_printed_from_the_table() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/dialects.md");
    if std::env::var_os("TIDEGATE_WRITE_DOCS").is_some() {
        std::fs::write(path, page()).unwrap();
    }
    assert_eq!(
        std::fs::read_to_string(path).unwrap_or_default(),
        page(),
        "run `TIDEGATE_WRITE_DOCS=1 cargo test -p tidegate-provider the_page_is_printed`"
    );
}
