//! The verdict of a scan as the JSON of the contract; the endpoint and the
//! command write the same.

use std::time::Duration;

use serde_json::{Value, json};
use tidegate_engine::{Detection, L2, L2Outcome, Mode, Outcome, Scanned, Span};

/// What of the classifier is missing in a verdict that was to have it.
fn degraded(mode: Mode, l2: L2Outcome) -> &'static [&'static str] {
    match (mode, l2) {
        (Mode::Fast, _) => &[],
        (Mode::Balanced | Mode::Thorough, outcome) => match outcome {
            L2Outcome::Completed | L2Outcome::Cached => &[],
            L2Outcome::Skipped | L2Outcome::Cancelled => &[],
            L2Outcome::TimedOut => &["classifier_timeout"],
            L2Outcome::Failed => &["classifier_failed"],
            L2Outcome::Disabled => &["classifier_disabled"],
        },
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
        "l2": l2(&verdict.l2),
        "mode": mode.as_str(),
        "policy": verdict.policy.id(),
        "policy_source": scanned.source.as_str(),
        "policy_version": verdict.policy.version(),
        "text_sha256": scanned.text_sha256,
        "duration_ms": millis(took),
        "timings_ms": {
            "l1": millis(scanned.rules_took),
            "l2": millis(scanned.classifier_took),
        },
        "degraded": ([degraded(mode, verdict.l2.outcome), verdict.degraded].concat()),
    })
}

fn detection(found: &Detection) -> Value {
    json!({
        "layer": found.layer.as_str(),
        "rule_id": &*found.rule,
        "family": &*found.family,
        "severity": found.severity.as_str(),
        "confidence": rounded(found.confidence),
        "span": span(found.span),
        "matches": found.matches,
        "message": &*found.message,
        "suppressed": found.suppressed,
        "action": found.action.as_str(),
    })
}

/// The places that weighed most, never their words.
fn l2(l2: &L2) -> Value {
    let reasons = l2.reasons.iter().map(|reason| {
        let weight = rounded(reason.weight);
        json!({"span": span(reason.span), "weight": weight})
    });
    json!({
        "outcome": l2.outcome.as_str(),
        "score": l2.score.map(rounded),
        "model": l2.model.as_deref(),
        "window": l2.window.map(span),
        "reasons": reasons.collect::<Vec<_>>(),
    })
}

fn span(span: Span) -> Value {
    json!({"start": span.start, "end": span.end})
}

fn rounded(share: f64) -> f64 {
    (share * 1e3).round() / 1e3
}

fn millis(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}
