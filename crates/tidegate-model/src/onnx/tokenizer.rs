//! Texts to tokens, as a tokenizer.json says.
//!
//! Read here: vocabularies of the kinds WordPiece, BPE, Unigram and WordLevel with
//! the steps around them that encoders of texts use. Patterns run in linear time,
//! whatever the text. What a file asks for beyond that is refused by its name: a
//! token that is read differently would make every score wrong without a word.
//!
//! One thing is different on purpose: the names of special tokens (`[SEP]`, `</s>`)
//! that stand in a text are read as letters. A text cannot end itself.

mod build;
mod charsmap;
mod class;
mod form;
mod normalize;
mod pieces;
mod split;

use aho_corasick::AhoCorasick;

use class::Classes;
use normalize::{Letter, Normalizer};
use pieces::Pieces;
use split::Splitter;

pub(crate) use pieces::Token;

/// The steps of a tokenizer.json.
#[derive(Debug)]
pub(crate) struct Tokenizer {
    added: Option<AddedTokens>,
    normalizers: Vec<Normalizer>,
    splitters: Vec<Splitter>,
    pieces: Pieces,
    frame: Frame,
    pad: u32,
    classes: Classes,
}

/// Texts that are one token, whatever stands around them.
#[derive(Debug)]
struct AddedTokens {
    finder: AhoCorasick,
    ids: Vec<u32>,
}

/// What stands around the tokens of a text, each with its type.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Frame {
    /// Tokens before the text.
    pub(crate) before: Vec<(u32, u32)>,
    /// The type of the text's own tokens.
    pub(crate) kind: u32,
    /// Tokens behind the text.
    pub(crate) after: Vec<(u32, u32)>,
}

impl Tokenizer {
    /// What stands around the tokens of a text.
    pub(crate) fn frame(&self) -> &Frame {
        &self.frame
    }

    /// Says which token fills up.
    pub(crate) fn set_pad(&mut self, pad: u32) {
        self.pad = pad;
    }

    /// The token that fills up.
    pub(crate) fn pad(&self) -> u32 {
        self.pad
    }

    /// Reads a piece of a text that begins at the code point `first` of it.
    pub(crate) fn read(&self, piece: &str, first: u32) -> Vec<Token> {
        let letters: Vec<Letter> = piece.chars().zip(first..).collect();
        let mut tokens = Vec::new();
        let Some(added) = &self.added else {
            self.read_letters(letters, &mut tokens);
            return tokens;
        };
        let (mut byte, mut at) = (0, 0);
        let mut take = |to: usize| {
            let from = at;
            at += piece[byte..to].chars().count();
            byte = to;
            &letters[from..at]
        };
        for found in added.finder.find_iter(piece) {
            self.read_letters(take(found.start()).to_vec(), &mut tokens);
            let place = take(found.end());
            tokens.push(Token::of(added.ids[found.pattern().as_usize()], place));
        }
        self.read_letters(take(piece.len()).to_vec(), &mut tokens);
        tokens
    }

    fn read_letters(&self, letters: Vec<Letter>, tokens: &mut Vec<Token>) {
        if letters.is_empty() {
            return;
        }
        let steps = self.normalizers.iter();
        let letters = steps.fold(letters, |letters, step| step.apply(letters, &self.classes));
        let mut words = vec![letters];
        for step in &self.splitters {
            let split = |word| step.apply(word, &self.classes);
            words = words.into_iter().flat_map(split).collect();
        }
        for word in &words {
            self.pieces.read(word, tokens);
        }
    }
}

#[cfg(test)]
mod tests;
