//! Tokens: the smallest parts of a line, and the values that they are.

use std::borrow::Cow;

use serde_json::Value;

use super::error::{Fault, Rule};
use super::number::number_or_text;
use super::scan::{after_quoted, looked_at};

/// The value of a token: a string in quotes, a word, a number, or a string.
#[inline]
pub(super) fn value(token: &str) -> Result<Value, Fault<'_>> {
    Ok(match token.as_bytes().first() {
        Some(b'"') => Value::String(quoted(token)?.into_owned()),
        Some(b'-' | b'0'..=b'9') => number_or_text(token),
        Some(b't') if token == "true" => Value::Bool(true),
        Some(b'f') if token == "false" => Value::Bool(false),
        Some(b'n') if token == "null" => Value::Null,
        Some(_) | None => Value::String(token.to_owned()),
    })
}

/// A token that is a string in quotes and nothing else.
pub(super) fn quoted(token: &str) -> Result<Cow<'_, str>, Fault<'_>> {
    let Some(end) = after_quoted(token.as_bytes(), 0) else {
        return Err(Fault::new(token, Rule::UnterminatedString));
    };
    if end < token.len() {
        return Err(Fault::new(&token[end..], Rule::AfterQuote));
    }
    unescape(&token[1..end - 1], no_more)
}

/// The standard has no escapes beyond those of both dialects.
fn no_more(_: u8) -> Option<char> {
    None
}

/// A key or a name of a field: in quotes, or as it stands.
pub(super) fn name(token: &str) -> Result<Cow<'_, str>, Fault<'_>> {
    if token.starts_with('"') {
        quoted(token)
    } else {
        Ok(Cow::Borrowed(token))
    }
}

/// What stands between two quotes, with its escapes undone. `more` names what a
/// dialect escapes besides.
pub(super) fn unescape(
    inner: &str,
    more: fn(u8) -> Option<char>,
) -> Result<Cow<'_, str>, Fault<'_>> {
    let Some(first) = memchr::memchr(b'\\', inner.as_bytes()) else {
        return Ok(Cow::Borrowed(inner));
    };
    looked_at(inner.len());
    let mut text = String::with_capacity(inner.len());
    let mut rest = inner;
    let mut next = Some(first);
    while let Some(at) = next {
        text.push_str(&rest[..at]);
        let (character, length) = escape(&rest[at..], more)?;
        text.push(character);
        rest = &rest[at + length..];
        next = memchr::memchr(b'\\', rest.as_bytes());
    }
    text.push_str(rest);
    Ok(Cow::Owned(text))
}

/// The character that an escape at the beginning of `text` stands for, and the
/// bytes that it takes.
fn escape(text: &str, more: fn(u8) -> Option<char>) -> Result<(char, usize), Fault<'_>> {
    let fault = || Fault::new(text, Rule::InvalidEscape);
    let kind = *text.as_bytes().get(1).ok_or_else(fault)?;
    let character = match kind {
        b'\\' => '\\',
        b'"' => '"',
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        b'u' => return Ok((code_point(text).ok_or_else(fault)?, 6)),
        other => more(other).ok_or_else(fault)?,
    };
    Ok((character, 2))
}

/// `\uXXXX`; a half of a surrogate pair is no character.
fn code_point(text: &str) -> Option<char> {
    let digits = text.get(2..6)?;
    if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    char::from_u32(u32::from_str_radix(digits, 16).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_token_is_a_word_a_number_or_a_string() {
        for (token, expected) in [
            ("true", json!(true)),
            ("false", json!(false)),
            ("null", json!(null)),
            ("True", json!("True")),
            ("\"true\"", json!("true")),
            ("-7", json!(-7)),
            ("-x", json!("-x")),
            ("", json!("")),
            ("\"\\u00Ab\\n\\\"\"", json!("«\n\"")),
        ] {
            assert_eq!(value(token).unwrap(), expected, "{token}");
        }
    }

    #[track_caller]
    fn check(token: &str, at: &str, rule: Rule) {
        let fault = value(token).unwrap_err();
        assert_eq!((fault.at, fault.rule), (at, rule), "{token}");
    }

    #[test]
    fn broken_strings_say_where() {
        check("\"ab", "\"ab", Rule::UnterminatedString);
        check("\"ab\\\"", "\"ab\\\"", Rule::UnterminatedString);
        check("\"ab\\", "\"ab\\", Rule::UnterminatedString);
        check("\"ab\" c", " c", Rule::AfterQuote);
        check("\"a\\x\"", "\\x", Rule::InvalidEscape);
        check("\"a\\u12\"", "\\u12", Rule::InvalidEscape);
        check("\"a\\ud800\"", "\\ud800", Rule::InvalidEscape);
        check("\"a\\u+123\"", "\\u+123", Rule::InvalidEscape);
    }
}
