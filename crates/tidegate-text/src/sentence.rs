//! Sentences by simple rules, for quoting and for cutting.
//!
//! No dictionary and no language: a wrong border costs a longer or a shorter
//! quote, never a wrong position.

use std::ops::Range;

use crate::block::{Block, Kind, blocks, trim};
use crate::chunk::Chunk;

/// Words after which a full stop does not end a sentence; lower case, letters only.
const ABBREVIATIONS: [&str; 12] = [
    "e.g", "i.e", "cf", "vs", "approx", "incl", "mr", "mrs", "ms", "dr", "prof", "fig",
];

/// The sentences of `text` in order, without the white space around them.
///
/// A sentence ends at `.`, `!` or `?` (closing quotes and brackets included)
/// before white space and something that can start a sentence, before a line
/// break, at the full stops of Chinese and Japanese, at a blank line and at the end. Markdown headings,
/// list items, fences and table rows start a new sentence and keep their mark. A
/// full stop after an abbreviation (`e.g.`, `i.e.`, `Dr.`) or a single capital
/// does not end one; after `etc.` it does, when a capital follows.
pub fn sentences(text: &str) -> Vec<Chunk> {
    let chars: Vec<char> = text.chars().collect();
    spans(&chars, &blocks(&chars))
        .into_iter()
        .map(|span| Chunk {
            text: chars[span.clone()].iter().collect(),
            start: span.start,
            end: span.end,
        })
        .collect()
}

/// The spans of the sentences in `blocks`, trimmed, in order.
pub(crate) fn spans(chars: &[char], blocks: &[Block]) -> Vec<Range<usize>> {
    blocks
        .iter()
        .flat_map(|block| split(chars, block))
        .collect()
}

fn split(chars: &[char], block: &Block) -> Vec<Range<usize>> {
    let Range { start, end } = block.span;
    if matches!(block.kind, Kind::Heading | Kind::Line) {
        return vec![block.span.clone()];
    }
    let line = &chars[..end];
    let mut found = Vec::new();
    let mut from = start;
    // The number of "1. Item" is not a sentence.
    let mut at = start
        + chars[start..end]
            .iter()
            .take_while(|c| !c.is_whitespace())
            .count();
    if block.kind == Kind::Paragraph {
        at = start;
    }
    while at < end {
        match end_of_sentence(line, from, at) {
            Some(stop) => {
                found.push(trim(chars, from..stop));
                from = trim(chars, stop..end).start;
                at = from;
            }
            None => at += 1,
        }
    }
    if from < end {
        found.push(from..end);
    }
    found
}

/// Where the sentence that starts at `from` ends, when its final mark is at `at`.
fn end_of_sentence(chars: &[char], from: usize, at: usize) -> Option<usize> {
    let mark = chars[at];
    let after_mark = at + 1;
    let closed = after_mark
        + chars[after_mark..]
            .iter()
            .take_while(|c| is_closing(**c))
            .count();
    match mark {
        '。' | '！' | '？' => Some(closed),
        '.' | '!' | '?' => {
            let gap = chars[closed..].iter().take_while(|c| c.is_whitespace());
            let gap: Vec<char> = gap.copied().collect();
            let next = *chars.get(closed + gap.len())?;
            let starts = gap.contains(&'\n') || (!gap.is_empty() && can_start(next));
            let ends = starts && !(mark == '.' && is_abbreviation(&chars[from..at]));
            ends.then_some(closed)
        }
        _ => None,
    }
}

fn is_closing(c: char) -> bool {
    matches!(
        c,
        '"' | '\'' | '”' | '’' | '»' | ')' | ']' | '*' | '_' | '`' | '」'
    )
}

fn can_start(c: char) -> bool {
    let opens = matches!(
        c,
        '"' | '\'' | '“' | '‘' | '«' | '(' | '[' | '*' | '_' | '`' | '「'
    );
    opens || (c.is_alphanumeric() && !c.is_lowercase())
}

/// True when `before` (the sentence up to a full stop) ends in an abbreviation.
fn is_abbreviation(before: &[char]) -> bool {
    let word_start = before
        .iter()
        .rposition(|&c| !c.is_alphanumeric() && c != '.')
        .map_or(0, |i| i + 1);
    let word = &before[word_start..];
    if let [initial] = word {
        return initial.is_uppercase();
    }
    // Longer words cannot be in the list; looking at them would cost allocations.
    let lower: String = word.iter().take(8).flat_map(|c| c.to_lowercase()).collect();
    ABBREVIATIONS.contains(&lower.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check(text: &str, expected: &[&str]) {
        let found: Vec<String> = sentences(text).into_iter().map(|s| s.text).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn a_mark_before_a_capital_ends_a_sentence() {
        check(
            "It is open. Is it? Yes! 10 s later",
            &["It is open.", "Is it?", "Yes!", "10 s later"],
        );
        check(
            "He said \"stop.\" Then\nhe left.",
            &["He said \"stop.\"", "Then\nhe left."],
        );
        check(
            "See v1.2.3 or wait... and see. `run` it",
            &["See v1.2.3 or wait... and see.", "`run` it"],
        );
        check(
            "潮が満ちる。門が閉じる。",
            &["潮が満ちる。", "門が閉じる。"],
        );
    }

    #[test]
    fn a_mark_at_the_end_of_a_line_ends_a_sentence() {
        check(
            "It opens.\ntidegate waits,\ne.g.\nfor you.",
            &["It opens.", "tidegate waits,\ne.g.\nfor you."],
        );
    }

    #[test]
    fn abbreviations_do_not_end_a_sentence() {
        check(
            "Use one, e.g. Ollama, i.e. No key.",
            &["Use one, e.g. Ollama, i.e. No key."],
        );
        check(
            "Ask Dr. Tide or J. Gate. Now",
            &["Ask Dr. Tide or J. Gate.", "Now"],
        );
        check(
            "Keys, limits, etc. are here, etc. Next",
            &["Keys, limits, etc. are here, etc.", "Next"],
        );
    }

    #[test]
    fn markdown_lines_are_sentences_of_their_own() {
        check(
            "# One. Two\ntext goes\non\n- first item. Second part\n1. Third\n\nLast",
            &[
                "# One. Two",
                "text goes\non",
                "- first item.",
                "Second part",
                "1. Third",
                "Last",
            ],
        );
    }

    #[test]
    fn nothing_has_no_sentence() {
        check("", &[]);
        check(" \n\n\t", &[]);
    }

    proptest! {
        /// Spans ascend, carry their own text, and leave only white space out.
        #[test]
        fn sentences_lose_nothing_but_white_space(text in "([a-zA-Z0-9 .!?\n#\"é。-]|\\PC){0,200}") {
            let chars: Vec<char> = text.chars().collect();
            let mut last = 0;
            for sentence in sentences(&text) {
                prop_assert!(last <= sentence.start && sentence.start < sentence.end);
                prop_assert!(chars[last..sentence.start].iter().all(|c| c.is_whitespace()));
                prop_assert_eq!(&chars[sentence.start..sentence.end].iter().collect::<String>(), &sentence.text);
                last = sentence.end;
            }
            prop_assert!(chars[last..].iter().all(|c| c.is_whitespace()));
        }
    }
}
