//! Lines and columns of spans.

use tidegate_guard::Span;

/// A place as editors show it: from 1, columns in code points, the end
/// exclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) start: Spot,
    pub(super) end: Spot,
}

/// A line and a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Spot {
    pub(super) line: usize,
    pub(super) column: usize,
}

/// The places of `spans` in `text`, which is read once.
pub(super) fn places(text: &str, spans: impl Iterator<Item = Span>) -> Vec<Place> {
    let spans: Vec<Span> = spans.collect();
    let mut bounds: Vec<usize> = spans
        .iter()
        .flat_map(|span| [span.start, span.end])
        .collect();
    bounds.sort_unstable();
    bounds.dedup();
    let spots = spots(text, &bounds);
    let spot = |bound| spots[bounds.partition_point(|known| *known < bound)];
    let place = |span: &Span| Place {
        start: spot(span.start),
        end: spot(span.end),
    };
    spans.iter().map(place).collect()
}

/// One spot for each of `bounds`, which ascend.
fn spots(text: &str, bounds: &[usize]) -> Vec<Spot> {
    let mut spot = Spot { line: 1, column: 1 };
    let mut spots = Vec::with_capacity(bounds.len());
    for (position, letter) in text.chars().enumerate() {
        if spots.len() == bounds.len() {
            break;
        }
        if bounds[spots.len()] == position {
            spots.push(spot);
        }
        if letter == '\n' {
            spot = Spot {
                line: spot.line + 1,
                column: 1,
            };
        } else {
            spot.column += 1;
        }
    }
    // What is left is the end of the text.
    spots.resize(bounds.len(), spot);
    spots
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, (start, end): (usize, usize), expected: [usize; 4]) {
        let found = places(text, [Span { start, end }].into_iter())[0];
        let found = [
            found.start.line,
            found.start.column,
            found.end.line,
            found.end.column,
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn lines_and_columns_count_from_one_in_code_points() {
        check("abc", (0, 3), [1, 1, 1, 4]);
        check("é€😀x\nyz", (3, 4), [1, 4, 1, 5]);
        check("é€😀x\nyz", (5, 7), [2, 1, 2, 3]);
        check("a\n\nb", (0, 4), [1, 1, 3, 2]);
        check("", (0, 0), [1, 1, 1, 1]);
    }

    #[test]
    fn spans_may_come_in_any_order_and_share_bounds() {
        let spans = [(4, 5), (0, 4), (0, 1)].map(|(start, end)| Span { start, end });
        let found = places("ab\ncd", spans.into_iter());
        let starts: Vec<_> = found
            .iter()
            .map(|place| (place.start.line, place.start.column))
            .collect();
        assert_eq!(starts, [(2, 2), (1, 1), (1, 1)]);
    }
}
