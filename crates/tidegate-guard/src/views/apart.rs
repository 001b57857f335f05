//! Letters that stand apart: `f o r g e t`.

use crate::facts::Ending;
use std::ops::Range;

use super::page::{PARTS, Page, Part, Word};
use super::spell::{Bound, is_short, letter_of, to_ascii};

/// This many letters that stand apart are read as one word, or as a row of them.
const MAX_APART: usize = 96;

/// Letters that stand apart.
pub(super) struct Apart {
    pub(super) start: usize,
    pub(super) letters: Vec<u8>,
    /// Where each letter ends.
    ends: Vec<usize>,
    /// It is cut here, and more letters follow.
    pub(super) goes_on: bool,
}

impl Apart {
    pub(super) fn end(&self) -> usize {
        self.ends.last().copied().unwrap_or(self.start)
    }

    pub(super) fn add(&mut self, letters: &[u8], end: usize) {
        self.letters.extend(letters);
        self.ends.extend(letters.iter().map(|_| end));
    }

    pub(super) fn cut(&mut self, letters: usize) {
        self.letters.truncate(letters);
        self.ends.truncate(letters);
    }

    /// Leaves only one letter, which may have several bytes.
    pub(super) fn cut_to_first(&mut self) {
        let first = self.ends.first().copied();
        self.cut(self.ends.partition_point(|end| Some(*end) == first));
    }

    /// True where two letters are no accident.
    pub(super) fn is_row(&self, bound: Bound) -> bool {
        let words = self.ends.chunk_by(|a, b| a == b).count();
        words > 2 || (words == 2 && bound == Bound::Spaces)
    }
}

/// The letter before the point or the like that ends a sentence, also where the next
/// one begins without a space.
fn last_letter(text: &str) -> Option<u8> {
    let (letter, rest) = text.as_bytes().split_first()?;
    let is_end = |byte: &u8| *byte == b'!' || PARTS[usize::from(*byte)] == Part::Joint;
    let ends = rest.iter().take_while(|byte| is_end(byte)).count();
    let next = &rest[ends..];
    let is_last = ends > 0 && next.len() < 2 && next.iter().all(u8::is_ascii_alphabetic);
    (letter.is_ascii_alphabetic() && is_last).then_some(*letter)
}

/// What follows a letter that stands apart.
enum Next {
    /// Another one.
    Letter(Range<usize>),
    /// The last one of a sentence, which ends here.
    Last(u8, usize),
}

impl Page<'_> {
    /// Letters that stand apart with one and the same sign between each two.
    pub(super) fn apart(&self, first: &Word) -> Option<Apart> {
        let mut row = Apart {
            start: first.range.start,
            letters: Vec::new(),
            ends: Vec::new(),
            goes_on: false,
        };
        let mut between = None;
        let mut word = first.range.clone();
        loop {
            let letter = to_ascii(self.folded.slice(word.clone())).0;
            row.add(letter.as_bytes(), word.end);
            let Some(next) = self.next_apart(word.end)? else {
                break;
            };
            let sign = self.folded.bytes_from(word.end).first().copied();
            if between.is_some_and(|between| Some(between) != sign) {
                // The second letter belongs to those that follow: `Go\nW e l l`.
                let is_first_of_next = matches!(next, Next::Letter(_)) && row.ends.len() == 2;
                if is_first_of_next {
                    row.cut_to_first();
                }
                break;
            }
            between = sign;
            match next {
                Next::Letter(_) if row.letters.len() >= MAX_APART => {
                    row.goes_on = true;
                    break;
                }
                Next::Letter(next) => word = next,
                Next::Last(letter, end) => {
                    row.add(&[letter], end);
                    break;
                }
            }
        }
        Some(row)
    }

    /// The letter behind the letter that ends at `end`, with one sign between them.
    fn next_apart(&self, end: usize) -> Option<Option<Next>> {
        let bytes = self.folded.bytes_from(end);
        let next = end + 1;
        match (bytes.first(), bytes.get(1)) {
            (None, _) if self.ending == Ending::Open => return None,
            (Some(sign), None) if sign.is_ascii() && self.ending == Ending::Open => return None,
            (None, _) | (_, None) => return Some(None),
            (Some(sign), _) if !sign.is_ascii() => return Some(None),
            (Some(_), Some(byte)) => match PARTS[usize::from(*byte)] {
                Part::Border | Part::Joint => return Some(None),
                Part::Foreign if self.foreign(next).is_none() => return Some(None),
                Part::Letter | Part::Sign | Part::Foreign => {}
            },
        }
        let word = self.word(next)?;
        let text = self.folded.slice(word.range.clone());
        let last = last_letter(text).map(|letter| Next::Last(letter, next + 1));
        Some(if is_short(text) {
            Some(Next::Letter(word.range))
        } else {
            last
        })
    }

    /// What letters mean that spell no word of the rules.
    pub(super) fn alone(&self, row: &Apart) -> String {
        let from = row.start.saturating_sub(1).max(self.folded.base());
        let is_ending = self.folded.bytes_from(from).starts_with(b"'");
        let letter = match row.letters.as_slice() {
            [sign @ (b'4' | b'@')] => letter_of(*sign),
            [sign] if is_ending => letter_of(*sign),
            [..] => None,
        };
        let letters = letter
            .as_ref()
            .map_or(row.letters.as_slice(), std::slice::from_ref);
        String::from_utf8_lossy(letters).into_owned()
    }
}
