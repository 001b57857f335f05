use serde_json::{Value, json};

use super::{Abbreviations, TableError, decode, encode};
use crate::toon::{MAX_DEPTH, Rule};

#[track_caller]
fn check(value: Value, expected: &str) {
    let table = Abbreviations::standard();
    let text = encode(&value, &table).unwrap();
    assert_eq!(text, expected);
    assert_eq!(decode(&text, &table).unwrap(), value, "{text}");
}

#[test]
fn the_seed_example_looks_as_it_always_did() {
    let item = json!({"feedback": {
        "id": "FB001",
        "description": "Timeline missing timestamps",
        "category": "Timeline",
        "risk_level": "Medium",
        "confidence": 0.85,
    }});
    check(
        item,
        "{fb:{id:FB001|desc:Timeline missing timestamps|cat:Timeline|risk:Medium|conf:0.85}}",
    );
}

#[test]
fn ordinary_data_looks_as_it_always_did() {
    check(
        json!([null, true, false, 1, -2.5, "a b", {}, [], {"x": [1, {"y": "z"}]}]),
        "[~|T|F|1|-2.5|a b|{}|[]|{x:[1|{y:z}]}]",
    );
    check(json!({"at": "10:30"}), r#"{at:"10\:30"}"#);
    check(json!("a|b"), r#""a\|b""#);
    check(json!("a\\b"), r"a\\b");
    check(json!("[x]"), r#""[x]""#);
    check(json!("say \"hi\""), r#"say "hi""#);
}

#[test]
fn all_22_abbreviations_are_written_and_read() {
    assert_eq!(Abbreviations::standard_pairs().count(), 22);
    let manual = include_str!("../../../../../docs/toon.md");
    for (long, short) in Abbreviations::standard_pairs() {
        assert!(manual.contains(&format!("`{long}` {short}")), "{long}");
        check(json!({ (long): 1 }), &format!("{{{short}:1}}"));
    }
}

#[test]
fn a_key_that_is_a_short_one_is_quoted_and_stays() {
    check(json!({"fb": 1, "feedback": 2}), r#"{"fb":1|fb:2}"#);
    let plain = encode(&json!({"fb": 1, "feedback": 2}), &Abbreviations::none()).unwrap();
    assert_eq!(plain, r#"{"fb":1|feedback:2}"#);
    let read = decode(&plain, &Abbreviations::standard()).unwrap();
    assert_eq!(read, json!({"fb": 1, "feedback": 2}));
}

#[test]
fn what_would_change_its_type_or_disappear_is_quoted() {
    check(
        json!([
            "T", "F", "~", "123", "1.0", "1e5", "-0", "", " a", "a ", "\"a", "a\nb"
        ]),
        r#"["T"|"F"|"~"|"123"|"1.0"|"1e5"|"-0"|""|" a"|"a "|"\"a"|"a\nb"]"#,
    );
    check(
        json!({"a:b": 1, "": 2, " c": 3, "d\"": 4}),
        r#"{"a\:b":1|"":2|" c":3|"d\"":4}"#,
    );
    check(json!([1.0, 1, 1e30, -0.0]), "[1.0|1|1e+30|-0.0]");
    check(json!({"a": ["x|y:z", ["{"]]}), r#"{a:["x\|y\:z"|["{"]]}"#);
}

#[test]
fn own_tables_replace_the_standard_one() {
    let pairs = [("harbour", "h"), ("gate", "harbour")].map(|(a, b)| (a.to_owned(), b.to_owned()));
    let table = Abbreviations::own(pairs).unwrap();
    let value = json!({"harbour": 1, "gate": 2, "h": 3, "feedback": 4, "fb": 5});
    let text = encode(&value, &table).unwrap();
    assert_eq!(text, r#"{h:1|harbour:2|"h":3|feedback:4|fb:5}"#);
    assert_eq!(decode(&text, &table).unwrap(), value);
}

#[test]
fn a_table_that_does_not_lead_back_is_refused() {
    let own = |pairs: &[(&str, &str)]| {
        Abbreviations::own(
            pairs
                .iter()
                .map(|(a, b)| ((*a).to_owned(), (*b).to_owned())),
        )
    };
    let short = "x".to_owned();
    assert_eq!(
        own(&[("a", "x"), ("b", "x")]),
        Err(TableError::Ambiguous { short })
    );
    for short in ["", " a", "a:b", "a|b", "{", "\"", "\\"] {
        let refused = TableError::NotBare {
            short: short.to_owned(),
        };
        assert_eq!(own(&[("a", short)]), Err(refused));
    }
}

#[test]
fn what_can_mean_only_one_thing_is_forgiven() {
    let table = Abbreviations::standard();
    let read = |text| decode(text, &table).unwrap();
    assert_eq!(
        read(" { a : 1 | b : [ x | y ] }\n"),
        json!({"a": 1, "b": ["x", "y"]})
    );
    assert_eq!(read("{at:10:30}"), json!({"at": "10:30"}));
    assert_eq!(read("{a:|b:1}"), json!({"a": "", "b": 1}));
    assert_eq!(read("[a||b]"), json!(["a", "", "b"]));
    assert_eq!(read(r"[a\|b|é]"), json!(["a|b", "é"]));
    assert_eq!(read("a|b"), json!("a|b"));
}

#[track_caller]
fn refused(text: &str, line: usize, column: usize, rule: Rule) {
    let error = decode(text, &Abbreviations::standard()).unwrap_err();
    assert_eq!(
        (error.line, error.column, error.rule),
        (line, column, rule),
        "{text}"
    );
}

#[test]
fn errors_name_the_place_and_the_rule() {
    refused("", 1, 1, Rule::MissingValue);
    refused("  ", 1, 3, Rule::MissingValue);
    refused("{a:1", 1, 5, Rule::Expected { expected: "| or }" });
    refused("[1|2", 1, 5, Rule::Expected { expected: "| or ]" });
    refused("[1}", 1, 3, Rule::Expected { expected: "| or ]" });
    refused("{a:1}x", 1, 6, Rule::TrailingContent);
    refused("{a}", 1, 3, Rule::MissingColon);
    refused("{a:1|\n é:2|é:3}", 2, 6, Rule::DuplicateKey);
    refused("{fb:1|feedback:2}", 1, 7, Rule::DuplicateKey);
    refused("[\"a]", 1, 2, Rule::UnterminatedString);
    refused("[\"a\"b]", 1, 5, Rule::Expected { expected: "| or ]" });
    refused("[a\\x]", 1, 3, Rule::InvalidEscape);
    refused("[a\\é]", 1, 3, Rule::InvalidEscape);
    refused("[a\\", 1, 3, Rule::InvalidEscape);
    let expected = "| or the end (a string with a bracket must be in quotes)";
    refused("[a{b]", 1, 3, Rule::Expected { expected });
    let deep = "[".repeat(MAX_DEPTH + 1);
    refused(&deep, 1, MAX_DEPTH + 1, Rule::TooDeep { limit: MAX_DEPTH });
}

#[test]
fn fifty_million_brackets_are_an_error_and_no_overflow() {
    let deep = "[".repeat(50_000_000);
    refused(&deep, 1, MAX_DEPTH + 1, Rule::TooDeep { limit: MAX_DEPTH });
}
