//! Copies of the parts of a text that were changed, and of what stands around.

use std::collections::VecDeque;
use std::ops::Range;

use crate::pack::MAX_WITHIN;
use crate::span::Span;

use super::tape::Tape;

/// This much of the text before and behind a change is copied with it, so that a
/// phrase may be disguised in one word and plain in the others.
pub(crate) const CONTEXT_BYTES: usize = 1_200;

/// Stands where text was left out, in pairs of bytes; long enough that nothing on
/// one side of it stands near anything on the other.
const GAP: &str = "\n\u{1}";
const GAP_PAIRS: usize = MAX_WITHIN / 2 + 10;

/// A change that is not copied yet.
#[derive(Clone, Debug)]
struct Change {
    range: Range<usize>,
    from: Span,
    text_bytes: usize,
}

/// Decides what of a source is copied, and copies it with the changes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Window {
    /// The copy has taken everything that it will of the source up to here.
    copied: usize,
    /// What begins before this place is copied.
    until: usize,
    /// In order and apart from each other.
    changes: VecDeque<Change>,
    /// What the changes say, one after the other, and how much of it is used up.
    says: String,
    said: usize,
}

impl Window {
    /// Notes that instead of `range` of the source the copy has `text`, which
    /// comes from `from` of the original.
    pub(crate) fn change(&mut self, range: Range<usize>, text: &str, from: Span) {
        self.says.push_str(text);
        self.changes.push_back(Change {
            range,
            from,
            text_bytes: text.len(),
        });
    }

    /// Has all copied that stands around `range`.
    pub(crate) fn open(&mut self, range: &Range<usize>, source: &Tape, target: &mut Tape) {
        if range.start >= self.until {
            self.advance(range.start, source, target);
            let from = source.floor(range.start.saturating_sub(CONTEXT_BYTES));
            if from > self.copied + 2 * GAP_PAIRS {
                if target.end() > 0 {
                    let place = source.span(&(from..from + 1)).start;
                    let from = Span {
                        start: place,
                        end: place,
                    };
                    target.push(&GAP.repeat(GAP_PAIRS), from);
                }
                self.drop_changes(from);
                self.copied = from;
            }
        }
        self.until = self.until.max(range.end + CONTEXT_BYTES);
    }

    /// Copies what is to be copied of the source up to `at`, which is behind all
    /// changes that were noted.
    pub(crate) fn advance(&mut self, at: usize, source: &Tape, target: &mut Tape) {
        let until = match self.until {
            until if until >= at => at,
            until if until > self.copied => source.floor(until),
            _ => self.copied,
        };
        while self.copied < until {
            match self.changes.front() {
                Some(change) if change.range.start < until => {
                    let change = change.clone();
                    if self.copied < change.range.start {
                        target.copy(source, self.copied..change.range.start);
                    }
                    let text = &self.says[self.said..self.said + change.text_bytes];
                    target.push(text, change.from);
                    self.copied = change.range.end;
                    self.drop_first();
                }
                Some(_) | None => {
                    target.copy(source, self.copied..until);
                    self.copied = until;
                }
            }
        }
        if self.until < at {
            self.drop_changes(at.saturating_sub(self.kept_bytes()));
        }
    }

    /// This much of the source before what was read may still be copied.
    pub(crate) fn kept_bytes(&self) -> usize {
        CONTEXT_BYTES + 2 * GAP_PAIRS + 512
    }

    fn drop_changes(&mut self, before: usize) {
        while let Some(change) = self.changes.front()
            && change.range.end <= before
        {
            self.drop_first();
        }
    }

    fn drop_first(&mut self) {
        if let Some(change) = self.changes.pop_front() {
            self.said += change.text_bytes;
        }
        if self.changes.is_empty() {
            self.says.clear();
            self.said = 0;
        }
    }
}
