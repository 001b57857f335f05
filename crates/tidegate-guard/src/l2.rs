//! What the second layer says of a text, and what of it becomes a detection.

use std::sync::{Arc, LazyLock};

use tidegate_model::Thresholds;

use crate::policy::Layer;
use crate::span::Span;
use crate::verdict::{Detection, Outcome, ScanRequest, Severity, Verdict};
use crate::word::words;

words! {
    /// What became of the second layer.
    pub enum L2Outcome {
        /// It was asked, and has answered.
        Completed = "completed",
        /// It was asked about the same text before.
        Cached = "cached",
        /// It was not asked: the rules are sure by themselves.
        Skipped = "skipped",
        /// It was asked, and stopped before it had answered.
        Cancelled = "cancelled",
        /// It did not answer in time.
        TimedOut = "timed_out",
        /// It could not answer.
        Failed = "failed",
        /// There is none, or the mode wants none.
        Disabled = "disabled",
    }
}

/// What the second layer says of a text.
#[derive(Clone, Debug, PartialEq)]
pub struct L2 {
    /// What became of it.
    pub outcome: L2Outcome,
    /// How likely the text is an attack, where it has answered.
    pub score: Option<f64>,
    /// The name and version of its model, where there is one.
    pub model: Option<Arc<str>>,
    /// The part of the text that has this score.
    pub window: Option<Span>,
    /// What made that part suspicious, the heaviest first; told from the flag
    /// threshold on.
    pub reasons: Vec<Reason>,
}

/// A place that made a text suspicious. The text itself is not repeated.
#[derive(Clone, Debug, PartialEq)]
pub struct Reason {
    /// Where it is.
    pub span: Span,
    /// How much it weighs.
    pub weight: f64,
}

/// The id and the family of what the classifier finds. No pack may use them.
static FINDING: LazyLock<[Arc<str>; 3]> = LazyLock::new(|| {
    [
        L2::RULE.into(),
        L2::FAMILY.into(),
        "the classifier takes this part of the text for an attack".into(),
    ]
});

impl L2Outcome {
    /// Whether it was asked, was wanted, and has not answered.
    pub fn is_missing(self) -> bool {
        match self {
            Self::TimedOut | Self::Failed => true,
            Self::Completed | Self::Cached | Self::Skipped | Self::Cancelled | Self::Disabled => {
                false
            }
        }
    }

    /// What verdicts list as degraded where that is so, in stable words.
    pub fn degraded(self) -> Option<&'static str> {
        match self {
            Self::TimedOut => Some("classifier_timeout"),
            Self::Failed => Some("classifier_failed"),
            Self::Completed | Self::Cached | Self::Skipped | Self::Cancelled | Self::Disabled => {
                None
            }
        }
    }
}

impl L2 {
    /// The id under which policies and suppressions name what it finds.
    pub const RULE: &'static str = "classifier.attack";
    /// The family of it.
    pub const FAMILY: &'static str = "classifier";

    /// Without an answer.
    pub fn unanswered(outcome: L2Outcome, model: Option<Arc<str>>) -> Self {
        Self {
            outcome,
            score: None,
            model,
            window: None,
            reasons: Vec::new(),
        }
    }

    /// There is none.
    pub fn disabled() -> Self {
        Self::unanswered(L2Outcome::Disabled, None)
    }

    /// The same, said again of a text that it was asked about before.
    #[must_use]
    pub fn again(self) -> Self {
        let outcome = match self.outcome {
            L2Outcome::Completed => L2Outcome::Cached,
            L2Outcome::Cached
            | L2Outcome::Skipped
            | L2Outcome::Cancelled
            | L2Outcome::TimedOut
            | L2Outcome::Failed
            | L2Outcome::Disabled => self.outcome,
        };
        Self { outcome, ..self }
    }

    /// What it found, where that is something. The score is the confidence: that is
    /// what it was calibrated to be. Policies decide over both.
    pub fn finding(&self, limits: Thresholds) -> Option<Detection> {
        let score = self.score.filter(|score| *score >= limits.flag)?;
        let [rule, family, message] = FINDING.clone();
        Some(Detection {
            rule,
            family,
            severity: if score >= limits.block {
                Severity::Critical
            } else {
                Severity::Medium
            },
            confidence: score,
            span: self.window.unwrap_or_default(),
            matches: 1,
            message,
            layer: Layer::L2,
            // What the verdict decides over.
            suppressed: false,
            action: Outcome::Allow,
        })
    }
}

impl Verdict {
    /// The verdict of the rules, and of the second layer, together. `limits` are
    /// those of the direction of `request`.
    #[must_use]
    pub fn with_l2(self, l2: L2, limits: Thresholds, request: &ScanRequest) -> Self {
        let Some(found) = l2.finding(limits) else {
            return self.saying(l2);
        };
        let mut detections = self.detections;
        detections.push(found);
        Self {
            degraded: self.degraded,
            ..Self::decide(request, detections)
        }
        .saying(l2)
    }

