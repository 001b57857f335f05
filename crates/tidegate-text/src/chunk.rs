//! Cutting a text into chunks that overlap.
//!
//! The chunker knows characters, not tokens: what a chunk costs is the caller's
//! question ([`crate::estimate_tokens`]).

use crate::block::{Block, Kind, blocks};
use crate::sentence;

/// A piece of a text and where it was.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Chunk {
    /// Exactly the code points `start..end` of the text.
    pub text: String,
    /// Position of the first code point.
    pub start: usize,
    /// Position after the last code point.
    pub end: usize,
}

/// How a text is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chunker {
    /// Most code points in a chunk; 0 counts as 1.
    pub chunk_chars: usize,
    /// Most code points that a chunk repeats of the one before it; capped at half
    /// of `chunk_chars`, so that the number of chunks stays bounded.
    pub overlap_chars: usize,
}

impl Default for Chunker {
    fn default() -> Self {
        Self {
            chunk_chars: 800,
            overlap_chars: 200,
        }
    }
}

impl Chunker {
    /// Cuts `text` into chunks that together cover it, white space included.
    ///
    /// A chunk ends at the last end of a paragraph in its second half, else of a
    /// sentence, else at white space, else hard after `chunk_chars`. The next one
    /// starts up to `overlap_chars` before that, moved forward to the start of a
    /// sentence, else of a word, where there is one. A hard cut may separate a
    /// letter from its combining mark, never a code point. The empty text has no
    /// chunks.
    pub fn chunks(&self, text: &str) -> Vec<Chunk> {
        let offsets: Vec<usize> = text
            .char_indices()
            .map(|(at, _)| at)
            .chain([text.len()])
            .collect();
        self.spans(&Borders::of(text))
            .map(|(start, end)| Chunk {
                text: text[offsets[start]..offsets[end]].to_owned(),
                start,
                end,
            })
            .collect()
    }

    fn spans(&self, borders: &Borders) -> impl Iterator<Item = (usize, usize)> {
        let mut next = (!borders.chars.is_empty()).then_some(0);
        std::iter::from_fn(move || {
            let start = next?;
            let end = self.end_after(start, borders);
            next = (end < borders.chars.len()).then(|| self.start_before(end, borders));
            Some((start, end))
        })
    }

    fn size(&self) -> usize {
        self.chunk_chars.max(1)
    }

    fn overlap(&self) -> usize {
        self.overlap_chars.min(self.size() / 2)
    }

    fn end_after(&self, start: usize, borders: &Borders) -> usize {
        let limit = start.saturating_add(self.size());
        if limit >= borders.chars.len() {
            return borders.chars.len();
        }
        // More than the overlap, so that the next chunk starts later than this one.
        let least = start + self.size() / 2 + 1;
        last_within(&borders.paragraphs, least, limit)
            .or_else(|| last_within(&borders.sentences, least, limit))
            .or_else(|| (least..=limit).rev().find(|&at| borders.starts_word(at)))
            .unwrap_or(limit)
    }

    fn start_before(&self, end: usize, borders: &Borders) -> usize {
        let earliest = end - self.overlap();
        first_within(&borders.sentences, earliest, end)
            .or_else(|| (earliest..end).find(|&at| borders.starts_word(at)))
            .unwrap_or(earliest)
    }
}

/// Where a text may be cut, in code points, ascending.
struct Borders {
    chars: Vec<char>,
    paragraphs: Vec<usize>,
    sentences: Vec<usize>,
}

impl Borders {
    fn of(text: &str) -> Self {
        let chars: Vec<char> = text.chars().collect();
        let blocks = blocks(&chars);
        let paragraphs = paragraph_starts(&blocks);
        let headed = headed_starts(&blocks);
        let starts = sentence::spans(&chars, &blocks)
            .into_iter()
            .map(|span| span.start);
        let sentences = starts
            .filter(|start| headed.binary_search(start).is_err())
            .collect();
        Self {
            chars,
            paragraphs,
            sentences,
        }
    }

    fn starts_word(&self, at: usize) -> bool {
        at > 0 && self.chars[at - 1].is_whitespace() && !self.chars[at].is_whitespace()
    }
}

/// A paragraph stays with the heading above it: the heading says what it is about.
fn paragraph_starts(blocks: &[Block]) -> Vec<usize> {
    let starts = blocks.windows(2).filter_map(|pair| {
        let apart = pair[1].after_blank || pair[1].kind == Kind::Heading;
        (apart && pair[0].kind != Kind::Heading).then_some(pair[1].span.start)
    });
    starts.collect()
}

/// Where the text under a heading starts.
fn headed_starts(blocks: &[Block]) -> Vec<usize> {
    let headed = blocks
        .windows(2)
        .filter(|pair| pair[0].kind == Kind::Heading);
    headed.map(|pair| pair[1].span.start).collect()
}

