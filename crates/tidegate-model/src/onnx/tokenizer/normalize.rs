//! What happens to the letters of a text before it is split.
//!
//! Every step maps letters to letters and keeps, beside each, the place in the
//! text that it came from.

use regex_automata::meta::Regex;
use unicode_normalization::char as unicode;

use super::charsmap::Charsmap;
use super::class::Classes;

/// A letter, and the code point of the text that it came from.
pub(crate) type Letter = (char, u32);

/// One step.
#[derive(Clone, Debug)]
pub(crate) enum Normalizer {
    /// What BERT does, in this order.
    Bert {
        clean: Choice,
        space_ideographs: Choice,
        strip_accents: Choice,
        lowercase: Choice,
    },
    Lowercase,
    Decompose(Form),
    Compose(Form),
    StripAccents,
    Strip {
        left: Choice,
        right: Choice,
    },
    Prepend(String),
    Replace {
        pattern: Regex,
        content: String,
    },
    Charsmap(Charsmap),
}

/// Whether a file asks for something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Choice {
    No,
    Yes,
}

impl Choice {
    fn is_on(self) -> bool {
        self == Self::Yes
    }
}

impl From<Option<bool>> for Choice {
    fn from(choice: Option<bool>) -> Self {
        if choice == Some(true) {
            Self::Yes
        } else {
            Self::No
        }
    }
}

/// How far letters are taken apart.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Form {
    Canonical,
    Compatible,
}

impl Normalizer {
    pub(crate) fn apply(&self, letters: Vec<Letter>, classes: &Classes) -> Vec<Letter> {
        match self {
            Self::Bert {
                clean,
                space_ideographs,
                strip_accents,
                lowercase,
            } => {
                let mut letters = letters;
                if clean.is_on() {
                    letters = cleaned(letters, classes);
                }
                if space_ideographs.is_on() {
                    letters = spaced(letters);
                }
                if strip_accents.is_on() {
                    letters = decomposed(letters, Form::Canonical);
                    letters.retain(|letter| !classes.nonspacing.holds(letter.0));
                }
                if lowercase.is_on() {
                    letters = lowered(letters);
                }
                letters
            }
            Self::Lowercase => lowered(letters),
            Self::Decompose(form) => decomposed(letters, *form),
            Self::Compose(form) => composed(decomposed(letters, *form)),
            Self::StripAccents => {
                let mut letters = letters;
                letters.retain(|letter| !unicode::is_combining_mark(letter.0));
                letters
            }
            Self::Strip { left, right } => stripped(letters, *left, *right),
            Self::Prepend(text) => prepended(letters, text),
            Self::Replace { pattern, content } => replaced(&letters, pattern, content),
            Self::Charsmap(charsmap) => charsmap.apply(letters),
        }
    }
}

/// Without control characters, and with one kind of space.
fn cleaned(letters: Vec<Letter>, classes: &Classes) -> Vec<Letter> {
    let is_kept =
        |c: char| matches!(c, '\t' | '\n' | '\r') || !(c == '\u{FFFD}' || classes.other.holds(c));
    let space = |c: char| if c.is_whitespace() { ' ' } else { c };
    let kept = letters.into_iter().filter(|letter| is_kept(letter.0));
    kept.map(|(c, source)| (space(c), source)).collect()
}

/// With spaces around each ideograph.
fn spaced(letters: Vec<Letter>) -> Vec<Letter> {
    let is_ideograph = |c: char| {
        matches!(
            u32::from(c),
            0x4E00..=0x9FFF
                | 0x3400..=0x4DBF
                | 0x20000..=0x2A6DF
                | 0x2A700..=0x2B73F
                | 0x2B740..=0x2B81F
                | 0x2B920..=0x2CEAF
                | 0xF900..=0xFAFF
                | 0x2F800..=0x2FA1F
        )
    };
    let mut spaced = Vec::with_capacity(letters.len());
    for (c, source) in letters {
        if is_ideograph(c) {
            spaced.extend([(' ', source), (c, source), (' ', source)]);
        } else {
            spaced.push((c, source));
        }
    }
    spaced
}

