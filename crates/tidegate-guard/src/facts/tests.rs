use std::sync::LazyLock;

use proptest::prelude::*;
use regex_automata::Input;

use super::*;

/// Expressions of the kinds that packs hold: words, gaps, classes, digits,
/// letters beyond ASCII, and one without any literal.
const EXPRESSIONS: [&str; 9] = [
    r"\bopen\s+(?:the\s+){0,2}gate\b",
    r"gate(?:keeper|way)?",
    r"(?:tide|ebb|flood)[a-z]{0,6}\s+(?:in|out)",
    r"[0-9]{2}-[0-9]{2}",
    r"größe|Öl",
    r"(?-i:KEY)[0-9a-f]{2,8}",
    r"[a-z]{2}[äöü][a-z]",
    r"[^a-z\s]{3,5}",
    r"^ebb[^\n]{0,20}!$",
];

fn facts() -> &'static Facts {
    static FACTS: LazyLock<Facts> = LazyLock::new(compiled);
    &FACTS
}

fn compiled() -> Facts {
    let patterns: Vec<Pattern> = EXPRESSIONS
        .iter()
        .enumerate()
        .map(|(index, expression)| Pattern::new(index.to_string(), *expression))
        .collect();
    Facts::compile(&patterns).unwrap()
}

/// What each expression finds by itself, in bytes.
fn plainly(facts: &Facts, text: &str) -> Vec<(usize, std::ops::Range<usize>)> {
    let mut found = Vec::new();
    for (index, pattern) in facts.patterns.iter().enumerate() {
        let matches = pattern.regex().find_iter(Input::new(text));
        found.extend(matches.map(|m| (index, m.range())));
    }
    found.sort_by_key(|(index, range)| (*index, range.start));
    found
}

fn filtered(facts: &Facts, text: &str) -> Vec<(usize, std::ops::Range<usize>)> {
    let mut seeker = Seeker::new(facts.wanted(|_| true));
    let found = seeker.advance(facts, &Piece::whole(text)).settled;
    found.into_iter().map(|f| (f.pattern, f.bytes)).collect()
}

fn text() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        prop::sample::select(vec![
            "open",
            "the",
            "gate",
            "keeper",
            "Tide",
            "ebb",
            "flood",
            "in",
            "out",
            "12",
            "-",
            "34",
            "GRÖSSE",
            "Größe",
            "öl",
            "KEY",
            "key",
            "a0",
            "!",
            "\n",
            " ",
            "  ",
            "\t",
            "😀",
            "xäy",
            "\u{a0}",
            "ſ",
            "\u{212a}EY",
        ])
        .prop_map(str::to_owned),
        "[a-zäß0-9 .]{0,8}",
    ];
    prop::collection::vec(part, 0..40).prop_map(|parts| parts.concat())
}

proptest! {
    /// The literals, the windows and the order change what is looked at, never
    /// what is found.
    #[test]
    fn the_prefilter_changes_nothing(text in text()) {
        let facts = facts();
        prop_assert_eq!(filtered(facts, &text), plainly(facts, &text));
    }

    /// A span cuts the characters out that the bytes are.
    #[test]
    fn spans_cut_the_match_out(text in text()) {
        let facts = facts();
        let chars: Vec<char> = text.chars().collect();
        let mut by_chars: Vec<(usize, String)> = facts
            .find(&text)
            .iter()
            .map(|fact| (fact.pattern, chars[fact.span.start..fact.span.end].iter().collect()))
            .collect();
        let mut by_bytes: Vec<(usize, String)> = filtered(facts, &text)
            .into_iter()
            .map(|(pattern, range)| (pattern, text[range].to_owned()))
            .collect();
        by_chars.sort();
        by_bytes.sort();
        prop_assert_eq!(by_chars, by_bytes);
    }
}

/// A text may be so full of beginnings that it is searched once instead of from each
/// of them, and a second word that every match has may be there or not.
const LONG: [&str; 3] = [
    r"\btide\s+(?:[a-z]+\s+){0,30}?(?:flood|ebb)\b",
    r"\b(?:tide|gate)\s+(?:[a-z]+\s+){0,12}(?:open|shut)\b",
    r"(?:sea|gate)[a-z ]{0,90}?\bkey",
];

