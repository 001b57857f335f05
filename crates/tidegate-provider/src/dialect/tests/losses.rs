//! `docs/dialects.md` says what the code does, row by row.

use std::fmt::Write as _;

use bytes::Bytes;
use serde_json::{Value, json};

use crate::dialect::losses::{ANSWERS, Fate, Loss, losses};
use crate::dialect::{Dialect, OutputBound, Refusal, request};
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

fn told(loss: &Loss, body: &Value) -> Result<Value, Refusal> {
    let asked = ChatRequest::parse_as(loss.from, Bytes::from(body.to_string())).unwrap();
    let converted = request(&asked, loss.to, "m", OutputBound::default())?;
    Ok(serde_json::from_slice(&converted.to_upstream("m")).unwrap())
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

#[test]
fn every_row_is_true_of_its_example() {
    for loss in losses() {
        let example = body(loss.from, loss.example);
        let told_it = told(&loss, &example);
        match loss.fate {
            Fate::Refused => {
                let Err(Refusal::Unsupported { param, .. }) = told_it else {
                    panic!("{loss:?} gives {told_it:?}")
                };
                assert_eq!(anywhere(&param), loss.field, "{loss:?}");
            }
            Fate::Dropped | Fate::Default => {
                let mut without = example.clone();
                assert!(strip(&mut without, loss.field) > 0, "{loss:?}");
                assert!(told_it.is_ok(), "{loss:?} gives {told_it:?}");
                assert_eq!(told_it, told(&loss, &without), "{loss:?}");
            }
            Fate::Becomes(place, value) => {
                let told_it = told_it.unwrap();
                let value: Value = serde_json::from_str(value).unwrap();
                assert_eq!(at(&told_it, place), Some(&value), "{loss:?} in {told_it}");
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

A request in the dialect that its upstream speaks passes byte for byte. Every other one is read \
field by field and said again in the upstream's words, and the answer comes back the same way. \
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
        let title = format!(
            "Requests in {}, to an upstream that speaks {}",
            name(from),
            name(to)
        );
        write!(
            page,
            "\n## {title}\n\n| Field | What becomes of it | Note |\n|---|---|---|\n"
        )
        .unwrap();
        for loss in losses().filter(|loss| loss.from == from) {
            let fate = match loss.fate {
                Fate::Refused => "refused".to_owned(),
                Fate::Dropped => "left out".to_owned(),
                Fate::Default => "meant anyway".to_owned(),
                Fate::Becomes(place, _) => format!("`{}`", anywhere(place)),
            };
            writeln!(page, "| `{}` | {fate} | {} |", loss.field, loss.note).unwrap();
        }
        let title = format!("Answers in {}, to callers of {}", name(from), name(to));
        write!(
            page,
            "\n## {title}\n\n| What | What becomes of it |\n|---|---|\n"
        )
        .unwrap();
        for (_, what, becomes) in ANSWERS.iter().filter(|(of, ..)| *of == from) {
            writeln!(page, "| {what} | {becomes} |").unwrap();
        }
    }
    page
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
