//! Texts that were scanned on request, in this program's words and in those
//! that dashboards for the seed ask for.

use std::sync::Arc;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use tidegate_engine::{Cached, Mode, Scanned};
use tidegate_guard::Layer;

use super::seconds;

type Seconds<L> = Family<L, Histogram, fn() -> Histogram>;

/// What is bounded by modes, severities, outcomes and rules.
#[derive(Debug)]
pub(super) struct Scans {
    seconds: Seconds<TimeLabels>,
    raxe_seconds: Seconds<LayerLabels>,
    raxe_scans: Family<ScanLabels, Counter>,
    raxe_detections: Family<RuleLabels, Counter>,
    raxe_hits: Counter,
    raxe_misses: Counter,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TimeLabels {
    layer: &'static str,
    mode: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LayerLabels {
    layer: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ScanLabels {
    severity: &'static str,
    action: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RuleLabels {
    rule_id: Arc<str>,
    severity: &'static str,
    category: Arc<str>,
}

impl Default for Scans {
    fn default() -> Self {
        let histogram: fn() -> Histogram = seconds;
        Self {
            seconds: Family::new_with_constructor(histogram),
            raxe_seconds: Family::new_with_constructor(histogram),
            raxe_scans: Family::default(),
            raxe_detections: Family::default(),
            raxe_hits: Counter::default(),
            raxe_misses: Counter::default(),
        }
    }
}

impl Scans {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "tidegate_scan_duration_seconds",
            "Time that a layer took for a text that was scanned on request",
            self.seconds.clone(),
        );
        registry.register(
            "raxe_scan_duration_seconds",
            "The same as tidegate_scan_duration_seconds, over all modes",
            self.raxe_seconds.clone(),
        );
        registry.register(
            "raxe_scans",
            "Texts that were scanned on request",
            self.raxe_scans.clone(),
        );
        registry.register(
            "raxe_detections",
            "Rules that matched texts scanned on request, each once a text",
            self.raxe_detections.clone(),
        );
        registry.register(
            "raxe_cache_hits",
            "Texts whose verdict was kept",
            self.raxe_hits.clone(),
        );
        registry.register(
            "raxe_cache_misses",
            "Texts whose verdict was looked for and not kept",
            self.raxe_misses.clone(),
        );
    }

    fn time(&self, mode: Mode, layer: Layer, took: Duration) {
        let (mode, layer) = (mode.as_str(), layer.as_str());
        let labels = TimeLabels { layer, mode };
        self.seconds
            .get_or_create(&labels)
            .observe(took.as_secs_f64());
        let labels = LayerLabels { layer };
        self.raxe_seconds
            .get_or_create(&labels)
            .observe(took.as_secs_f64());
    }

    /// A verdict that was kept took no layer any time, and is in no histogram.
    pub(super) fn note(&self, mode: Mode, scanned: &Scanned) {
        let verdict = &scanned.verdict;
        match scanned.cached {
            Cached::Hit => self.raxe_hits.inc(),
            Cached::Miss => self.raxe_misses.inc(),
            Cached::Bypass => 0,
        };
        if scanned.cached != Cached::Hit {
            self.time(mode, Layer::L1, scanned.rules_took);
            if verdict.l2.score.is_some() {
                self.time(mode, Layer::L2, scanned.classifier_took);
            }
        }
        let labels = ScanLabels {
            severity: verdict.severity.as_str(),
            action: verdict.outcome.as_str(),
        };
        self.raxe_scans.get_or_create(&labels).inc();
        for found in verdict.detections.iter().filter(|found| found.counts()) {
            let labels = RuleLabels {
                rule_id: found.rule.clone(),
                severity: found.severity.as_str(),
                category: found.family.clone(),
            };
            self.raxe_detections.get_or_create(&labels).inc();
        }
    }
}
