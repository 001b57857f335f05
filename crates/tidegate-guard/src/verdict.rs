//! What is asked of a scan and what it answers.

use std::sync::Arc;
use std::time::SystemTime;

use crate::l2::L2;
use crate::policy::{Layer, Policy};
use crate::span::Span;
use crate::views;
use crate::word::words;

words! {
    /// Where a text stands in the traffic.
    pub enum Direction {
        /// What the caller sends to a model.
        Prompt = "prompt",
        /// What the model answers.
        Answer = "answer",
        /// A passage from an index or the web, on its way into a prompt.
        Retrieved = "retrieved",
        /// A call of a tool, as the model wrote it.
        ToolCall = "tool_call",
        /// What a tool gave back.
        ToolResult = "tool_result",
    }
}

words! {
    /// How bad something is, from nothing to the worst.
    pub enum Severity {
        /// Nothing.
        None = "none",
        /// Worth a note.
        Low = "low",
        /// Worth a look.
        Medium = "medium",
        /// A leak or a likely attack.
        High = "high",
        /// An attack.
        Critical = "critical",
    }
}

words! {
    /// What a verdict says to do, the mildest first.
    pub enum Outcome {
        /// Nothing was found that counts.
        Allow = "allow",
        /// Something was found; the text may pass.
        Flag = "flag",
        /// The text may pass without the places in which something was found.
        Redact = "redact",
        /// The text may not pass.
        Block = "block",
    }
}

words! {
    /// How thorough a scan is.
    #[derive(Default)]
    pub enum Mode {
        /// Rules only.
        Fast = "fast",
        /// Rules, and the classifier unless they are sure by themselves.
        #[default]
        Balanced = "balanced",
        /// Rules and the classifier.
        Thorough = "thorough",
    }
}

impl Direction {
    /// Whether such a text is read by a model, and not said to it or by it.
    pub(crate) fn is_read(self) -> bool {
        match self {
            Self::Retrieved | Self::ToolResult => true,
            Self::Prompt | Self::Answer | Self::ToolCall => false,
        }
    }
}

/// How a text is to be scanned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScanRequest {
    /// Where the text stands; rules for other directions are left out.
    pub direction: Direction,
    /// How thorough the scan is.
    pub mode: Mode,
    /// What decides.
    pub policy: Policy,
    /// Rules whose detections are listed and do not decide: an id, or the
    /// beginning of ids with `*` behind it.
    pub suppress: Vec<String>,
    /// Whose the text is, for policies that name tenants.
    pub tenant: Option<Arc<str>>,
    /// What time it is, for suppressions that expire. Without it those that
    /// can expire have.
    pub at: Option<SystemTime>,
}

impl Default for ScanRequest {
    /// A prompt, under the default policy, with nothing suppressed.
    fn default() -> Self {
        Self {
            direction: Direction::Prompt,
            mode: Mode::default(),
            policy: Policy::default(),
            suppress: Vec::new(),
            tenant: None,
            at: None,
        }
    }
}

impl ScanRequest {
    /// Whether the request itself, or its policy, lets `rule` decide nothing.
    pub(crate) fn suppresses(&self, rule: &str) -> bool {
        self.names(rule) || self.policy.suppression_of(rule, self.at).is_some()
    }

    fn names(&self, rule: &str) -> bool {
        let names = |pattern: &String| match pattern.strip_suffix('*') {
            Some(beginning) => rule.starts_with(beginning),
            None => rule == pattern,
        };
        self.suppress.iter().any(names)
    }
}

/// What one rule found. The text itself is not repeated.
#[derive(Clone, Debug, PartialEq)]
pub struct Detection {
    /// The id of the rule.
    pub rule: Arc<str>,
    /// Its family.
    pub family: Arc<str>,
    /// Its severity.
    pub severity: Severity,
    /// The confidence of the rule, weakened by the quality of its matches.
    pub confidence: f64,
    /// The first match.
    pub span: Span,
    /// How many matches there are.
    pub matches: usize,
    /// What was found, in words.
    pub message: Arc<str>,
    /// What found it.
    pub layer: Layer,
    /// True when the request or its policy suppresses this rule: it does not
    /// decide.
    pub suppressed: bool,
    /// What the policy does about it; nothing where it is suppressed.
    pub action: Outcome,
}

impl Detection {
    /// True when it is part of what the verdict says.
    pub fn counts(&self) -> bool {
        self.action > Outcome::Allow
    }
}

/// The answer of a scan.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    /// What to do.
    pub outcome: Outcome,
    /// The worst severity among the detections that count.
    pub severity: Severity,
    /// The best confidence at that severity, 0 without a detection.
    pub confidence: f64,
    /// What was found, by place. Suppressed ones are among them.
    pub detections: Vec<Detection>,
    /// What the second layer says.
    pub l2: L2,
    /// The policy that decided.
    pub policy: Policy,
    /// What was left undone, in stable words: `decoding_depth` where something is
    /// encoded more often than it is decoded.
    pub degraded: &'static [&'static str],
}

/// Said where something is encoded more often than it is decoded.
const TOO_DEEP: &[&str] = &["decoding_depth"];