proptest! {
    #[test]
    fn long_patterns_are_found_in_whatever_way_they_are_looked_for(
        words in prop::collection::vec(
            prop::sample::select(vec![
                "tide", "tide", "tide", "gate", "sea", "by", "a", "flood", "ebb", "open", "keys", "\n",
            ]),
            0..160,
        ),
        rare in any::<bool>(),
    ) {
        let is_end = |word: &&&str| !["flood", "ebb", "open", "keys"].contains(*word);
        let words: Vec<&str> = match rare {
            true => words.iter().filter(is_end).copied().chain(["ebb"]).collect(),
            false => words,
        };
        let patterns: Vec<Pattern> = LONG.iter().map(|long| Pattern::new("l", *long)).collect();
        let facts = Facts::compile(&patterns).unwrap();
        let text = words.join(" ");
        prop_assert_eq!(filtered(&facts, &text), plainly(&facts, &text));
    }
}

/// Kinds of numbers that overlap each other, more than fit together into one place.
const NUMBERS: [&str; 6] = [
    r"\b[0-9]{3}[\s-]?[0-9]{3}\b",
    r"\b[1-4][0-9]{5}\b",
    r"\b[0-9]{2}-(?:0[1-9]|1[0-2])\b",
    r"\b(?:4[0-9]|5[1-5])[ -]?[0-9]{2}[ -]?[0-9]{2}\b",
    r"\b[0-9]{8}|[0-9]{4}[a-z]\b",
    r"\b9[0-9]{2,9}x?\b",
];

proptest! {
    /// Numbers are asked for together, and what is found is what each finds alone.
    #[test]
    fn numbers_are_found_together_as_each_is_alone(
        parts in prop::collection::vec("[0-9]{1,4}|[ -]|[a-z]|9999|12-1|\\PC", 0..60),
    ) {
        let text = parts.concat();
        let of = |numbers: &[&str]| {
            let patterns: Vec<Pattern> = numbers.iter().map(|n| Pattern::new("n", *n)).collect();
            let facts = Facts::compile(&patterns).unwrap();
            (facts.crowd.is_some(), facts.find(&text))
        };
        let (is_crowd, together) = of(&NUMBERS);
        prop_assert!(is_crowd);
        let alone = NUMBERS.iter().enumerate().flat_map(|(pattern, number)| {
            let (is_crowd, found) = of(&[*number]);
            assert!(!is_crowd);
            found.into_iter().map(move |fact| Fact { pattern, ..fact })
        });
        let mut alone: Vec<Fact> = alone.collect();
        alone.sort_unstable();
        prop_assert_eq!(together, alone);
    }
}

#[track_caller]
fn check_refused(expression: &str, expected: &PatternError) {
    let patterns = [Pattern::new("a", "gate"), Pattern::new("b", expression)];
    let (index, error) = Facts::compile(&patterns).unwrap_err();
    assert_eq!((index, &error), (1, expected));
}

#[test]
fn a_pattern_that_is_no_expression_is_refused() {
    check_refused("a(", &PatternError::Syntax("unclosed group".to_owned()));
}

#[test]
fn look_around_and_back_references_are_refused() {
    let unsupported = |expression| {
        let error = Facts::compile(&[Pattern::new("a", expression)])
            .unwrap_err()
            .1;
        matches!(error, PatternError::Syntax(_))
    };
    assert!(unsupported(r"(?=gate)tide"));
    assert!(unsupported(r"(gate)\1"));
}

#[test]
fn a_pattern_whose_automaton_is_too_large_is_refused() {
    let limit = PATTERN_BYTES;
    check_refused(r"(?:\pL{1,99}){99}", &PatternError::TooLarge { limit });
}

#[test]
fn a_pattern_that_matches_nothing_at_all_or_only_an_edge_is_refused() {
    check_refused("(?:tide)?", &PatternError::Empty);
    check_refused(r"\Atide", &PatternError::Anchored);
    check_refused(r"tide\z", &PatternError::Anchored);
}

#[test]
fn a_pattern_without_a_literal_is_named() {
    let facts = facts();
    let unfiltered: Vec<&str> = facts.unfiltered().collect();
    assert_eq!(unfiltered, ["7"]);
}

#[test]
fn letters_of_other_alphabets_have_no_case_either() {
    let facts = Facts::compile(&[Pattern::new("a", "игнорируй|größe")]).unwrap();
    assert_eq!(facts.find("ИГНОРИРУЙ Größe GRÖẞE").len(), 3);
}

#[test]
fn a_match_with_endless_white_space_is_no_fact_and_hides_none() {
    let facts = Facts::compile(&[Pattern::new("a", r"open\s+gate|gate\s+open")]).unwrap();
    let text = format!("open{}gate open", " ".repeat(500));
    let spans: Vec<Span> = facts.find(&text).iter().map(|fact| fact.span).collect();
    assert_eq!(
        spans,
        [Span {
            start: 504,
            end: 513
        }]
    );
}
