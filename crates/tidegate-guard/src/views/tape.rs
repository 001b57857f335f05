//! A text with the place that each part of it comes from.

use std::cell::Cell;
use std::collections::VecDeque;
use std::ops::Range;

use crate::span::Span;

/// A stretch of a tape, up to where the next one begins.
#[derive(Clone, Debug)]
struct Stretch {
    at: usize,
    from: Span,
    /// Bytes of each code point, where every code point stands for itself; 0
    /// where the stretch as a whole stands for all of `from`.
    width: u8,
}

/// A text that grows at its end and is forgotten from its beginning. Places on it
/// are bytes from where it once began; each leads back to the original text.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tape {
    text: String,
    /// What has been forgotten.
    base: usize,
    chars_before: usize,
    stretches: VecDeque<Stretch>,
    /// The stretch that was asked for last: who reads on asks for it again, or for
    /// the next one.
    last: Cell<usize>,
}

impl Tape {
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    pub(crate) fn base(&self) -> usize {
        self.base
    }

    /// Code points before what is still there.
    pub(crate) fn chars_before(&self) -> usize {
        self.chars_before
    }

    pub(crate) fn end(&self) -> usize {
        self.base + self.text.len()
    }

    pub(crate) fn slice(&self, range: Range<usize>) -> &str {
        &self.text[range.start - self.base..range.end - self.base]
    }

    pub(crate) fn bytes_from(&self, at: usize) -> &[u8] {
        &self.text.as_bytes()[at - self.base..]
    }

    /// The last border between characters that is not behind `at`.
    pub(crate) fn floor(&self, at: usize) -> usize {
        self.base + self.text.floor_char_boundary(at.saturating_sub(self.base))
    }

    /// Adds text that stands in the original as it is, from code point `start`.
    /// Returns the code point behind it.
    pub(crate) fn push_plain(&mut self, text: &str, start: usize) -> usize {
        if text.is_ascii() {
            self.extend(text.len(), 1, start);
            self.text.push_str(text);
            return start + text.len();
        }
        let mut place = start;
        for c in text.chars() {
            self.extend(1, c.len_utf8() as u8, place);
            self.text.push(c);
            place += 1;
        }
        place
    }

    /// Adds text that as a whole stands for `from`.
    pub(crate) fn push(&mut self, text: &str, from: Span) {
        if text.is_empty() {
            return;
        }
        let at = self.end();
        self.stretches.push_back(Stretch { at, from, width: 0 });
        self.text.push_str(text);
    }

    /// Adds a part of another tape, with the places that it comes from.
    pub(crate) fn copy(&mut self, source: &Self, range: Range<usize>) {
        let mut index = source.index(range.start);
        let mut at = range.start;
        while at < range.end {
            let stretch = &source.stretches[index];
            index += 1;
            let next = source.stretches.get(index).map_or(range.end, |s| s.at);
            let end = next.min(range.end);
            let text = source.slice(at..end);
            match usize::from(stretch.width) {
                0 => self.push(text, stretch.from),
                width => {
                    let start = stretch.from.start + (at - stretch.at) / width;
                    self.extend((end - at) / width, stretch.width, start);
                    self.text.push_str(text);
                }
            }
            at = end;
        }
    }

    /// The code points of the original that a part of the tape comes from: all
    /// that had a share in it.
    pub(crate) fn span(&self, range: &Range<usize>) -> Span {
        let first = &self.stretches[self.index(range.start)];
        let last = &self.stretches[self.index(range.end - 1)];
        let start = match usize::from(first.width) {
            0 => first.from.start,
            width => first.from.start + (range.start - first.at) / width,
        };
        let end = match usize::from(last.width) {
            0 => last.from.end,
            width => last.from.start + (range.end - 1 - last.at) / width + 1,
        };
        Span { start, end }
    }

    /// Forgets what stands before `at`.
    pub(crate) fn forget(&mut self, at: usize) {
        let at = self.floor(at);
        if at <= self.base {
            return;
        }
        let gone = self.index(at);
        self.stretches.drain(..gone);
        let text = &self.text[..at - self.base];
        self.chars_before += text.chars().count();
        self.text.drain(..at - self.base);
        self.base = at;
    }

    fn index(&self, at: usize) -> usize {
        let is_behind = |index: usize| self.stretches.get(index).is_none_or(|s| s.at > at);
        let last = self.last.get();
        let near = [last, last + 1].into_iter();
        let mut near = near.filter(|index| !is_behind(*index) && is_behind(*index + 1));
        let index = near.next().unwrap_or_else(|| {
            let after = self.stretches.partition_point(|stretch| stretch.at <= at);
            after - 1
        });
        self.last.set(index);
        index
    }

    /// Notes that `count` code points follow, each for itself.
    fn extend(&mut self, count: usize, width: u8, start: usize) {
        let at = self.end();
        if let Some(last) = self.stretches.back_mut()
            && last.width == width
            && last.from.end == start
        {
            last.from.end += count;
            return;
        }
        let end = start + count;
        self.stretches.push_back(Stretch {
            at,
            from: Span { start, end },
            width,
        });
    }
}
