//! Words, for search and comparison.

/// Yields the words of `text` in order: runs of Unicode letters and digits, lower-cased.
///
/// Everything else separates words, so `Retry-After` and `max_bytes` are two
/// words each. Lower-casing has no locale.
pub fn words(text: &str) -> impl Iterator<Item = String> {
    text.split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check(text: &str, expected: &[&str]) {
        assert_eq!(words(text).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn words_are_runs_of_letters_and_digits_in_lower_case() {
        check(
            "Retry-After: 30s, max_bytes!",
            &["retry", "after", "30s", "max", "bytes"],
        );
        check("Äpfel über ÉTÉ 東京", &["äpfel", "über", "été", "東京"]);
        check(" \t…--- ", &[]);
    }

    proptest! {
        #[test]
        fn no_word_is_empty(text in any::<String>()) {
            prop_assert!(words(&text).all(|word| !word.is_empty()));
        }
    }
}
