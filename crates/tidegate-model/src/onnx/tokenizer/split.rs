//! How normalized letters are cut into words.

use regex_automata::Input;
use regex_automata::meta::Regex;

use super::class::Classes;
use super::normalize::{Letter, matches, prepended};

/// One step.
#[derive(Clone, Debug)]
pub(crate) enum Splitter {
    /// At white space, which is dropped, and around each punctuation mark.
    Bert,
    /// At white space, which is dropped.
    Whitespace,
    /// Around each punctuation mark.
    Punctuation(Behavior),
    /// At the matches of a pattern.
    Pattern { pattern: Regex, behavior: Behavior },
    /// What a pattern matches is kept, the rest dropped.
    Words(Regex),
    /// Every byte becomes a printable letter.
    Bytes {
        /// Finds words, where the file asks for that.
        pattern: Option<Regex>,
        prefix: Prefix,
    },
    /// Spaces become visible marks.
    Metaspace {
        mark: char,
        prefix: Prefix,
        cut: Cut,
    },
}

/// Which words get a space in front.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Prefix {
    Always,
    First,
    Never,
}

/// Whether words end where the next mark begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    AtMarks,
    Nowhere,
}

/// What becomes of a match.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
pub(crate) enum Behavior {
    Removed,
    Isolated,
    MergedWithPrevious,
    MergedWithNext,
    Contiguous,
}

/// The words of GPT-2. Its pattern asks in one place what follows (`\s+(?!\S)`),
/// which linear-time expressions cannot; `gpt_words` does that part.
pub(crate) const GPT_WORDS: &str =
    r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+";

impl Splitter {
    pub(crate) fn apply(&self, word: Vec<Letter>, classes: &Classes) -> Vec<Vec<Letter>> {
        match self {
            Self::Bert => without_space(&word)
                .flat_map(|word| around(word, |c| classes.punctuation.holds(c)))
                .collect(),
            Self::Whitespace => without_space(&word).map(<[Letter]>::to_vec).collect(),
            Self::Punctuation(behavior) => {
                let is_mark = |c: char| classes.punctuation.holds(c);
                let places = word.iter().enumerate().filter(|(_, l)| is_mark(l.0));
                let spans: Vec<_> = places.map(|(at, _)| at..at + 1).collect();
                cut(&word, &spans, *behavior)
            }
            Self::Pattern { pattern, behavior } => cut(&word, &matches(&word, pattern), *behavior),
            Self::Words(pattern) => {
                let spans = matches(&word, pattern).into_iter();
                spans.map(|span| word[span].to_vec()).collect()
            }
            Self::Bytes { pattern, prefix } => {
                let starts = word.first().is_some_and(|letter| letter.0 == ' ');
                let word = if *prefix == Prefix::Always && !starts {
                    prepended(word, " ")
                } else {
                    word
                };
                let words = match pattern {
                    Some(pattern) => gpt_words(&word, pattern),
                    None => vec![word],
                };
                words.into_iter().map(|word| as_bytes(&word)).collect()
            }
            Self::Metaspace { mark, prefix, cut } => metaspace(word, *mark, *prefix, *cut),
        }
    }
}

/// The parts between white space.
fn without_space(word: &[Letter]) -> impl Iterator<Item = &[Letter]> {
    word.split(|letter| letter.0.is_whitespace())
        .filter(|part| !part.is_empty())
}

/// Each letter of a kind alone, what is between them together.
fn around(word: &[Letter], is_alone: impl Fn(char) -> bool) -> Vec<Vec<Letter>> {
    word.chunk_by(|a, b| !is_alone(a.0) && !is_alone(b.0))
        .map(<[Letter]>::to_vec)
        .collect()
}

