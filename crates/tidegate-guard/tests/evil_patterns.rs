//! Patterns that are made to hurt are refused, or they are linear and small.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use tidegate_guard::{Direction, Rules, ScanRequest};

/// The longest match of an accepted pattern, which bounds what a scan reads
/// again.
const MOST_MATCH_BYTES: usize = 4_096;

/// A string of JSON is one of TOML.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn pack(pattern: &str) -> String {
    let pattern = quoted(pattern);
    format!(
        "[pack]\nid = \"evil\"\nversion = \"1\"\nname = \"Evil\"\n[[rules]]\nid = \"evil.one\"\n\
         family = \"evil\"\nseverity = \"low\"\nconfidence = 0.5\nmessage = \"m\"\n\
         remediation = \"r\"\npatterns = [{pattern}]\nexamples.must = [\"-\"]\n\
         examples.must_not = [\"\"]\n"
    )
}

/// True when the pattern itself is refused. Its example never fits, so that a
/// pattern that is taken shows as an example that does not match.
#[track_caller]
fn is_refused(pattern: &str) -> bool {
    let shown: String = pattern.chars().take(60).collect();
    match Rules::load(&[("evil.toml", &pack(pattern))]) {
        Ok(_) => false,
        Err(error) => {
            let text = error.to_string();
            assert!(text.starts_with("pack evil.toml"), "{shown}: {text}");
            assert!(text.len() < 1_000, "{shown}: the error repeats the pattern");
            !text.contains("example")
        }
    }
}

/// Atoms and what is done to them: most combinations are refused, and those that
/// are not are ordinary.
fn generated() -> Vec<String> {
    let atoms = [
        r"a", r"\w", r"\pL", r".", r"[^x]", r"a|b|ab", r"\PN", r"[\s\S]", r"é", r"\d",
    ];
    let shapes: [fn(&str) -> String; 20] = [
        |a| format!("(?:(?:(?:{a}){{1,100}}){{1,100}}){{1,100}}"),
        |a| format!("(?:(?:{a})+)+$"),
        |a| format!("(?:{a})*"),
        |a| format!("(?:{a})*?"),
        |a| format!("(?:{a}){{0,1000}}(?:{a}){{0,1000}}(?:{a}){{0,1000}}x"),
        |a| format!("(?:{a}){{100000}}"),
        |a| format!("(?={a})b"),
        |a| format!("(?!{a})b"),
        |a| format!("(?<={a})b"),
        |a| format!("(?<!{a})b"),
        |a| format!(r"({a})\1"),
        |a| format!("(?P<n>{a})(?P=n)"),
        |a| format!(r"\A(?:{a})"),
        |a| format!(r"(?:{a})\z"),
        |a| format!("{}{a}{}", "(".repeat(200), ")".repeat(200)),
        |a| format!("(?:{a}(?:{a}(?:{a}(?:{a}(?:{a})*)*)*)*)*x{{5000}}"),
        |a| format!("(?:{}){{50}}", vec![format!("(?:{a}){{9}}"); 200].join("|")),
        |a| format!("(?:{a}.*){{99}}x"),
        |a| format!("(?>{a})+"),
        |a| format!(r"(?:{a})++(?R)"),
    ];
    let all = shapes
        .iter()
        .flat_map(|shape| atoms.iter().map(|atom| shape(atom)));
    all.collect()
}

/// Literals and alternations that are too much by their size alone.
fn huge() -> Vec<String> {
    let words = |count: usize| {
        (0..count)
            .map(|n| format!("word{n}"))
            .collect::<Vec<_>>()
            .join("|")
    };
    let mut all = vec![
        "a".repeat(10_000_000),
        words(2_000),
        words(100_000),
        format!("(?i:{})", "ß".repeat(8_000)),
        "[a-z]".repeat(4_000),
        "(?:a?){5000}a{5000}".to_owned(),
        "\\pL".repeat(3_000),
    ];
    all.extend((1..=293).map(|n| format!("(?:{}){{{}}}", "\\pL\\pN".repeat(n % 7 + 1), 300 + n)));
    all
}

#[test]
fn five_hundred_evil_patterns_are_refused() {
    let taken = |patterns: Vec<String>| -> Vec<String> {
        patterns
            .into_iter()
            .filter(|pattern| !is_refused(pattern))
            .collect()
    };
    let (generated, huge) = (generated(), huge());
    assert_eq!(generated.len() + huge.len(), 500);
    let huge = taken(huge);
    assert!(huge.is_empty(), "{:?}", huge.first());
    // What is taken of the others is bounded: see the next test.
    let taken = taken(generated);
    for pattern in &taken {
        assert!(is_bounded(pattern), "{pattern}");
    }
    assert!(taken.len() <= 40, "{}: {taken:?}", taken.len());
}

/// What a pattern finds in a long text of its own signs is no longer than the
/// longest match that a rule may have: the work for each place is bounded.
fn is_bounded(pattern: &str) -> bool {
    let text = "aab x1é".repeat(4_000);
    let found = text.get(..2_000).unwrap_or(&text);
    let pack = pack(pattern).replace("[\"-\"]", &format!("[{}]", quoted(found)));
    let Ok(rules) = Rules::load(&[("evil.toml", &pack)]) else {
        return true;
    };
    let request = ScanRequest {
        direction: Direction::Prompt,
        ..ScanRequest::default()
    };
    let verdict = rules.scan(&text, &request);
    verdict
        .detections
        .iter()
        .all(|found| found.span.len() <= MOST_MATCH_BYTES)
}

#[test]
fn a_pattern_that_asks_for_what_is_not_there_is_refused_by_its_kind() {
    for (pattern, reason) in [
        ("(?=a)b", "look-around"),
        (r"(a)\1", "backreferences are not supported"),
        ("a*", "matches the empty text"),
        (r"\Aa", "is anchored to the text"),
        ("(?:a.*){99}x", "matches more than 4096 bytes"),
        (r"(?:\pL{99}){99}", "compiles to more than 1048576 bytes"),
    ] {
        let error = Rules::load(&[("evil.toml", &pack(pattern))]).unwrap_err();
        let text = error.to_string();
        assert!(text.contains(reason), "{pattern}: {text}");
        assert!(
            text.starts_with("pack evil.toml, line 6, column 6: rule evil.one: pattern 0 "),
            "{text}"
        );
    }
}

#[test]
fn a_pack_and_an_expression_have_a_longest_size() {
    let error = Rules::load(&[("evil.toml", &pack(&"a".repeat(8_193)))]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "pack evil.toml, line 6, column 6: rule evil.one: pattern 0 has 8193 bytes; 8192 are possible"
    );
    let error = Rules::load(&[("evil.toml", &pack(&"a".repeat(10_000_000)))]).unwrap_err();
    assert!(
        error.to_string().ends_with("1048576 are possible"),
        "{error}"
    );
}
