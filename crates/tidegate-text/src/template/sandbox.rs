//! The engine that fills templates, and where it ends.

use std::collections::HashSet;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Serde, Value, ValueKind};
use minijinja::{Environment, Error, ErrorKind, UndefinedBehavior};

use super::error::Fault;
use super::piece::Piece;

/// Steps of one message. One turn of a loop that prints three fields takes 15.
pub(super) const MOST_STEPS: u64 = 1_000_000;
/// Nesting of loops, conditions and included parts.
pub(super) const MOST_DEPTH: usize = 64;
/// Bytes of one message.
pub(super) const MOST_MESSAGE_BYTES: usize = 1 << 20;

/// The text that a part of a template that is included stands in.
pub(super) type Partials = [(String, Piece)];

/// Why a piece cannot be filled, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failure {
    /// The name of the partial that it happened in, if it was one.
    pub(super) partial: Option<String>,
    /// From 1.
    pub(super) line: usize,
    pub(super) fault: Fault,
}

/// Fills `piece` with `values`.
pub(super) fn fill(partials: &Partials, piece: &Piece, values: &Value) -> Result<String, Failure> {
    let mut environment = environment();
    for (name, partial) in partials {
        let added = environment.add_template(name, &partial.text);
        added.map_err(|error| failure(&error, None))?;
    }
    let template = environment.template_from_named_str(PIECE, &piece.text);
    let template = template.map_err(|error| failure(&error, None))?;
    let mut out = Bounded::default();
    match template.render_captured_to(values.clone(), &mut out) {
        Ok(_) => Ok(String::from_utf8(out.bytes).expect("templates write text")),
        Err(error) => Err(failure(&error, Some(out.is_full))),
    }
}

/// What the piece itself is called in errors of the engine; no partial can be.
const PIECE: &str = "<message>";

/// Plain data as values of the engine.
pub(super) fn value(json: &serde_json::Value) -> Value {
    Value::from(Serde(json))
}

/// Whether `text` is a template at all: the line, from 1, and what is wrong.
pub(super) fn syntax(text: &str) -> Result<(), (usize, String)> {
    let environment = environment();
    match environment.template_from_named_str(PIECE, text) {
        Ok(_) => Ok(()),
        Err(error) => {
            let reason = error.detail().unwrap_or("it cannot be read");
            Err((error.line().unwrap_or(1), reason.to_owned()))
        }
    }
}

/// What a template looks up, each as `name` or `name.field`.
pub(super) fn variables(text: &str) -> HashSet<String> {
    let environment = environment();
    let template = environment.template_from_named_str(PIECE, text);
    template.map_or_else(|_| HashSet::new(), |known| known.undeclared_variables(true))
}

/// Nothing but what is put in here: no loader, no globals, no tests.
fn environment<'a>() -> Environment<'a> {
    let mut environment = Environment::empty();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_fuel(Some(MOST_STEPS));
    environment.set_recursion_limit(MOST_DEPTH);
    let mut syntax = SyntaxConfig::builder();
    let syntax = syntax.trim_blocks(true).lstrip_blocks(true).build();
    environment.set_syntax(syntax.expect("the usual marks are no contradiction"));
    let printed = AtomicUsize::new(0);
    environment.set_formatter(move |out, state, value| match value.kind() {
        // The end of the writer is an error without a line.
        ValueKind::String if is_over(&printed, value) => {
            Err(Error::new(ErrorKind::WriteFailure, FULL))
        }
        ValueKind::None => Err(Error::new(ErrorKind::NonPrimitive, ABSENT)),
        ValueKind::Seq | ValueKind::Map | ValueKind::Iterable => {
            Err(Error::new(ErrorKind::NonPrimitive, NO_TEXT))
        }
        _ => minijinja::escape_formatter(out, state, value),
    });
    environment.add_filter("json", |value: Value| -> Result<String, Error> {
        let no_json = |_| Error::new(ErrorKind::BadSerialization, "this is no JSON");
        let json = serde_json::to_string(&value).map_err(no_json)?;
        if json.len() > MOST_MESSAGE_BYTES {
            return Err(Error::new(ErrorKind::WriteFailure, FULL));
        }
        Ok(json)
    });
    environment.add_filter("length", |value: Value| value.len().unwrap_or(0));
    environment.add_filter("upper", |text: String| text.to_uppercase());
    environment.add_filter("lower", |text: String| text.to_lowercase());
    environment.add_filter("trim", |text: String| text.trim().to_owned());
    environment
}

/// Whether `value` is more than the rest of what may be printed.
fn is_over(printed: &AtomicUsize, value: &Value) -> bool {
    let bytes = value.as_str().map_or(0, str::len);
    printed.fetch_add(bytes, Ordering::Relaxed) + bytes > MOST_MESSAGE_BYTES
}

const ABSENT: &str = "absent";
const NO_TEXT: &str = "no text";
const FULL: &str = "full";

/// Takes so much and no more.
#[derive(Default)]
struct Bounded {
    bytes: Vec<u8>,
    is_full: bool,
}

impl io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + bytes.len() > MOST_MESSAGE_BYTES {
            self.is_full = true;
            return Err(io::Error::other(FULL));
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The engine's error without what it quotes: details may hold values.
fn failure(error: &Error, is_full: Option<bool>) -> Failure {
    let innermost = std::iter::successors(Some(error), |error| {
        std::error::Error::source(*error).and_then(|source| source.downcast_ref::<Error>())
    });
    let error = innermost.last().unwrap_or(error);
    let detail = error.detail().unwrap_or_default();
    let fault = match error.kind() {
        _ if is_full == Some(true) || detail == FULL => Fault::Length {
            limit: MOST_MESSAGE_BYTES,
        },
        ErrorKind::OutOfFuel => Fault::Steps { limit: MOST_STEPS },
        ErrorKind::NonPrimitive if detail == ABSENT => Fault::Absent,
        ErrorKind::NonPrimitive if detail == NO_TEXT => Fault::NoText,
        ErrorKind::InvalidOperation if detail.contains("recursion limit") => {
            Fault::Depth { limit: MOST_DEPTH }
        }
        ErrorKind::UndefinedError => Fault::Undefined,
        kind => Fault::Operation(kind.to_string()),
    };
    Failure {
        partial: error
            .name()
            .filter(|name| *name != PIECE)
            .map(str::to_owned),
        line: error.line().unwrap_or(1),
        fault,
    }
}