impl Verdict {
    /// Decides over `detections`, whatever was decided over them before.
    pub(crate) fn decide(request: &ScanRequest, mut detections: Vec<Detection>) -> Self {
        detections.sort_by(|a, b| (a.span, &a.rule).cmp(&(b.span, &b.rule)));
        for found in &mut detections {
            found.suppressed = request.suppresses(&found.rule);
            found.action = if found.suppressed {
                Outcome::Allow
            } else {
                request.policy.action(found, request)
            };
        }
        let counted = || detections.iter().filter(|found| found.counts());
        let outcome = counted().map(|found| found.action).max();
        let severity = counted().map(|found| found.severity).max();
        let severity = severity.unwrap_or(Severity::None);
        let worst = counted().filter(|found| found.severity == severity);
        Self {
            outcome: outcome.unwrap_or(Outcome::Allow),
            severity,
            confidence: worst.map(|found| found.confidence).fold(0.0, f64::max),
            detections,
            l2: L2::disabled(),
            policy: request.policy.clone(),
            degraded: &[],
        }
    }

    /// The same, saying what was left undone in the views of the text.
    pub(crate) fn noting(mut self, views: &views::Layer) -> Self {
        if views.is_too_deep() {
            self.degraded = TOO_DEEP;
        }
        self
    }

    /// What the same findings come to under another request: another policy,
    /// another tenant, another time. The text is not read again.
    #[must_use]
    pub fn under(&self, request: &ScanRequest) -> Self {
        Self {
            degraded: self.degraded,
            ..Self::decide(request, self.detections.clone())
        }
        .saying(self.l2.clone())
    }

    /// True when a detection counts.
    pub fn has_threats(&self) -> bool {
        self.outcome > Outcome::Allow
    }

    /// True when this verdict is worse than `other`: by outcome, then severity,
    /// then confidence.
    pub fn is_worse_than(&self, other: &Self) -> bool {
        let key = |verdict: &Self| (verdict.outcome, verdict.severity);
        key(self) > key(other) || (key(self) == key(other) && self.confidence > other.confidence)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Builtin;

    fn detection(severity: Severity, confidence: f64) -> Detection {
        Detection {
            rule: "a.b".into(),
            family: "a".into(),
            severity,
            confidence,
            span: Span::default(),
            matches: 1,
            message: "a".into(),
            layer: Layer::L1,
            suppressed: false,
            action: Outcome::Allow,
        }
    }

    fn decide(policy: Builtin, found: Vec<Detection>) -> Verdict {
        let request = ScanRequest {
            policy: policy.into(),
            ..ScanRequest::default()
        };
        Verdict::decide(&request, found)
    }

    #[track_caller]
    fn check(policy: Builtin, severity: Severity, confidence: f64, expected: Outcome) {
        let verdict = decide(policy, vec![detection(severity, confidence)]);
        assert_eq!(
            verdict.outcome, expected,
            "{policy} {severity} {confidence}"
        );
    }

    #[test]
    fn monitor_never_blocks() {
        check(Builtin::Monitor, Severity::Critical, 1.0, Outcome::Flag);
    }

    #[test]
    fn the_default_policy_blocks_what_is_critical_and_sure() {
        check(Builtin::Default, Severity::Critical, 0.85, Outcome::Block);
        check(Builtin::Default, Severity::Critical, 0.849, Outcome::Flag);
        check(Builtin::Default, Severity::High, 1.0, Outcome::Flag);
        check(Builtin::Default, Severity::Medium, 0.1, Outcome::Flag);
    }

    #[test]
    fn what_is_low_is_listed_and_flags_only_where_it_is_asked_for() {
        check(Builtin::Default, Severity::Low, 1.0, Outcome::Allow);
        check(Builtin::Monitor, Severity::Low, 1.0, Outcome::Flag);
    }

    #[test]
    fn the_strict_policy_blocks_from_medium() {
        check(Builtin::Strict, Severity::Medium, 0.5, Outcome::Block);
        check(Builtin::Strict, Severity::Medium, 0.49, Outcome::Flag);
        check(Builtin::Strict, Severity::Low, 1.0, Outcome::Flag);
    }

    #[test]
    fn a_suppressed_detection_is_listed_and_does_not_decide() {
        let request = ScanRequest {
            policy: Policy::strict(),
            suppress: vec!["a.b".to_owned()],
            ..ScanRequest::default()
        };
        let found = vec![detection(Severity::Critical, 1.0)];
        let verdict = Verdict::decide(&request, found);
        assert_eq!(verdict.outcome, Outcome::Allow);
        assert_eq!(verdict.severity, Severity::None);
        assert!(verdict.detections[0].suppressed);
        assert!(!verdict.has_threats());
        let again = verdict.under(&ScanRequest::default());
        assert_eq!(again.outcome, Outcome::Block);
    }

    #[test]
    fn the_confidence_is_the_best_at_the_worst_severity() {
        let found = vec![
            detection(Severity::Low, 0.99),
            detection(Severity::High, 0.6),
            detection(Severity::High, 0.7),
        ];
        let verdict = decide(Builtin::Default, found);
        assert_eq!(
            (verdict.severity, verdict.confidence),
            (Severity::High, 0.7)
        );
    }

    #[test]
    fn a_star_suppresses_all_ids_that_begin_so() {
        let request = ScanRequest {
            suppress: vec!["pii.*".to_owned(), "secrets.jwt".to_owned()],
            ..ScanRequest::default()
        };
        let suppressed = ["pii.email", "secrets.jwt", "secrets.jwt_2", "pi.pii."]
            .map(|rule| request.suppresses(rule));
        assert_eq!(suppressed, [true, true, false, false]);
    }

    #[test]
    fn every_word_is_read_back() {
        for policy in Builtin::ALL {
            assert_eq!(policy.as_str().parse(), Ok(*policy));
        }
        let unknown = "blocked".parse::<Outcome>().unwrap_err();
        assert_eq!(unknown.expected, ["allow", "flag", "redact", "block"]);
    }
}
