//! What a word means in which signs stand for letters.

use super::lookalike::of_other_alphabet;
use super::vocabulary::Vocabulary;

/// Signs that may be one of two letters are tried both ways this many times.
const MAX_DOUBTS: usize = 4;

/// Letters that stand apart are at least this many.
const MIN_APART: usize = 3;

/// The longest word of a row.
const MAX_WORD: usize = 16;

/// What one letter costs that belongs to no word, where a word costs 1.
const UNKNOWN: usize = 4;

/// True for one character that may be a letter.
pub(super) fn is_short(text: &str) -> bool {
    let is_sign = |c: char| c.is_ascii() && letter_of(c as u8).is_some();
    let mut chars = text.chars();
    chars
        .next()
        .is_some_and(|c| c.is_alphanumeric() || is_sign(c))
        && chars.next().is_none()
}

/// Maps letters of other alphabets that look like letters of ASCII, where a word
/// mixes them or has no others. True when it mixes them.
pub(super) fn to_ascii(text: &str) -> (String, bool) {
    if text.is_ascii() {
        return (text.to_owned(), false);
    }
    let map = |c: char| of_other_alphabet(c).map_or(c, char::from);
    let mapped: String = text.chars().map(map).collect();
    let has_latin = text.bytes().any(|byte| byte.is_ascii_alphabetic());
    if has_latin
        || mapped
            .chars()
            .all(|c| c.is_ascii() || sign_beyond(c).is_some())
    {
        let is_mixed = has_latin && mapped != text;
        (mapped, is_mixed)
    } else {
        (text.to_owned(), false)
    }
}

/// The word of the rules that is meant, if there is one and it is not what is
/// written.
pub(super) fn spell(written: &[u8], known: &Vocabulary) -> Option<String> {
    let text = String::from_utf8_lossy(written);
    let mut letters: Vec<Option<u8>> = Vec::with_capacity(written.len());
    let mut has_letter = false;
    for c in text.chars() {
        let sign = u8::try_from(c).ok();
        has_letter |= c.is_ascii_alphabetic();
        match (sign, sign_beyond(c)) {
            (Some(byte), _) if byte.is_ascii_alphabetic() => {
                letters.push(Some(byte));
            }
            (Some(b'1' | b'!' | b'|'), _) => letters.push(None),
            (Some(byte), _) if is_between(byte) => {}
            (Some(byte), _) => letters.push(Some(letter_of(byte)?)),
            (None, Some(letter)) => letters.push(Some(letter)),
            (None, None) => return None,
        }
    }
    // A number may be anything; one of three signs is `all` more often than not.
    if letters.len() < 2 || !(has_letter || letters.len() == 3) {
        return None;
    }
    let doubts = letters.iter().filter(|letter| letter.is_none()).count();
    let ways = 1_usize << doubts.min(MAX_DOUBTS);
    let meant = (0..ways).map(|way| settle(&letters, way));
    let meant = meant
        .into_iter()
        .find(|word| known.knows(&word.to_ascii_lowercase()))?;
    if has_known_parts(written, known) {
        return None;
    }
    (!written.eq_ignore_ascii_case(&meant)).then(|| String::from_utf8_lossy(&meant).into_owned())
}

/// What a word of no rule would say: letters with one and the same sign between each
/// two, or a short word of letters with some digits among them.
pub(super) fn spell_unknown(written: &[u8]) -> Option<String> {
    const MAX_LENGTH: usize = 14;
    if let Some(at) = written.iter().position(|byte| *byte == b'@')
        && at > 1
        && written[at..].contains(&b'.')
    {
        return Some(address(written));
    }
    if let [_, joint, _, _, ..] = written
        && is_between(*joint)
    {
        let is_row = written.len() % 2 == 1
            && written.chunks(2).all(|pair| {
                pair[0].is_ascii_alphanumeric() && pair.get(1).is_none_or(|b| b == joint)
            });
        return is_row.then(|| {
            written
                .iter()
                .step_by(2)
                .map(|byte| char::from(*byte))
                .collect()
        });
    }
    let letters = written
        .iter()
        .filter(|byte| byte.is_ascii_alphabetic())
        .count();
    if written.len() > MAX_LENGTH || letters * 3 < written.len() || letters == written.len() {
        return None;
    }
    let letter = |byte: &u8| match byte {
        byte if byte.is_ascii_alphabetic() => Some(char::from(*byte)),
        byte => letter_of(*byte).map(char::from),
    };
    written.iter().map(letter).collect()
}

