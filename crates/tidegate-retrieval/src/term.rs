//! Terms: what is left of a text for comparison.

use std::collections::HashSet;

use tidegate_text::words;

use crate::stem::stem;

/// Words that say nothing about the topic, sorted; after Fox, "A stop list for
/// general text", SIGIR Forum 24(1-2), 1989, cut down to function words, with the
/// remains of contractions ("don't" is "don" and "t").
const STOP_WORDS: &[&str] = &[
    "a", "about", "all", "also", "am", "an", "and", "any", "are", "as", "at", "be", "because",
    "been", "before", "being", "between", "but", "by", "can", "could", "d", "did", "do", "does",
    "doesn", "doing", "don", "each", "every", "explain", "for", "from", "get", "had", "happen",
    "happens", "has", "have", "having", "he", "her", "here", "him", "his", "how", "i", "if", "in",
    "into", "is", "it", "its", "just", "ll", "m", "may", "me", "mean", "means", "might", "mine",
    "must", "my", "no", "nor", "not", "of", "on", "only", "or", "our", "please", "re", "s",
    "shall", "she", "should", "so", "some", "such", "t", "tell", "than", "that", "the", "their",
    "them", "then", "there", "these", "they", "this", "those", "to", "us", "ve", "very", "was",
    "we", "were", "what", "when", "where", "which", "while", "who", "whom", "whose", "why", "will",
    "with", "work", "working", "works", "would", "you", "your",
];

/// The terms of `text` in order: stems of its words, without stop words.
pub(crate) fn terms(text: &str) -> impl Iterator<Item = String> {
    words(text)
        .filter(|word| STOP_WORDS.binary_search(&word.as_str()).is_err())
        .map(stem)
}

/// The different terms of `text`, in the order of their first occurrence.
pub(crate) fn distinct_terms(text: &str) -> Vec<String> {
    let mut seen = HashSet::new();
    terms(text)
        .filter(|term| seen.insert(term.clone()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stop_words_are_sorted_for_the_binary_search() {
        assert!(STOP_WORDS.is_sorted());
    }

    #[test]
    fn only_informative_words_are_terms() {
        assert_eq!(
            distinct_terms("What are the limits, and what is a limit?"),
            ["limit"]
        );
        assert_eq!(
            distinct_terms("What is it about, and how does it work?"),
            [""; 0]
        );
    }
}
