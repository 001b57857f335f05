use super::*;
use proptest::prelude::*;

fn index(texts: &[impl AsRef<str>]) -> Index {
    let documents = texts
        .iter()
        .enumerate()
        .map(|(number, text)| document(&number.to_string(), text.as_ref()));
    Index::build(documents.collect(), &Chunker::default())
}

fn document(id: &str, text: &str) -> Document {
    Document {
        id: id.into(),
        title: String::new(),
        source: format!("{id}.md"),
        text: text.into(),
    }
}

#[track_caller]
fn check(texts: &[&str], query: &str, expected: &[&str]) {
    let hits = index(texts).search(query, 10);
    let found: Vec<&str> = hits.iter().map(|hit| hit.document.as_str()).collect();
    assert_eq!(found, expected);
}

#[test]
fn other_forms_of_a_word_are_found() {
    check(
        &["the breaker opens", "a quiet harbour"],
        "Opening?",
        &["0"],
    );
}

#[test]
fn a_chunk_with_more_of_the_query_comes_first() {
    check(
        &["tide and time", "tide and gate", "gate"],
        "the gate of the tide",
        &["1", "2", "0"],
    );
}

#[test]
fn repeating_a_query_word_changes_nothing() {
    let index = index(&["tide", "gate gate"]);
    assert_eq!(
        index.search("tide gate", 9),
        index.search("tide gate gate gate", 9)
    );
}

#[test]
fn equal_scores_are_ordered_by_id() {
    let documents = vec![document("b", "tide"), document("a", "tide")];
    let hits = Index::build(documents, &Chunker::default()).search("tide", 2);
    assert_eq!(
        (hits[0].document.as_str(), hits[1].document.as_str()),
        ("a", "b")
    );
}

#[test]
fn nothing_is_found_for_stop_words_unknown_words_and_in_an_empty_index() {
    check(&["the tide", "gate"], "what is the", &[]);
    check(&["the tide", "gate"], "bicycle", &[]);
    check(&[], "tide", &[]);
    check(&["", " \n"], "tide", &[]);
}

#[test]
fn query_syntax_of_other_engines_is_plain_text() {
    check(
        &["tide", "gate"],
        "\"tide\" AND -gate* (title:",
        &["0", "1"],
    );
}

#[test]
fn the_title_is_found_and_the_span_points_into_the_text() {
    let text = "Œuvre one. ".repeat(20);
    let titled = Document {
        title: "Lighthouse".into(),
        ..document("x", &text)
    };
    let hits = Index::build(
        vec![titled],
        &Chunker {
            chunk_chars: 60,
            overlap_chars: 10,
        },
    )
    .search("lighthouses", 99);
    assert!(hits.len() > 2);
    let chars: Vec<char> = text.chars().collect();
    for hit in hits {
        assert_eq!(
            chars[hit.span.0..hit.span.1].iter().collect::<String>(),
            hit.text
        );
    }
}

proptest! {
    #[test]
    fn never_more_than_k_best_first_and_never_a_panic(
        texts in prop::collection::vec("([a-d]{1,3} |\\PC){0,60}", 0..8),
        query in "([a-d]{1,3} |\\PC){0,20}",
        k in 0usize..6,
        chunk_chars in 0usize..40,
    ) {
        let documents = texts.iter().map(|text| document("same", text)).collect();
        let hits = Index::build(documents, &Chunker { chunk_chars, overlap_chars: 5 }).search(&query, k);
        prop_assert!(hits.len() <= k);
        prop_assert!(hits.windows(2).all(|pair| pair[0].score >= pair[1].score));
        prop_assert!(hits.iter().all(|hit| hit.score > 0.0 && hit.score.is_finite()));
    }

    /// Of two documents alike but for one word, the one with the rare query term wins.
    #[test]
    fn a_document_with_a_rare_query_term_beats_one_without(others in 1usize..20, words in 0usize..30) {
        let common = "tide ".repeat(words + 1);
        let mut texts = vec![format!("{common} sluice"), format!("{common} harbour")];
        texts.extend((0..others).map(|_| common.clone()));
        let hits = index(&texts).search("tide sluice", texts.len());
        prop_assert_eq!(&hits[0].document, "0");
        prop_assert!(hits[0].score > hits[1].score);
    }

    #[test]
    fn any_distinctive_word_finds_its_document(
        texts in prop::collection::vec("[a-d]{1,4}( [a-d]{1,4}){0,20}", 1..6),
        word in "[xzé][a-zäß0-9]{2,12}",
        at in any::<prop::sample::Index>(),
    ) {
        let mut texts = texts;
        let at = at.index(texts.len());
        texts[at].push_str(&format!("; {word}."));
        let hits = index(&texts).search(&format!("What is {word}?"), 3);
        prop_assert_eq!(hits.len(), 1);
        prop_assert_eq!(&hits[0].document, &at.to_string());
    }
}
