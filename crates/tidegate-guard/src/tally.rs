//! How sure a rule is, from what its patterns found.

use crate::rule::Rule;
use crate::rules::Place;
use crate::span::Span;
use crate::sparse::Sparse;

/// So many matches are told apart; more do not make a rule surer.
const MAX_KEPT: usize = 16;

/// The matches of one rule.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Tally {
    pub(crate) matches: usize,
    /// Where the first one is in the original text.
    pub(crate) first: Option<Span>,
    /// One bit for each pattern of the rule that matched.
    patterns: u64,
    chars: usize,
    kept: Vec<Match>,
    /// Every match, where that is asked for.
    pub(crate) spans: Option<Vec<Span>>,
}

/// The tallies of the rules that matched, by their numbers.
#[derive(Clone, Debug)]
pub(crate) struct Tallies {
    /// What counting begins with.
    blank: Tally,
    of: Sparse<Tally>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Match {
    /// The number of the rule's pattern.
    pattern: usize,
    origin: Span,
    chars: usize,
}

impl Tallies {
    pub(crate) fn new(blank: &Tally) -> Self {
        Self {
            blank: blank.clone(),
            of: Sparse::default(),
        }
    }

    /// Counts a match of pattern number `pattern` of a rule.
    pub(crate) fn add(&mut self, rule: usize, pattern: usize, place: Place) {
        let tally = self.of.get_or(rule, || self.blank.clone());
        tally.add(pattern, place);
    }

    /// Adds what another view found for a rule.
    pub(crate) fn merge(&mut self, rule: usize, other: &Tally) {
        self.of.get_or(rule, Tally::default).merge(other);
    }

    /// The rules that matched, and what of them.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (usize, &Tally)> {
        self.of.iter()
    }
}

impl Tally {
    /// A tally that remembers where each match was.
    pub(crate) fn with_spans() -> Self {
        let spans = Some(Vec::new());
        Self {
            spans,
            ..Self::default()
        }
    }

    /// Counts a match of the rule's pattern number `pattern`.
    pub(crate) fn add(&mut self, pattern: usize, place: Place) {
        let (origin, chars) = (place.origin, place.here.len());
        if self.kept.len() < MAX_KEPT {
            self.kept.push(Match {
                pattern,
                origin,
                chars,
            });
        }
        self.matches += 1;
        self.patterns |= 1 << pattern;
        self.chars += chars;
        if let Some(spans) = &mut self.spans {
            spans.push(origin);
        }
        self.first = self.first.min(Some(origin)).or(Some(origin));
    }

    /// Adds what another view found. A match of the same pattern at overlapping
    /// places of the original text is the same match. Of many matches only the
    /// number counts, and the larger one is taken.
    pub(crate) fn merge(&mut self, other: &Self) {
        if self.matches == 0 {
            self.clone_from(other);
            return;
        }
        if let (Some(spans), Some(others)) = (&mut self.spans, &other.spans) {
            spans.extend(others);
        }
        if self.matches.max(other.matches) > MAX_KEPT {
            if other.matches > self.matches {
                (self.matches, self.chars) = (other.matches, other.chars);
            }
            self.patterns |= other.patterns;
            self.first = self.first.into_iter().chain(other.first).min();
            return;
        }
        let mut others = other.kept.clone();
        others.sort_unstable();
        for found in others {
            let is_same = |known: &Match| {
                known.pattern == found.pattern
                    && known.origin.start < found.origin.end
                    && found.origin.start < known.origin.end
            };
            if !self.kept.iter().any(is_same) {
                let here = Span {
                    start: 0,
                    end: found.chars,
                };
                self.add(
                    found.pattern,
                    Place {
                        here,
                        origin: found.origin,
                    },
                );
            }
        }
    }

    /// The confidence of `rule`, between 70 % and 100 % of its own.
    ///
    /// `own * (0.7 + 0.3 * quality)`, where quality is 0.4 for three matches or
    /// more (one and two count for a third and two thirds), 0.4 times the share
    /// of the rule's patterns that matched, and 0.2 for a mean match of 20 code
    /// points or more (less in proportion).
    pub(crate) fn confidence(&self, rule: &Rule) -> f64 {
        if self.matches == 0 {
            return 0.0;
        }
        let share = |part: usize, whole: usize| (part as f64 / whole as f64).min(1.0);
        let matched = self.patterns.count_ones() as usize;
        let mean_chars = self.chars as f64 / self.matches as f64;
        let quality = 0.4 * share(self.matches, 3)
            + 0.4 * share(matched, rule.patterns.len())
            + 0.2 * (mean_chars / 20.0).min(1.0);
        rule.confidence * (0.7 + 0.3 * quality)
    }
}
