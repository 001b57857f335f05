use serde_json::{Value, json};

use super::scan::take_looked_at;
use super::{
    DecodeError, DecodeOptions, Delimiter, EncodeOptions, IndentSize, MAX_DEPTH, MAX_EXPANSION,
    Rule, Strictness, Unit, compact, decode, encode, encode_to,
};

const LENIENT: DecodeOptions = DecodeOptions {
    strictness: Strictness::Lenient,
    indent_size: IndentSize(2),
};

fn strict(text: &str) -> Result<Value, DecodeError> {
    decode(text, &DecodeOptions::default())
}

fn written(value: &Value) -> String {
    encode(value, &EncodeOptions::default()).unwrap()
}

#[track_caller]
fn check(value: Value, expected: &str) {
    assert_eq!(written(&value), expected);
    assert_eq!(strict(expected).unwrap(), value, "{expected}");
}

#[test]
fn boats_of_a_harbour_are_a_table() {
    check(
        json!({"boats": [
            {"id": 1, "at": {"pier": "A", "place": 7}, "name": "Ebb, Flow & Co"},
            {"id": 2, "at": {"pier": "B", "place": null}, "name": "#2"},
        ], "open": true}),
        "boats[2]{id,at{pier,place},name}:\n  1,A,7,\"Ebb, Flow & Co\"\n  2,B,null,\"#2\"\nopen: true",
    );
}

#[test]
fn gates_by_name_are_a_keyed_table() {
    check(
        json!({"gates": {"north": {"open": true}, "old south": {"open": false}}}),
        "gates[2:]{open}:\n  north: true\n  \"old south\": false",
    );
    check(
        json!({"a": {"x": 1}, "b": {"x": "y:z"}}),
        "[2:]{x}:\n  a: 1\n  b: \"y:z\"",
    );
}

#[test]
fn a_list_holds_what_is_no_table() {
    check(
        json!([1, {}, [], [2, 3], [[], [4]], {"a": [], "b": [{"c": 1}, {"d": {}}]}, {"t": [{"x": 1}], "u": 2}]),
        "[7]:\n  - 1\n  -\n  - [0]:\n  - [2]: 2,3\n  - [2]:\n    - [0]:\n    - [1]: 4\n  - a: []\n    b[2]:\n      - c: 1\n      - d:\n  - t[1]{x}:\n      1\n    u: 2",
    );
}

#[test]
fn a_string_that_begins_with_a_byte_order_mark_keeps_it() {
    check(json!("\u{feff}a"), "\"\u{feff}a\"");
    assert_eq!(strict("\u{feff}a: 1").unwrap(), json!({"a": 1}));
}

#[test]
fn delimiters_and_indent_sizes_are_what_the_options_say() {
    let value = json!({"m": {"a": [{"x": "1,2", "y": "|"}], "b": []}});
    for (delimiter, expected) in [
        (
            Delimiter::Comma,
            "m:\n    a[1]{x,y}:\n        \"1,2\",|\n    b: []",
        ),
        (
            Delimiter::Pipe,
            "m:\n    a[1|]{x|y}:\n        1,2|\"|\"\n    b: []",
        ),
        (
            Delimiter::Tab,
            "m:\n    a[1\t]{x\ty}:\n        1,2\t|\n    b: []",
        ),
    ] {
        let indent_size = IndentSize::new(4).unwrap();
        let options = EncodeOptions {
            delimiter,
            indent_size,
        };
        let text = encode(&value, &options).unwrap();
        assert_eq!(text, expected);
        let options = DecodeOptions {
            indent_size,
            ..DecodeOptions::default()
        };
        assert_eq!(decode(&text, &options).unwrap(), value);
    }
    assert_eq!(IndentSize::new(0), None);
    assert_eq!(IndentSize::new(17), None);
}

#[track_caller]
fn refused(text: &str, line: usize, column: usize, rule: Rule) {
    let error = strict(text).unwrap_err();
    assert_eq!(
        (error.line, error.column, error.rule),
        (line, column, rule),
        "{text}"
    );
}