/// An address of electronic mail, each part of it by itself.
fn address(written: &[u8]) -> String {
    let parts = written.split_inclusive(|byte| matches!(byte, b'@' | b'.'));
    let part = |part: &[u8]| {
        let (name, sign) = match part.split_last() {
            Some((sign @ (b'@' | b'.'), name)) => (name, char::from(*sign).to_string()),
            Some(_) | None => (part, String::new()),
        };
        let name =
            spell_unknown(name).unwrap_or_else(|| String::from_utf8_lossy(name).into_owned());
        name + &sign
    };
    parts.map(part).collect()
}

/// True when a sign stands between words that are words by themselves, as in
/// `auth.token`.
fn has_known_parts(written: &[u8], known: &Vocabulary) -> bool {
    let parts = written.split(|byte| matches!(byte, b'.' | b'-' | b'_'));
    let parts: Vec<&[u8]> = parts.collect();
    let is_word = |part: &&[u8]| part.len() > 2 && known.has(&part.to_ascii_lowercase());
    parts.len() > 1 && parts.iter().all(is_word)
}

/// Each doubt is an i or an l; one bit of `way` decides, the last bit all others.
fn settle(letters: &[Option<u8>], way: usize) -> Vec<u8> {
    let mut doubt = 0;
    let settle = |letter: &Option<u8>| {
        letter.unwrap_or_else(|| {
            let is_l = way >> doubt & 1 == 1;
            doubt = (doubt + 1).min(MAX_DOUBTS - 1);
            if is_l { b'l' } else { b'i' }
        })
    };
    letters.iter().map(settle).collect()
}

/// The word, or the row of words, that letters mean which stand apart.
pub(super) fn spell_apart(letters: &[u8], known: &Vocabulary) -> Option<String> {
    if letters.len() < MIN_APART {
        return None;
    }
    let lower = letters.to_ascii_lowercase();
    if known.knows(&lower) {
        return Some(String::from_utf8_lossy(letters).into_owned());
    }
    spell(letters, known).or_else(|| row(&lower, known))
}

/// Letters without borders as a row of words, when most letters belong to some.
fn row(letters: &[u8], known: &Vocabulary) -> Option<String> {
    let plain: Option<Vec<u8>> = letters
        .iter()
        .map(|byte| match byte {
            byte if byte.is_ascii_alphabetic() => Some(*byte),
            b'1' | b'!' | b'|' => Some(b'i'),
            byte => letter_of(*byte),
        })
        .collect();
    let letters = plain?;
    // The least cost of what stands before each place, and where its last word
    // begins.
    let mut best = vec![(0, 0)];
    for end in 1..=letters.len() {
        let (cost, _) = best[end - 1];
        let mut least = (cost + UNKNOWN, end - 1);
        for start in end.saturating_sub(MAX_WORD)..end - 1 {
            if best[start].0 + 1 < least.0 && known.has(&letters[start..end]) {
                least = (best[start].0 + 1, start);
            }
        }
        best.push(least);
    }
    let mut words = Vec::new();
    let (mut end, mut in_words) = (letters.len(), 0);
    while end > 0 {
        let start = best[end].1;
        if end - start > 1 {
            in_words += end - start;
        }
        words.push(String::from_utf8_lossy(&letters[start..end]));
        end = start;
    }
    words.reverse();
    let is_text = in_words * 10 >= letters.len() * 7 && words.iter().any(|word| word.len() > 3);
    is_text.then(|| words.join(" "))
}

/// What may stand between the letters of a word.
fn is_between(byte: u8) -> bool {
    matches!(
        byte,
        b'.' | b'-' | b'_' | b'*' | b'~' | b'^' | b'\r' | b'\n'
    )
}

/// The letter that a digit or sign stands for, where it is only one.
fn letter_of(byte: u8) -> Option<u8> {
    let letter = match byte {
        b'0' => b'o',
        b'1' | b'!' | b'|' => b'i',
        b'2' => b'z',
        b'3' => b'e',
        b'4' | b'@' => b'a',
        b'5' | b'$' => b's',
        b'6' | b'9' => b'g',
        b'7' | b'+' => b't',
        b'8' => b'b',
        _ => return None,
    };
    Some(letter)
}

fn sign_beyond(c: char) -> Option<u8> {
    match c {
        '€' => Some(b'e'),
        '£' => Some(b'l'),
        '¢' => Some(b'c'),
        _ => None,
    }
}