/// Cuts at spans.
fn cut(word: &[Letter], spans: &[std::ops::Range<usize>], behavior: Behavior) -> Vec<Vec<Letter>> {
    let mut parts: Vec<(std::ops::Range<usize>, bool)> = Vec::new();
    let mut at = 0;
    for span in spans {
        if at < span.start {
            parts.push((at..span.start, false));
        }
        parts.push((span.clone(), true));
        at = span.end;
    }
    if at < word.len() {
        parts.push((at..word.len(), false));
    }
    let keep = |part: &(std::ops::Range<usize>, bool)| word[part.0.clone()].to_vec();
    match behavior {
        Behavior::Removed => parts.iter().filter(|part| !part.1).map(keep).collect(),
        Behavior::Isolated => parts.iter().map(keep).collect(),
        Behavior::Contiguous => join(word, &parts, |before, part| before.1 == part.1),
        Behavior::MergedWithPrevious => join(word, &parts, |before, part| part.1 && !before.1),
        Behavior::MergedWithNext => join(word, &parts, |before, part| before.1 && !part.1),
    }
}

/// Joins neighbors that belong together.
fn join(
    word: &[Letter],
    parts: &[(std::ops::Range<usize>, bool)],
    belong: impl Fn(&(std::ops::Range<usize>, bool), &(std::ops::Range<usize>, bool)) -> bool,
) -> Vec<Vec<Letter>> {
    parts
        .chunk_by(belong)
        .filter_map(|group| Some(group.first()?.0.start..group.last()?.0.end))
        .map(|span| word[span].to_vec())
        .collect()
}

/// The words of GPT-2: of white space before a word, the last letter is left to
/// the word.
fn gpt_words(word: &[Letter], pattern: &Regex) -> Vec<Vec<Letter>> {
    let text: String = word.iter().map(|letter| letter.0).collect();
    let mut words = Vec::new();
    let (mut byte, mut at) = (0, 0);
    while let Some(found) = pattern.find(Input::new(&text).range(byte..)) {
        let mut found = &text[found.range()];
        let last = found.chars().next_back().filter(|c| c.is_whitespace());
        let is_space = found.chars().all(char::is_whitespace);
        if let Some(last) = last.filter(|_| is_space && byte + found.len() < text.len()) {
            let shorter = &found[..found.len() - last.len_utf8()];
            found = if shorter.is_empty() { found } else { shorter };
        }
        let end = at + found.chars().count();
        words.push(word[at..end].to_vec());
        (byte, at) = (byte + found.len(), end);
    }
    words
}

/// Each byte as the letter that stands for it in vocabularies of bytes.
fn as_bytes(word: &[Letter]) -> Vec<Letter> {
    let mut bytes = Vec::with_capacity(word.len());
    for (c, source) in word {
        let encoded = c.encode_utf8(&mut [0; 4]).as_bytes().to_vec();
        bytes.extend(encoded.into_iter().map(|byte| (letter_of(byte), *source)));
    }
    bytes
}

/// Printable bytes stand for themselves, the others for letters from U+0100 on.
fn letter_of(byte: u8) -> char {
    let shift = match byte {
        b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF => return char::from(byte),
        0..=b' ' => u32::from(byte),
        0x7F..=0xA0 => u32::from(byte) - 0x7F + 33,
        0xAD => 67,
    };
    char::from_u32(0x100 + shift).unwrap_or(char::REPLACEMENT_CHARACTER)
}

fn metaspace(word: Vec<Letter>, mark: char, prefix: Prefix, cut: Cut) -> Vec<Vec<Letter>> {
    let show = |(c, source)| (if c == ' ' { mark } else { c }, source);
    let mut word: Vec<Letter> = word.into_iter().map(show).collect();
    let is_first = word.iter().any(|letter| letter.1 == 0);
    let wants = match prefix {
        Prefix::Always => true,
        Prefix::First => is_first,
        Prefix::Never => false,
    };
    if wants && word.first().is_some_and(|letter| letter.0 != mark) {
        word = prepended(word, mark.encode_utf8(&mut [0; 4]));
    }
    match cut {
        Cut::AtMarks => word
            .chunk_by(|_, next| next.0 != mark)
            .map(<[Letter]>::to_vec)
            .collect(),
        Cut::Nowhere => vec![word],
    }
}
