//! One character at a time: compatibility forms, accents, invisible characters,
//! and text that is turned around.

use std::collections::VecDeque;

use unicode_normalization::char::{
    canonical_combining_class, decompose_canonical, decompose_compatible, is_combining_mark,
};

use crate::span::Span;

use super::lookalike::{is_invisible, of_latin};
use super::tape::Tape;

/// Begins text that is shown from right to left, whatever its letters.
const OVERRIDE: char = '\u{202E}';

/// A turned text is at most this long, in code points.
const MAX_TURNED: usize = 512;

/// Behind the alphabets whose letters may carry any mark: Latin, Greek, Cyrillic.
/// In others a mark is a part of the word.
const LAST_EUROPEAN: char = '\u{530}';

/// How much a change says about the intent of who wrote it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// An accent went: half of the world writes so.
    Accent,
    /// Something invisible stood here; it means nothing outside of words.
    Gap,
    /// A letter or digit was written with another character.
    Letter,
}

/// A place on the folded tape where something was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) at: usize,
    pub(crate) kind: Kind,
}

/// Copies a tape and folds its characters.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fold {
    /// What has been read of the source.
    read: usize,
    /// The last character is one whose marks may go.
    has_base: bool,
    /// Characters that are shown in the other direction, the first one's place,
    /// while they last.
    turned: Option<(Vec<char>, Span)>,
    /// Changes that nobody has looked at, in order.
    pub(crate) marks: VecDeque<Mark>,
}

impl Fold {
    /// Reads what is new on the source.
    pub(crate) fn advance(&mut self, source: &Tape, folded: &mut Tape, is_last: bool) {
        let from = self.read;
        self.read = source.end();
        let text = source.slice(from..self.read);
        if self.turned.is_none() && text.bytes().all(is_ordinary) {
            if !text.is_empty() {
                self.has_base = true;
                folded.copy(source, from..self.read);
            }
        } else {
            self.each(text, from, source, folded);
        }
        if is_last {
            self.turn(folded);
        }
    }

    fn each(&mut self, text: &str, from: usize, source: &Tape, folded: &mut Tape) {
        let mut same = 0;
        for (at, c) in text.char_indices() {
            if self.turned.is_none() && c.is_ascii() && is_ordinary(c as u8) {
                self.has_base = true;
                continue;
            }
            if same < at {
                folded.copy(source, from + same..from + at);
            }
            same = at + c.len_utf8();
            let place = from + at..from + same;
            if self.turned.is_some() {
                self.gather(c, source.span(&place), folded);
            } else if c == OVERRIDE {
                self.turned = Some((Vec::new(), source.span(&place)));
            } else if !self.fold(c, source.span(&place), folded) {
                folded.copy(source, place);
            }
        }
        if same < text.len() {
            folded.copy(source, from + same..from + text.len());
        }
    }

    /// Adds what a character means, or says that it means itself.
    fn fold(&mut self, c: char, from: Span, folded: &mut Tape) -> bool {
        if is_invisible(c) {
            self.mark(folded, Kind::Gap);
            return true;
        }
        if is_combining_mark(c) && self.has_base && canonical_combining_class(c) > 0 {
            self.mark(folded, Kind::Accent);
            return true;
        }
        if let Some(letter) = of_latin(c) {
            self.has_base = true;
            self.mark(folded, Kind::Letter);
            folded.push(letter.encode_utf8(&mut [0; 4]), from);
            return true;
        }
        let mut plain = String::new();
        decompose_compatible(c, |part| {
            // An accent of a letter that is no letter of ASCII belongs to it.
            if !(is_combining_mark(part) && plain.is_ascii() && !plain.is_empty()) {
                plain.push(part);
            }
        });
        let base = plain.chars().next_back().unwrap_or(c);
        self.has_base = base < LAST_EUROPEAN;
        let mut is_canonical = false;
        decompose_canonical(c, |part| is_canonical |= part != c);
        let stays = plain.chars().eq([c]) || (is_canonical && !plain.is_ascii());
        if stays {
            return false;
        }
        let has_letter = plain.chars().any(char::is_alphanumeric);
        if has_letter {
            let kind = if is_canonical {
                Kind::Accent
            } else {
                Kind::Letter
            };
            self.mark(folded, kind);
        }
        folded.push(&plain, from);
        true
    }

    fn mark(&mut self, folded: &Tape, kind: Kind) {
        let at = folded.end();
        self.marks.push_back(Mark { at, kind });
    }

    /// Takes a character of a turned text, up to its end.
    fn gather(&mut self, c: char, from: Span, folded: &mut Tape) {
        let Some((chars, whole)) = &mut self.turned else {
            return;
        };
        whole.end = from.end;
        let ends = matches!(c, '\u{202C}' | '\n');
        if !ends {
            chars.push(c);
        }
        if ends || chars.len() == MAX_TURNED {
            self.turn(folded);
            if c == '\n' {
                folded.push("\n", from);
            }
        }
    }

    /// Writes a turned text as it is shown.
    fn turn(&mut self, folded: &mut Tape) {
        let Some((chars, whole)) = self.turned.take() else {
            return;
        };
        for c in chars.into_iter().rev() {
            let at = folded.end();
            if !self.fold(c, whole, folded) {
                folded.push(c.encode_utf8(&mut [0; 4]), whole);
            }
            self.marks.push_back(Mark {
                at,
                kind: Kind::Letter,
            });
        }
    }
}

/// True for the characters that every text is made of.
fn is_ordinary(byte: u8) -> bool {
    matches!(byte, b' '..=b'~' | b'\t' | b'\n' | b'\r')
}
