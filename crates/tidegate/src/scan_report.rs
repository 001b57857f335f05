//! The verdict of a scan as the JSON of the contract; the endpoint and the
//! command write the same.

use std::time::Duration;

use serde_json::{Value, json};
use tidegate_engine::{Detection, Outcome, Scanned};

/// How thorough a scan is. There is no classifier in this version: the rules
/// are all that runs in each of them, and the verdict says so.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, serde::Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Mode {
    /// Rules only.
    Fast,
    /// Rules, and the classifier where it is worth its time.
    #[default]
    Balanced,
    /// Rules and the classifier.
    Thorough,
}

impl Mode {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Fast => "fast",
            Self::Balanced => "balanced",
            Self::Thorough => "thorough",
        }
    }

    fn degraded(self) -> &'static [&'static str] {
        match self {
            Self::Fast => &[],
            Self::Balanced | Self::Thorough => &["classifier_disabled"],
        }
    }
}

/// The verdict on one text. The text itself is never repeated.
pub(crate) fn verdict(id: &str, scanned: &Scanned, mode: Mode, took: Duration) -> Value {
    let verdict = &scanned.verdict;
    let detections: Vec<Value> = verdict.detections.iter().map(detection).collect();
    json!({
        "id": id,
        "verdict": verdict.outcome.as_str(),
        "has_threats": verdict.outcome > Outcome::Allow,
        "severity": verdict.severity.as_str(),
        "confidence": rounded(verdict.confidence),
        "detections": detections,
        "l2": {"outcome": "disabled", "score": null, "model": null},
        "mode": mode.as_str(),
        "policy": verdict.policy.id(),
        "policy_source": scanned.source.as_str(),
        "policy_version": verdict.policy.version(),
        "text_sha256": scanned.text_sha256,
        "duration_ms": millis(took),
        "timings_ms": {"l1": millis(scanned.rules_took), "l2": 0.0},
        "degraded": ([mode.degraded(), verdict.degraded].concat()),
    })
}

fn detection(found: &Detection) -> Value {
    json!({
        "layer": found.layer.as_str(),
        "rule_id": &*found.rule,
        "family": &*found.family,
        "severity": found.severity.as_str(),
        "confidence": rounded(found.confidence),
        "span": {"start": found.span.start, "end": found.span.end},
        "matches": found.matches,
        "message": &*found.message,
        "suppressed": found.suppressed,
        "action": found.action.as_str(),
    })
}

fn rounded(share: f64) -> f64 {
    (share * 1e3).round() / 1e3
}

fn millis(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}
