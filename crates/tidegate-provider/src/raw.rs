//! A JSON object whose values are kept as the bytes they came in.
//!
//! A gateway that parses and prints again loses what it has no type for: long
//! integers, the order of keys, `1.0` against `1`. Here only the keys are read;
//! every value stays a slice of the body, so what is not touched travels on
//! byte for byte and costs no allocation.

use std::fmt;

use bytes::{BufMut, Bytes, BytesMut};
use serde::de::{Deserializer, Error as _, MapAccess, Visitor};
use serde_json::value::RawValue;

/// Why bytes are not a usable JSON object.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RawObjectError {
    /// Not JSON, or not an object; line and column are one-based.
    #[error("{reason} at line {line} column {column}")]
    Syntax {
        /// What the parser expected, without any of the input.
        reason: &'static str,
        /// One-based line.
        line: usize,
        /// One-based column.
        column: usize,
    },
    /// The same key stands twice; readers differ in which one they believe.
    #[error("the key {0:?} stands twice")]
    DuplicateKey(String),
}

/// One JSON object: keys in order, values as slices of the body.
#[derive(Debug, Clone)]
pub struct RawObject {
    fields: Vec<(Box<str>, Bytes)>,
}

impl RawObject {
    /// Reads the keys of `body`, which must be one JSON object and valid UTF-8.
    ///
    /// # Errors
    /// [`RawObjectError`] for anything else, and for a key that stands twice.
    pub fn parse(body: &Bytes) -> Result<Self, RawObjectError> {
        let text = std::str::from_utf8(body).map_err(|error| invalid_utf8(body, &error))?;
        let mut reader = serde_json::Deserializer::from_str(text);
        let pairs = reader
            .deserialize_map(Pairs)
            .map_err(|error| syntax(&error))?;
        reader.end().map_err(|error| syntax(&error))?;
        let mut fields: Vec<(Box<str>, Bytes)> = Vec::with_capacity(pairs.len());
        for (key, value) in pairs {
            if fields.iter().any(|(known, _)| **known == *key) {
                let shown = key.chars().take(MOST_SHOWN_CHARS).collect();
                return Err(RawObjectError::DuplicateKey(shown));
            }
            fields.push((key.into_boxed_str(), body.slice_ref(value.get().as_bytes())));
        }
        Ok(Self { fields })
    }

    /// The raw JSON of one value.
    pub fn get(&self, key: &str) -> Option<&Bytes> {
        self.fields
            .iter()
            .find(|(known, _)| **known == *key)
            .map(|(_, value)| value)
    }

    /// Keys with their raw values, in the order in which they came.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Bytes)> {
        self.fields.iter().map(|(key, value)| (&**key, value))
    }

    /// Takes a key out, and gives its raw value back if it was there.
    pub fn remove(&mut self, key: &str) -> Option<Bytes> {
        let at = self.fields.iter().position(|(known, _)| **known == *key)?;
        Some(self.fields.remove(at).1)
    }

    /// The object as JSON, with raw JSON in the place of some values. A key
    /// that is not there yet goes to the end.
    pub fn to_json_with(&self, changes: &[(&str, &[u8])]) -> Bytes {
        let kept = self
            .fields
            .iter()
            .map(|(key, value)| key.len() + value.len() + 4);
        let changed = changes
            .iter()
            .map(|(key, value)| key.len() + value.len() + 4);
        let mut out = BytesMut::with_capacity(kept.chain(changed).sum::<usize>() + 2);
        let change = |key: &str| changes.iter().find(|(changed, _)| *changed == key);
        for (key, value) in self.iter() {
            put_pair(
                &mut out,
                key,
                change(key).map_or(&value[..], |(_, value)| value),
            );
        }
        for (key, value) in changes.iter().filter(|(key, _)| self.get(key).is_none()) {
            put_pair(&mut out, key, value);
        }
        if out.is_empty() {
            out.put_u8(b'{');
        }
        out.put_u8(b'}');
        out.freeze()
    }
}

fn put_pair(out: &mut BytesMut, key: &str, value: &[u8]) {
    out.put_u8(if out.is_empty() { b'{' } else { b',' });
    if key
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    {
        out.put_u8(b'"');
        out.put_slice(key.as_bytes());
        out.put_u8(b'"');
    } else {
        out.put_slice(&json_string(key));
    }
    out.put_u8(b':');
    out.put_slice(value);
}

