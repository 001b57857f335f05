//! The words that rules look for, by which a disguised word is known.

use std::collections::HashSet;

use foldhash::fast::RandomState;
use regex_syntax::ParserBuilder;
use regex_syntax::hir::{Class, Hir, HirKind};

/// A shorter word is too often something else.
pub(crate) const MIN_TELLING: usize = 4;

/// More ways than this to go on with a word, and it ends.
const MAX_WAYS: usize = 24;

/// An ending of a word may be this long.
const MAX_ENDING: usize = 4;

/// Words in lower case.
#[derive(Clone, Debug, Default)]
pub(crate) struct Vocabulary {
    words: HashSet<Box<[u8]>, RandomState>,
}

impl Vocabulary {
    /// Takes the words of an expression.
    pub(crate) fn learn(&mut self, expression: &str) {
        // Without case a letter is a letter here, not a class of two.
        let mut parser = ParserBuilder::new().nest_limit(50).build();
        let Ok(hir) = parser.parse(expression) else {
            return;
        };
        let open = self.walk(&hir, vec![Vec::new()]);
        self.end(open);
    }

    /// True for a word that is known as it is.
    pub(crate) fn has(&self, word: &[u8]) -> bool {
        self.words.contains(word)
    }

    /// True for a word that is known, or begins with one that is and has only an
    /// ending besides.
    pub(crate) fn knows(&self, word: &[u8]) -> bool {
        const STEM: usize = 5;
        let shortest = word.len().saturating_sub(MAX_ENDING).max(STEM);
        self.has(word) || (shortest..word.len()).any(|end| self.has(&word[..end]))
    }

    /// Goes on with words that are not at their end; returns those that still are
    /// not.
    fn walk(&mut self, hir: &Hir, open: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
        match hir.kind() {
            HirKind::Literal(literal) => self.write(&literal.0, open),
            HirKind::Capture(capture) => self.walk(&capture.sub, open),
            HirKind::Concat(subs) => subs.iter().fold(open, |open, sub| self.walk(sub, open)),
            HirKind::Alternation(subs) => {
                let ways: Vec<_> = subs
                    .iter()
                    .flat_map(|sub| self.walk(sub, open.clone()))
                    .collect();
                self.limit(ways)
            }
            HirKind::Repetition(repetition) => {
                let mut ways = self.walk(&repetition.sub, open.clone());
                if repetition.min == 0 {
                    ways.extend(open);
                }
                if repetition.max != Some(1) {
                    self.end(ways);
                    ways = vec![Vec::new()];
                }
                self.limit(ways)
            }
            HirKind::Class(class) => match few_letters(class) {
                Some(letters) => {
                    let add = |word: Vec<u8>| {
                        letters
                            .iter()
                            .map(move |letter| [&word[..], &[*letter]].concat())
                    };
                    let ways = open.into_iter().flat_map(add).collect();
                    self.limit(ways)
                }
                None => {
                    self.end(open);
                    vec![Vec::new()]
                }
            },
            HirKind::Empty | HirKind::Look(_) => {
                self.end(open);
                vec![Vec::new()]
            }
        }
    }

    fn write(&mut self, literal: &[u8], mut open: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
        for byte in literal {
            if byte.is_ascii_alphabetic() {
                for word in &mut open {
                    word.push(byte.to_ascii_lowercase());
                }
            } else {
                self.end(open);
                open = vec![Vec::new()];
            }
        }
        open
    }

    fn limit(&mut self, mut ways: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
        ways.sort_unstable();
        ways.dedup();
        if ways.len() <= MAX_WAYS {
            return ways;
        }
        self.end(ways);
        vec![Vec::new()]
    }

    fn end(&mut self, words: Vec<Vec<u8>>) {
        let words = words.into_iter().filter(|word| word.len() > 1);
        self.words.extend(words.map(Vec::into_boxed_slice));
    }
}

/// The letters of a class that has only a few.
fn few_letters(class: &Class) -> Option<Vec<u8>> {
    const FEW: usize = 4;
    let Class::Unicode(class) = class else {
        return None;
    };
    let chars = class.iter().flat_map(|range| range.start()..=range.end());
    let letters: Vec<char> = chars.take(FEW + 1).collect();
    let is_small = letters.len() <= FEW && letters.iter().all(char::is_ascii_alphabetic);
    is_small.then(|| {
        letters
            .iter()
            .map(|c| c.to_ascii_lowercase() as u8)
            .collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read_from_all_branches_of_an_expression() {
        let mut vocabulary = Vocabulary::default();
        vocabulary.learn(r"\b(?:ignor(?:e|ing)|dis-?regard)\s+(?:all|the)\s+previous\s+rules?\b");
        let known = [
            "ignore", "ignoring", "regard", "all", "previous", "rule", "rules",
        ];
        for word in known {
            assert!(vocabulary.has(word.as_bytes()), "{word}");
        }
        assert!(!vocabulary.has(b"bignore"));
        assert!(vocabulary.knows(b"ignores") && !vocabulary.knows(b"ign"));
    }
}
