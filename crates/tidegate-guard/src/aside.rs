//! A classifier that is slower than the rules, and is asked elsewhere: when its
//! word is wanted, and how it counts.
//!
//! It runs nothing itself and reads no clock. Whoever runs the classifier asks here
//! when the rules have spoken.

use std::sync::Arc;

use sha2::{Digest, Sha256};
use tidegate_model::Thresholds;

use crate::classifiers::Classifiers;
use crate::digest::hex;
use crate::l2::{L2, L2Outcome};
use crate::policy::Layer;
use crate::rules::Rules;
use crate::scanner::{ClassifierTerms, Scanner, are_sure};
use crate::verdict::{Direction, Mode, Outcome, ScanRequest, Verdict};

/// What these families find is private, and says nothing about an attack: an
/// address at the end of a text spares nobody the classifier.
const NO_ATTACK: [&str; 2] = ["pii", "secrets"];
/// So much of a text tells whether it is in the sample.
const SAMPLED_BYTES: usize = 4 << 10;
/// The classifier of this build reads no longer text only to spare another: the time
/// it takes is that of whoever waits.
const MOST_GLANCED_BYTES: usize = 8 << 10;

/// How the word of a slow classifier counts, and when it is wanted.
#[derive(Clone, Debug, PartialEq)]
pub struct AsideTerms {
    /// The thresholds, and from which confidence on a critical finding stops it.
    pub classifier: ClassifierTerms,
    /// A balanced scan wants its word where no rule is as sure of an attack as this.
    pub below_confidence: f64,
    /// And where the classifier of this build, which takes a thousandth of the time,
    /// gives the text at least this score. At 0 it is not asked.
    pub from_score: f64,
    /// For this share of the other texts a balanced scan wants it all the same.
    pub sample: f64,
}

/// A slow classifier, as far as verdicts are concerned.
#[derive(Clone, Debug)]
pub struct Aside {
    model: Arc<str>,
    digest: String,
    terms: AsideTerms,
    /// What glances at a text first.
    glance: Classifiers,
}

impl Aside {
    /// Of a model with this name and version. Models that differ in anything that
    /// changes a score must differ in their versions.
    pub fn new(name: &str, version: &str, terms: AsideTerms) -> Self {
        let mut hasher = Sha256::new();
        for word in [name, version] {
            hasher.update((word.len() as u64).to_le_bytes());
            hasher.update(word);
        }
        let own = [terms.below_confidence, terms.from_score, terms.sample];
        for number in terms.classifier.numbers().chain(own) {
            hasher.update(number.to_le_bytes());
        }
        let glance = Classifiers::builtin();
        for classifier in [&glance.said, &glance.read] {
            hasher.update(classifier.digest());
        }
        let mut digest = hex(&hasher.finalize());
        digest.truncate(16);
        Self {
            glance,
            model: format!("{name} {version}").into(),
            digest,
            terms,
        }
    }

    /// The name and version of the model.
    pub fn model(&self) -> &Arc<str> {
        &self.model
    }

    /// A short digest of the model and its terms.
    pub(crate) fn digest(&self) -> &str {
        &self.digest
    }

    /// From where on it has something to say about a direction.
    pub fn limits(&self, direction: Direction) -> Thresholds {
        self.terms.classifier.limits(direction)
    }

    /// Why its word on `text` is not wanted, now that the rules have spoken, and
    /// nothing where it is. It says the same however long the model took: a verdict
    /// does not depend on who was first.
    pub fn spared(&self, text: &str, rules: &Verdict, request: &ScanRequest) -> Option<L2Outcome> {
        match request.mode {
            Mode::Fast => Some(L2Outcome::Disabled),
            Mode::Thorough => None,
            Mode::Balanced if are_sure(rules, self.terms.classifier.cancel_confidence) => {
                Some(L2Outcome::Cancelled)
            }
            Mode::Balanced => {
                let is_grey = || self.is_unclear(rules) && self.may_be(text, request.direction);
                let is_wanted = self.is_sampled(text) || is_grey();
                (!is_wanted).then_some(L2Outcome::Skipped)
            }
        }
    }

    /// Whether no rule is sure of an attack. What is suppressed, allowed or
    /// redacted is not.
    fn is_unclear(&self, rules: &Verdict) -> bool {
        let found = rules.detections.iter().filter(|found| {
            matches!(found.action, Outcome::Flag | Outcome::Block)
                && !NO_ATTACK.contains(&&*found.family)
        });
        let best = found.map(|found| found.confidence).reduce(f64::max);
        best.is_none_or(|best| best < self.terms.below_confidence)
    }

    /// Whether the classifier of this build leaves open that the text is an attack.
    fn may_be(&self, text: &str, direction: Direction) -> bool {
        if self.terms.from_score <= 0.0 || text.len() > MOST_GLANCED_BYTES {
            return true;
        }
        let score = self.glance.of(direction).score(text, &|| false);
        score.is_none_or(|score| score.probability >= self.terms.from_score)
    }

    /// The same text is always in the sample or never.
    fn is_sampled(&self, text: &str) -> bool {
        let bytes = &text.as_bytes()[..text.len().min(SAMPLED_BYTES)];
        let mut hasher = Sha256::new_with_prefix(b"tidegate sample 1");
        hasher.update((text.len() as u64).to_le_bytes());
        hasher.update(bytes);
        let digest = hasher.finalize();
        let first = digest.iter().take(4);
        let number = first.fold(0, |sum: u32, byte| sum << 8 | u32::from(*byte));
        f64::from(number) / 2_f64.powi(32) < self.terms.sample
    }

    /// The verdict of the rules without its word.
    #[must_use]
    pub fn without(&self, rules: Verdict, outcome: L2Outcome) -> Verdict {
        rules.saying(L2::unanswered(outcome, Some(Arc::clone(&self.model))))
    }

    /// The verdict of the rules with what it says. Of what it finds only the worst
    /// window is known, so nothing of it can be redacted: it is blocked instead.
    #[must_use]
    pub fn join(&self, rules: Verdict, l2: L2, request: &ScanRequest) -> Verdict {
        let mut verdict = rules.with_l2(l2, self.limits(request.direction), request);
        for found in &mut verdict.detections {
            if found.layer == Layer::L2 && found.action == Outcome::Redact {
                found.action = Outcome::Block;
                verdict.outcome = Outcome::Block;
            }
        }
        verdict
    }
}

impl Scanner {
    /// Scans with rules, beside a classifier that whoever scans asks himself.
    pub fn beside(rules: Arc<Rules>, aside: Aside) -> Self {
        let version = format!("{}+{}", rules.version(), aside.digest());
        Self::of_rules(rules).with_aside(aside, version)
    }
}

#[cfg(test)]
mod tests;
