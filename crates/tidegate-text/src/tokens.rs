//! How many tokens a text costs, estimated.
//!
//! Every model family has its own tokenizer; until one is loaded, a reservation
//! needs a number that is cheap, deterministic and close for English prose.

/// Characters that the estimate counts as one token.
const CHARS_PER_TOKEN: u64 = 4;

/// Estimates the tokens of `text`: four characters (code points) each, rounded up.
///
/// It is an estimate, not a count: it suits English prose, and is too low for
/// source code and for scripts in which a character often is a token of its own.
/// The real usage that a provider reports corrects it.
pub fn estimate_tokens(text: &str) -> u64 {
    (text.chars().count() as u64).div_ceil(CHARS_PER_TOKEN)
}

/// Estimates the tokens of a text of which only the length in bytes is known.
///
/// Four bytes each, rounded up: the same as [`estimate_tokens`] for ASCII, and
/// never less than it for any UTF-8 text.
pub fn estimate_tokens_of_bytes(len: usize) -> u64 {
    (len as u64).div_ceil(CHARS_PER_TOKEN)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn four_characters_are_one_token_rounded_up() {
        for (text, tokens) in [("", 0), ("a", 1), ("abcd", 1), ("abcde", 2), ("ééééé", 2)] {
            assert_eq!(estimate_tokens(text), tokens, "{text:?}");
        }
        assert_eq!(estimate_tokens_of_bytes("ééééé".len()), 3);
    }

    proptest! {
        #[test]
        fn bytes_never_estimate_less_than_characters(text in "\\PC{0,200}") {
            prop_assert!(estimate_tokens_of_bytes(text.len()) >= estimate_tokens(&text));
        }
    }
}
