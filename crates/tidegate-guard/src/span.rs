//! Places in a text.

use std::ops::Range;

/// A place in a text, in Unicode code points, the end exclusive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    /// The first code point.
    pub start: usize,
    /// The first code point after it.
    pub end: usize,
}

impl Span {
    /// The number of code points.
    pub fn len(&self) -> usize {
        self.end - self.start
    }

    /// True for a place without a code point.
    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// The number of code points between two places, 0 where they touch.
    pub(crate) fn gap(&self, other: &Self) -> usize {
        let after = other.start.saturating_sub(self.end);
        after.max(self.start.saturating_sub(other.end))
    }
}

/// The places of ranges of bytes of `text`, which is read once. `before` code
/// points stand before the text. Every bound must be one of a character.
pub(crate) fn spans_of(
    text: &str,
    before: usize,
    ranges: impl Iterator<Item = Range<usize>>,
) -> Vec<Span> {
    let ranges: Vec<Range<usize>> = ranges.collect();
    let mut bounds: Vec<usize> = ranges.iter().flat_map(|r| [r.start, r.end]).collect();
    bounds.sort_unstable();
    bounds.dedup();
    let (mut byte, mut chars) = (0, before);
    let mut places = Vec::with_capacity(bounds.len());
    for &bound in &bounds {
        chars += text[byte..bound].chars().count();
        byte = bound;
        places.push(chars);
    }
    let place = |bound: usize| places[bounds.partition_point(|b| *b < bound)];
    let span = |range: &Range<usize>| Span {
        start: place(range.start),
        end: place(range.end),
    };
    ranges.iter().map(span).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_code_points_not_bytes() {
        let text = "añ€😀z";
        let spans = spans_of(text, 100, [1..3, 3..6, 6..10, 0..11].into_iter());
        let pairs: Vec<_> = spans.iter().map(|s| (s.start, s.end)).collect();
        assert_eq!(pairs, [(101, 102), (102, 103), (103, 104), (100, 105)]);
    }

    #[test]
    fn a_gap_is_counted_in_both_directions() {
        let (a, b) = (Span { start: 0, end: 4 }, Span { start: 9, end: 12 });
        assert_eq!((a.gap(&b), b.gap(&a), a.gap(&a)), (5, 5, 0));
    }
}
