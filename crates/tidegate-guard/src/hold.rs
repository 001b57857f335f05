//! What of a text that is still arriving is not to be shown yet.

use std::sync::Arc;

use crate::watches::Watched;

/// As much of a text is held at most while something in it may still be blocked.
const MAX_HELD_CHARS: usize = 512;

/// Holds back what may still become part of something that is blocked.
#[derive(Debug)]
pub(crate) struct Hold {
    watched: Arc<Watched>,
    /// The end of the text: what is held, and a character before it.
    tail: String,
    /// Bytes and code points before the tail.
    before: (usize, usize),
    /// Bytes of the text in which no match begins that is not complete.
    looked: usize,
    /// The code point at which a match begins that counts if something comes to
    /// stand near it.
    waiting: Option<usize>,
    /// Bytes of the text that may be shown.
    clear: usize,
}

impl Hold {
    pub(crate) fn new(watched: Arc<Watched>) -> Self {
        Self {
            watched,
            tail: String::new(),
            before: (0, 0),
            looked: 0,
            waiting: None,
            clear: 0,
        }
    }

    /// Takes the next piece. True when the text has to be scanned before more of
    /// it is shown.
    pub(crate) fn push(&mut self, piece: &str) -> bool {
        self.tail.push_str(piece);
        if self.watched.refused.is_some() {
            return false;
        }
        let Some(prefixes) = &self.watched.prefixes else {
            self.looked = self.received_bytes();
            return false;
        };
        // What stands before that cannot be held any more.
        let from = oldest_held(&self.tail, self.looked - self.before.0);
        let outlook = prefixes.look(&self.tail, from);
        self.looked = self.before.0 + outlook.clear;
        outlook.has_match || self.waiting.is_some()
    }

    /// Notes at which code point a match begins that waits for something near it.
    pub(crate) fn wait_for(&mut self, waiting: Option<usize>) {
        self.waiting = waiting;
    }

    /// Lets go what was looked at, and scanned if that was due.
    pub(crate) fn release(&mut self) {
        let waiting = self.waiting.map_or(usize::MAX, |at| self.byte_of(at));
        let first = self.looked.min(waiting).max(self.clear);
        self.clear = self.before.0 + oldest_held(&self.tail, first - self.before.0);
        self.looked = self.looked.max(self.clear);
        self.forget();
    }

    /// The bytes from the start of the text that may be shown.
    pub(crate) fn clear_bytes(&self) -> usize {
        self.clear
    }

    /// The bytes that have arrived.
    pub(crate) fn received_bytes(&self) -> usize {
        self.before.0 + self.tail.len()
    }

    /// Where a code point of the text begins, or the tail.
    fn byte_of(&self, at: usize) -> usize {
        let (bytes, chars) = self.before;
        let mut begins = self.tail.char_indices();
        let begin = begins.nth(at.saturating_sub(chars));
        bytes + begin.map_or(self.tail.len(), |(byte, _)| byte)
    }

    /// A pattern may look at the character before it begins.
    fn forget(&mut self) {
        let clear = self.clear - self.before.0;
        let kept = self.tail[..clear].char_indices().next_back();
        let gone = kept.map_or(0, |(at, _)| at);
        let text = self.tail.drain(..gone);
        self.before.1 += text.as_str().chars().count();
        self.before.0 += gone;
    }
}

/// From where on `text` may be held at most, given that it is from `from` on.
fn oldest_held(text: &str, from: usize) -> usize {
    if text.len() - from <= MAX_HELD_CHARS {
        return from;
    }
    let mut last = text[from..].char_indices().rev();
    last.nth(MAX_HELD_CHARS - 1)
        .map_or(from, |(at, _)| from + at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::PatternError;

    #[test]
    fn all_is_held_that_may_be_where_there_is_nothing_to_look_with() {
        let watched = Watched {
            refused: Some(PatternError::TooLarge { limit: 1 }),
            ..Watched::default()
        };
        let mut hold = Hold::new(Arc::new(watched));
        for (piece, clear) in [("tide", 0), (&"ö".repeat(508), 0), ("out", 3)] {
            hold.push(piece);
            hold.release();
            assert_eq!(hold.clear_bytes(), clear);
        }
    }
}
