//! Reading TOON.
//!
//! One pass over the lines. Every container that is open is a call that has not
//! returned, and there are [`MAX_DEPTH`] of them at most.

use std::borrow::Cow;

use serde_json::map::Entry;
use serde_json::{Map, Value};

use super::error::{
    DecodeError, FREE_EXPANSION_BYTES, Fault, MAX_DEPTH, MAX_EXPANSION, Rule, Unit,
};
use super::header::{self, Field, Fields, Header, Kind};
use super::line::{Line, Lines};
use super::options::{DecodeOptions, Strictness};
use super::scan::{Cells, Start, after_quoted, is_row, seek, start};
use super::token::{quoted, value};

/// Reads a document of TOON.
///
/// # Errors
/// [`DecodeError`] says which rule is broken on which line, and at which column.
pub fn decode(text: &str, options: &DecodeOptions) -> Result<Value, DecodeError> {
    let mut decoder = Decoder {
        lines: Lines::new(text, *options),
        strictness: options.strictness,
        open: 0,
        spans: 0,
        may_repeat: text.len().max(FREE_EXPANSION_BYTES) * MAX_EXPANSION,
    };
    decoder.document().map_err(|fault| fault.in_source(text))
}

type Read<'s, T> = Result<T, Fault<'s>>;

struct Decoder<'s> {
    lines: Lines<'s>,
    strictness: Strictness,
    /// Containers that are open.
    open: usize,
    /// Arrays and keyed objects of which a line was read: no blank line may
    /// stand before their next one.
    spans: usize,
    /// How much of headers the rows may still repeat, in bytes.
    may_repeat: usize,
}