/// A string as JSON, quoted and escaped.
pub(crate) fn json_string(text: &str) -> Bytes {
    Bytes::from(serde_json::to_vec(text).expect("a string is always valid JSON"))
}

/// Says what the parser missed, in words that hold nothing of the input.
fn syntax(error: &serde_json::Error) -> RawObjectError {
    let reason = match error.classify() {
        serde_json::error::Category::Eof => "the JSON ends too early",
        serde_json::error::Category::Data => "a JSON object is expected",
        serde_json::error::Category::Syntax | serde_json::error::Category::Io => "invalid JSON",
    };
    RawObjectError::Syntax {
        reason,
        line: error.line(),
        column: error.column(),
    }
}

fn invalid_utf8(body: &[u8], error: &std::str::Utf8Error) -> RawObjectError {
    let good = &body[..error.valid_up_to()];
    let line = good.iter().filter(|byte| **byte == b'\n').count() + 1;
    let line_start = good
        .iter()
        .rposition(|byte| *byte == b'\n')
        .map_or(0, |at| at + 1);
    RawObjectError::Syntax {
        reason: "invalid UTF-8",
        line,
        column: good.len() - line_start + 1,
    }
}

/// How much of a key an error repeats.
const MOST_SHOWN_CHARS: usize = 64;

struct Pairs;

impl<'de> Visitor<'de> for Pairs {
    type Value = Vec<(String, &'de RawValue)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut pairs = Vec::with_capacity(12);
        while let Some(key) = map.next_key::<String>()? {
            if pairs.len() == MOST_KEYS {
                return Err(A::Error::custom("too many keys"));
            }
            pairs.push((key, map.next_value::<&RawValue>()?));
        }
        Ok(pairs)
    }
}

// Look-ups are linear, which is fastest for the dozen keys of a real request;
// the bound keeps a hostile body from making them quadratic.
const MOST_KEYS: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<RawObject, RawObjectError> {
        RawObject::parse(&Bytes::copy_from_slice(text.as_bytes()))
    }

    #[test]
    fn untouched_values_come_out_byte_for_byte() {
        let text =
            r#"{"a":1.0,"seed":123456789012345678901234567890,"b":{"z":1,"a":[ 2 ]},"é":"\u00e9"}"#;
        assert_eq!(parse(text).unwrap().to_json_with(&[]), text.as_bytes());
    }

    #[test]
    fn a_changed_value_keeps_its_place() {
        let object = parse(r#"{"model":"a","n":1}"#).unwrap();
        let changed = object.to_json_with(&[("model", br#""b\"c""#), ("new", b"true")]);
        assert_eq!(changed, br#"{"model":"b\"c","n":1,"new":true}"#.as_slice());
        assert_eq!(parse("{}").unwrap().to_json_with(&[]), "{}");
    }

    #[test]
    fn a_key_that_stands_twice_is_refused() {
        let error = parse(r#"{"model":"a","model":"b"}"#).unwrap_err();
        assert_eq!(error, RawObjectError::DuplicateKey("model".to_owned()));
    }

    #[test]
    fn errors_name_line_and_column_and_nothing_of_the_input() {
        let error = parse("{\n \"secret\": nope}").unwrap_err();
        assert_eq!(error.to_string(), "invalid JSON at line 2 column 13");
        assert_eq!(
            parse("[]").unwrap_err().to_string(),
            "a JSON object is expected at line 1 column 0"
        );
        assert!(
            parse("{} x")
                .unwrap_err()
                .to_string()
                .starts_with("invalid JSON at line 1")
        );
    }

    #[test]
    fn invalid_utf8_is_located() {
        let error = RawObject::parse(&Bytes::from_static(b"{\"a\":\n\"\xff\"}")).unwrap_err();
        assert_eq!(error.to_string(), "invalid UTF-8 at line 2 column 2");
    }

    #[test]
    fn an_object_with_thousands_of_keys_is_refused() {
        let keys: Vec<String> = (0..MOST_KEYS + 1).map(|n| format!("\"k{n}\":0")).collect();
        assert!(parse(&format!("{{{}}}", keys.join(","))).is_err());
    }
}
