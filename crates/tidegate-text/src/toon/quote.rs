//! Which strings need quotes, and how they are written in them.

use std::fmt::{self, Write};

use super::number::looks_numeric;

/// A byte that no unquoted string may hold: structure, escapes and control
/// characters.
const fn is_structural(byte: u8) -> bool {
    byte < 0x20 || matches!(byte, b':' | b'"' | b'\\' | b'[' | b']' | b'{' | b'}')
}

const STRUCTURAL: [bool; 256] = {
    let mut table = [false; 256];
    let mut at = 0;
    while at < 256 {
        table[at] = is_structural(at as u8);
        at += 1;
    }
    table
};

/// True when a string would be read as something else without quotes.
pub(super) fn must_quote(text: &str, delimiter: u8) -> bool {
    let bytes = text.as_bytes();
    let (Some(first), Some(last)) = (bytes.first(), bytes.last()) else {
        return true;
    };
    if matches!(first, b' ' | b'-' | b'#') || *last == b' ' {
        return true;
    }
    if bytes
        .iter()
        .any(|byte| STRUCTURAL[usize::from(*byte)] || *byte == delimiter)
    {
        return true;
    }
    match first {
        b'+' | b'0'..=b'9' => looks_numeric(text),
        b't' | b'f' | b'n' => matches!(text, "true" | "false" | "null"),
        _ => false,
    }
}

/// True for a key that stands as it is: a letter or underscore, then letters,
/// digits, underscores and dots.
pub(super) fn is_bare_key(key: &str) -> bool {
    let bytes = key.as_bytes();
    let Some((first, rest)) = bytes.split_first() else {
        return false;
    };
    (first.is_ascii_alphabetic() || *first == b'_')
        && rest
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.'))
}

/// Writes a key.
pub(super) fn write_key(out: &mut impl Write, key: &str) -> fmt::Result {
    if is_bare_key(key) {
        out.write_str(key)
    } else {
        write_quoted(out, key, &[])
    }
}

/// Writes a string, in quotes where it needs them.
pub(super) fn write_text(out: &mut impl Write, text: &str, delimiter: u8) -> fmt::Result {
    if must_quote(text, delimiter) {
        write_quoted(out, text, &[])
    } else {
        out.write_str(text)
    }
}

/// Writes a string in quotes; `more` is what a dialect escapes besides.
pub(super) fn write_quoted(out: &mut impl Write, text: &str, more: &[u8]) -> fmt::Result {
    out.write_char('"')?;
    write_escaped(out, text, more)?;
    out.write_char('"')
}

fn write_escaped(out: &mut impl Write, text: &str, more: &[u8]) -> fmt::Result {
    let mut start = 0;
    for (at, byte) in text.bytes().enumerate() {
        if byte >= 0x20 && !matches!(byte, b'"' | b'\\') && !more.contains(&byte) {
            continue;
        }
        out.write_str(&text[start..at])?;
        start = at + 1;
        match byte {
            b'\n' => out.write_str("\\n")?,
            b'\r' => out.write_str("\\r")?,
            b'\t' => out.write_str("\\t")?,
            0..0x20 => write!(out, "\\u{byte:04x}")?,
            other => {
                out.write_char('\\')?;
                out.write_char(char::from(other))?;
            }
        }
    }
    out.write_str(&text[start..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_strings_stand_as_they_are() {
        for text in [
            "hello",
            "café 🚀",
            "1.2.3",
            "nullable",
            "a - b # c",
            "\u{a0}x\u{a0}",
            "it's",
        ] {
            assert!(!must_quote(text, b','), "{text:?}");
        }
    }

    #[test]
    fn strings_that_would_be_read_as_something_else_are_quoted() {
        for text in [
            "", " a", "a ", "\ta", "a\t", "true", "false", "null", "1", "+1", "05", "1e5", "-",
            "-a", "#", "#a", "a:b", "a\"b", "a\\b", "[", "]", "{", "}", "a\nb", "a\u{4}", "a,b",
        ] {
            assert!(must_quote(text, b','), "{text:?}");
        }
        assert!(!must_quote("a,b", b'|'));
        assert!(must_quote("a|b", b'|'));
    }

    #[test]
    fn quotes_escape_what_would_end_or_break_them() {
        let mut text = String::new();
        write_quoted(&mut text, "a\"\\\n\r\t\u{1}🚀|", b"|").unwrap();
        assert_eq!(text, "\"a\\\"\\\\\\n\\r\\t\\u0001🚀\\|\"");
    }
}