impl<'s> Decoder<'s> {
    fn document(&mut self) -> Read<'s, Value> {
        let Some(line) = self.lines.peek()? else {
            return Ok(Value::Object(Map::new()));
        };
        if line.depth > 0 {
            return Err(overindented(line, 0));
        }
        let value = self.root(line)?;
        match self.lines.peek()? {
            None => Ok(value),
            Some(line) => Err(Fault::new(line.text, Rule::TrailingContent)),
        }
    }

    fn root(&mut self, line: Line<'s>) -> Read<'s, Value> {
        if line.text == "[]" {
            self.lines.pass();
            return Ok(Value::Array(Vec::new()));
        }
        let beginning = start(line.text);
        if beginning == Start::Bracket(0)
            && let Some(header) = self.header(line.text, 0)?
        {
            self.lines.pass();
            return self.scope(header, 0);
        }
        if beginning == Start::Plain {
            self.lines.pass();
            return match self.lines.peek()? {
                Some(_) => Err(Fault::new(line.text, Rule::MissingColon)),
                None => value(line.text),
            };
        }
        self.enter(line.text)?;
        let mut map = Map::new();
        self.fields_at(0, &mut map)?;
        self.leave();
        Ok(Value::Object(map))
    }

    /// A header, or nothing where a forgiving reader takes the line for a key
    /// and its value.
    fn header(&mut self, text: &'s str, bracket: usize) -> Read<'s, Option<Header<'s>>> {
        let header = match header::parse(text, bracket) {
            Ok(header) => header,
            Err(fault) => {
                return match self.strictness {
                    Strictness::Strict => Err(fault),
                    Strictness::Lenient => Ok(None),
                };
            }
        };
        let fields = header.fields.as_ref();
        let duplicate = fields.and_then(|fields| fields.duplicate);
        match (self.strictness, duplicate) {
            (Strictness::Strict, Some(token)) => Err(Fault::new(token, Rule::DuplicateField)),
            (Strictness::Strict, None) | (Strictness::Lenient, _) => Ok(Some(header)),
        }
    }

    /// What a header stands above, or beside.
    fn scope(&mut self, header: Header<'s>, depth: usize) -> Read<'s, Value> {
        self.enter(header.mark)?;
        let value = match (&header.fields, header.kind) {
            (Some(fields), Kind::Keyed) => self.keyed(&header, fields, depth)?,
            (Some(fields), Kind::Array) => self.table(&header, fields, depth)?,
            (None, _) if header.inline.is_empty() => self.list(&header, depth)?,
            (None, _) => self.inline(&header)?,
        };
        self.leave();
        Ok(value)
    }

    fn inline(&self, header: &Header<'s>) -> Read<'s, Value> {
        let cells = Cells::new(header.inline, header.delimiter.byte());
        let mut items = Vec::with_capacity(header.declared.min(header.inline.len() / 2 + 1));
        for cell in cells {
            self.at_most(header, items.len(), Unit::Values, cell)?;
            items.push(value(cell)?);
        }
        self.no_fewer(header, items.len(), Unit::Values)?;
        Ok(Value::Array(items))
    }

    fn list(&mut self, header: &Header<'s>, depth: usize) -> Read<'s, Value> {
        let item_depth = self.content_depth(depth)?;
        let mut items = Vec::new();
        while let Some(line) = self.line_of_scope(depth, item_depth)? {
            let rest = match line.text.strip_prefix('-') {
                Some("") => "",
                Some(rest) if rest.starts_with(' ') => rest.trim_start_matches(' '),
                Some(_) | None => return Err(Fault::new(line.text, Rule::NotAnItem)),
            };
            self.at_most(header, items.len(), Unit::Items, line.text)?;
            self.take(line)?;
            self.spans += usize::from(items.is_empty());
            items.push(self.item(rest, item_depth, line)?);
        }
        self.spans -= usize::from(!items.is_empty());
        self.no_fewer(header, items.len(), Unit::Items)?;
        Ok(Value::Array(items))
    }

    /// What stands behind a hyphen. An object's first field stands there too,
    /// one level deeper than the hyphen.
    fn item(&mut self, rest: &'s str, depth: usize, line: Line<'s>) -> Read<'s, Value> {
        match rest {
            "" => {
                self.enter(line.text)?;
                self.leave();
                return Ok(Value::Object(Map::new()));
            }
            "[]" => {
                self.enter(line.text)?;
                self.leave();
                return Ok(Value::Array(Vec::new()));
            }
            _ => {}
        }
        match start(rest) {
            Start::Plain => value(rest),
            Start::Bracket(0) => match self.header(rest, 0)? {
                Some(header) if header.fields.is_none() => self.scope(header, depth),
                Some(header) => Err(Fault::new(header.mark, Rule::HeaderWithoutKey)),
                None => self.item_object(rest, depth + 1),
            },
            Start::Key(_) | Start::Bracket(_) => self.item_object(rest, depth + 1),
        }
    }

    fn item_object(&mut self, first: &'s str, depth: usize) -> Read<'s, Value> {
        self.enter(first)?;
        let mut map = Map::new();
        self.field(first, depth, &mut map)?;
        self.fields_at(depth, &mut map)?;
        self.leave();
        Ok(Value::Object(map))
    }

    fn table(&mut self, header: &Header<'s>, fields: &Fields<'s>, depth: usize) -> Read<'s, Value> {
        self.fits(header, fields)?;
        let row_depth = self.content_depth(depth)?;
        let delimiter = header.delimiter.byte();
        let mut rows = Vec::new();
        while let Some(line) = self.line_of_scope(depth, row_depth)? {
            if !is_row(line.text, delimiter) {
                return Err(Fault::new(line.text, Rule::NotARow));
            }
            self.at_most(header, rows.len(), Unit::Rows, line.text)?;
            self.take(line)?;
            self.spans += usize::from(rows.is_empty());
            rows.push(self.row(fields, line.text, delimiter)?);
        }
        self.spans -= usize::from(!rows.is_empty());
        self.no_fewer(header, rows.len(), Unit::Rows)?;
        Ok(Value::Array(rows))
    }

    fn keyed(&mut self, header: &Header<'s>, fields: &Fields<'s>, depth: usize) -> Read<'s, Value> {
        self.fits(header, fields)?;
        let entry_depth = self.content_depth(depth)?;
        let mut map = Map::new();
        let mut found = 0;
        while let Some(line) = self.line_of_scope(depth, entry_depth)? {
            let Some((key, cells)) = entry(line.text)? else {
                if self.strictness == Strictness::Strict {
                    return Err(Fault::new(line.text, Rule::NotAnEntry));
                }
                self.lines.pass();
                continue;
            };
            self.at_most(header, found, Unit::Entries, line.text)?;
            self.take(line)?;
            self.spans += usize::from(found == 0);
            found += 1;
            let row = self.row(fields, cells, header.delimiter.byte())?;
            self.insert(&mut map, key.into_owned(), row, line.text)?;
        }
        self.spans -= usize::from(found > 0);
        self.no_fewer(header, found, Unit::Entries)?;
        Ok(Value::Object(map))
    }

    /// The cells of a row, put into the fields of its header.
    fn row(&mut self, fields: &Fields<'s>, text: &'s str, delimiter: u8) -> Read<'s, Value> {
        let limit = MAX_EXPANSION;
        self.may_repeat = self
            .may_repeat
            .checked_sub(fields.cost)
            .ok_or_else(|| Fault::new(text, Rule::Expansion { limit }))?;
        let width = || {
            let found = match text {
                "" => 0,
                text => Cells::new(text, delimiter).count(),
            };
            let fields = fields.leaves;
            Fault::new(text, Rule::RowWidth { fields, found })
        };
        if text.is_empty() {
            return Err(width());
        }
        let mut cells = Cells::new(text, delimiter);
        let map = fill(&fields.list, &mut cells)?.ok_or_else(width)?;
        match cells.next() {
            None => Ok(Value::Object(map)),
            Some(_) => Err(width()),
        }
    }

    /// All lines at `depth` as fields of one object.
    fn fields_at(&mut self, depth: usize, map: &mut Map<String, Value>) -> Read<'s, ()> {
        while let Some(line) = self.lines.peek()? {
            if line.depth < depth {
                break;
            }
            if line.depth > depth {
                return Err(overindented(line, depth));
            }
            self.take(line)?;
            self.field(line.text, depth, map)?;
        }
        Ok(())
    }

    fn field(&mut self, text: &'s str, depth: usize, map: &mut Map<String, Value>) -> Read<'s, ()> {
        let beginning = start(text);
        if let Start::Bracket(bracket) = beginning
            && let Some(mut header) = self.header(text, bracket)?
        {
            let Some(key) = header.key.take() else {
                return Err(Fault::new(header.mark, Rule::HeaderWithoutKey));
            };
            let value = self.scope(header, depth)?;
            return self.insert(map, key.into_owned(), value, text);
        }
        let (key, rest) = match beginning {
            Start::Key(colon) if !text.starts_with('"') => split(text, colon),
            Start::Key(_) | Start::Bracket(_) | Start::Plain => {
                entry(text)?.ok_or(Fault::new(text, Rule::MissingColon))?
            }
        };
        let value = match rest {
            "" => self.nested(depth, text)?,
            "[]" => {
                self.enter(text)?;
                self.leave();
                Value::Array(Vec::new())
            }
            token => value(token)?,
        };
        self.insert(map, key.into_owned(), value, text)
    }

    /// The object below a key.
    fn nested(&mut self, depth: usize, text: &'s str) -> Read<'s, Value> {
        self.enter(text)?;
        let mut map = Map::new();
        if self.lines.peek()?.is_some_and(|line| line.depth > depth) {
            let inner = self.content_depth(depth)?;
            while let Some(line) = self.line_of_scope(depth, inner)? {
                self.take(line)?;
                self.field(line.text, inner, &mut map)?;
            }
        }
        self.leave();
        Ok(Value::Object(map))
    }

    fn insert(
        &self,
        map: &mut Map<String, Value>,
        key: String,
        value: Value,
        at: &'s str,
    ) -> Read<'s, ()> {
        match (map.entry(key), self.strictness) {
            (Entry::Vacant(place), _) => {
                place.insert(value);
            }
            (Entry::Occupied(_), Strictness::Strict) => {
                return Err(Fault::new(at, Rule::DuplicateKey));
            }
            (Entry::Occupied(mut place), Strictness::Lenient) => {
                place.insert(value);
            }
        }
        Ok(())
    }
}

