//! How often the guard said what.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use tidegate_guard::{Direction, L2Outcome, Layer, Outcome, ScanRequest, Suppression, Verdict};

use crate::feedback::Label;

/// What the guard said so far. All lists are bounded: by the directions, the
/// outcomes and the rules.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GuardCounts {
    /// Verdicts by direction. A request or an answer has one for each
    /// direction in which it holds text, a scan one for each text.
    pub verdicts: Vec<(Direction, Outcome, u64)>,
    /// The same, as each layer by itself would have it, where it has answered.
    pub layers: Vec<(Layer, Outcome, u64)>,
    /// Texts by what became of the second layer.
    pub l2: Vec<(Direction, L2Outcome, u64)>,
    /// Verdicts that a rule was part of, by direction.
    pub detections: Vec<(Arc<str>, Direction, u64)>,
    /// Verdicts in which a suppression of a policy kept a rule from deciding.
    pub suppressed: Vec<(Arc<str>, u64)>,
    /// What was said of verdicts, by rule.
    pub feedback: Vec<(Arc<str>, Label, u64)>,
}

/// Counters of verdicts.
#[derive(Debug, Default)]
pub(crate) struct Verdicts(Mutex<Counted>);

#[derive(Debug, Default)]
struct Counted {
    verdicts: BTreeMap<(Direction, Outcome), u64>,
    layers: BTreeMap<(Layer, Outcome), u64>,
    l2: BTreeMap<(Direction, L2Outcome), u64>,
    detections: BTreeMap<(Arc<str>, Direction), u64>,
    suppressed: BTreeMap<Arc<str>, u64>,
}

/// What was found in one direction of a request or an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) direction: Direction,
    /// The worst outcome.
    pub(crate) outcome: Outcome,
    /// The worst outcome of each layer that has answered.
    pub(crate) layers: BTreeMap<Layer, Outcome>,
    /// What became of the second layer, text by text.
    pub(crate) l2: Vec<L2Outcome>,
    /// What was missing, in stable words, each once.
    pub(crate) missing: Vec<&'static str>,
    /// The rules that matched, each once.
    pub(crate) rules: Vec<Arc<str>>,
    /// The rules that the policy suppresses, each once.
    pub(crate) suppressed: Vec<Applied>,
    /// The worst outcome under a policy that is asked besides.
    pub(crate) other: Option<Outcome>,
}

/// A suppression of a policy that kept a rule from deciding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Applied {
    pub(crate) rule: Arc<str>,
    pub(crate) policy: String,
    pub(crate) suppression: Suppression,
}

impl Seen {
    /// What `verdict` says of a text of `request`.
    pub(crate) fn new(request: &ScanRequest, verdict: &Verdict) -> Self {
        let mut seen = Self {
            direction: request.direction,
            outcome: verdict.outcome,
            layers: BTreeMap::new(),
            l2: Vec::new(),
            missing: Vec::new(),
            rules: Vec::new(),
            suppressed: Vec::new(),
            other: None,
        };
        seen.take(request, verdict);
        seen
    }

    /// Adds another verdict of the same direction.
    pub(crate) fn take(&mut self, request: &ScanRequest, verdict: &Verdict) {
        self.outcome = self.outcome.max(verdict.outcome);
        self.l2.push(verdict.l2.outcome);
        let missing = verdict.l2.outcome.degraded();
        if let Some(word) = missing.filter(|word| !self.missing.contains(word)) {
            self.missing.push(word);
        }
        self.hear(Layer::L1, verdict);
        if verdict.l2.score.is_some() {
            self.hear(Layer::L2, verdict);
        }
        for found in verdict.detections.iter().filter(|found| found.suppressed) {
            self.suppress(request, &found.rule);
        }
        let counted = verdict.detections.iter().filter(|found| found.counts());
        for found in counted {
            if !self.rules.contains(&found.rule) {
                self.rules.push(found.rule.clone());
            }
        }
    }
}

impl Seen {
    /// Adds what a layer by itself says.
    fn hear(&mut self, layer: Layer, verdict: &Verdict) {
        let found = verdict.detections.iter();
        let own = found.filter(|found| found.layer == layer);
        let said = own.map(|found| found.action).max();
        let worst = self.layers.entry(layer).or_insert(Outcome::Allow);
        *worst = (*worst).max(said.unwrap_or(Outcome::Allow));
    }

    /// What a request itself suppresses is its own business.
    fn suppress(&mut self, request: &ScanRequest, rule: &Arc<str>) {
        let known = self.suppressed.iter().any(|known| known.rule == *rule);
        let suppression = request.policy.suppression_of(rule, request.at);
        if let Some(suppression) = suppression.filter(|_| !known) {
            self.suppressed.push(Applied {
                rule: rule.clone(),
                policy: request.policy.id().to_owned(),
                suppression: suppression.clone(),
            });
        }
    }
}

impl Verdicts {
    pub(crate) fn count(&self, seen: &Seen) {
        let mut counted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (seen.direction, seen.outcome);
        *counted.verdicts.entry(key).or_default() += 1;
        for (layer, outcome) in &seen.layers {
            *counted.layers.entry((*layer, *outcome)).or_default() += 1;
        }
        for outcome in &seen.l2 {
            let key = (seen.direction, *outcome);
            *counted.l2.entry(key).or_default() += 1;
        }
        for rule in &seen.rules {
            let key = (rule.clone(), seen.direction);
            *counted.detections.entry(key).or_default() += 1;
        }
        for applied in &seen.suppressed {
            let rule = applied.rule.clone();
            *counted.suppressed.entry(rule).or_default() += 1;
        }
    }

    pub(crate) fn counts(&self) -> GuardCounts {
        let counted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let verdicts = counted.verdicts.iter();
        let detections = counted.detections.iter();
        GuardCounts {
            feedback: Vec::new(),
            layers: counted
                .layers
                .iter()
                .map(|((layer, outcome), count)| (*layer, *outcome, *count))
                .collect(),
            l2: counted
                .l2
                .iter()
                .map(|((direction, outcome), count)| (*direction, *outcome, *count))
                .collect(),
            verdicts: verdicts
                .map(|((direction, outcome), count)| (*direction, *outcome, *count))
                .collect(),
            detections: detections
                .map(|((rule, direction), count)| (rule.clone(), *direction, *count))
                .collect(),
            suppressed: counted
                .suppressed
                .iter()
                .map(|(rule, count)| (rule.clone(), *count))
                .collect(),
        }
    }
}
