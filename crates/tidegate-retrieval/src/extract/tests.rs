use super::*;
use proptest::prelude::*;

fn hit(document: &str, start: usize, text: &str) -> Hit {
    Hit {
        document: document.into(),
        title: String::new(),
        source: String::new(),
        chunk: 0,
        span: (start, start + text.chars().count()),
        text: text.into(),
        score: 1.0,
    }
}

#[track_caller]
fn check(query: &str, texts: &[&str], expected: &[&str]) {
    let hits: Vec<Hit> = texts
        .iter()
        .enumerate()
        .map(|(at, text)| hit(&at.to_string(), 0, text))
        .collect();
    let extracts = extract(query, &hits, 2);
    let found: Vec<&str> = extracts
        .iter()
        .map(|extract| extract.sentence.as_str())
        .collect();
    assert_eq!(found, expected);
}

#[test]
fn the_sentence_that_covers_most_of_the_question_comes_first() {
    check(
        "When does the gate open?",
        &[
            "It is old. It can open. The gate opens at six.",
            "A harbour.",
        ],
        &["The gate opens at six.", "It can open."],
    );
}

#[test]
fn a_question_that_the_hits_do_not_answer_gets_no_answer() {
    check(
        "Who invented the bicycle?",
        &["The gate opens at six."],
        &[],
    );
    check("What is it?", &["The gate opens at six. What is it?"], &[]);
    check("How long?", &["It takes long."], &[]);
    check("", &["The gate opens at six."], &[]);
}

#[test]
fn one_common_word_does_not_make_a_sentence_relevant() {
    let text = "The gate is old. The gate is green. The gate is wide. A lock. A wall. A tower.";
    check(
        "Can the gate compose symphonies, sonnets and operas?",
        &[text],
        &[],
    );
}

#[test]
fn a_sentence_that_starts_with_what_is_asked_about_is_preferred() {
    check(
        "What is a sluice?",
        &["Boats wait before the sluice. A sluice is a gate for water."],
        &[
            "A sluice is a gate for water.",
            "Boats wait before the sluice.",
        ],
    );
}

#[test]
fn asking_how_long_prefers_a_sentence_with_a_number() {
    check(
        "How long is the tunnel?",
        &["The tunnel is dark. The tunnel has 900 metres."],
        &["The tunnel has 900 metres.", "The tunnel is dark."],
    );
}

#[test]
fn headings_code_and_tables_are_not_quoted_and_list_marks_are_dropped() {
    let hits = [hit(
        "d",
        5,
        "# The gate\n- The gate\n  opens.\n2. A gate closes.\n```\na gate.\n```\n| gate |",
    )];
    let extracts = extract("gate", &hits, 9);
    let found: Vec<(&str, (usize, usize))> = extracts
        .iter()
        .map(|extract| (extract.sentence.as_str(), extract.span))
        .collect();
    assert_eq!(
        found,
        [("The gate opens.", (18, 35)), ("A gate closes.", (39, 53))]
    );
}

#[test]
fn a_single_digit_or_letter_is_not_informative() {
    check("2 + 2 = x?", &["It takes 2 seconds. x is 2."], &[]);
    check("門 ?", &["門。"], &["門。"]);
}

#[test]
fn prose_is_not_lost_when_a_chunk_starts_inside_code() {
    check(
        "tide",
        &["low = 1\n```\n\nThe tide rises."],
        &["The tide rises."],
    );
}

#[test]
fn the_same_thing_is_quoted_once() {
    check(
        "tide",
        &["The tide rises.", "The tide rises!", "A tide falls."],
        &["The tide rises.", "A tide falls."],
    );
    let overlapping = [
        hit("d", 0, "Alas, high tide comes twice"),
        hit("d", 6, "high tide comes twice a day."),
    ];
    assert_eq!(extract("tide", &overlapping, 9).len(), 1);
}

proptest! {
    #[test]
    fn quotes_are_in_their_hit_and_no_more_than_asked(
        texts in prop::collection::vec("([a-c]{1,3}[ .\n]|[A-C0-9#*-]|\\PC){0,60}", 0..5),
        query in "([a-c]{1,3} |\\PC){0,12}",
        most in 0usize..5,
    ) {
        let hits: Vec<Hit> = texts.iter().map(|text| hit("same", 7, text)).collect();
        let extracts = extract(&query, &hits, most);
        prop_assert!(extracts.len() <= most);
        for quote in extracts {
            let chars: Vec<char> = hits[quote.hit].text.chars().collect();
            let text: String = chars[quote.span.0 - 7..quote.span.1 - 7].iter().collect();
            prop_assert_eq!(text.split_whitespace().collect::<Vec<_>>().join(" "), quote.sentence);
        }
    }
}
