//! What can be wrong with a text or a value, and where.

use super::options::Delimiter;
use super::place::{offset_of, place};

/// How many containers may hold each other, in both dialects and both ways.
///
/// It is what `serde_json` reads, so whatever was JSON can be encoded, and
/// whatever is decoded can be written as JSON and read again.
pub const MAX_DEPTH: usize = 127;

/// Rows may repeat the names of their header to this many times the size of the
/// text, and no more: one long name over many short rows would otherwise make
/// gigabytes of megabytes.
pub const MAX_EXPANSION: usize = 32;

/// The size of text below which the names of headers are not counted.
pub(super) const FREE_EXPANSION_BYTES: usize = 1 << 20;

/// Why a value cannot be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// Containers hold each other more deeply than [`MAX_DEPTH`].
    #[error("the value is nested more than {limit} levels deep")]
    TooDeep {
        /// The most levels.
        limit: usize,
    },
}

/// Why a text cannot be read: the rule that it breaks, and where.
///
/// The message never quotes the text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {rule}")]
pub struct DecodeError {
    /// The line, from 1.
    pub line: usize,
    /// The column in code points, from 1.
    pub column: usize,
    /// The rule that is broken there.
    pub rule: Rule,
}

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// The values of an array on one line.
    Values,
    /// The items of a list.
    Items,
    /// The rows of a table.
    Rows,
    /// The entries of a keyed table.
    Entries,
}

impl std::fmt::Display for Unit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Values => "values",
            Self::Items => "list items",
            Self::Rows => "rows",
            Self::Entries => "entries",
        })
    }
}

/// A rule that a text can break.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Rule {
    /// A tab in the indentation.
    #[error("indentation must be spaces, and this is a tab")]
    TabIndentation,
    /// Spaces that are no whole number of levels.
    #[error("indentation must be a multiple of {indent_size} spaces, and this is {found}")]
    UnevenIndentation {
        /// The width of one level.
        indent_size: usize,
        /// The spaces found.
        found: usize,
    },
    /// A line deeper than what it belongs to allows.
    #[error(
        "this line stands at level {found}, and level {expected} is the deepest that it may have here"
    )]
    Overindented {
        /// The level that is allowed.
        expected: usize,
        /// The level of the line.
        found: usize,
    },
    /// A blank line between the lines of an array.
    #[error("a blank line may not stand inside an array")]
    BlankLine,
    /// A line that must have a key and has none.
    #[error("a key and a colon are expected")]
    MissingColon,
    /// A key a second time in one object.
    #[error("this key stands twice in its object")]
    DuplicateKey,
    /// A name a second time in one field list.
    #[error("this field stands twice in its list")]
    DuplicateField,
    /// Something after the end of the document.
    #[error("nothing may follow the value that the document began with")]
    TrailingContent,
    /// A quote that is never closed.
    #[error("a string begins here and its closing quote is missing")]
    UnterminatedString,
    /// A backslash before something that it does not escape.
    #[error("this is no escape sequence that strings may have")]
    InvalidEscape,
    /// Text between a closing quote and the end of its token.
    #[error("nothing may follow a closing quote in the same value")]
    AfterQuote,
    /// Not a length in brackets.
    #[error(
        "a length is expected in brackets: digits without leading zeros, then an optional colon and delimiter"
    )]
    BadLength,
    /// Something between the parts of a header.
    #[error("the parts of an array header must touch each other and end with a colon")]
    BrokenHeader,
    /// A delimiter in a field list that its brackets do not name.
    #[error("the field list uses another delimiter than the {declared} that its brackets declare")]
    FieldDelimiter {
        /// What the brackets declare.
        declared: Delimiter,
    },
    /// A field without a name.
    #[error("a field name is expected")]
    EmptyField,
    /// A brace that is never closed.
    #[error("the closing brace of this field list is missing")]
    UnmatchedBrace,
    /// A keyed header without fields.
    #[error("a keyed header needs a field list")]
    KeyedWithoutFields,
    /// Values on the line of a header with fields.
    #[error("the rows of a header with fields stand on their own lines")]
    ContentAfterFields,
    /// A header without a key where one is needed.
    #[error(
        "a header without a key may stand only at the root of a document, or, without fields, in a list"
    )]
    HeaderWithoutKey,
    /// Fewer than a header declares.
    #[error("the header declares {declared} {unit}, and {found} follow")]
    Fewer {
        /// What is counted.
        unit: Unit,
        /// What the header says.
        declared: usize,
        /// How many there are.
        found: usize,
    },
    /// More than a header declares.
    #[error("the header declares {declared} {unit}, and this is one more")]
    More {
        /// What is counted.
        unit: Unit,
        /// What the header says.
        declared: usize,
    },
    /// A row with more or fewer cells than fields.
    #[error("a row of {fields} cells is expected, and this has {found}")]
    RowWidth {
        /// The fields of the header.
        fields: usize,
        /// The cells of the row.
        found: usize,
    },
    /// A line among rows that is none.
    #[error("a row is expected; a colon before the first delimiter must be quoted")]
    NotARow,
    /// A line among list items that is none.
    #[error("a list item is expected: a hyphen and a space")]
    NotAnItem,
    /// A line among entries that is none.
    #[error("an entry is expected: a key, a colon and its cells")]
    NotAnEntry,
    /// Containers hold each other more deeply than [`MAX_DEPTH`].
    #[error("this is nested more than {limit} levels deep")]
    TooDeep {
        /// The most levels.
        limit: usize,
    },
    /// Rows repeat more names than [`MAX_EXPANSION`] allows.
    #[error("the rows repeat more than {limit} times the text in names of fields")]
    Expansion {
        /// The most times.
        limit: usize,
    },
    /// A value is missing (compact dialect).
    #[error("a value is expected")]
    MissingValue,
    /// A bracket that does not belong there (compact dialect).
    #[error("{expected} is expected")]
    Expected {
        /// What would fit.
        expected: &'static str,
    },
}

