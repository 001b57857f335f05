//! Kinds of letters that the standard library does not tell apart.

use regex_syntax::hir::{Class, HirKind};

/// Ranges of code points, in order.
#[derive(Clone, Debug)]
pub(crate) struct Kind(Vec<(char, char)>);

impl Kind {
    /// The letters of a class such as `\p{Mn}`.
    fn of(class: &str) -> Self {
        let parsed = regex_syntax::parse(class).map(|hir| hir.into_kind());
        match parsed {
            Ok(HirKind::Class(Class::Unicode(class))) => {
                Self(class.iter().map(|r| (r.start(), r.end())).collect())
            }
            // The three classes below are none of these; a test holds them.
            Ok(_) | Err(_) => Self(Vec::new()),
        }
    }

    /// Whether it holds a letter.
    pub(crate) fn holds(&self, c: char) -> bool {
        let at = self.0.partition_point(|(_, end)| *end < c);
        self.0.get(at).is_some_and(|(start, _)| *start <= c)
    }
}

/// The kinds that tokenizers ask for.
#[derive(Clone, Debug)]
pub(crate) struct Classes {
    /// Control, format, private and unassigned.
    pub(crate) other: Kind,
    /// Marks without a width of their own.
    pub(crate) nonspacing: Kind,
    /// Punctuation.
    pub(crate) punctuation: Kind,
}

impl Classes {
    pub(crate) fn new() -> Self {
        Self {
            other: Kind::of(r"\p{C}"),
            nonspacing: Kind::of(r"\p{Mn}"),
            punctuation: Kind::of(r"[\p{P}!-/:-@\[-`{-~]"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_holds_what_unicode_says() {
        let classes = Classes::new();
        for (kind, inside, outside) in [
            (&classes.other, "\0\u{200B}\u{AD}\u{E000}", "a \u{301}。"),
            (&classes.nonspacing, "\u{301}\u{5B0}", "ae\u{903}"),
            (&classes.punctuation, "!$+`~。«_", "a1 €\n"),
        ] {
            assert!(inside.chars().all(|c| kind.holds(c)), "{inside:?}");
            assert!(!outside.chars().any(|c| kind.holds(c)), "{outside:?}");
        }
    }
}