/// Counts and depths.
impl<'s> Decoder<'s> {
    fn enter(&mut self, at: &'s str) -> Read<'s, ()> {
        self.open += 1;
        if self.open > MAX_DEPTH {
            return Err(Fault::new(at, Rule::TooDeep { limit: MAX_DEPTH }));
        }
        Ok(())
    }

    fn leave(&mut self) {
        self.open -= 1;
    }

    /// The groups of a header are containers too.
    fn fits(&self, header: &Header<'s>, fields: &Fields<'s>) -> Read<'s, ()> {
        if self.open + fields.depth > MAX_DEPTH {
            return Err(Fault::new(header.mark, Rule::TooDeep { limit: MAX_DEPTH }));
        }
        Ok(())
    }

    /// The depth of the lines below a line of this depth: one more, or what a
    /// forgiving reader finds there.
    fn content_depth(&mut self, depth: usize) -> Read<'s, usize> {
        match (self.lines.peek()?, self.strictness) {
            (Some(line), Strictness::Lenient) if line.depth > depth => Ok(line.depth),
            (Some(_) | None, _) => Ok(depth + 1),
        }
    }

    /// The next line of a scope below `depth`, or nothing where it has ended.
    fn line_of_scope(&mut self, depth: usize, content: usize) -> Read<'s, Option<Line<'s>>> {
        match self.lines.peek()? {
            Some(line) if line.depth > depth => {
                if line.depth != content {
                    return Err(overindented(line, content));
                }
                Ok(Some(line))
            }
            Some(_) | None => Ok(None),
        }
    }

    /// Goes past a line.
    fn take(&mut self, line: Line<'s>) -> Read<'s, ()> {
        if let Some(blank) = line.blank_before
            && self.spans > 0
            && self.strictness == Strictness::Strict
        {
            return Err(Fault::new(blank, Rule::BlankLine));
        }
        self.lines.pass();
        Ok(())
    }

    /// One more than `found` may be there.
    fn at_most(&self, header: &Header<'s>, found: usize, unit: Unit, at: &'s str) -> Read<'s, ()> {
        let declared = header.declared;
        if found >= declared && self.strictness == Strictness::Strict {
            return Err(Fault::new(at, Rule::More { unit, declared }));
        }
        Ok(())
    }

    fn no_fewer(&self, header: &Header<'s>, found: usize, unit: Unit) -> Read<'s, ()> {
        let declared = header.declared;
        if found < declared && self.strictness == Strictness::Strict {
            let rule = Rule::Fewer {
                unit,
                declared,
                found,
            };
            return Err(Fault::new(header.mark, rule));
        }
        Ok(())
    }
}