#[test]
fn errors_about_lines_name_the_place_and_the_rule() {
    refused("a:\n\tb: 1", 2, 1, Rule::TabIndentation);
    refused("a:\n  \tb: 1", 2, 3, Rule::TabIndentation);
    refused(
        "a:\n   b: 1",
        2,
        4,
        Rule::UnevenIndentation {
            indent_size: 2,
            found: 3,
        },
    );
    refused(
        "  a: 1",
        1,
        3,
        Rule::Overindented {
            expected: 0,
            found: 1,
        },
    );
    refused(
        "a: 1\n  b: 1",
        2,
        3,
        Rule::Overindented {
            expected: 0,
            found: 1,
        },
    );
    refused(
        "a:\n    b: 1",
        2,
        5,
        Rule::Overindented {
            expected: 1,
            found: 2,
        },
    );
    refused("a[2]:\n  - 1\n\n  - 2", 3, 1, Rule::BlankLine);
    refused("a[1]:\n  - b: 1\n   \n    c: 2", 3, 1, Rule::BlankLine);
    refused("a: 1\nb", 2, 1, Rule::MissingColon);
    refused("é\nb", 1, 1, Rule::MissingColon);
    refused("a: 1\nb: 2\na: 3", 3, 1, Rule::DuplicateKey);
    refused("[1]: 1\nb: 2", 2, 1, Rule::TrailingContent);
    refused("[]\nb: 2", 2, 1, Rule::TrailingContent);
}

#[test]
fn errors_about_strings_name_the_place_and_the_rule() {
    refused("é: \"abc", 1, 4, Rule::UnterminatedString);
    refused("é: \"ab\\qc\"", 1, 7, Rule::InvalidEscape);
    refused("é: \"ab\" c", 1, 8, Rule::AfterQuote);
    refused("a[2]: 1,\"b", 1, 9, Rule::UnterminatedString);
    refused("\"a\" x: 1", 1, 5, Rule::AfterQuote);
}

#[test]
fn errors_about_headers_name_the_place_and_the_rule() {
    let comma = Rule::FieldDelimiter {
        declared: Delimiter::Comma,
    };
    refused("a[x]: 1", 1, 3, Rule::BadLength);
    refused("a[03]: 1", 1, 3, Rule::BadLength);
    refused("a[2,]: 1", 1, 4, Rule::BadLength);
    refused("a[2]b: 1", 1, 5, Rule::BrokenHeader);
    refused("a [2]: 1", 1, 3, Rule::BrokenHeader);
    refused("a[1]{b}c:\n  1", 1, 8, Rule::BrokenHeader);
    refused("a[1]{b|c}:\n  1", 1, 7, comma);
    refused("a[1]{b {c}}:\n  1", 1, 8, Rule::BrokenHeader);
    refused("a[1]{b,}:\n  1", 1, 8, Rule::EmptyField);
    refused("a[1]{}:\n  1", 1, 6, Rule::EmptyField);
    refused("a[1]{b{c:\n  1", 1, 7, Rule::UnmatchedBrace);
    refused("a[1]{b,c,b}:\n  1,2,3", 1, 10, Rule::DuplicateField);
    refused("a[1:]:\n  b: 1", 1, 2, Rule::KeyedWithoutFields);
    refused("a[1]{b}: 1", 1, 10, Rule::ContentAfterFields);
    refused("a: 1\n[2]: 1,2", 2, 1, Rule::HeaderWithoutKey);
    refused("a[1]:\n  - [1]{b}:\n    1", 2, 5, Rule::HeaderWithoutKey);
}

#[test]
fn errors_about_counts_name_the_place_and_the_rule() {
    let fewer = |unit, declared, found| Rule::Fewer {
        unit,
        declared,
        found,
    };
    let more = |unit, declared| Rule::More { unit, declared };
    refused("a[3]: 1,2", 1, 2, fewer(Unit::Values, 3, 2));
    refused("a[1]: 1, é2", 1, 10, more(Unit::Values, 1));
    refused("x: 1\na[2]:\n  - 1", 2, 2, fewer(Unit::Items, 2, 1));
    refused("a[1]:\n  - 1\n  - 2", 3, 3, more(Unit::Items, 1));
    refused("a[2]{b}:\n  1", 1, 2, fewer(Unit::Rows, 2, 1));
    refused("a[1]{b}:\n  1\n  2", 3, 3, more(Unit::Rows, 1));
    refused("a[2:]{b}:\n  c: 1", 1, 2, fewer(Unit::Entries, 2, 1));
    refused("a[1:]{b}:\n  c: 1\n  d: 2", 3, 3, more(Unit::Entries, 1));
    refused(
        "a[1]{b,c}:\n  1",
        2,
        3,
        Rule::RowWidth {
            fields: 2,
            found: 1,
        },
    );
    refused(
        "a[1]{b,c}:\n  1,2,3",
        2,
        3,
        Rule::RowWidth {
            fields: 2,
            found: 3,
        },
    );
    refused(
        "a[1:]{b}:\n  c:",
        2,
        5,
        Rule::RowWidth {
            fields: 1,
            found: 0,
        },
    );
    refused("a[1]{b}:\n  c: 1", 2, 3, Rule::NotARow);
    refused("a[1]:\n  c: 1", 2, 3, Rule::NotAnItem);
    refused("a[1:]{b}:\n  c", 2, 3, Rule::NotAnEntry);
    refused(
        "a[99999999999999999999999]: 1",
        1,
        2,
        fewer(Unit::Values, usize::MAX, 1),
    );
}

