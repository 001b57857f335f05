//! Rules that a policy lets decide nothing for a while.

use std::time::SystemTime;

use super::wildcard::Wildcard;

/// A rule, or several, whose detections are listed and do not decide, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suppression {
    pub(super) pattern: Wildcard,
    /// Why.
    pub reason: String,
    /// From then on it does nothing; `None` is never.
    pub expires: Option<SystemTime>,
    /// Who wrote it.
    pub by: Option<String>,
}

impl Suppression {
    /// The id of a rule, with `*` for any characters.
    pub fn pattern(&self) -> &str {
        self.pattern.as_str()
    }

    pub(super) fn wildcard(&self) -> &Wildcard {
        &self.pattern
    }

    pub(super) fn names(&self, rule: &str) -> bool {
        self.pattern.fits(rule)
    }

    /// Whether it is over. Where nobody says what time it is, everything that
    /// can be over is.
    pub(super) fn has_expired(&self, at: Option<SystemTime>) -> bool {
        let is_over = |expires| at.is_none_or(|at| at >= expires);
        self.expires.is_some_and(is_over)
    }
}
