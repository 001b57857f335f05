//! What a word means in which signs stand for letters.

use super::lookalike::of_other_alphabet;
use super::vocabulary::{MIN_TELLING, Vocabulary};

use std::ops::Range;

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
    // A number may be anything; one of few signs is a word more often than not.
    if letters.len() < 2 {
        return None;
    }
    let doubts = letters.iter().filter(|letter| letter.is_none()).count();
    let ways = 1_usize << doubts.min(MAX_DOUBTS);
    let meant = (0..ways).map(|way| settle(&letters, way));
    // Shouting is no word.
    let has_sign = |byte: &u8| byte.is_ascii_digit() || matches!(byte, b'@' | b'$');
    let is_word = |word: &Vec<u8>| match has_letter {
        true => known.knows(&word.to_ascii_lowercase()),
        false => known.has(word) && written.iter().any(has_sign),
    };
    let meant = meant.into_iter().find(is_word)?;
    if has_known_parts(written, &meant, known) {
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
        return row_in_word(written, *joint);
    }
    let letters = written.iter().filter(|byte| byte.is_ascii_alphabetic());
    let letters = letters.count();
    if letters == 0 || written.len() > MAX_LENGTH || letters == written.len() {
        return None;
    }
    let is_inside = |at: usize| 0 < at && at + 1 < written.len();
    let mut meant = String::with_capacity(written.len());
    for (at, byte) in written.iter().enumerate() {
        match byte {
            byte if byte.is_ascii_alphabetic() => meant.push(char::from(*byte)),
            // Names of programs are made of the other joints.
            b'*' | b'~' | b'^' if is_inside(at) => {}
            b'|' => meant.push('l'),
            byte => meant.push(char::from(letter_of(*byte)?)),
        }
    }
    Some(meant)
}

/// Letters with one and the same sign between them, where others may stand between
/// words: `a.b_c.d` is `ab_cd`.
fn row_in_word(written: &[u8], joint: u8) -> Option<String> {
    let is_pair = |pair: &[u8]| {
        pair[0].is_ascii_alphanumeric() && pair.get(1).is_none_or(|byte| is_between(*byte))
    };
    let joints = || written.iter().skip(1).step_by(2);
    let same = joints().filter(|byte| **byte == joint).count();
    let is_row =
        written.len() % 2 == 1 && written.chunks(2).all(is_pair) && same * 2 >= joints().count();
    let is_kept = |(at, byte): &(usize, &u8)| at % 2 == 0 || **byte != joint;
    let kept = written.iter().enumerate().filter(is_kept);
    is_row.then(|| kept.map(|(_, byte)| char::from(*byte)).collect())
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
/// `auth.token`, or a line begins behind one with what only looks like its ending.
fn has_known_parts(written: &[u8], meant: &[u8], known: &Vocabulary) -> bool {
    let mut lines = written.split(|byte| matches!(byte, b'\r' | b'\n'));
    let line = lines.next().unwrap_or_default().to_ascii_lowercase();
    let is_ended = line.ends_with(b".") || (line.len() >= MIN_TELLING && known.has(&line));
    if lines.next().is_some() && is_ended && !known.has(&meant.to_ascii_lowercase()) {
        return true;
    }
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

/// Where a row of letters ends.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Bound {
    /// Where more than one space stands, so that it is one word rather than many.
    Spaces,
    /// Where no letter follows that stands apart.
    Letters,
    /// Where it became too long, most likely in the middle of a word.
    Length,
}

/// The word, or the row of words, that letters mean which stand apart, and how many
/// of the letters: of a row that became too long the last word is left for the next.
pub(super) fn spell_apart(
    letters: &[u8],
    bound: Bound,
    known: &Vocabulary,
) -> Option<(String, usize)> {
    if letters.len() < MIN_APART {
        return None;
    }
    let lower = letters.to_ascii_lowercase();
    if known.knows(&lower) {
        let written = String::from_utf8_lossy(letters).into_owned();
        return Some((written, letters.len()));
    }
    let word = spell(letters, known).map(|word| (word, letters.len()));
    word.or_else(|| row(&lower, bound, known))
}

/// Letters without borders as a row of words, when most letters belong to some.
fn row(letters: &[u8], bound: Bound, known: &Vocabulary) -> Option<(String, usize)> {
    let plain = |byte: &u8| {
        let letter = byte.is_ascii_alphabetic().then_some(*byte);
        letter.or_else(|| letter_of(*byte))
    };
    let letters: Vec<u8> = letters.iter().map(plain).collect::<Option<_>>()?;
    let mut words = words_in(&letters, known);
    if bound == Bound::Length {
        words.retain(|word| word.end + MAX_WORD <= letters.len());
    }
    let used = words.last()?.end;
    let is_known = |word: &&Range<usize>| word.len() > 1 && known.has(&letters[(*word).clone()]);
    let in_words: usize = words.iter().filter(is_known).map(Range::len).sum();
    let is_text = match bound {
        Bound::Spaces => in_words == used,
        Bound::Letters | Bound::Length => in_words * 10 >= used * 7,
    };
    if !is_text || words.iter().all(|word| word.len() < MIN_TELLING) {
        return None;
    }
    let words = words
        .into_iter()
        .map(|word| String::from_utf8_lossy(&letters[word]));
    Some((words.collect::<Vec<_>>().join(" "), used))
}

/// The fewest known words that leave the fewest letters, and what stands between them.
fn words_in(letters: &[u8], known: &Vocabulary) -> Vec<Range<usize>> {
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
    let mut words: Vec<Range<usize>> = Vec::new();
    let mut end = letters.len();
    let mut was_known = true;
    while end > 0 {
        let start = best[end].1;
        let is_known = end - start > 1;
        match words.last_mut() {
            Some(next) if !is_known && !was_known => next.start = start,
            Some(_) | None => words.push(start..end),
        }
        was_known = is_known;
        end = start;
    }
    words.reverse();
    words
}

/// What may stand between the letters of a word.
fn is_between(byte: u8) -> bool {
    matches!(
        byte,
        b'.' | b'-' | b'_' | b'*' | b'~' | b'^' | b'\r' | b'\n'
    )
}

/// The letter that a digit or sign stands for, where it is only one.
pub(super) fn letter_of(byte: u8) -> Option<u8> {
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
