//! How often the guard said what.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use tidegate_guard::{Direction, Outcome, Verdict};

/// What the guard said so far. Both lists are bounded: by the directions, and
/// by the rules times the directions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GuardCounts {
    /// Verdicts by direction. A request or an answer has one for each
    /// direction in which it holds text, a scan one for each text.
    pub verdicts: Vec<(Direction, Outcome, u64)>,
    /// Verdicts that a rule was part of, by direction.
    pub detections: Vec<(Arc<str>, Direction, u64)>,
}

/// Counters of verdicts.
#[derive(Debug, Default)]
pub(crate) struct Verdicts(Mutex<Counted>);

#[derive(Debug, Default)]
struct Counted {
    verdicts: BTreeMap<(Direction, Outcome), u64>,
    detections: BTreeMap<(Arc<str>, Direction), u64>,
}

/// What was found in one direction of a request or an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) direction: Direction,
    /// The worst outcome.
    pub(crate) outcome: Outcome,
    /// The rules that matched, each once.
    pub(crate) rules: Vec<Arc<str>>,
}

impl Seen {
    pub(crate) fn new(direction: Direction, verdict: &Verdict) -> Self {
        let mut seen = Self {
            direction,
            outcome: verdict.outcome,
            rules: Vec::new(),
        };
        seen.take(verdict);
        seen
    }

    /// Adds another verdict of the same direction.
    pub(crate) fn take(&mut self, verdict: &Verdict) {
        self.outcome = self.outcome.max(verdict.outcome);
        let counted = verdict.detections.iter().filter(|found| !found.suppressed);
        for found in counted {
            if !self.rules.contains(&found.rule) {
                self.rules.push(found.rule.clone());
            }
        }
    }
}

impl Verdicts {
    pub(crate) fn count(&self, seen: &Seen) {
        let mut counted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (seen.direction, seen.outcome);
        *counted.verdicts.entry(key).or_default() += 1;
        for rule in &seen.rules {
            let key = (rule.clone(), seen.direction);
            *counted.detections.entry(key).or_default() += 1;
        }
    }

    pub(crate) fn counts(&self) -> GuardCounts {
        let counted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let verdicts = counted.verdicts.iter();
        let detections = counted.detections.iter();
        GuardCounts {
            verdicts: verdicts
                .map(|((direction, outcome), count)| (*direction, *outcome, *count))
                .collect(),
            detections: detections
                .map(|((rule, direction), count)| (rule.clone(), *direction, *count))
                .collect(),
        }
    }
}
