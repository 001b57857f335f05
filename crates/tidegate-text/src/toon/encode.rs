//! Writing TOON.
//!
//! Everything goes straight to the writer: no line is kept, and no part of the
//! value is copied.

use std::fmt::{self, Write};
use std::io;

use serde_json::{Map, Value};

use super::error::EncodeError;
use super::options::{Delimiter, EncodeOptions};
use super::quote::{write_key, write_quoted, write_text};
use super::shape::{Column, in_columns, keyed, table};
use super::{depth, number, sink};

/// Writes a value as TOON.
///
/// # Errors
/// [`EncodeError`] for a value that is nested too deeply.
pub fn encode(value: &Value, options: &EncodeOptions) -> Result<String, EncodeError> {
    let mut text = String::new();
    depth::check(value)?;
    // Nothing but the depth can go wrong, and a string takes all that is
    // written.
    let _ = write_value(value, options, &mut text);
    Ok(text)
}

/// Writes a value as TOON to where it goes, piece by piece.
///
/// # Errors
/// Whatever the writer says, and [`EncodeError`] (as `InvalidInput`) for a value
/// that is nested too deeply; of such a value nothing is written.
pub fn encode_to(value: &Value, options: &EncodeOptions, out: impl io::Write) -> io::Result<()> {
    depth::check(value).map_err(sink::invalid)?;
    sink::through(out, |text| write_value(value, options, text))
}

fn write_value(value: &Value, options: &EncodeOptions, out: &mut impl Write) -> fmt::Result {
    let mut encoder = Encoder {
        out,
        delimiter: options.delimiter,
        indent_size: options.indent_size.spaces(),
        line: Position::First,
    };
    encoder.root(value)
}

/// Whether a line was written before.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Position {
    First,
    Later,
}

/// Where an array stands: in a list, a table must not begin.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Keyed,
    Item,
}

struct Encoder<'o, W> {
    out: &'o mut W,
    delimiter: Delimiter,
    indent_size: usize,
    line: Position,
}

const SPACES: &str = "                                                                ";