#[test]
fn messages_name_the_limit_and_never_the_text() {
    let error = strict("secret[3]: hidden,words").unwrap_err().to_string();
    assert_eq!(
        error,
        "line 1, column 7: the header declares 3 values, and 2 follow"
    );
}

#[test]
fn a_forgiving_reader_takes_counts_duplicates_and_indentation_as_they_come() {
    let read = |text| decode(text, &LENIENT).unwrap();
    assert_eq!(read("a[5]: 1,2"), json!({"a": [1, 2]}));
    assert_eq!(
        read("a[1]{b}:\n  1\n\n  2"),
        json!({"a": [{"b": 1}, {"b": 2}]})
    );
    assert_eq!(read("a: 1\na: 2"), json!({"a": 2}));
    assert_eq!(read("a:\n\tb:\n\t\tc: 1"), json!({"a": {"b": {"c": 1}}}));
    assert_eq!(
        read("a:\n      b: 1\n      c: 2"),
        json!({"a": {"b": 1, "c": 2}})
    );
    assert_eq!(read("a[x]: 1"), json!({"a[x]": 1}));
    let rule = |text| decode(text, &LENIENT).unwrap_err().rule;
    assert_eq!(
        rule("a[1]{b,c}:\n  1"),
        Rule::RowWidth {
            fields: 2,
            found: 1
        }
    );
    assert_eq!(rule("a[1]:\n  b"), Rule::NotAnItem);
}

fn nested(levels: usize) -> Value {
    (1..levels).fold(json!({}), |value, _| json!({ "a": value }))
}

#[test]
fn what_json_can_hold_is_written_and_read_and_nothing_deeper() {
    let value = nested(MAX_DEPTH);
    let json = value.to_string();
    assert_eq!(serde_json::from_str::<Value>(&json).unwrap(), value);
    assert_eq!(strict(&written(&value)).unwrap(), value);
    let deeper = nested(MAX_DEPTH + 1);
    assert!(serde_json::from_str::<Value>(&deeper.to_string()).is_err());
    let error = encode(&deeper, &EncodeOptions::default()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the value is nested more than 127 levels deep"
    );
    let mut out = Vec::new();
    assert!(encode_to(&deeper, &EncodeOptions::default(), &mut out).is_err());
    assert!(out.is_empty());
}

/// Keys below each other, each one level deeper.
fn staircase(levels: usize) -> String {
    (0..levels)
        .map(|level| format!("{}a:\n", "  ".repeat(level)))
        .collect()
}

#[test]
fn depth_is_bounded_in_lists_headers_and_objects() {
    let limit = MAX_DEPTH;
    refused(
        &staircase(10_000),
        MAX_DEPTH,
        2 * MAX_DEPTH - 1,
        Rule::TooDeep { limit },
    );
    let lists: String = (0..300)
        .map(|level| format!("{}- [1]:\n", "  ".repeat(level + 1)))
        .collect();
    let error = strict(&format!("[1]:\n{lists}")).unwrap_err();
    assert_eq!(
        (error.line, error.rule),
        (MAX_DEPTH + 1, Rule::TooDeep { limit })
    );
    let groups = format!(
        "a[1]{{{}b{}}}:\n  1",
        "a{".repeat(10_000),
        "}".repeat(10_000)
    );
    assert_eq!(strict(&groups).unwrap_err().rule, Rule::TooDeep { limit });
    let groups = format!("a[1]{{{}b{}}}:\n  1", "a{".repeat(125), "}".repeat(125));
    assert_eq!(strict(&groups).unwrap_err().rule, Rule::TooDeep { limit });
    let groups = format!("a[1]{{{}b{}}}:\n  1", "a{".repeat(124), "}".repeat(124));
    let value = strict(&groups).unwrap();
    assert_eq!(written(&value), groups);
}

#[test]
fn fifty_megabytes_of_depth_10_000_are_an_error_and_no_overflow() {
    let mut text = staircase(7_000);
    text.extend(std::iter::repeat_n("\n", 1_000_000));
    assert!(text.len() > 50_000_000, "{}", text.len());
    for options in [DecodeOptions::default(), LENIENT] {
        let error = decode(&text, &options).unwrap_err();
        assert_eq!(error.rule, Rule::TooDeep { limit: MAX_DEPTH });
        assert_eq!(error.line, MAX_DEPTH);
    }
}

