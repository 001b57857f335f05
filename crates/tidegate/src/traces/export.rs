//! The way out: a bounded queue, batches, and an HTTP client of ours.
//!
//! What happens behind the queue never reaches a request: where there is no
//! room, or nobody answers, spans are lost and counted.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response, Uri};
use opentelemetry::Context;
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, Span, SpanData, SpanProcessor,
};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use tidegate_engine::PostClient;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use super::settings::Settings;

/// Spans by what became of them.
pub(crate) type SpanCounts = Family<[(&'static str, &'static str); 1], Counter>;

/// What became of the spans, and what the log says of it.
pub(super) struct Tally {
    /// Where they go, for people; without what may be a secret.
    endpoint: String,
    pub(super) counts: SpanCounts,
    /// In the queue or on their way.
    waiting: AtomicUsize,
    /// Set while the log says that nothing arrives.
    failing: AtomicBool,
    /// Set while the log says that there is no room.
    full: AtomicBool,
}

impl fmt::Debug for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tally").finish_non_exhaustive()
    }
}

impl Tally {
    pub(super) fn new(endpoint: &Uri) -> Self {
        Self {
            endpoint: shown(endpoint),
            counts: SpanCounts::default(),
            waiting: AtomicUsize::new(0),
            failing: AtomicBool::new(false),
            full: AtomicBool::new(false),
        }
    }

    pub(super) fn endpoint(&self) -> &str {
        &self.endpoint
    }

    fn count(&self, outcome: &'static str, spans: usize) {
        let counter = self.counts.get_or_create(&[("outcome", outcome)]);
        counter.inc_by(spans as u64);
    }

    /// Takes a place in the queue, if there is one.
    fn enter(&self, most: usize) -> bool {
        let before = self.waiting.fetch_add(1, Ordering::AcqRel);
        if before < most {
            return true;
        }
        self.waiting.fetch_sub(1, Ordering::AcqRel);
        self.count("dropped", 1);
        if !self.full.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                waiting = most,
                "{most} spans wait for export: more are dropped"
            );
        }
        false
    }

    fn exported(&self, spans: usize, result: &OTelSdkResult) {
        self.waiting.fetch_sub(spans, Ordering::AcqRel);
        let endpoint = &self.endpoint;
        match result {
            Ok(()) => {
                self.count("exported", spans);
                self.full.store(false, Ordering::Relaxed);
                if self.failing.swap(false, Ordering::Relaxed) {
                    tracing::info!("traces arrive at {endpoint} again");
                }
            }
            Err(error) => {
                self.count("failed", spans);
                if !self.failing.swap(true, Ordering::Relaxed) {
                    tracing::warn!(
                        %error,
                        "traces do not arrive at {endpoint}, and are lost until they do: {error}"
                    );
                }
            }
        }
    }
}

/// Scheme, host, port and path.
fn shown(endpoint: &Uri) -> String {
    let scheme = endpoint.scheme_str().unwrap_or("http");
    let host = endpoint.host().unwrap_or_default();
    let port = endpoint.port_u16();
    let port = port.map_or_else(String::new, |port| format!(":{port}"));
    format!("{scheme}://{host}{port}{}", endpoint.path())
}

/// The processor that ended spans are handed to.
pub(super) fn processor(
    settings: &Settings,
    tally: &Arc<Tally>,
    stopped: CancellationToken,
) -> Result<impl SpanProcessor + use<>, String> {
    let carrier = Carrier {
        client: PostClient::new(settings.endpoint.clone(), MOST_ANSWER_BYTES),
        runtime: Handle::current(),
        timeout: settings.timeout,
        stopped,
    };
    let exporter = SpanExporter::builder()
        .with_http()
        .with_http_client(carrier)
        .with_protocol(Protocol::HttpBinary)
        .with_endpoint(settings.endpoint.to_string())
        .with_timeout(settings.timeout)
        .build()
        .map_err(|error| error.to_string())?;
    let watched = Watched {
        exporter,
        tally: tally.clone(),
    };
    let batch = BatchConfigBuilder::default()
        .with_max_queue_size(settings.batch.most_waiting)
        .with_max_export_batch_size(settings.batch.most_exported)
        .with_scheduled_delay(settings.batch.delay)
        .build();
    Ok(Bounded {
        batches: BatchSpanProcessor::new(watched, batch),
        most_waiting: settings.batch.most_waiting,
        tally: tally.clone(),
    })
}

/// A collector answers with next to nothing.
const MOST_ANSWER_BYTES: usize = 64 << 10;

/// Batches behind a queue that counts what it has no room for; the one inside
/// does so for itself alone.
#[derive(Debug)]
struct Bounded {
    batches: BatchSpanProcessor,
    most_waiting: usize,
    tally: Arc<Tally>,
}

impl SpanProcessor for Bounded {
    fn on_start(&self, _span: &mut Span, _context: &Context) {}

    fn on_end(&self, span: SpanData) {
        if self.tally.enter(self.most_waiting) {
            self.batches.on_end(span);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.batches.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.batches.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.batches.set_resource(resource);
    }
}

/// An exporter whose results are noted.
#[derive(Debug)]
struct Watched {
    exporter: SpanExporter,
    tally: Arc<Tally>,
}

impl opentelemetry_sdk::trace::SpanExporter for Watched {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len();
        let result = self.exporter.export(batch).await;
        self.tally.exported(spans, &result);
        result
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}

/// Carries batches to the collector, over the program's own runtime.
#[derive(Debug)]
struct Carrier {
    client: PostClient,
    runtime: Handle,
    timeout: Duration,
    /// The runtime is about to end, and must not be used any more.
    stopped: CancellationToken,
}

#[async_trait]
impl HttpClient for Carrier {
    /// Called by the exporter's own thread, which has nothing else to do and
    /// may be held up.
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let (head, body) = request.into_parts();
        self.runtime.block_on(async {
            tokio::select! {
                biased;
                () = self.stopped.cancelled() => Err("the program ends".into()),
                answer = tokio::time::timeout(
                    self.timeout,
                    self.client.post(head.headers, body),
                ) => Ok(answer??),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry_sdk::error::OTelSdkError;

    use super::*;

    fn tally() -> Tally {
        Tally::new(
            &"http://me:secret@collector:4318/v1/traces?key=secret"
                .parse()
                .unwrap(),
        )
    }

    fn count(tally: &Tally, outcome: &'static str) -> u64 {
        tally.counts.get_or_create(&[("outcome", outcome)]).get()
    }

    #[test]
    fn the_endpoint_is_shown_without_what_may_be_a_secret() {
        assert_eq!(tally().endpoint(), "http://collector:4318/v1/traces");
    }

    #[test]
    fn a_span_without_a_place_is_dropped_and_counted() {
        let tally = tally();
        assert!(tally.enter(2) && tally.enter(2));
        assert!(!tally.enter(2) && !tally.enter(2));
        assert_eq!(count(&tally, "dropped"), 2);
        tally.exported(1, &Ok(()));
        assert!(tally.enter(2), "a place is free again");
        assert!(!tally.enter(2));
    }

    #[test]
    fn spans_that_do_not_arrive_are_counted_and_leave_their_places() {
        let tally = tally();
        assert!(tally.enter(1));
        tally.exported(1, &Err(OTelSdkError::InternalFailure("gone".to_owned())));
        assert_eq!((count(&tally, "failed"), count(&tally, "exported")), (1, 0));
        assert!(tally.enter(1));
    }
}
