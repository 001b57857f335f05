//! Traces in OpenTelemetry's words, over OTLP, where the standard variables
//! ask for them.
//!
//! One span for each request and one for each call that it made, put together
//! when the request has ended. They hold names, numbers and stable words:
//! never a prompt, an answer or a key.

mod export;
mod names;
mod parent;
mod profile;
mod request;
mod settings;
mod upstreams;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use opentelemetry::trace::TracerProvider as _;
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};
use tokio_util::sync::CancellationToken;

pub(crate) use export::SpanCounts;
use export::Tally;
pub use names::trace_names_markdown;
use profile::Profile;
pub(crate) use request::{Facts, Served, StreamFacts, Traced};
use settings::{Parents, Settings};
pub(crate) use upstreams::Upstream;
pub use upstreams::Upstreams;

/// What makes spans and sends them.
pub(crate) struct Traces {
    tracer: SdkTracer,
    provider: SdkTracerProvider,
    profile: Profile,
    parents: Parents,
    tally: Arc<Tally>,
    stopped: CancellationToken,
}

impl fmt::Debug for Traces {
    /// Without the exporter: its headers hold keys.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Traces")
            .field("profile", &self.profile)
            .finish_non_exhaustive()
    }
}

impl Traces {
    /// Starts what the environment asks for, and says so in the log. Must be
    /// called within the runtime.
    pub(crate) fn from_env() -> Option<Self> {
        let (settings, warnings) = settings::read(&|name| {
            std::env::var_os(name).map(|text| text.to_string_lossy().into_owned())
        });
        for warning in warnings {
            let (variable, message) = (warning.variable, warning.message);
            tracing::warn!(variable, "{variable}: {message}");
        }
        match Self::start(&settings?) {
            Ok(traces) => {
                tracing::info!(
                    conventions = traces.profile.as_str(),
                    "traces go to {}",
                    traces.tally.endpoint()
                );
                Some(traces)
            }
            Err(error) => {
                tracing::warn!(%error, "traces are off: {error}");
                None
            }
        }
    }

    fn start(settings: &Settings) -> Result<Self, String> {
        let tally = Arc::new(Tally::new(&settings.endpoint));
        let stopped = CancellationToken::new();
        let processor = export::processor(settings, &tally, stopped.clone())?;
        let mut resource = Resource::builder()
            .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")));
        if let Some(name) = settings.service_name {
            resource = resource.with_service_name(name);
        }
        let provider = SdkTracerProvider::builder()
            .with_sampler(settings.sampler.clone())
            .with_resource(resource.build())
            .with_span_processor(processor)
            .build();
        let scope = InstrumentationScope::builder("tidegate")
            .with_version(env!("CARGO_PKG_VERSION"))
            .build();
        Ok(Self {
            tracer: provider.tracer_with_scope(scope),
            provider,
            profile: settings.profile,
            parents: settings.parents,
            tally,
            stopped,
        })
    }

    /// What became of the spans so far.
    pub(crate) fn counts(&self) -> SpanCounts {
        self.tally.counts.clone()
    }

    /// Sends what is left, within `patience`, and sends nothing from then on.
    pub(crate) async fn finish(&self, patience: Duration) {
        let provider = self.provider.clone();
        // It blocks, and the exporter needs the runtime's threads meanwhile.
        let flushed =
            tokio::task::spawn_blocking(move || provider.shutdown_with_timeout(patience)).await;
        if !patience.is_zero() && !matches!(flushed, Ok(Ok(()))) {
            tracing::warn!("the last traces did not leave in time");
        }
        self.stopped.cancel();
    }
}
