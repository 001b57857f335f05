//! How sure a rule is, from what its patterns found.

use crate::rule::Rule;
use crate::span::Span;

/// The matches of one rule.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Tally {
    pub(crate) matches: usize,
    pub(crate) first: Option<Span>,
    /// One bit for each pattern of the rule that matched.
    patterns: u64,
    chars: usize,
    /// Every match, where that is asked for.
    pub(crate) spans: Option<Vec<Span>>,
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

    /// Counts a match of the rule's pattern number `place`.
    pub(crate) fn add(&mut self, place: usize, span: Span) {
        self.matches += 1;
        self.patterns |= 1 << place;
        self.chars += span.len();
        if let Some(spans) = &mut self.spans {
            spans.push(span);
        }
        self.first = self.first.min(Some(span)).or(Some(span));
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
