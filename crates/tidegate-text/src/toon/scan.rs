//! Finding what stands outside of quotes.
//!
//! All that is looked for is ASCII, and no ASCII byte occurs inside of another
//! character, so every position that is found is a boundary.

#[cfg(test)]
thread_local! {
    static LOOKED_AT: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

/// Counts the bytes that were looked at, so that a test can hold the decoder to
/// time that is linear in the text.
#[cfg(test)]
pub(super) fn looked_at(bytes: usize) {
    LOOKED_AT.with(|count| count.set(count.get() + bytes));
}

#[cfg(not(test))]
#[inline]
pub(super) fn looked_at(_: usize) {}

/// How many bytes were looked at since the last call.
#[cfg(test)]
pub(super) fn take_looked_at() -> usize {
    LOOKED_AT.with(|count| count.replace(0))
}

/// The byte after the closing quote of the string that opens at `open`, or
/// nothing where it is never closed.
pub(super) fn after_quoted(bytes: &[u8], open: usize) -> Option<usize> {
    let mut at = open + 1;
    while let Some(step) = memchr::memchr2(b'"', b'\\', bytes.get(at..)?) {
        looked_at(step + 1);
        at += step;
        if bytes[at] == b'"' {
            return Some(at + 1);
        }
        at += 2;
    }
    looked_at(bytes.len().saturating_sub(at));
    None
}

/// Goes on to the first byte from `at` that is one of `wanted` and is outside
/// of quotes; to the end where there is none.
#[inline]
pub(super) fn seek(bytes: &[u8], mut at: usize, wanted: impl Fn(u8) -> bool) -> usize {
    let start = at;
    while let Some(&byte) = bytes.get(at) {
        if wanted(byte) {
            break;
        }
        if byte == b'"' {
            at = after_quoted(bytes, at).unwrap_or(bytes.len());
        } else {
            at += 1;
        }
    }
    looked_at(at - start);
    at
}

/// How a line begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Start {
    /// A key that ends before the colon at this byte.
    Key(usize),
    /// Something in front of the bracket at this byte, and a colon later: a
    /// header, or a line that wants to be one.
    Bracket(usize),
    /// No colon outside of quotes.
    Plain,
}

/// Looks at a line up to its first colon or bracket.
pub(super) fn start(text: &str) -> Start {
    let bytes = text.as_bytes();
    let at = seek(bytes, 0, |byte| matches!(byte, b':' | b'['));
    match bytes.get(at) {
        Some(b':') => Start::Key(at),
        Some(_) if seek(bytes, at, |byte| byte == b':') < bytes.len() => Start::Bracket(at),
        Some(_) | None => Start::Plain,
    }
}

/// True when a line in a table is a row: its first delimiter comes before its
/// first colon, or it has no colon.
pub(super) fn is_row(text: &str, delimiter: u8) -> bool {
    let bytes = text.as_bytes();
    let at = seek(bytes, 0, |byte| byte == delimiter || byte == b':');
    bytes.get(at) != Some(&b':')
}

/// The cells of a row, one after the other, without the spaces around them.
#[derive(Debug, Clone)]
pub(super) struct Cells<'s> {
    rest: Option<&'s str>,
    delimiter: u8,
}

impl<'s> Cells<'s> {
    pub(super) fn new(row: &'s str, delimiter: u8) -> Self {
        Self {
            rest: Some(row),
            delimiter,
        }
    }
}

impl<'s> Iterator for Cells<'s> {
    type Item = &'s str;

    fn next(&mut self) -> Option<&'s str> {
        let rest = self.rest?;
        let delimiter = self.delimiter;
        let end = seek(rest.as_bytes(), 0, |byte| byte == delimiter);
        self.rest = rest.get(end + 1..);
        Some(rest[..end].trim_matches(' '))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_begins_with_a_key_a_bracket_or_neither() {
        for (text, expected) in [
            ("a: 1", Start::Key(1)),
            ("\"a:b\": 1", Start::Key(5)),
            ("a[2]: 1,2", Start::Bracket(1)),
            ("a: b[2]: 1", Start::Key(1)),
            ("a[2]", Start::Plain),
            ("\"a: [1]\"", Start::Plain),
            ("\"never closed: 1", Start::Plain),
        ] {
            assert_eq!(start(text), expected, "{text}");
        }
    }

    #[test]
    fn cells_end_at_delimiters_outside_of_quotes() {
        let cells = |row, delimiter| Cells::new(row, delimiter).collect::<Vec<_>>();
        assert_eq!(cells("a, \"b,\\\"c\" ,", b','), ["a", "\"b,\\\"c\"", ""]);
        assert_eq!(cells("a,b|c", b'|'), ["a,b", "c"]);
        assert_eq!(cells("", b','), [""]);
    }

    #[test]
    fn a_row_has_its_delimiter_before_its_colon() {
        assert!(is_row("1,a:b", b','));
        assert!(is_row("\"a:b\"", b','));
        assert!(!is_row("a: 1,2", b','));
        assert!(is_row("a", b','));
    }
}