impl<W: Write> Encoder<'_, W> {
    fn root(&mut self, value: &Value) -> fmt::Result {
        match value {
            Value::Array(items) if items.is_empty() => self.out.write_str("[]"),
            Value::Array(items) => {
                self.line = Position::Later;
                self.array(items, 0, Place::Keyed)
            }
            Value::Object(map) => match keyed(map) {
                Some(columns) => {
                    self.line = Position::Later;
                    self.keyed(map, &columns, 0)
                }
                None => self.fields(map, 0),
            },
            // At the beginning of a text it would be a mark of byte order.
            Value::String(text) if text.starts_with('\u{feff}') => {
                write_quoted(self.out, text, &[])
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
                self.primitive(value)
            }
        }
    }

    fn new_line(&mut self, depth: usize) -> fmt::Result {
        match self.line {
            Position::First => self.line = Position::Later,
            Position::Later => self.out.write_char('\n')?,
        }
        let mut spaces = depth * self.indent_size;
        while spaces > 0 {
            let step = spaces.min(SPACES.len());
            self.out.write_str(&SPACES[..step])?;
            spaces -= step;
        }
        Ok(())
    }

    fn fields(&mut self, map: &Map<String, Value>, depth: usize) -> fmt::Result {
        for (key, value) in map {
            self.new_line(depth)?;
            self.field(key, value, depth)?;
        }
        Ok(())
    }

    fn field(&mut self, key: &str, value: &Value, depth: usize) -> fmt::Result {
        write_key(self.out, key)?;
        match value {
            Value::Array(items) if items.is_empty() => self.out.write_str(": []"),
            Value::Array(items) => self.array(items, depth, Place::Keyed),
            Value::Object(map) => match keyed(map) {
                Some(columns) => self.keyed(map, &columns, depth),
                None => {
                    self.out.write_char(':')?;
                    self.fields(map, depth + 1)
                }
            },
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
                self.out.write_str(": ")?;
                self.primitive(value)
            }
        }
    }

    /// From the bracket of a header on.
    fn array(&mut self, items: &[Value], depth: usize, place: Place) -> fmt::Result {
        self.length(items.len(), "")?;
        if items.iter().all(is_primitive) {
            self.out.write_char(':')?;
            return self.inline(items);
        }
        if place == Place::Keyed
            && let Some(columns) = table(items)
        {
            return self.rows(items, &columns, depth);
        }
        self.out.write_char(':')?;
        for item in items {
            self.new_line(depth + 1)?;
            self.item(item, depth + 1)?;
        }
        Ok(())
    }

    fn inline(&mut self, items: &[Value]) -> fmt::Result {
        let mut before = ' ';
        for item in items {
            self.out.write_char(before)?;
            self.primitive(item)?;
            before = self.delimiter.character();
        }
        Ok(())
    }

    fn item(&mut self, item: &Value, depth: usize) -> fmt::Result {
        self.out.write_char('-')?;
        match item {
            Value::Array(items) => {
                self.out.write_char(' ')?;
                self.array(items, depth, Place::Item)
            }
            Value::Object(map) => {
                let mut fields = map.iter();
                let Some((key, value)) = fields.next() else {
                    return Ok(());
                };
                self.out.write_char(' ')?;
                self.field(key, value, depth + 1)?;
                for (key, value) in fields {
                    self.new_line(depth + 1)?;
                    self.field(key, value, depth + 1)?;
                }
                Ok(())
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
                self.out.write_char(' ')?;
                self.primitive(item)
            }
        }
    }

    fn rows(&mut self, items: &[Value], columns: &[Column<'_>], depth: usize) -> fmt::Result {
        self.columns(columns)?;
        self.out.write_char(':')?;
        for item in items {
            self.new_line(depth + 1)?;
            self.row(item, columns, RowStart::Line)?;
        }
        Ok(())
    }

    fn keyed(
        &mut self,
        map: &Map<String, Value>,
        columns: &[Column<'_>],
        depth: usize,
    ) -> fmt::Result {
        self.length(map.len(), ":")?;
        self.columns(columns)?;
        self.out.write_char(':')?;
        for (key, row) in map {
            self.new_line(depth + 1)?;
            write_key(self.out, key)?;
            self.out.write_str(": ")?;
            self.row(row, columns, RowStart::Line)?;
        }
        Ok(())
    }

    /// `[3`, what marks a keyed header, the delimiter unless it is the comma,
    /// and `]`.
    fn length(&mut self, length: usize, mark: &str) -> fmt::Result {
        let mut buffer = itoa::Buffer::new();
        self.out.write_char('[')?;
        self.out.write_str(buffer.format(length))?;
        self.out.write_str(mark)?;
        if self.delimiter != Delimiter::Comma {
            self.out.write_char(self.delimiter.character())?;
        }
        self.out.write_char(']')
    }

    fn columns(&mut self, columns: &[Column<'_>]) -> fmt::Result {
        let mut before = '{';
        for column in columns {
            self.out.write_char(before)?;
            before = self.delimiter.character();
            write_key(self.out, column.name)?;
            if let Some(children) = &column.children {
                self.columns(children)?;
            }
        }
        self.out.write_char('}')
    }

    fn row(&mut self, row: &Value, columns: &[Column<'_>], start: RowStart) -> fmt::Result {
        let Value::Object(map) = row else {
            return Ok(());
        };
        let mut start = start;
        for (column, value) in in_columns(map, columns) {
            match (&column.children, value) {
                (Some(children), Some(value)) => self.row(value, children, start)?,
                (None, Some(value)) => {
                    if start == RowStart::Cell {
                        self.out.write_char(self.delimiter.character())?;
                    }
                    self.primitive(value)?;
                }
                (_, None) => {}
            }
            start = RowStart::Cell;
        }
        Ok(())
    }

    fn primitive(&mut self, value: &Value) -> fmt::Result {
        match value {
            Value::Bool(true) => self.out.write_str("true"),
            Value::Bool(false) => self.out.write_str("false"),
            Value::Number(number) => number::write(self.out, number),
            Value::String(text) => write_text(self.out, text, self.delimiter.byte()),
            // Containers are written by who finds them.
            Value::Null | Value::Array(_) | Value::Object(_) => self.out.write_str("null"),
        }
    }
}

/// What stands before the first cell of a part of a row.
#[derive(Clone, Copy, PartialEq, Eq)]
enum RowStart {
    Line,
    Cell,
}

fn is_primitive(value: &Value) -> bool {
    !matches!(value, Value::Array(_) | Value::Object(_))
}
