//! Words that are written to be read by people and not by filters: digits and
//! signs for letters, letters of another alphabet, letters apart from each other,
//! signs inside of words, words that are broken over two lines.
//!
//! A word is only taken for another one when that is a word of the rules, so most
//! texts are not changed at all.

use crate::facts::Ending;
use std::ops::Range;

use super::fold::{Kind, Mark};
use super::spell::{Bound, is_short, letter_of, spell, spell_apart, spell_unknown, to_ascii};
use super::tape::Tape;
use super::vocabulary::{MIN_TELLING, Vocabulary};
use super::window::Window;

use std::collections::{HashMap, VecDeque};

/// A longer word is no word. It is read in parts of this length.
const MAX_WORD_BYTES: usize = 96;

/// This many letters that stand apart are read as one word, or as a row of them.
const MAX_APART: usize = 96;

/// So many meanings are remembered; then remembering begins anew.
const MAX_MEANINGS: usize = 256;

/// What a byte may be in a word.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Border,
    Letter,
    /// A digit or a sign that may stand for a letter.
    Sign,
    /// What may stand between letters.
    Joint,
    /// The beginning of a character that is not ASCII.
    Foreign,
}

const PARTS: [Part; 256] = {
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
struct Word {
    range: Range<usize>,
    /// It has more than letters of ASCII.
    is_odd: bool,
}

/// Letters that stand apart.
struct Apart {
    start: usize,
    letters: Vec<u8>,
    /// Where each letter ends.
    ends: Vec<usize>,
    /// It is cut here, and more letters follow.
    goes_on: bool,
}

impl Apart {
    fn end(&self) -> usize {
        self.ends.last().copied().unwrap_or(self.start)
    }

    fn add(&mut self, letters: &[u8], end: usize) {
        self.letters.extend(letters);
        self.ends.extend(letters.iter().map(|_| end));
    }

    fn cut(&mut self, letters: usize) {
        self.letters.truncate(letters);
        self.ends.truncate(letters);
    }

    /// Leaves only one letter, which may have several bytes.
    fn cut_to_first(&mut self) {
        let first = self.ends.first().copied();
        self.cut(self.ends.partition_point(|end| Some(*end) == first));
    }

    /// True where two letters are no accident.
    fn is_row(&self, is_set_off: bool) -> bool {
        let words = self.ends.chunk_by(|a, b| a == b).count();
        words > 2 || (words == 2 && is_set_off)
    }
}

/// What the marks inside of a word say.
#[derive(Clone, Copy, Default)]
struct Marks {
    has_accent: bool,
    is_disguised: bool,
}

/// Copies the neighborhoods of disguised words, the words as they are meant.
#[derive(Clone, Debug, Default)]
pub(crate) struct Words {
    read: usize,
    window: Window,
    /// What odd words meant that came before: many texts repeat a few.
    meanings: HashMap<Box<str>, Option<Meant>>,
}

impl Words {
    /// Reads what is new on the folded tape.
    pub(crate) fn advance(
        &mut self,
        (folded, marks): (&Tape, &mut VecDeque<Mark>),
        plain: &mut Tape,
        vocabulary: &Vocabulary,
        ending: Ending,
    ) {
        let mut page = Page {
            folded,
            marks,
            ending,
        };
        while let Some(end) = self.unit(&mut page, plain, vocabulary) {
            self.read = end;
        }
        self.window.advance(self.read, folded, plain);
    }

    /// What must be kept of the folded tape.
    pub(crate) fn keeps(&self) -> usize {
        self.read.saturating_sub(self.window.kept_bytes())
    }

    /// Reads one word, or letters that belong together, and returns its end.
    fn unit(&mut self, page: &mut Page<'_>, plain: &mut Tape, known: &Vocabulary) -> Option<usize> {
        let start = page.skip_borders(self.read);
        if start > self.read {
            return Some(start);
        }
        let word = page.word(start)?;
        if is_short(page.folded.slice(word.range.clone())) {
            return self.apart(&word, page, plain, known);
        }
        if let Some(broken) = page.broken(&word)? {
            let text = page.folded.slice(broken.clone());
            if let Some(meant) = spell(text.as_bytes(), known) {
                page.take_marks(&broken);
                let end = broken.end;
                let meant = Meant {
                    within: broken,
                    tells: meant.len() >= MIN_TELLING,
                    text: meant,
                };
                self.put(&meant, page, plain);
                return Some(end);
            }
        }
        self.word(&word, page, plain, known);
        Some(word.range.end)
    }

    fn meaning(&mut self, text: &str, known: &Vocabulary) -> Option<Meant> {
        if let Some(meant) = self.meanings.get(text) {
            return meant.clone();
        }
        if self.meanings.len() >= MAX_MEANINGS {
            self.meanings.clear();
        }
        let meant = read_odd(text, known);
        self.meanings.insert(text.into(), meant.clone());
        meant
    }

    fn word(&mut self, word: &Word, page: &mut Page<'_>, plain: &mut Tape, known: &Vocabulary) {
        let marks = page.take_marks(&word.range);
        let text = page.folded.slice(word.range.clone());
        if word.is_odd
            && let Some(meant) = self.meaning(text, known)
        {
            let from = word.range.start;
            let meant = Meant {
                within: from + meant.within.start..from + meant.within.end,
                tells: meant.tells || marks.is_disguised,
                ..meant
            };
            self.put(&meant, page, plain);
        } else if marks.is_disguised
            || (marks.has_accent
                && text.len() >= MIN_TELLING
                && known.knows(text.to_ascii_lowercase().as_bytes()))
        {
            self.window.open(&word.range, page.folded, plain);
        }
    }

    /// Reads letters that stand apart, and returns their end.
    fn apart(
        &mut self,
        first: &Word,
        page: &mut Page<'_>,
        plain: &mut Tape,
        known: &Vocabulary,
    ) -> Option<usize> {
        let mut row = page.apart(first)?;
        let mut extra = page.extra_spaces(row.end())?;
        let is_set_off = extra > 0 || page.is_set_off(row.start);
        let bound = match is_set_off {
            _ if row.goes_on => Bound::Length,
            true => Bound::Spaces,
            false => Bound::Letters,
        };
        let meant = spell_apart(&row.letters, bound, known);
        match &meant {
            Some((_, used)) if *used < row.letters.len() => {
                row.cut(*used);
                extra = 0;
            }
            Some(_) => {}
            None if row.is_row(is_set_off) => {}
            None => {
                row.cut_to_first();
                extra = page.extra_spaces(row.end())?;
            }
        }
        let mut range = row.start..row.end();
        let marks = page.take_marks(&range);
        let tells = marks.is_disguised
            || meant
                .as_ref()
                .is_some_and(|(meant, _)| meant.len() >= MIN_TELLING);
        // What is no word of the rules may still stand between two of them.
        let meant = match meant {
            Some((meant, _)) => meant,
            None => page.alone(&row),
        };
        if extra > 0 || meant != page.folded.slice(range.clone()) {
            range.end += extra;
            let meant = Meant {
                within: range.clone(),
                text: meant,
                tells,
            };
            self.put(&meant, page, plain);
        } else if tells {
            self.window.open(&range, page.folded, plain);
        }
        Some(range.end)
    }

    fn put(&mut self, meant: &Meant, page: &Page<'_>, plain: &mut Tape) {
        let from = page.folded.span(&meant.within);
        self.window.change(meant.within.clone(), &meant.text, from);
        if meant.tells {
            self.window.open(&meant.within, page.folded, plain);
        }
    }
}

/// What a word means that has more than letters of ASCII.
#[derive(Clone, Debug)]
struct Meant {
    /// The part of the word that means something.
    within: Range<usize>,
    text: String,
    /// It is a sign of a disguise by itself.
    tells: bool,
}

fn read_odd(text: &str, known: &Vocabulary) -> Option<Meant> {
    let (ascii, is_mixed) = to_ascii(text);
    let is_mapped = ascii != text;
    // Offsets only count where nothing was mapped.
    let core = if is_mapped {
        0..text.len()
    } else {
        let start = text.len() - text.trim_start_matches(is_joint).len();
        start..start + text[start..].trim_end_matches(is_joint).len()
    };
    let word = if is_mapped {
        ascii.trim_matches(is_joint)
    } else {
        &text[core.clone()]
    };
    // A sign at the end may be a sign.
    let shorter = word.trim_end_matches(['!', '|', '+', '$', '@']);
    for (word, end) in [(word, core.end), (shorter, core.start + shorter.len())] {
        let meant = spell(word.as_bytes(), known).or_else(|| {
            (is_mapped && known.knows(&word.to_ascii_lowercase().into_bytes()))
                .then(|| word.to_owned())
        });
        if let Some(meant) = meant {
            let end = if is_mapped { core.end } else { end };
            // A number may be a word, but does not say so.
            let has_letter = word.bytes().any(|byte| byte.is_ascii_alphabetic());
            let tells = has_letter && meant.len() >= MIN_TELLING;
            return Some(Meant {
                within: core.start..end,
                text: meant,
                tells,
            });
        }
    }
    if is_mapped {
        return Some(Meant {
            within: core,
            text: ascii,
            tells: is_mixed,
        });
    }
    let word = word.trim_end_matches(['!', '+', '@']);
    let text = spell_unknown(word.as_bytes())?;
    Some(Meant {
        within: core.start..core.start + word.len(),
        text,
        tells: false,
    })
}

fn is_joint(c: char) -> bool {
    c.is_ascii() && PARTS[c as usize] == Part::Joint
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

/// What of the folded tape can be read now.
struct Page<'a> {
    folded: &'a Tape,
    marks: &'a mut VecDeque<Mark>,
    ending: Ending,
}

impl Page<'_> {
    fn skip_borders(&self, at: usize) -> usize {
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
    fn word(&self, start: usize) -> Option<Word> {
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
    fn foreign(&self, at: usize) -> Option<char> {
        let c = self.char_at(at);
        (c.is_alphanumeric() || matches!(c, '€' | '£' | '¢')).then_some(c)
    }

    fn char_at(&self, at: usize) -> char {
        let rest = self.folded.slice(at..self.folded.end());
        rest.chars().next().unwrap_or(' ')
    }

    /// The word and its other half, where a line ends between them. Says nothing
    /// when more text must come first.
    fn broken(&self, word: &Word) -> Option<Option<Range<usize>>> {
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
    fn line_break(&self, at: usize) -> Option<usize> {
        match self.folded.bytes_from(at) {
            [b'\n', ..] => Some(1),
            [b'\r', b'\n', ..] => Some(2),
            [] | [b'\r'] if self.ending == Ending::Open => None,
            [..] => Some(0),
        }
    }

    /// Letters that stand apart with one and the same sign between each two.
    fn apart(&self, first: &Word) -> Option<Apart> {
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

    /// True when more than one space stands before `at`.
    fn is_set_off(&self, at: usize) -> bool {
        let from = at.saturating_sub(2).max(self.folded.base());
        at - from == 2 && self.folded.bytes_from(from).starts_with(b"  ")
    }

    /// What letters mean that spell no word of the rules.
    fn alone(&self, row: &Apart) -> String {
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

    /// Spaces at `at` beyond the one that stands between any two words: with them
    /// words are kept apart whose letters are.
    fn extra_spaces(&self, at: usize) -> Option<usize> {
        const MOST: usize = 4;
        let bytes = self.folded.bytes_from(at);
        if bytes.len() <= MOST && self.ending == Ending::Open {
            return None;
        }
        let spaces = bytes.iter().take(MOST).take_while(|byte| **byte == b' ');
        Some(spaces.count().saturating_sub(1))
    }

    /// Takes the marks up to the end of `range`; tells of those inside.
    fn take_marks(&mut self, range: &Range<usize>) -> Marks {
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
