//! Patterns that begin alike and are short: one look tells whether any of them
//! matches, so that not each of them has to be asked.
//!
//! Numbers are the case for it: three dozen kinds of them begin with a digit, and
//! a page of figures has a digit at every second byte.

use regex_automata::meta::Regex;
use regex_automata::{Anchored, Input, MatchKind, PatternSet};

use super::literals::Required;
use super::{Compiled, LONG_BYTES, config, shape};

/// Fewer patterns are as quick one by one.
const MIN_MEMBERS: usize = 4;

/// The patterns that begin with a digit.
#[derive(Debug)]
pub(super) struct Crowd {
    /// Matches where one of them does.
    pub(super) any: Compiled,
    /// Which ones they are.
    pub(super) members: Vec<u32>,
    /// Tells them apart, by their place among the members.
    each: Regex,
}

impl Crowd {
    /// True when a pattern is one for a crowd.
    pub(super) fn takes(compiled: &Compiled, required: &Required) -> bool {
        let mut literals = required.one_of.iter();
        let is_number = literals.all(|one| one.bytes.first().is_some_and(u8::is_ascii_digit));
        compiled.begins && compiled.at_border && compiled.reach < LONG_BYTES && is_number
    }

    /// A crowd of such patterns, unless it is too small or too large for one.
    pub(super) fn gather(patterns: &[Compiled], members: Vec<u32>) -> Option<Self> {
        if members.len() < MIN_MEMBERS {
            return None;
        }
        let all = || members.iter().map(|member| &patterns[*member as usize]);
        let expressions: Vec<String> = all().map(|one| format!("(?:{})", one.expression)).collect();
        let any = Compiled {
            expression: expressions.join("|"),
            reach: all().map(|one| one.reach).max().unwrap_or_default(),
            ..all().next()?.alike()
        };
        any.try_build().ok()?;
        let trees: Result<Vec<_>, _> = all().map(|one| shape::parse(&one.expression)).collect();
        let each = Regex::builder()
            .configure(config().match_kind(MatchKind::All))
            .build_many_from_hir(&trees.ok()?)
            .ok()?;
        Some(Self { any, members, each })
    }

    /// A set for [`Self::which`] to fill.
    pub(super) fn set(&self) -> PatternSet {
        PatternSet::new(self.members.len())
    }

    /// The members that match at byte `at` of `text`.
    pub(super) fn which(&self, text: &str, at: usize, set: &mut PatternSet) -> Vec<u32> {
        let end = text.len().min(at + self.any.reach);
        let input = Input::new(text).span(at..end).anchored(Anchored::Yes);
        set.clear();
        self.each.which_overlapping_matches(&input, set);
        let members = set.iter().map(|place| self.members[place.as_usize()]);
        members.collect()
    }
}
