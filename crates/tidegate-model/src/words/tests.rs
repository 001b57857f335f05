use proptest::prelude::*;

use super::*;

/// The n-grams of a text, as hashes with the pieces that they stand for.
fn grams(text: &str) -> Vec<(u64, String)> {
    let chars: Vec<char> = text.chars().collect();
    let mut found = Vec::new();
    let mut reader = Reader::new(1, 3);
    let mut each = |gram: Gram| {
        let piece = &chars[gram.start as usize..gram.end as usize];
        found.push((gram.hash, piece.iter().collect()));
    };
    reader.read(text, &mut each);
    reader.end(&mut each);
    assert_eq!(reader.count() as usize, found.len());
    found
}

fn pieces(text: &str) -> Vec<String> {
    grams(text).into_iter().map(|(_, piece)| piece).collect()
}

fn hashes(text: &str) -> Vec<u64> {
    grams(text).into_iter().map(|(hash, _)| hash).collect()
}

#[test]
fn every_word_ends_up_to_three_n_grams() {
    let expected = [
        "One",
        "two",
        "One two",
        "three",
        "two three",
        "One two three",
    ];
    assert_eq!(pieces("One two three"), expected);
}

#[test]
fn case_spaces_and_apostrophes_change_nothing() {
    assert_eq!(hashes("Don't  STOP"), hashes("dont stop"));
}

#[test]
fn a_row_of_digits_is_one_digit() {
    assert_eq!(hashes("in 7 days"), hashes("in 2026 days"));
}

#[test]
fn a_disguised_word_is_the_word_that_it_looks_like_and_says_that_it_is_disguised() {
    let plain = hashes("override");
    for disguised in ["0verride", "оverride", "overr1de"] {
        let found = hashes(disguised);
        assert_eq!(found[0], plain[0], "{disguised}");
        assert_eq!(found.len(), 2, "{disguised}");
    }
    assert_ne!(hashes("0verride")[1], hashes("оverride")[1]);
}

#[test]
fn a_word_of_another_alphabet_is_no_disguise() {
    assert_eq!(hashes("правила").len(), 1);
    assert_ne!(hashes("правила"), hashes("правило"));
    assert_eq!(hashes("ПРАВИЛА"), hashes("правила"));
}

#[test]
fn writing_without_spaces_is_read_by_the_character() {
    assert_eq!(
        pieces("忘记它"),
        ["忘", "记", "忘记", "它", "记它", "忘记它"]
    );
    assert_eq!(pieces("안녕 너").len(), 3);
}

#[test]
fn a_row_of_signs_counts_once() {
    assert_eq!(hashes("stop!!!"), hashes("stop!"));
    assert_ne!(hashes("stop!"), hashes("stop?"));
    assert_ne!(hashes("stop."), hashes("stop"));
}

proptest! {
    /// Where a text is cut changes nothing.
    #[test]
    fn pieces_give_the_n_grams_of_the_whole(
        text in "(\\PC|[a-c1-3 .\\n]){0,80}",
        cut in 0_usize..80,
    ) {
        let at = text.char_indices().nth(cut).map_or(text.len(), |(at, _)| at);
        let mut found = Vec::new();
        let mut reader = Reader::new(1, 3);
        let mut each = |gram: Gram| found.push(gram.hash);
        reader.read(&text[..at], &mut each);
        reader.read(&text[at..], &mut each);
        reader.end(&mut each);
        prop_assert_eq!(found, hashes(&text));
    }

    /// A text of `n` characters has a bounded number of n-grams, each of which
    /// lies within it and is not empty.
    #[test]
    fn n_grams_are_few_and_lie_within_the_text(text in "\\PC{0,200}") {
        let length = text.chars().count() as u32;
        let mut reader = Reader::new(1, 3);
        let mut check = |gram: Gram| assert!(gram.start < gram.end && gram.end <= length);
        reader.read(&text, &mut check);
        reader.end(&mut check);
        prop_assert!(reader.count() <= 4 * length);
    }
}
