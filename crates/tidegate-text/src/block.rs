//! The blocks of a Markdown or plain text: paragraphs, headings, list items.
//!
//! Blocks are recognized line by line and without state, so a chunk that starts
//! in the middle of a document has the same blocks as the document has there.

use std::ops::Range;

/// What a block is, as far as sentences and chunks care.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Lines of running text.
    Paragraph,
    /// One line that starts with `#`.
    Heading,
    /// A list item with its continuation lines.
    Item,
    /// One line that stands for itself: a code fence or a table row.
    Line,
}

/// A block without the white space around it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Block {
    pub(crate) kind: Kind,
    /// Code points.
    pub(crate) span: Range<usize>,
    /// True when a blank line, or nothing at all, comes before it.
    pub(crate) after_blank: bool,
}

/// The blocks of `chars` in order; only white space lies between them.
pub(crate) fn blocks(chars: &[char]) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    let mut after_blank = true;
    for line in lines(chars) {
        let span = trim(chars, line);
        if span.is_empty() {
            after_blank = true;
            continue;
        }
        let kind = kind(&chars[span.clone()]);
        match blocks.last_mut() {
            Some(open) if !after_blank && continues(open.kind, kind) => open.span.end = span.end,
            _ => blocks.push(Block {
                kind,
                span,
                after_blank,
            }),
        }
        after_blank = false;
    }
    blocks
}

/// `span` without white space at its ends.
pub(crate) fn trim(chars: &[char], span: Range<usize>) -> Range<usize> {
    let is_text = |c: &char| !c.is_whitespace();
    let Some(first) = chars[span.clone()].iter().position(is_text) else {
        return span.end..span.end;
    };
    let last = chars[span.clone()]
        .iter()
        .rposition(is_text)
        .unwrap_or(first);
    span.start + first..span.start + last + 1
}

fn lines(chars: &[char]) -> impl Iterator<Item = Range<usize>> {
    let mut next = 0;
    chars.split(|&c| c == '\n').map(move |line| {
        let start = next;
        next = start + line.len() + 1;
        start..start + line.len()
    })
}

/// Only running text goes on with a line of running text.
fn continues(open: Kind, line: Kind) -> bool {
    line == Kind::Paragraph && matches!(open, Kind::Paragraph | Kind::Item)
}

fn kind(line: &[char]) -> Kind {
    match line {
        ['`', '`', '`', ..] | ['~', '~', '~', ..] | ['|', ..] => Kind::Line,
        ['-' | '*' | '+' | '•', rest, ..] if rest.is_whitespace() => Kind::Item,
        _ if is_heading(line) => Kind::Heading,
        _ if is_numbered(line) => Kind::Item,
        _ => Kind::Paragraph,
    }
}

fn is_heading(line: &[char]) -> bool {
    let marks = line.iter().take_while(|&&c| c == '#').count();
    (1..=6).contains(&marks) && line.get(marks).is_none_or(|c| c.is_whitespace())
}

fn is_numbered(line: &[char]) -> bool {
    let digits = line.iter().take_while(|c| c.is_ascii_digit()).count();
    (1..=3).contains(&digits)
        && matches!(line.get(digits), Some('.' | ')'))
        && line.get(digits + 1).is_some_and(|c| c.is_whitespace())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &[(Kind, &str)]) {
        let chars: Vec<char> = text.chars().collect();
        let found = blocks(&chars);
        let found: Vec<(Kind, String)> = found
            .into_iter()
            .map(|b| (b.kind, chars[b.span].iter().collect()))
            .collect();
        let found: Vec<(Kind, &str)> = found.iter().map(|(k, t)| (*k, t.as_str())).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn a_paragraph_ends_at_a_blank_line() {
        check(
            "one\ntwo\n \n three ",
            &[(Kind::Paragraph, "one\ntwo"), (Kind::Paragraph, "three")],
        );
    }

    #[test]
    fn headings_items_fences_and_rows_need_no_blank_line() {
        check(
            "# Title\ntext\n- a\n  more\n1. b\n```\n| x |",
            &[
                (Kind::Heading, "# Title"),
                (Kind::Paragraph, "text"),
                (Kind::Item, "- a\n  more"),
                (Kind::Item, "1. b"),
                (Kind::Line, "```"),
                (Kind::Line, "| x |"),
            ],
        );
    }

    #[test]
    fn look_alikes_are_running_text() {
        check(
            "#tag\n-5 degrees\n2026. and",
            &[(Kind::Paragraph, "#tag\n-5 degrees\n2026. and")],
        );
    }
}
