//! A text as overlapping windows of tokens.

use std::collections::VecDeque;
use std::ops::Range;

use super::session::Sequence;
use super::tokenizer::{Token, Tokenizer};

/// A piece of a text is read at once up to this many code points, so that a long
/// text is not read to its end before its first window is scored.
const PIECE: usize = 4096;

/// How long windows are, and how far they are apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    /// Tokens of the text in a window.
    pub(crate) content: usize,
    /// How many tokens the next window begins behind the last one.
    pub(crate) stride: usize,
    /// The length of every sequence, where the model knows only one.
    pub(crate) length: Option<usize>,
}

/// The windows of a text, one after the other.
pub(crate) struct Windows<'a> {
    tokenizer: &'a Tokenizer,
    layout: Layout,
    /// What was not read yet, and the code point where it begins.
    rest: &'a str,
    at: u32,
    /// Tokens from the beginning of the next window on.
    tokens: VecDeque<Token>,
    is_first: bool,
    is_done: bool,
}

/// A window, and the code points of the text that it covers.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Window {
    pub(crate) sequence: Sequence,
    pub(crate) place: Range<usize>,
}

impl<'a> Windows<'a> {
    pub(crate) fn new(tokenizer: &'a Tokenizer, layout: Layout, text: &'a str) -> Self {
        Self {
            tokenizer,
            layout,
            rest: text,
            at: 0,
            tokens: VecDeque::new(),
            is_first: true,
            is_done: false,
        }
    }

    /// Reads until there is more than one window, or no more text.
    fn fill(&mut self) {
        while self.tokens.len() <= self.layout.content && !self.rest.is_empty() {
            let (piece, count) = piece(self.rest);
            self.tokens.extend(self.tokenizer.read(piece, self.at));
            self.rest = &self.rest[piece.len()..];
            // A text of more code points than 32 bits count would not fit here.
            self.at = self.at.saturating_add(count);
        }
    }

    fn sequence(&self, content: &[Token]) -> Sequence {
        let frame = self.tokenizer.frame();
        let mut sequence = Sequence::default();
        let mut push = |id: u32, kind: u32, mask: i32| {
            // Both were held to fewer than 31 bits when they were read.
            sequence.ids.push(id.cast_signed());
            sequence.kinds.push(kind.cast_signed());
            sequence.mask.push(mask);
        };
        frame
            .before
            .iter()
            .for_each(|(id, kind)| push(*id, *kind, 1));
        content
            .iter()
            .for_each(|token| push(token.id, frame.kind, 1));
        frame
            .after
            .iter()
            .for_each(|(id, kind)| push(*id, *kind, 1));
        let count = frame.before.len() + content.len() + frame.after.len();
        let missing = self
            .layout
            .length
            .map_or(0, |length| length.saturating_sub(count));
        (0..missing).for_each(|_| push(self.tokenizer.pad(), 0, 0));
        sequence
    }
}

impl Iterator for Windows<'_> {
    type Item = Window;

    /// The next window. A text without tokens has one, which is empty.
    fn next(&mut self) -> Option<Window> {
        if self.is_done {
            return None;
        }
        self.fill();
        self.is_done = self.tokens.len() <= self.layout.content;
        let count = self.tokens.len().min(self.layout.content);
        let content = &self.tokens.make_contiguous()[..count];
        let (first, last) = (content.first().copied(), content.last().copied());
        // The first window covers what was skipped before it, the last one the rest.
        let start = first
            .filter(|_| !self.is_first)
            .map_or(0, |token| token.start);
        let end = last
            .filter(|_| !self.is_done)
            .map_or(self.at, |token| token.end);
        let content = content.to_vec();
        let window = Window {
            sequence: self.sequence(&content),
            place: start as usize..end as usize,
        };
        self.tokens.drain(..self.layout.stride.min(count));
        self.is_first = false;
        Some(window)
    }
}

/// The first piece of a text, with its length in code points: cut before a single
/// space, so that words stay whole and what is in front of a word stays with it.
fn piece(text: &str) -> (&str, u32) {
    if text.len() <= PIECE {
        return (text, text.chars().count() as u32);
    }
    let mut before = ['\0'; 2];
    let (mut count, mut space, mut white) = (0_u32, None, None);
    for (byte, c) in text.char_indices() {
        let [first, second] = before;
        // The letter before this one may be a single space.
        if second == ' ' && !first.is_whitespace() && !c.is_whitespace() && count > 1 {
            space = Some((byte - 1, count - 1));
        }
        if c.is_whitespace() && !second.is_whitespace() && count > 0 {
            white = Some((byte, count));
        }
        if count as usize == PIECE {
            let (end, count) = space.or(white).unwrap_or((byte, count));
            return (&text[..end], count);
        }
        before = [second, c];
        count += 1;
    }
    (text, count)
}

#[cfg(test)]
mod tests;