    /// With what the second layer says, held to what the policy does where it could
    /// not answer.
    pub(crate) fn saying(mut self, l2: L2) -> Self {
        if l2.outcome.is_missing() {
            self.outcome = self.outcome.max(self.policy.on_error());
        }
        Self { l2, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{Builtin, Policy};

    const LIMITS: Thresholds = Thresholds {
        flag: 0.4,
        block: 0.9,
    };

    fn says(score: f64) -> L2 {
        L2 {
            score: Some(score),
            window: Some(Span { start: 2, end: 9 }),
            ..L2::unanswered(L2Outcome::Completed, Some("m 1".into()))
        }
    }

    fn verdict(score: f64, request: &ScanRequest) -> Verdict {
        Verdict::decide(request, Vec::new()).with_l2(says(score), LIMITS, request)
    }

    fn outcome(policy: Builtin, score: f64) -> Outcome {
        let request = ScanRequest {
            policy: policy.into(),
            ..ScanRequest::default()
        };
        verdict(score, &request).outcome
    }

    #[test]
    fn from_the_flag_threshold_on_there_is_one_detection_of_layer_2() {
        let request = ScanRequest::default();
        let calm = verdict(0.399, &request);
        assert_eq!((calm.outcome, calm.detections.len()), (Outcome::Allow, 0));
        assert_eq!(calm.l2.score, Some(0.399));
        let found = verdict(0.4, &request);
        let [one] = found.detections.as_slice() else {
            panic!("{found:?}");
        };
        assert_eq!((&*one.rule, &*one.family), (L2::RULE, L2::FAMILY));
        assert_eq!(
            (one.layer, one.span),
            (Layer::L2, Span { start: 2, end: 9 })
        );
        assert_eq!((one.severity, one.confidence), (Severity::Medium, 0.4));
        assert_eq!(verdict(0.9, &request).severity, Severity::Critical);
    }

    #[test]
    fn the_default_policy_blocks_from_the_block_threshold_where_that_is_sure_enough() {
        assert_eq!(outcome(Builtin::Default, 0.4), Outcome::Flag);
        assert_eq!(outcome(Builtin::Default, 0.89), Outcome::Flag);
        assert_eq!(outcome(Builtin::Default, 0.9), Outcome::Block);
        assert_eq!(outcome(Builtin::Monitor, 0.99), Outcome::Flag);
        assert_eq!(outcome(Builtin::Strict, 0.49), Outcome::Flag);
        assert_eq!(outcome(Builtin::Strict, 0.5), Outcome::Block);
        // What is critical and not sure flags, whoever found it.
        let low = Thresholds {
            block: 0.6,
            ..LIMITS
        };
        let request = ScanRequest::default();
        let rules = || Verdict::decide(&request, Vec::new());
        let unsure = rules().with_l2(says(0.849), low, &request);
        assert_eq!(
            (unsure.severity, unsure.outcome),
            (Severity::Critical, Outcome::Flag)
        );
        let sure = rules().with_l2(says(0.85), low, &request);
        assert_eq!(sure.outcome, Outcome::Block);
    }

    #[test]
    fn what_it_finds_is_suppressed_by_its_id_and_its_family() {
        for name in ["classifier.attack", "classifier.*"] {
            let request = ScanRequest {
                suppress: vec![name.to_owned()],
                ..ScanRequest::default()
            };
            let verdict = verdict(1.0, &request);
            assert_eq!(verdict.outcome, Outcome::Allow, "{name}");
            assert!(verdict.detections[0].suppressed, "{name}");
        }
    }

    #[test]
    fn a_policy_decides_by_layer() {
        let rules = "[[rules]]\nlayers = ['L2']\nseverity = 'critical'\naction = 'allow'";
        let text = format!("[policy]\nid = 'p'\nbase = 'strict'\n{rules}");
        let request = ScanRequest {
            policy: Policy::load("p.toml", &text).unwrap(),
            ..ScanRequest::default()
        };
        assert_eq!(verdict(0.95, &request).outcome, Outcome::Allow);
        assert_eq!(verdict(0.8, &request).outcome, Outcome::Block);
        let other = ScanRequest {
            policy: Policy::load("p.toml", &text.replace("L2", "L1")).unwrap(),
            ..ScanRequest::default()
        };
        assert_eq!(verdict(0.95, &other).outcome, Outcome::Block);
    }

    #[test]
    fn under_another_policy_the_layer_has_still_said_the_same() {
        let verdict = verdict(0.95, &ScanRequest::default());
        let monitor = ScanRequest {
            policy: Policy::monitor(),
            ..ScanRequest::default()
        };
        let under = verdict.under(&monitor);
        assert_eq!((under.outcome, &under.l2), (Outcome::Flag, &verdict.l2));
    }
}
