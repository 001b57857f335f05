//! Reading the compact dialect.
//!
//! White space around its parts is forgiven, and so is structure that could not
//! mean anything else where it stands, such as the colon of `at:10:30`.

use std::borrow::Cow;

use serde_json::map::Entry;
use serde_json::{Map, Number, Value};

use super::abbreviations::Abbreviations;
use super::words::unescaped;
use crate::toon::error::{DecodeError, Fault, MAX_DEPTH, Rule};
use crate::toon::number::{Grammar, grammar};
use crate::toon::scan::{after_quoted, looked_at};
use crate::toon::token::unescape;

/// Reads a value from its compact form.
///
/// # Errors
/// [`DecodeError`] says which rule is broken on which line, and at which column.
pub fn decode(text: &str, abbreviations: &Abbreviations) -> Result<Value, DecodeError> {
    let mut reader = Reader {
        text,
        at: 0,
        table: abbreviations,
    };
    reader.document().map_err(|fault| fault.in_source(text))
}

type Read<'s, T> = Result<T, Fault<'s>>;

struct Reader<'s, 't> {
    text: &'s str,
    at: usize,
    table: &'t Abbreviations,
}

/// Where a value stands: only within something does `|` end it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Within {
    Nothing,
    Container,
}

impl<'s> Reader<'s, '_> {
    fn document(&mut self) -> Read<'s, Value> {
        self.skip_white();
        if self.byte().is_none() {
            return Err(self.fault(Rule::MissingValue));
        }
        let value = self.value(Within::Nothing, MAX_DEPTH)?;
        match self.byte() {
            None => Ok(value),
            Some(_) => Err(self.fault(Rule::TrailingContent)),
        }
    }

    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn fault(&self, rule: Rule) -> Fault<'s> {
        Fault::new(&self.text[self.at..], rule)
    }

    fn skip_white(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.byte() {
            self.at += 1;
        }
    }

    /// A value and the white space around it; so many containers may hold each
    /// other in it.
    fn value(&mut self, within: Within, levels: usize) -> Read<'s, Value> {
        self.skip_white();
        let value = match self.byte() {
            Some(b'{') => self.object(levels)?,
            Some(b'[') => self.list(levels)?,
            Some(b'"') => Value::String(self.quoted()?.into_owned()),
            Some(_) | None => self.bare(within)?,
        };
        self.skip_white();
        Ok(value)
    }

    fn open(&mut self, levels: usize) -> Read<'s, usize> {
        let limit = MAX_DEPTH;
        let left = levels.checked_sub(1);
        let left = left.ok_or_else(|| self.fault(Rule::TooDeep { limit }))?;
        self.at += 1;
        self.skip_white();
        Ok(left)
    }

    fn list(&mut self, levels: usize) -> Read<'s, Value> {
        let levels = self.open(levels)?;
        let mut items = Vec::new();
        if self.byte() == Some(b']') {
            self.at += 1;
            return Ok(Value::Array(items));
        }
        loop {
            items.push(self.value(Within::Container, levels)?);
            if self.ends(b']', "| or ]")? {
                return Ok(Value::Array(items));
            }
        }
    }

    fn object(&mut self, levels: usize) -> Read<'s, Value> {
        let levels = self.open(levels)?;
        let mut map = Map::new();
        if self.byte() == Some(b'}') {
            self.at += 1;
            return Ok(Value::Object(map));
        }
        loop {
            self.skip_white();
            let at = &self.text[self.at..];
            let key = self.key()?;
            let value = self.value(Within::Container, levels)?;
            match map.entry(key) {
                Entry::Vacant(place) => place.insert(value),
                Entry::Occupied(_) => return Err(Fault::new(at, Rule::DuplicateKey)),
            };
            if self.ends(b'}', "| or }")? {
                return Ok(Value::Object(map));
            }
        }
    }

    /// Goes past what follows a value: `|`, or the end of its container.
    fn ends(&mut self, close: u8, expected: &'static str) -> Read<'s, bool> {
        match self.byte() {
            Some(b'|') => {
                self.at += 1;
                Ok(false)
            }
            Some(byte) if byte == close => {
                self.at += 1;
                Ok(true)
            }
            Some(_) | None => Err(self.fault(Rule::Expected { expected })),
        }
    }

    /// A key and its colon. Only a key without quotes may be a short one.
    fn key(&mut self) -> Read<'s, String> {
        let key = if self.byte() == Some(b'"') {
            self.quoted()?.into_owned()
        } else {
            let token = self.until(|byte| matches!(byte, b':' | b'|' | b'{' | b'}' | b'[' | b']'));
            let name = unescape(token.trim_end_matches(is_white), unescaped)?;
            self.table
                .long(&name)
                .map_or(name.as_ref(), |long| long)
                .to_owned()
        };
        self.skip_white();
        if self.byte() != Some(b':') {
            return Err(self.fault(Rule::MissingColon));
        }
        self.at += 1;
        Ok(key)
    }

    fn quoted(&mut self) -> Read<'s, Cow<'s, str>> {
        let Some(end) = after_quoted(self.text.as_bytes(), self.at) else {
            return Err(self.fault(Rule::UnterminatedString));
        };
        let inner = &self.text[self.at + 1..end - 1];
        self.at = end;
        unescape(inner, unescaped)
    }

    /// A word, a number, or a string without quotes.
    fn bare(&mut self, within: Within) -> Read<'s, Value> {
        let token = self.plain(within).unwrap_or_else(|| {
            self.until(|byte| match byte {
                b'|' => within != Within::Nothing,
                b'}' | b']' | b'{' | b'[' => true,
                _ => false,
            })
        });
        if let Some(b'{' | b'[') = self.byte() {
            let expected = "| or the end (a string with a bracket must be in quotes)";
            return Err(self.fault(Rule::Expected { expected }));
        }
        let token = token.trim_end_matches(is_white);
        Ok(match token {
            "~" => Value::Null,
            "T" => Value::Bool(true),
            "F" => Value::Bool(false),
            token => match number(token) {
                Some(number) => Value::Number(number),
                None => Value::String(unescape(token, unescaped)?.into_owned()),
            },
        })
    }

    /// The same as [`Reader::until`] where nothing but the end of a value is to
    /// be found, which is nearly always, and much faster.
    fn plain(&mut self, within: Within) -> Option<&'s str> {
        if within == Within::Nothing {
            return None;
        }
        let rest = &self.text[self.at..];
        let end = memchr::memchr3(b'|', b'}', b']', rest.as_bytes()).unwrap_or(rest.len());
        let token = &rest[..end];
        looked_at(end);
        if memchr::memchr3(b'{', b'[', b'\\', token.as_bytes()).is_some() {
            return None;
        }
        self.at += end;
        Some(token)
    }

    /// Goes on to a byte that ends a token and has no backslash before it.
    fn until(&mut self, ends: impl Fn(u8) -> bool) -> &'s str {
        let start = self.at;
        let bytes = self.text.as_bytes();
        let mut at = start;
        loop {
            let stops = |byte: &u8| ends(*byte) || *byte == b'\\';
            at += bytes[at..]
                .iter()
                .position(stops)
                .unwrap_or(bytes.len() - at);
            if bytes.get(at) != Some(&b'\\') {
                break;
            }
            let escaped = self.text[at + 1..].chars().next();
            at += 1 + escaped.map_or(0, char::len_utf8);
        }
        looked_at(at - start);
        self.at = at;
        &self.text[start..at]
    }
}

fn is_white(character: char) -> bool {
    matches!(character, ' ' | '\t' | '\n' | '\r')
}

/// The number that a token is, an integer or not as it was written.
fn number(token: &str) -> Option<Number> {
    match grammar(token) {
        Grammar::None => None,
        Grammar::Integer => {
            let unsigned = token.parse::<u64>().map(Number::from);
            unsigned
                .or_else(|_| token.parse::<i64>().map(Number::from))
                .ok()
        }
        Grammar::Decimal => Number::from_f64(token.parse().ok()?),
    }
}
