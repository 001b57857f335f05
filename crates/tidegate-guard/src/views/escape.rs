//! Escapes: one character each.

/// No escape of one character is longer.
const LONGEST: usize = 16;

/// What begins at a place.
#[derive(Debug, PartialEq)]
pub(super) enum Escape {
    /// More text must come before it can be told.
    Unknown,
    /// No escape.
    None,
    /// A character.
    Char {
        /// Which.
        c: char,
        /// How long the escape is.
        bytes: usize,
        /// It is no escape that every other text has.
        tells: bool,
    },
}

/// Reads an escape that begins with `%`, a backslash or `&`.
pub(super) fn read(bytes: &[u8], is_last: bool) -> Escape {
    if bytes.len() < LONGEST && !is_last {
        return Escape::Unknown;
    }
    let bytes = &bytes[..bytes.len().min(LONGEST)];
    let found = match bytes {
        [b'%', ..] => utf8(bytes, "%"),
        [b'\\', b'x', b'{', ..] | [b'\\', b'u', b'{', ..] => braced(bytes),
        [b'\\', b'x', ..] => utf8(bytes, "\\x"),
        [b'\\', b'u', ..] => units(bytes),
        [b'\\', b'U', ..] => number(&bytes[2..], 8, 16).map(|c| (c, 10)),
        [b'\\', b'0'..=b'3', ..] => number(&bytes[1..], 3, 8).map(|c| (c, 4)),
        [b'&', b'#', ..] => entity(bytes),
        _ => None,
    };
    if let Some((c, bytes)) = found {
        return Escape::Char {
            c,
            bytes,
            tells: true,
        };
    }
    named(bytes)
}

/// What programs and web pages escape anyway.
fn named(bytes: &[u8]) -> Escape {
    const NAMES: [(&str, char); 10] = [
        ("\\n", '\n'),
        ("\\r", '\n'),
        ("\\t", '\t'),
        ("\\\"", '"'),
        ("&lt;", '<'),
        ("&gt;", '>'),
        ("&amp;", '&'),
        ("&quot;", '"'),
        ("&apos;", '\''),
        ("&nbsp;", ' '),
    ];
    let name = NAMES
        .iter()
        .find(|(name, _)| bytes.starts_with(name.as_bytes()));
    match name {
        Some((name, c)) => Escape::Char {
            c: *c,
            bytes: name.len(),
            tells: false,
        },
        None => Escape::None,
    }
}

/// A number of exactly `digits` digits.
fn value(bytes: &[u8], digits: usize, radix: u32) -> Option<u32> {
    let digits = bytes.get(..digits)?.iter();
    digits.into_iter().try_fold(0_u32, |value, byte| {
        Some(value * radix + char::from(*byte).to_digit(radix)?)
    })
}

fn number(bytes: &[u8], digits: usize, radix: u32) -> Option<char> {
    char::from_u32(value(bytes, digits, radix)?)
}

/// Bytes of UTF-8, each with `sign` before its two digits.
fn utf8(bytes: &[u8], sign: &str) -> Option<(char, usize)> {
    let step = sign.len() + 2;
    let byte = |index: usize| {
        let rest = bytes.get(index * step..)?.strip_prefix(sign.as_bytes())?;
        u8::try_from(value(rest, 2, 16)?).ok()
    };
    let first = byte(0)?;
    let count = match first {
        0xC2..=0xDF => 2,
        0xE0..=0xEF => 3,
        0xF0..=0xF4 => 4,
        _ => 1,
    };
    let all: Option<Vec<u8>> = (0..count).map(byte).collect();
    if let Some(c) = all.and_then(|all| std::str::from_utf8(&all).ok()?.chars().next()) {
        return Some((c, count * step));
    }
    // A byte that is no UTF-8 is what it was in Latin-1.
    Some((char::from(first), step))
}

/// `\u0041`, or two of them that are one character of UTF-16.
fn units(bytes: &[u8]) -> Option<(char, usize)> {
    let first = value(&bytes[2..], 4, 16)?;
    if let Some(c) = char::from_u32(first) {
        return Some((c, 6));
    }
    let second = bytes.get(6..)?.strip_prefix(b"\\u")?;
    let second = value(second, 4, 16)?;
    let pair = [u16::try_from(first).ok()?, u16::try_from(second).ok()?];
    let c = char::decode_utf16(pair).next()?.ok()?;
    Some((c, 12))
}

/// `\u{41}` and `\x{41}`.
fn braced(bytes: &[u8]) -> Option<(char, usize)> {
    let digits = bytes[3..].iter().position(|byte| *byte == b'}')?;
    let c = number(&bytes[3..], digits, 16).filter(|_| (1..=6).contains(&digits))?;
    Some((c, digits + 4))
}

/// `&#65;` and `&#x41;`.
fn entity(bytes: &[u8]) -> Option<(char, usize)> {
    let (start, radix) = match bytes.get(2)? {
        b'x' | b'X' => (3, 16),
        _ => (2, 10),
    };
    let digits = bytes[start..].iter().position(|byte| *byte == b';')?;
    let c = number(&bytes[start..], digits, radix).filter(|_| (1..=8).contains(&digits))?;
    Some((c, start + digits + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Option<(char, usize)>) {
        let found = match read(text.as_bytes(), true) {
            Escape::Char { c, bytes, .. } => Some((c, bytes)),
            Escape::None | Escape::Unknown => None,
        };
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn every_kind_of_escape_is_read() {
        check("%41", Some(('A', 3)));
        check("%D0%B8!", Some(('и', 6)));
        check("%C3", Some(('Ã', 3)));
        check("%F0%9F%98%80", Some(('😀', 12)));
        check("\\x41", Some(('A', 4)));
        check("\\u0041", Some(('A', 6)));
        check("\\ud83d\\ude00", Some(('😀', 12)));
        check("\\u{1F600}", Some(('😀', 9)));
        check("\\x{41}", Some(('A', 6)));
        check("\\U00000041", Some(('A', 10)));
        check("\\101", Some(('A', 4)));
        check("&#65;", Some(('A', 5)));
        check("&#x0041;", Some(('A', 8)));
        check("&amp;", Some(('&', 5)));
    }

    #[test]
    fn what_only_begins_like_an_escape_is_none() {
        for text in [
            "%4", "%zz", "100 % 4", "\\u00g1", "\\ud83d", "&#;", "& ", "\\u{}",
        ] {
            check(text, None);
        }
        assert_eq!(read(b"%41", false), Escape::Unknown);
    }
}