impl Rule {
    /// A short word for programs; it does not change.
    pub fn code(&self) -> &'static str {
        match self {
            Self::TabIndentation => "tab_indentation",
            Self::UnevenIndentation { .. } => "uneven_indentation",
            Self::Overindented { .. } => "overindented",
            Self::BlankLine => "blank_line",
            Self::MissingColon => "missing_colon",
            Self::DuplicateKey => "duplicate_key",
            Self::DuplicateField => "duplicate_field",
            Self::TrailingContent => "trailing_content",
            Self::UnterminatedString => "unterminated_string",
            Self::InvalidEscape => "invalid_escape",
            Self::AfterQuote => "after_quote",
            Self::BadLength => "bad_length",
            Self::BrokenHeader => "broken_header",
            Self::FieldDelimiter { .. } => "field_delimiter",
            Self::EmptyField => "empty_field",
            Self::UnmatchedBrace => "unmatched_brace",
            Self::KeyedWithoutFields => "keyed_without_fields",
            Self::ContentAfterFields => "content_after_fields",
            Self::HeaderWithoutKey => "header_without_key",
            Self::Fewer { .. } => "fewer_than_declared",
            Self::More { .. } => "more_than_declared",
            Self::RowWidth { .. } => "row_width",
            Self::NotARow => "not_a_row",
            Self::NotAnItem => "not_an_item",
            Self::NotAnEntry => "not_an_entry",
            Self::TooDeep { .. } => "too_deep",
            Self::Expansion { .. } => "expansion",
            Self::MissingValue => "missing_value",
            Self::Expected { .. } => "unexpected_character",
        }
    }
}

/// A broken rule at a slice of the source, before anybody asked for its line.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fault<'s> {
    pub(super) at: &'s str,
    pub(super) rule: Rule,
}

impl<'s> Fault<'s> {
    pub(super) fn new(at: &'s str, rule: Rule) -> Self {
        Self { at, rule }
    }

    /// The same as its reader sees it.
    pub(super) fn in_source(self, source: &str) -> DecodeError {
        let (line, column) = place(source, offset_of(source, self.at));
        DecodeError {
            line,
            column,
            rule: self.rule,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One of each.
    const RULES: [Rule; 29] = [
        Rule::TabIndentation,
        Rule::UnevenIndentation {
            indent_size: 2,
            found: 3,
        },
        Rule::Overindented {
            expected: 0,
            found: 1,
        },
        Rule::BlankLine,
        Rule::MissingColon,
        Rule::DuplicateKey,
        Rule::DuplicateField,
        Rule::TrailingContent,
        Rule::UnterminatedString,
        Rule::InvalidEscape,
        Rule::AfterQuote,
        Rule::BadLength,
        Rule::BrokenHeader,
        Rule::FieldDelimiter {
            declared: Delimiter::Tab,
        },
        Rule::EmptyField,
        Rule::UnmatchedBrace,
        Rule::KeyedWithoutFields,
        Rule::ContentAfterFields,
        Rule::HeaderWithoutKey,
        Rule::Fewer {
            unit: Unit::Rows,
            declared: 2,
            found: 1,
        },
        Rule::More {
            unit: Unit::Items,
            declared: 2,
        },
        Rule::RowWidth {
            fields: 2,
            found: 1,
        },
        Rule::NotARow,
        Rule::NotAnItem,
        Rule::NotAnEntry,
        Rule::TooDeep { limit: MAX_DEPTH },
        Rule::Expansion {
            limit: MAX_EXPANSION,
        },
        Rule::MissingValue,
        Rule::Expected { expected: "|" },
    ];

    #[test]
    fn every_rule_has_a_word_of_its_own_which_the_manual_lists() {
        let manual = include_str!("../../../../docs/toon.md");
        let mut words: Vec<&str> = RULES.iter().map(Rule::code).collect();
        for word in &words {
            assert!(manual.contains(&format!("`{word}`")), "{word}");
        }
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), RULES.len());
    }
}
