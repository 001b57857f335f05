//! How many tokens a text costs: counted, or estimated.
//!
//! Every model family has its own tokenizer. Two of them are here, for whoever
//! compares texts with each other; a reservation needs a number that is cheap,
//! deterministic and close for English prose, and that is the estimate.

/// Characters that the estimate counts as one token.
const CHARS_PER_TOKEN: u64 = 4;

/// How tokens are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Encoding {
    /// The tokenizer of OpenAI's models from GPT-4o on.
    #[default]
    O200kBase,
    /// The tokenizer of GPT-4 and GPT-3.5.
    Cl100kBase,
    /// No tokenizer: four characters are one token.
    Estimate,
}

impl Encoding {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::O200kBase, Self::Cl100kBase, Self::Estimate];

    /// The name that everybody has for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::O200kBase => "o200k_base",
            Self::Cl100kBase => "cl100k_base",
            Self::Estimate => "estimate",
        }
    }

    /// The encoding of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|encoding| encoding.name() == name)
    }
}

/// Counts the tokens of `text`; what looks like a special token is text.
///
/// The first count of an encoding unpacks its table, which takes about a tenth
/// of a second and some 20 MB that stay. It is work for a processor: a
/// megabyte takes some hundredths of a second.
pub fn count(text: &str, encoding: Encoding) -> u64 {
    let name = match encoding {
        Encoding::O200kBase | Encoding::Cl100kBase => encoding.name(),
        Encoding::Estimate => return estimate_tokens(text),
    };
    let tokenizer = tiktoken::get_encoding(name).expect("both tables are built in");
    tokenizer.count(text) as u64
}

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

    #[test]
    fn tokens_are_counted_as_the_reference_counts_them() {
        for (text, o200k, cl100k) in [
            ("", 0, 0),
            ("tiktoken is great!", 6, 6),
            ("hello world", 2, 2),
            ("<|endoftext|>", 7, 7),
            ("    \n\n  x", 3, 3),
            ("안녕하세요, 세계! Guten Tag, schöne Grüße.", 11, 19),
        ] {
            assert_eq!(count(text, Encoding::O200kBase), o200k, "{text:?}");
            assert_eq!(count(text, Encoding::Cl100kBase), cl100k, "{text:?}");
        }
        assert_eq!(count("abcde", Encoding::Estimate), 2);
    }

    #[test]
    fn an_encoding_has_the_name_that_everybody_has_for_it() {
        for encoding in Encoding::ALL {
            assert_eq!(Encoding::named(encoding.name()), Some(encoding));
        }
        assert_eq!(Encoding::named("p50k_base"), None);
    }

    proptest! {
        #[test]
        fn bytes_never_estimate_less_than_characters(text in "\\PC{0,200}") {
            prop_assert!(estimate_tokens_of_bytes(text.len()) >= estimate_tokens(&text));
        }
    }
}
