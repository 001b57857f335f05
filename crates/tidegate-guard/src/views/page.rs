//! What of a text can be read now: words, their borders, and the marks inside of them.

use crate::facts::Ending;
use std::collections::VecDeque;
use std::ops::Range;
use std::sync::OnceLock;

use super::fold::{Kind, Mark};
use super::tape::Tape;

/// A longer word is no word. It is read in parts of this length.
const MAX_WORD_BYTES: usize = 96;

/// What a byte may be in a word.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Border,
    Letter,
    /// A digit or a sign that may stand for a letter.
    Sign,
    /// What may stand between letters.
    Joint,
    /// The beginning of a character that is not ASCII.
    Foreign,
}

pub(super) const PARTS: [Part; 256] = {
    let mut parts = [Part::Border; 256];
    let mut byte = 0;
    while byte < 256 {
        parts[byte] = match byte as u8 {
            b'a'..=b'z' | b'A'..=b'Z' => Part::Letter,
            b'0'..=b'9' | b'@' | b'$' | b'!' | b'|' | b'+' => Part::Sign,
            b'.' | b'-' | b'_' | b'*' | b'~' | b'^' => Part::Joint,
            128.. => Part::Foreign,
            _ => Part::Border,
        };
        byte += 1;
    }
    parts
};

/// A word of the source.
pub(super) struct Word {
    pub(super) range: Range<usize>,
    /// It has more than letters of ASCII.
    pub(super) is_odd: bool,
}

/// What the marks inside of a word say.
#[derive(Clone, Copy, Default)]
pub(super) struct Marks {
    pub(super) has_accent: bool,
    pub(super) is_disguised: bool,
}

/// What of the folded tape can be read now.
pub(super) struct Page<'a> {
    pub(super) folded: &'a Tape,
    pub(super) marks: &'a mut VecDeque<Mark>,
    pub(super) ending: Ending,
}

impl Page<'_> {
    pub(super) fn skip_borders(&self, at: usize) -> usize {
        let bytes = self.folded.bytes_from(at);
        let mut offset = 0;
        while let Some(byte) = bytes.get(offset) {
            match PARTS[usize::from(*byte)] {
                Part::Border | Part::Joint => offset += 1,
                Part::Foreign => match self.foreign(at + offset) {
                    Some(_) => break,
                    None => offset += self.char_at(at + offset).len_utf8(),
                },
                Part::Letter | Part::Sign => break,
            }
        }
        at + offset
    }

    /// The word that begins at `start`, when its end is there.
    pub(super) fn word(&self, start: usize) -> Option<Word> {
        let bytes = self.folded.bytes_from(start);
        let mut offset = 0;
        let mut is_odd = false;
        loop {
            if offset >= MAX_WORD_BYTES {
                break;
            }
            let Some(byte) = bytes.get(offset) else {
                if self.ending == Ending::Last && offset > 0 {
                    break;
                }
                return None;
            };
            match PARTS[usize::from(*byte)] {
                Part::Border => break,
                Part::Letter => offset += 1,
                Part::Sign | Part::Joint => {
                    is_odd = true;
                    offset += 1;
                }
                Part::Foreign => {
                    let Some(c) = self.foreign(start + offset) else {
                        break;
                    };
                    is_odd = true;
                    offset += c.len_utf8();
                }
            }
        }
        let range = start..start + offset;
        Some(Word { range, is_odd })
    }

    /// The letter of another alphabet at `at`, if it is one.
    pub(super) fn foreign(&self, at: usize) -> Option<char> {
        let c = self.char_at(at);
        is_of_word(c).then_some(c)
    }

    pub(super) fn char_at(&self, at: usize) -> char {
        let rest = self.folded.slice(at..self.folded.end());
        rest.chars().next().unwrap_or(' ')
    }

    /// The word and its other half, where a line ends between them. Says nothing
    /// when more text must come first.
    pub(super) fn broken(&self, word: &Word) -> Option<Option<Range<usize>>> {
        let line_break = match self.line_break(word.range.end) {
            Some(0) => return Some(None),
            Some(bytes) => bytes,
            None => return None,
        };
        let next = word.range.end + line_break;
        match self.folded.bytes_from(next).first() {
            None if self.ending == Ending::Last => Some(None),
            None => None,
            Some(byte) if PARTS[usize::from(*byte)] == Part::Letter => {
                let half = self.word(next)?;
                Some(Some(word.range.start..half.range.end))
            }
            Some(_) => Some(None),
        }
    }

    /// The bytes of a line break at `at`, 0 where there is none.
    pub(super) fn line_break(&self, at: usize) -> Option<usize> {
        match self.folded.bytes_from(at) {
            [b'\n', ..] => Some(1),
            [b'\r', b'\n', ..] => Some(2),
            [] | [b'\r'] if self.ending == Ending::Open => None,
            [..] => Some(0),
        }
    }

    /// True when more than one space stands before `at`.
    pub(super) fn is_set_off(&self, at: usize) -> bool {
        let from = at.saturating_sub(2).max(self.folded.base());
        at - from == 2 && self.folded.bytes_from(from).starts_with(b"  ")
    }

    /// Spaces at `at` beyond the one that stands between any two words: with them
    /// words are kept apart whose letters are.
    pub(super) fn extra_spaces(&self, at: usize) -> Option<usize> {
        const MOST: usize = 4;
        let bytes = self.folded.bytes_from(at);
        if bytes.len() <= MOST && self.ending == Ending::Open {
            return None;
        }
        let spaces = bytes.iter().take(MOST).take_while(|byte| **byte == b' ');
        Some(spaces.count().saturating_sub(1))
    }

    /// Takes the marks up to the end of `range`; tells of those inside.
    pub(super) fn take_marks(&mut self, range: &Range<usize>) -> Marks {
        let mut found = Marks::default();
        while let Some(mark) = self.marks.front()
            && mark.at < range.end
        {
            match mark.kind {
                Kind::Accent if mark.at >= range.start => found.has_accent = true,
                Kind::Letter if mark.at >= range.start => found.is_disguised = true,
                Kind::Gap if mark.at > range.start => found.is_disguised = true,
                Kind::Accent | Kind::Letter | Kind::Gap => {}
            }
            self.marks.pop_front();
        }
        found
    }
}

/// True for what may stand in a word. Of most characters it is noted once: the
/// tables of the alphabets are searched for each letter that is not of Latin.
fn is_of_word(c: char) -> bool {
    const NOTED: u32 = 0x1_0000;
    static NOTES: OnceLock<Vec<bool>> = OnceLock::new();
    let asked = |c: char| c.is_alphanumeric() || matches!(c, '€' | '£' | '¢');
    let notes = NOTES.get_or_init(|| {
        let all = (0..NOTED).map(char::from_u32);
        all.map(|c| c.is_some_and(asked)).collect()
    });
    notes.get(c as usize).copied().unwrap_or_else(|| asked(c))
}