fn overindented<'s>(line: Line<'s>, expected: usize) -> Fault<'s> {
    let found = line.depth;
    Fault::new(line.text, Rule::Overindented { expected, found })
}

/// A key and what follows its colon, or nothing where there is no colon.
fn entry(text: &str) -> Read<'_, Option<(Cow<'_, str>, &str)>> {
    let bytes = text.as_bytes();
    let quote = text.starts_with('"').then(|| after_quoted(bytes, 0));
    let Some(quote) = quote else {
        let colon = seek(bytes, 0, |byte| byte == b':');
        return Ok((colon < text.len()).then(|| split(text, colon)));
    };
    let Some(end) = quote else {
        return Err(Fault::new(text, Rule::UnterminatedString));
    };
    let behind = text[end..].trim_start_matches(' ');
    match behind.strip_prefix(':') {
        Some(rest) => Ok(Some((quoted(&text[..end])?, rest.trim_matches(' ')))),
        None if seek(behind.as_bytes(), 0, |byte| byte == b':') == behind.len() => Ok(None),
        None => Err(Fault::new(behind, Rule::AfterQuote)),
    }
}

/// A key that is not in quotes, and what follows its colon.
fn split(text: &str, colon: usize) -> (Cow<'_, str>, &str) {
    let key = text[..colon].trim_end_matches(' ');
    (Cow::Borrowed(key), text[colon + 1..].trim_matches(' '))
}

/// One object of a row, or nothing where its cells run out.
fn fill<'s>(fields: &[Field], cells: &mut Cells<'s>) -> Read<'s, Option<Map<String, Value>>> {
    let mut map = Map::with_capacity(fields.len());
    for field in fields {
        let value = match &field.children {
            Some(children) => match fill(children, cells)? {
                Some(inner) => Value::Object(inner),
                None => return Ok(None),
            },
            None => match cells.next() {
                Some(cell) => value(cell)?,
                None => return Ok(None),
            },
        };
        map.insert(field.name.clone(), value);
    }
    Ok(Some(map))
}