fn lowered(letters: Vec<Letter>) -> Vec<Letter> {
    let lower = |(c, source): Letter| c.to_lowercase().map(move |c| (c, source));
    letters.into_iter().flat_map(lower).collect()
}

/// Takes letters apart, with marks in their order.
fn decomposed(letters: Vec<Letter>, form: Form) -> Vec<Letter> {
    let mut apart = Vec::with_capacity(letters.len());
    for (c, source) in letters {
        match form {
            Form::Canonical => unicode::decompose_canonical(c, |c| apart.push((c, source))),
            Form::Compatible => unicode::decompose_compatible(c, |c| apart.push((c, source))),
        }
    }
    let class = |letter: &Letter| unicode::canonical_combining_class(letter.0);
    for marks in apart.chunk_by_mut(|a, b| class(a) != 0 && class(b) != 0) {
        marks.sort_by_key(class);
    }
    apart
}

/// Puts letters together again.
fn composed(letters: Vec<Letter>) -> Vec<Letter> {
    let mut whole: Vec<Letter> = Vec::with_capacity(letters.len());
    // Where the last letter stands that marks belong to, and the class of the last
    // mark between it and here that found no place in it.
    let mut starter: Option<usize> = None;
    let mut between: Option<u8> = None;
    for (c, source) in letters {
        let class = unicode::canonical_combining_class(c);
        if let Some(at) = starter {
            let is_blocked = between.is_some_and(|last| last >= class);
            let joined = unicode::compose(whole[at].0, c).filter(|_| !is_blocked);
            if let Some(joined) = joined {
                whole[at].0 = joined;
                continue;
            }
        }
        if class == 0 {
            (starter, between) = (Some(whole.len()), None);
        } else {
            between = Some(class);
        }
        whole.push((c, source));
    }
    whole
}

fn stripped(mut letters: Vec<Letter>, left: Choice, right: Choice) -> Vec<Letter> {
    if right.is_on() {
        let last = letters.iter().rposition(|letter| !letter.0.is_whitespace());
        letters.truncate(last.map_or(0, |last| last + 1));
    }
    if left.is_on() {
        let first = letters.iter().position(|letter| !letter.0.is_whitespace());
        letters.drain(..first.unwrap_or(letters.len()));
    }
    letters
}

/// With a text in front, unless there is nothing behind it.
pub(crate) fn prepended(letters: Vec<Letter>, text: &str) -> Vec<Letter> {
    let Some(&(_, source)) = letters.first() else {
        return letters;
    };
    let front = text.chars().map(|c| (c, source));
    front.chain(letters.iter().copied()).collect()
}

fn replaced(letters: &[Letter], pattern: &Regex, content: &str) -> Vec<Letter> {
    let mut replaced = Vec::with_capacity(letters.len());
    let mut at = 0;
    for found in matches(letters, pattern) {
        replaced.extend_from_slice(&letters[at..found.start]);
        let source = letters.get(found.start).map_or(0, |letter| letter.1);
        replaced.extend(content.chars().map(|c| (c, source)));
        at = found.end;
    }
    replaced.extend_from_slice(&letters[at..]);
    replaced
}

/// The matches of a pattern, as places among the letters. Empty ones are left out.
pub(crate) fn matches(letters: &[Letter], pattern: &Regex) -> Vec<std::ops::Range<usize>> {
    let text: String = letters.iter().map(|letter| letter.0).collect();
    let mut found = Vec::new();
    let (mut byte, mut at) = (0, 0);
    let mut advance = |to: usize| {
        at += text[byte..to].chars().count();
        byte = to;
        at
    };
    for span in pattern.find_iter(&text).filter(|span| !span.is_empty()) {
        found.push(advance(span.start())..advance(span.end()));
    }
    found
}
