//! Which variants of prompts were used.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;
use tidegate_engine::Rendered;

use super::Metrics;

/// Bounded by the packs of the configuration.
#[derive(Debug, Default)]
pub(super) struct Prompts {
    variants: Family<VariantLabels, Counter>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct VariantLabels {
    prompt: String,
    variant: String,
}

impl Prompts {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "tidegate_prompt_variants",
            "Prompts that were rendered, by variant",
            self.variants.clone(),
        );
    }
}

impl Metrics {
    /// Notes a prompt that was rendered for a client.
    pub(crate) fn rendered(&self, rendered: &Rendered) {
        let labels = VariantLabels {
            prompt: rendered.prompt.clone(),
            variant: rendered.variant.clone(),
        };
        self.prompts.variants.get_or_create(&labels).inc();
    }
}
