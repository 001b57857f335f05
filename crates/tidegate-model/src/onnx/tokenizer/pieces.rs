//! How words become tokens: the four kinds of vocabularies.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use super::normalize::Letter;

/// A token of a text, and the code points that it came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Token {
    /// Its number.
    pub(crate) id: u32,
    /// The first code point.
    pub(crate) start: u32,
    /// Behind the last code point.
    pub(crate) end: u32,
}

impl Token {
    pub(crate) fn of(id: u32, letters: &[Letter]) -> Self {
        // Marks that were put in order need not stand as they stood in the text.
        let places = || letters.iter().map(|letter| letter.1);
        Self {
            id,
            start: places().min().unwrap_or_default(),
            end: places().max().map_or(0, |last| last + 1),
        }
    }
}

/// A vocabulary.
#[derive(Clone, Debug)]
pub(crate) enum Pieces {
    /// Whole words only.
    Words { vocab: Vocab, unknown: Option<u32> },
    /// The longest known beginning, again and again.
    WordPiece(WordPiece),
    /// Pairs that are merged, in the order that was learned.
    Pairs(Pairs),
    /// The most likely way to cut a word.
    Unigram(Unigram),
}

/// The numbers of the pieces.
pub(crate) type Vocab = HashMap<String, u32>;

/// Pairs of pieces: their rank, and what they become.
pub(crate) type Merges = HashMap<(u32, u32), (u32, u32)>;

#[derive(Clone, Debug)]
pub(crate) struct WordPiece {
    pub(crate) vocab: Vocab,
    pub(crate) unknown: u32,
    /// What stands before a piece that continues a word.
    pub(crate) continues: String,
    /// Longer words are not looked at.
    pub(crate) longest_word: usize,
}

#[derive(Clone, Debug)]
pub(crate) struct Pairs {
    pub(crate) vocab: Vocab,
    pub(crate) merges: Merges,
    pub(crate) unknown: Option<u32>,
    pub(crate) affixes: Affixes,
    /// Whether neighbors that are unknown are one token.
    pub(crate) fuses_unknown: bool,
    /// Whether an unknown letter is written as its bytes.
    pub(crate) falls_back: bool,
    /// Whether a known word is taken as it is.
    pub(crate) takes_words: bool,
}

/// What is written to the letters of a word before they are looked up.
#[derive(Clone, Debug, Default)]
pub(crate) struct Affixes {
    pub(crate) continues: String,
    pub(crate) ends: String,
}

#[derive(Clone, Debug)]
pub(crate) struct Unigram {
    pub(crate) vocab: Vocab,
    /// By number: the logarithm of the probability.
    pub(crate) scores: Vec<f64>,
    pub(crate) unknown: Option<u32>,
    pub(crate) falls_back: bool,
    /// The score of an unknown letter.
    pub(crate) unknown_score: f64,
    /// The longest piece, in bytes.
    pub(crate) longest: usize,
}

impl Pieces {
    /// Cuts a word into tokens.
    pub(crate) fn read(&self, word: &[Letter], tokens: &mut Vec<Token>) {
        if word.is_empty() {
            return;
        }
        match self {
            Self::Words { vocab, unknown } => {
                let text: String = word.iter().map(|letter| letter.0).collect();
                let id = vocab.get(&text).copied().or(*unknown);
                tokens.extend(id.map(|id| Token::of(id, word)));
            }
            Self::WordPiece(pieces) => pieces.read(word, tokens),
            Self::Pairs(pairs) => pairs.read(word, tokens),
            Self::Unigram(unigram) => unigram.read(word, tokens),
        }
    }
}

impl WordPiece {
    fn read(&self, word: &[Letter], tokens: &mut Vec<Token>) {
        let before = tokens.len();
        if word.len() > self.longest_word || !self.cut(word, tokens) {
            tokens.truncate(before);
            tokens.push(Token::of(self.unknown, word));
        }
    }

    /// False where a part of the word is unknown.
    fn cut(&self, word: &[Letter], tokens: &mut Vec<Token>) -> bool {
        let mut start = 0;
        let mut candidate = String::new();
        while start < word.len() {
            candidate.clear();
            if start > 0 {
                candidate.push_str(&self.continues);
            }
            candidate.extend(word[start..].iter().map(|letter| letter.0));
            let mut end = word.len();
            let id = loop {
                if let Some(id) = self.vocab.get(&candidate) {
                    break *id;
                }
                candidate.pop();
                end -= 1;
                if end == start {
                    return false;
                }
            };
            tokens.push(Token::of(id, &word[start..end]));
            start = end;
        }
        true
    }
}

/// A part of a word while pairs are merged; parts are linked in both directions.
struct Part {
    token: Token,
    before: Option<usize>,
    after: Option<usize>,
    is_gone: bool,
}

impl Pairs {
    fn read(&self, word: &[Letter], tokens: &mut Vec<Token>) {
        if self.takes_words {
            let text: String = word.iter().map(|letter| letter.0).collect();
            if let Some(id) = self.vocab.get(&text) {
                tokens.push(Token::of(*id, word));
                return;
            }
        }
        let parts = self.merged(&self.letters(word));
        tokens.extend(
            parts
                .iter()
                .filter(|part| !part.is_gone)
                .map(|part| part.token),
        );
    }

