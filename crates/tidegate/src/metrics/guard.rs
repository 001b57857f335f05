//! What the guard said, what was said of that, and how two policies agree.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;
use tidegate_engine::{Agreement, GuardCounts};
use tidegate_guard::Layer;

use super::{Labels, with};

/// Bounded by the rules and the directions.
pub(super) fn guard(registry: &mut Registry, counts: &GuardCounts) {
    let verdicts: Family<Labels, Counter> = Family::default();
    let together: Family<Labels, Counter> = Family::default();
    for (layer, outcome, count) in &counts.layers {
        let labels = vec![("verdict", outcome.as_str().to_owned())];
        let labels = with(labels, "layer", layer.as_str());
        together.get_or_create(&labels).inc_by(*count);
    }
    for (direction, outcome, count) in &counts.verdicts {
        let labels = vec![("direction", direction.as_str().to_owned())];
        verdicts
            .get_or_create(&with(labels, "verdict", outcome.as_str()))
            .inc_by(*count);
    }
    registry.register(
        "tidegate_guard_verdicts",
        "Verdicts of the guard by direction",
        verdicts,
    );
    registry.register(
        "tidegate_scan_verdicts",
        "Verdicts of a layer of the guard",
        together,
    );
    let detections: Family<Labels, Counter> = Family::default();
    for (rule, direction, count) in &counts.detections {
        let labels = vec![("rule", rule.to_string())];
        detections
            .get_or_create(&with(labels, "direction", direction.as_str()))
            .inc_by(*count);
    }
    registry.register(
        "tidegate_guard_detections",
        "Verdicts that a rule was part of",
        detections,
    );
    let suppressed: Family<Labels, Counter> = Family::default();
    for (rule, count) in &counts.suppressed {
        let labels = vec![("rule", rule.to_string())];
        suppressed.get_or_create(&labels).inc_by(*count);
    }
    registry.register(
        "tidegate_guard_suppressed",
        "Verdicts in which a suppression of a policy kept a rule from deciding",
        suppressed,
    );
    feedback(registry, counts);
}

fn feedback(registry: &mut Registry, counts: &GuardCounts) {
    let words: Family<Labels, Counter> = Family::default();
    for (rule, label, count) in &counts.feedback {
        let layer = vec![
            ("rule", rule.to_string()),
            ("layer", Layer::of(rule).to_string()),
        ];
        let labels = with(layer, "label", label.as_str());
        words.get_or_create(&labels).inc_by(*count);
    }
    registry.register(
        "tidegate_guard_feedback",
        "What was said of verdicts, for each rule in them",
        words,
    );
}

/// Bounded by the directions and what can become of it.
pub(super) fn l2(registry: &mut Registry, counts: &GuardCounts) {
    let texts: Family<Labels, Counter> = Family::default();
    for (direction, outcome, count) in &counts.l2 {
        let labels = vec![("direction", direction.as_str().to_owned())];
        let labels = with(labels, "outcome", outcome.as_str());
        texts.get_or_create(&labels).inc_by(*count);
    }
    registry.register(
        "tidegate_guard_l2",
        "Texts by what became of the classifier",
        texts,
    );
}

/// Bounded by the outcomes.
pub(super) fn rollout(registry: &mut Registry, agreement: Option<&Agreement>) {
    let rollout: Family<Labels, Counter> = Family::default();
    let pairs = agreement.iter().flat_map(|agreement| {
        let pairs = agreement.counts.iter();
        pairs.map(|pair| (agreement.policy.id(), agreement.rollout.policy.id(), pair))
    });
    for (policy, candidate, (own, other, count)) in pairs {
        let policies = vec![
            ("policy", policy.to_owned()),
            ("candidate", candidate.to_owned()),
        ];
        let labels = with(policies, "outcome", own.as_str());
        let labels = with(labels, "candidate_outcome", other.as_str());
        rollout.get_or_create(&labels).inc_by(*count);
    }
    registry.register(
        "tidegate_guard_rollout",
        "Verdicts by what the gate's own policy and the one that is rolled out said",
        rollout,
    );
}
