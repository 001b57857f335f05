//! Where in a text something is.

/// The line and the column (both from 1, columns in code points) of a byte
/// offset.
///
/// A decoder keeps slices of its source and asks only once it has failed, so
/// that a document without a fault never counts a line.
pub(super) fn place(source: &str, offset: usize) -> (usize, usize) {
    let before = source.get(..offset).unwrap_or(source);
    let line = before.bytes().filter(|byte| *byte == b'\n').count() + 1;
    let start = before.rfind('\n').map_or(0, |at| at + 1);
    let shown = before[start..].trim_start_matches('\u{feff}');
    (line, shown.chars().count() + 1)
}

/// How far into `source` one of its own slices begins.
pub(super) fn offset_of(source: &str, part: &str) -> usize {
    let start = source.as_ptr() as usize;
    (part.as_ptr() as usize)
        .saturating_sub(start)
        .min(source.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_columns_begin_at_one_and_count_code_points() {
        let source = "ab\nçd: x";
        for (offset, expected) in [(0, (1, 1)), (2, (1, 3)), (3, (2, 1)), (5, (2, 2))] {
            assert_eq!(place(source, offset), expected, "{offset}");
        }
        assert_eq!(place(source, source.len()), (2, 6));
        assert_eq!(offset_of(source, &source[5..6]), 5);
    }

    #[test]
    fn a_byte_order_mark_is_no_column() {
        assert_eq!(place("\u{feff}a: 1", 3), (1, 1));
    }
}
