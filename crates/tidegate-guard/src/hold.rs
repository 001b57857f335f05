//! What of a text that is still arriving is not to be shown yet.

use std::sync::Arc;

use crate::watches::Watched;

/// As much of a text is held at most while something in it may still be blocked.
const MAX_HELD_CHARS: usize = 512;

/// Holds back what may still become part of something that is blocked.
#[derive(Debug)]
pub(crate) struct Hold {
    watched: Arc<Watched>,
    /// Bytes of the text in which no match begins that is not complete.
    looked: usize,
    /// Where a match begins that counts if something comes to stand near it.
    waiting: Option<usize>,
    clear: usize,
}

impl Hold {
    pub(crate) fn new(watched: Arc<Watched>) -> Self {
        Self {
            watched,
            looked: 0,
            waiting: None,
            clear: 0,
        }
    }

    /// The rules that something may have to stand near to.
    pub(crate) fn rules(&self) -> &[usize] {
        &self.watched.near
    }

    /// Looks at the text so far, of which `before` bytes are gone. True when the
    /// text has to be scanned before more of it is shown.
    pub(crate) fn look(&mut self, text: &str, before: usize) -> bool {
        let Some(prefixes) = &self.watched.prefixes else {
            self.looked = before + text.len();
            return false;
        };
        // What stands before that cannot be held any more.
        let from = oldest_held(text, self.looked - before);
        let outlook = prefixes.look(text, from);
        self.looked = before + outlook.clear;
        outlook.has_match || self.waiting.is_some()
    }

    /// Lets go what was looked at, and scanned if that was due.
    pub(crate) fn release(&mut self, text: &str, before: usize) {
        let waiting = self.waiting.unwrap_or(usize::MAX);
        let first = self.looked.min(waiting).max(self.clear);
        self.clear = before + oldest_held(text, first - before);
        self.looked = self.looked.max(self.clear);
    }

    /// Notes from where on a match waits for what it needs near it.
    pub(crate) fn wait_for(&mut self, waiting: Option<usize>) {
        self.waiting = waiting;
    }

    /// The bytes from the start of the text that may be shown.
    pub(crate) fn clear_bytes(&self) -> usize {
        self.clear
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
