//! Which strings and keys stand as they are.

use crate::toon::number::{Grammar, grammar};

/// What cuts a text into its parts.
pub(super) const STRUCTURE: [u8; 6] = [b'{', b'}', b'[', b']', b'|', b':'];

/// What no string without quotes may hold: structure and control characters.
const CUTS: [bool; 256] = {
    let mut table = [false; 256];
    let mut at = 0;
    while at < 256 {
        table[at] = at < 0x20;
        at += 1;
    }
    let mut at = 0;
    while at < STRUCTURE.len() {
        table[STRUCTURE[at] as usize] = true;
        at += 1;
    }
    table
};

/// What a backslash stands before within quotes, besides a quote and itself:
/// the dialect has always done so.
pub(super) const ESCAPED: [u8; 2] = [b'|', b':'];

/// True for a string that a reader takes for itself: no structure, no control
/// characters, no white space around it, and no word or number.
///
/// A backslash is no reason for quotes; it is doubled with them and without.
pub(super) fn is_bare(text: &str) -> bool {
    is_plain(text)
        && !text.starts_with('"')
        && !matches!(text, "T" | "F" | "~")
        && grammar(text) == Grammar::None
}

/// True for a key that a reader takes for itself.
pub(super) fn is_bare_key(key: &str) -> bool {
    is_plain(key) && !key.contains(['"', '\\'])
}

fn is_plain(text: &str) -> bool {
    let ends = |edge: Option<char>| edge.is_none_or(char::is_whitespace);
    if ends(text.chars().next()) || ends(text.chars().next_back()) {
        return false;
    }
    !text.bytes().any(|byte| CUTS[usize::from(byte)])
}

/// What a character behind a backslash stands for beyond the escapes of both
/// dialects.
pub(super) fn unescaped(byte: u8) -> Option<char> {
    STRUCTURE.contains(&byte).then(|| char::from(byte))
}