    /// The tokens of the letters, before anything is merged.
    fn letters(&self, word: &[Letter]) -> Vec<Token> {
        let mut tokens: Vec<Token> = Vec::with_capacity(word.len());
        let mut text = String::new();
        let mut follows_unknown = false;
        for (at, letter) in word.iter().enumerate() {
            text.clear();
            if at > 0 {
                text.push_str(&self.affixes.continues);
            }
            text.push(letter.0);
            if at + 1 == word.len() {
                text.push_str(&self.affixes.ends);
            }
            let place = std::slice::from_ref(letter);
            let known = self.vocab.get(&text).map(|id| vec![*id]);
            let known = known.or_else(|| self.falls_back.then(|| bytes_of(&text, &self.vocab))?);
            match (known, self.unknown) {
                (Some(ids), _) => {
                    tokens.extend(ids.into_iter().map(|id| Token::of(id, place)));
                    follows_unknown = false;
                }
                (None, Some(_)) if follows_unknown && self.fuses_unknown => {
                    if let Some(last) = tokens.last_mut() {
                        last.end = letter.1 + 1;
                    }
                }
                (None, Some(unknown)) => {
                    tokens.push(Token::of(unknown, place));
                    follows_unknown = true;
                }
                (None, None) => {}
            }
        }
        tokens
    }

    /// Merges pairs, the one that was learned first before all others, the first
    /// of equals before the others.
    fn merged(&self, letters: &[Token]) -> Vec<Part> {
        let last = letters.len().checked_sub(1);
        let link = |(at, token): (usize, &Token)| Part {
            token: *token,
            before: at.checked_sub(1),
            after: Some(at + 1).filter(|_| Some(at) != last),
            is_gone: false,
        };
        let mut parts: Vec<Part> = letters.iter().enumerate().map(link).collect();
        let mut waiting = BinaryHeap::new();
        let note = |parts: &[Part], waiting: &mut BinaryHeap<_>, left: usize| {
            let Some(right) = parts[left].after else {
                return;
            };
            let pair = (parts[left].token.id, parts[right].token.id);
            if let Some((rank, merged)) = self.merges.get(&pair) {
                waiting.push(Reverse((*rank, left, pair, *merged)));
            }
        };
        for left in 0..parts.len() {
            note(&parts, &mut waiting, left);
        }
        while let Some(Reverse((_, left, pair, merged))) = waiting.pop() {
            let Some(right) = parts[left].after.filter(|_| !parts[left].is_gone) else {
                continue;
            };
            if (parts[left].token.id, parts[right].token.id) != pair {
                continue;
            }
            parts[left].token.id = merged;
            parts[left].token.end = parts[right].token.end;
            parts[left].after = parts[right].after;
            parts[right].is_gone = true;
            if let Some(after) = parts[left].after {
                parts[after].before = Some(left);
            }
            if let Some(before) = parts[left].before {
                note(&parts, &mut waiting, before);
            }
            note(&parts, &mut waiting, left);
        }
        parts
    }
}

/// The tokens of the bytes of a text, where the vocabulary has all of them.
fn bytes_of(text: &str, vocab: &Vocab) -> Option<Vec<u32>> {
    let id = |byte: u8| vocab.get(&format!("<0x{byte:02X}>")).copied();
    text.bytes().map(id).collect()
}

/// The best way to a place of a word.
#[derive(Clone, Copy)]
struct Way {
    score: f64,
    /// Where its last piece begins, and its number; nothing for an unknown letter.
    start: usize,
    id: Option<u32>,
}

impl Unigram {
    fn read(&self, word: &[Letter], tokens: &mut Vec<Token>) {
        let ways = self.ways(word);
        let mut cuts: Vec<(usize, usize, Option<u32>)> = Vec::new();
        let mut end = word.len();
        while let Some(way) = ways.get(end).copied().flatten().filter(|_| end > 0) {
            match cuts.last_mut() {
                // Unknown neighbors are one token.
                Some(last) if last.2.is_none() && way.id.is_none() => last.0 = way.start,
                _ => cuts.push((way.start, end, way.id)),
            }
            end = way.start;
        }
        for (start, end, id) in cuts.into_iter().rev() {
            let letters = &word[start..end];
            let text = || letters.iter().map(|letter| letter.0).collect::<String>();
            let bytes = (id.is_none() && self.falls_back).then(|| bytes_of(&text(), &self.vocab));
            match bytes.flatten() {
                Some(bytes) => tokens.extend(bytes.iter().map(|id| Token::of(*id, letters))),
                None => tokens.extend(id.or(self.unknown).map(|id| Token::of(id, letters))),
            }
        }
    }

    /// The best way to each place of the word (Viterbi).
    fn ways(&self, word: &[Letter]) -> Vec<Option<Way>> {
        let mut ways: Vec<Option<Way>> = vec![None; word.len() + 1];
        let improve = |ways: &mut Vec<Option<Way>>, end: usize, way: Way| {
            if ways[end].is_none_or(|best| way.score > best.score) {
                ways[end] = Some(way);
            }
        };
        let mut text = String::new();
        for start in 0..word.len() {
            let so_far = ways[start].map_or(0.0, |way| way.score);
            let mut knows_letter = false;
            text.clear();
            for (end, letter) in (start + 1..).zip(&word[start..]) {
                text.push(letter.0);
                if text.len() > self.longest {
                    break;
                }
                let Some(id) = self.vocab.get(&text).copied() else {
                    continue;
                };
                knows_letter |= end == start + 1;
                let score = so_far + self.scores.get(id as usize).copied().unwrap_or_default();
                let id = Some(id).filter(|id| Some(*id) != self.unknown);
                improve(&mut ways, end, Way { score, start, id });
            }
            if !knows_letter {
                let score = so_far + self.unknown_score;
                improve(
                    &mut ways,
                    start + 1,
                    Way {
                        score,
                        start,
                        id: None,
                    },
                );
            }
        }
        ways
    }
}
