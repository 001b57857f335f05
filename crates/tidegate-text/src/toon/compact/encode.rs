//! Writing the compact dialect.

use std::fmt::{self, Write};
use std::io;

use serde_json::{Map, Number, Value};

use super::abbreviations::Abbreviations;
use super::words::{ESCAPED, is_bare, is_bare_key};
use crate::toon::error::EncodeError;
use crate::toon::quote::write_quoted;
use crate::toon::{depth, sink};

/// Writes a value on one line.
///
/// # Errors
/// [`EncodeError`] for a value that is nested too deeply.
pub fn encode(value: &Value, abbreviations: &Abbreviations) -> Result<String, EncodeError> {
    depth::check(value)?;
    let mut text = String::new();
    // Nothing but the depth can go wrong, and a string takes all that is
    // written.
    let _ = write_value(value, abbreviations, &mut text);
    Ok(text)
}

/// Writes a value on one line to where it goes, piece by piece.
///
/// # Errors
/// Whatever the writer says, and [`EncodeError`] (as `InvalidInput`) for a value
/// that is nested too deeply; of such a value nothing is written.
pub fn encode_to(
    value: &Value,
    abbreviations: &Abbreviations,
    out: impl io::Write,
) -> io::Result<()> {
    depth::check(value).map_err(sink::invalid)?;
    sink::through(out, |text| write_value(value, abbreviations, text))
}

fn write_value(value: &Value, table: &Abbreviations, out: &mut impl Write) -> fmt::Result {
    match value {
        Value::Null => out.write_char('~'),
        Value::Bool(true) => out.write_char('T'),
        Value::Bool(false) => out.write_char('F'),
        Value::Number(number) => write_number(number, out),
        Value::String(text) => write_text(text, out),
        Value::Array(items) => write_list(items, table, out),
        Value::Object(map) => write_object(map, table, out),
    }
}

fn write_list(items: &[Value], table: &Abbreviations, out: &mut impl Write) -> fmt::Result {
    out.write_char('[')?;
    for (at, item) in items.iter().enumerate() {
        if at > 0 {
            out.write_char('|')?;
        }
        write_value(item, table, out)?;
    }
    out.write_char(']')
}

fn write_object(
    map: &Map<String, Value>,
    table: &Abbreviations,
    out: &mut impl Write,
) -> fmt::Result {
    out.write_char('{')?;
    for (at, (key, value)) in map.iter().enumerate() {
        if at > 0 {
            out.write_char('|')?;
        }
        match table.short(key) {
            Some(short) => out.write_str(short)?,
            None if is_bare_key(key) && !table.is_taken(key) => out.write_str(key)?,
            None => write_quoted(out, key, &ESCAPED)?,
        }
        out.write_char(':')?;
        write_value(value, table, out)?;
    }
    out.write_char('}')
}

/// As JSON prints it: 1.0 is not 1 here, so that nothing changes on its way.
fn write_number(number: &Number, out: &mut impl Write) -> fmt::Result {
    if let Some(unsigned) = number.as_u64() {
        return out.write_str(itoa::Buffer::new().format(unsigned));
    }
    if let Some(signed) = number.as_i64() {
        return out.write_str(itoa::Buffer::new().format(signed));
    }
    match number.as_f64() {
        Some(float) => out.write_str(zmij::Buffer::new().format(float)),
        // Without arbitrary precision a number is one of the three.
        None => out.write_char('~'),
    }
}

fn write_text(text: &str, out: &mut impl Write) -> fmt::Result {
    if !is_bare(text) {
        return write_quoted(out, text, &ESCAPED);
    }
    let mut pieces = text.split('\\');
    out.write_str(pieces.next().unwrap_or_default())?;
    for piece in pieces {
        out.write_str("\\\\")?;
        out.write_str(piece)?;
    }
    Ok(())
}
