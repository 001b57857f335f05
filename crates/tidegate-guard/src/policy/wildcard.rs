//! Names with `*` in them.

/// A name in which each `*` stands for any characters, also for none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wildcard(String);

impl Wildcard {
    pub(crate) fn new(pattern: &str) -> Self {
        Self(pattern.to_owned())
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// Each part is taken where it comes first: later parts then have the most
    /// room, so nothing is tried twice.
    pub(crate) fn fits(&self, name: &str) -> bool {
        let mut parts = self.0.split('*');
        let Some(mut rest) = name.strip_prefix(parts.next().unwrap_or_default()) else {
            return false;
        };
        let Some(end) = parts.next_back() else {
            return rest.is_empty();
        };
        for part in parts {
            match rest.split_once(part) {
                Some((_, after)) => rest = after,
                None => return false,
            }
        }
        rest.ends_with(end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pattern: &str, fitting: &[&str], other: &[&str]) {
        let pattern = Wildcard::new(pattern);
        for name in fitting {
            assert!(pattern.fits(name), "{pattern:?} {name}");
        }
        for name in other {
            assert!(!pattern.fits(name), "{pattern:?} {name}");
        }
    }

    #[test]
    fn a_star_stands_for_any_characters_and_for_none() {
        check(
            "pii.email",
            &["pii.email"],
            &["pii.email_2", "pii", "xpii.email"],
        );
        check("pii.*", &["pii.email", "pii."], &["pii", "xpii.email"]);
        check(
            "*.email",
            &["pii.email", ".email"],
            &["pii.email_2", "email"],
        );
        check("p*.e*l", &["pii.email", "p.el"], &["pii.emai", "pii.l"]);
        check("*", &["", "pii.email"], &[]);
        check("a*a", &["aa", "aba"], &["a", "ab"]);
        check("*ab*ab", &["abab", "xabyab"], &["ab", "abxa"]);
        check("**a**", &["a", "bab"], &["b"]);
    }
}