#[test]
fn rows_may_not_repeat_one_long_name_without_end() {
    let rows = 2_000;
    let text = |name: usize| {
        format!(
            "[{rows}]{{{}}}:\n{}",
            "n".repeat(name),
            "  1\n".repeat(rows)
        )
    };
    assert!(strict(&text(1_000)).is_ok());
    let error = strict(&text(100_000)).unwrap_err();
    assert_eq!(
        error.rule,
        Rule::Expansion {
            limit: MAX_EXPANSION
        }
    );
    // The names of so many MiB are repeated, and then no more.
    assert_eq!(error.line, (MAX_EXPANSION << 20) / (100_000 + 64) + 2);
    let rows = 20_000;
    let groups = format!(
        "[{rows}]{{{}b{}}}:\n{}",
        "a{".repeat(100),
        "}".repeat(100),
        "  1\n".repeat(rows)
    );
    assert_eq!(
        strict(&groups).unwrap_err().rule,
        Rule::Expansion {
            limit: MAX_EXPANSION
        }
    );
}

/// Texts that each could be made slow, as long as `size` says.
fn shapes(size: usize) -> Vec<(&'static str, String)> {
    let mut shapes = vec![
        (
            "one long string",
            format!("a: \"{}\"", "\\n".repeat(size / 2)),
        ),
        ("one long key", format!("{}: 1", "k".repeat(size))),
        (
            "one long row",
            format!("a[{size}]: {}1", "1,".repeat(size - 1)),
        ),
        ("quotes without end", "\"".repeat(size)),
        ("brackets without end", "[".repeat(size)),
        ("colons without end", ":".repeat(size)),
        ("blank lines", "\n".repeat(size)),
        ("comments", "#\n".repeat(size / 2)),
        ("spaces", " ".repeat(size)),
        (
            "fields without end",
            format!("a[1]{{{}", "a,".repeat(size / 2)),
        ),
        (
            "fields with a row",
            format!(
                "a[1]{{{}z}}:\n  {}",
                fields(size / 8),
                "1,".repeat(size / 8) + "1"
            ),
        ),
        (
            "groups without end",
            format!("a[1]{{{}", "a{".repeat(size / 2)),
        ),
    ];
    let lines = size / 4;
    shapes.push((
        "rows",
        format!("[{lines}]{{a}}:\n{}", "  1\n".repeat(lines)),
    ));
    let items = "  - \"a: [b\"\n".repeat(lines / 4);
    shapes.push(("items", format!("[{}]:\n{items}", lines / 4)));
    shapes.push((
        "a list on one line",
        format!("[{}1]", "a:\\|b|".repeat(size / 6)),
    ));
    shapes.push((
        "an object on one line",
        format!("{{{}}}", short_fields(size / 8)),
    ));
    let headers: String = (0..lines / 4)
        .map(|at| format!("k{at}[1]{{a}}:\n  1\n\n"))
        .collect();
    shapes.push(("headers and blank lines", headers));
    shapes
}

fn short_fields(count: usize) -> String {
    (0..count).map(|at| format!("f{at}:{at}|")).collect()
}

fn fields(count: usize) -> String {
    (0..count).map(|at| format!("f{at},")).collect()
}

#[test]
fn reading_looks_at_every_byte_a_bounded_number_of_times() {
    const MOST_LOOKS: usize = 8;
    for size in [1 << 12, 1 << 16] {
        for (name, text) in shapes(size) {
            take_looked_at();
            let _ = decode(&text, &LENIENT);
            let _ = strict(&text);
            let _ = compact::decode(&text, &compact::Abbreviations::standard());
            let looks = take_looked_at();
            assert!(
                looks <= 3 * MOST_LOOKS * text.len(),
                "{name}: {looks} for {} bytes",
                text.len()
            );
            assert!(
                looks >= text.len() / 4,
                "{name}: {looks} for {} bytes are not counted",
                text.len()
            );
        }
    }
}

/// A writer that counts what arrives.
#[derive(Default)]
struct Counter {
    bytes: usize,
    largest: usize,
}

impl std::io::Write for Counter {
    fn write(&mut self, part: &[u8]) -> std::io::Result<usize> {
        self.bytes += part.len();
        self.largest = self.largest.max(part.len());
        Ok(part.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_large_array_is_written_piece_by_piece() {
    let row = |at| json!({"id": at, "name": "boat"});
    let value: Value = (0..100_000).map(row).collect();
    let mut counter = Counter::default();
    encode_to(&value, &EncodeOptions::default(), &mut counter).unwrap();
    assert_eq!(counter.bytes, written(&value).len());
    assert!(counter.largest <= 64 * 1024, "{}", counter.largest);
}

/// A writer that is full.
struct Full;

impl std::io::Write for Full {
    fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
        Err(std::io::ErrorKind::StorageFull.into())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn the_error_of_a_writer_arrives_at_the_caller() {
    let error = encode_to(&json!([1, 2]), &EncodeOptions::default(), Full).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::StorageFull);
}