fn last_within(sorted: &[usize], least: usize, most: usize) -> Option<usize> {
    let after = sorted.partition_point(|&at| at <= most);
    sorted[..after].last().copied().filter(|&at| at >= least)
}

fn first_within(sorted: &[usize], least: usize, below: usize) -> Option<usize> {
    let first = sorted.partition_point(|&at| at < least);
    sorted.get(first).copied().filter(|&at| at < below)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check(chunk_chars: usize, overlap_chars: usize, text: &str, expected: &[&str]) {
        let chunks = Chunker {
            chunk_chars,
            overlap_chars,
        }
        .chunks(text);
        let found: Vec<&str> = chunks.iter().map(|chunk| chunk.text.as_str()).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn the_defaults_are_800_and_200() {
        assert_eq!(
            Chunker::default(),
            Chunker {
                chunk_chars: 800,
                overlap_chars: 200
            }
        );
    }

    #[test]
    fn a_short_text_is_one_chunk_and_an_empty_one_is_none() {
        check(10, 2, "0123456789", &["0123456789"]);
        check(10, 2, "", &[]);
    }

    #[test]
    fn a_paragraph_is_preferred_to_a_sentence() {
        check(
            24,
            0,
            "One goes. Two\n\nThree. Four goes on",
            &["One goes. Two\n\n", "Three. Four goes on"],
        );
    }

    #[test]
    fn a_sentence_is_preferred_to_a_word_and_a_word_to_a_hard_cut() {
        check(
            20,
            0,
            "One goes here. Two goes there",
            &["One goes here. ", "Two goes there"],
        );
        check(8, 0, "abcdef ghijklmnop", &["abcdef ", "ghijklmn", "op"]);
    }

    #[test]
    fn a_heading_stays_with_its_paragraph() {
        check(
            20,
            0,
            "Some text\n\n# Head\n\nMore words",
            &["Some text\n\n", "# Head\n\nMore words"],
        );
    }

    #[test]
    fn the_overlap_starts_at_a_sentence_else_at_a_word_else_exactly() {
        check(
            24,
            12,
            "One goes on. Two. Three. Four is here",
            &["One goes on. Two. ", "Two. Three. Four is here"],
        );
        check(
            10,
            5,
            "aaa bbb ccc ddd",
            &["aaa bbb ", "bbb ccc ", "ccc ddd"],
        );
        check(4, 1, "abcdefgh", &["abcd", "defg", "gh"]);
    }

    #[test]
    fn senseless_sizes_still_cut_the_text() {
        check(0, 9, "abc", &["a", "b", "c"]);
        check(4, 400, "abcdefgh", &["abcd", "cdef", "efgh"]);
        check(usize::MAX, usize::MAX, "abc", &["abc"]);
    }

    fn any_text() -> impl Strategy<Value = String> {
        prop_oneof![
            any::<String>(),
            "([a-zA-Z .!?\n#é漢👍\u{301}-]|\\PC){0,400}",
            "[A-Za-z]{1,9}( [a-z]{1,9}|[.] [A-Z][a-z]{1,5}|\n\n[A-Z]){0,60}"
        ]
    }

    proptest! {
        #[test]
        fn a_chunk_is_its_span_and_never_too_long(
            text in any_text(), chunk_chars in 0usize..60, overlap_chars in 0usize..60,
        ) {
            let chars: Vec<char> = text.chars().collect();
            for chunk in (Chunker { chunk_chars, overlap_chars }).chunks(&text) {
                prop_assert!(chunk.start < chunk.end && chunk.end - chunk.start <= chunk_chars.max(1));
                prop_assert_eq!(chars[chunk.start..chunk.end].iter().collect::<String>(), chunk.text);
            }
        }

        #[test]
        fn chunks_cover_the_text_and_overlap_no_more_than_asked(
            text in any_text(), chunk_chars in 0usize..60, overlap_chars in 0usize..60,
        ) {
            let chunks = Chunker { chunk_chars, overlap_chars }.chunks(&text);
            let length = text.chars().count();
            prop_assert_eq!(chunks.first().map_or(0, |chunk| chunk.start), 0);
            prop_assert_eq!(chunks.last().map_or(0, |chunk| chunk.end), length);
            for pair in chunks.windows(2) {
                prop_assert!(pair[0].start < pair[1].start && pair[0].end < pair[1].end);
                prop_assert!(pair[1].start <= pair[0].end, "nothing is left out");
                prop_assert!(pair[0].end - pair[1].start <= overlap_chars);
            }
        }

        /// Without any border to move to, the overlap is exactly what was asked for.
        #[test]
        fn unbroken_text_overlaps_exactly(length in 0usize..300, chunk_chars in 2usize..60, share in 0usize..=2) {
            let overlap_chars = chunk_chars * share / 4;
            let chunks = Chunker { chunk_chars, overlap_chars }.chunks(&"é".repeat(length));
            for pair in chunks.windows(2) {
                prop_assert_eq!(pair[0].end - pair[1].start, overlap_chars);
            }
        }
    }
}
