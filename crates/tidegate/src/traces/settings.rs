//! What the standard `OTEL_*` variables ask for.

use std::time::Duration;

use http::Uri;
use http::uri::PathAndQuery;
use opentelemetry_sdk::trace::Sampler;

use super::profile::{LATEST, Profile};

/// How traces are made and where they go.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    pub(super) endpoint: Uri,
    /// For one batch, repeats included.
    pub(super) timeout: Duration,
    pub(super) batch: Batch,
    pub(super) sampler: Sampler,
    pub(super) profile: Profile,
    /// Our own name, where the variables give none.
    pub(super) service_name: Option<&'static str>,
    pub(super) parents: Parents,
}

/// How many spans wait, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Batch {
    pub(super) most_waiting: usize,
    pub(super) most_exported: usize,
    pub(super) delay: Duration,
}

/// Whether the caller's trace is continued.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Parents {
    Continued,
    Ignored,
}

/// What is wrong with a variable. It names no value: headers and addresses may
/// hold a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Warning {
    pub(super) variable: &'static str,
    pub(super) message: String,
}

/// Looks a variable up; an empty one is as good as none.
pub(super) type Env<'a> = &'a dyn Fn(&str) -> Option<String>;

const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
const TRACES_ENDPOINT: &str = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
const EXPORTER: &str = "OTEL_TRACES_EXPORTER";
const SAMPLER: &str = "OTEL_TRACES_SAMPLER";
const SAMPLER_ARG: &str = "OTEL_TRACES_SAMPLER_ARG";
const PROPAGATORS: &str = "OTEL_PROPAGATORS";

/// Variables of the exporter that this program makes no use of.
const WITHOUT_EFFECT: [&str; 6] = [
    "OTEL_EXPORTER_OTLP_CERTIFICATE",
    "OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE",
    "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE",
    "OTEL_EXPORTER_OTLP_TRACES_CLIENT_CERTIFICATE",
    "OTEL_EXPORTER_OTLP_CLIENT_KEY",
    "OTEL_EXPORTER_OTLP_TRACES_CLIENT_KEY",
];

/// No delay or time-out is longer.
const LONGEST_DELAY_MS: u64 = 600_000;
/// About a kilobyte each.
const MOST_WAITING: u64 = 65_536;

/// Reads all of them. Nothing where traces are not asked for, or cannot be
/// sent as asked; the warnings say why.
pub(super) fn read(env: Env<'_>) -> (Option<Settings>, Vec<Warning>) {
    let mut reader = Reader {
        env,
        warnings: Vec::new(),
    };
    let settings = reader.settings();
    (settings, reader.warnings)
}

struct Reader<'a> {
    env: Env<'a>,
    warnings: Vec<Warning>,
}

impl Reader<'_> {
    fn get(&self, name: &str) -> Option<String> {
        let text = (self.env)(name)?;
        Some(text.trim().to_owned()).filter(|text| !text.is_empty())
    }

    /// The first of two variables that is set: the signal's own goes before
    /// the one for all signals.
    fn first(&self, names: [&'static str; 2]) -> Option<(&'static str, String)> {
        let mut set = names.into_iter();
        set.find_map(|name| self.get(name).map(|text| (name, text)))
    }

    fn warn(&mut self, variable: &'static str, message: impl Into<String>) {
        let message = message.into();
        self.warnings.push(Warning { variable, message });
    }

    fn settings(&mut self) -> Option<Settings> {
        if self.is_disabled() || !self.wants_otlp() {
            return None;
        }
        let Some((variable, text)) = self.first([TRACES_ENDPOINT, ENDPOINT]) else {
            if self.get(EXPORTER).is_some() {
                self.warn(EXPORTER, "no endpoint is set: traces are off");
            }
            return None;
        };
        let Some(endpoint) = endpoint(variable, &text) else {
            self.warn(variable, "not an http or https URL: traces are off");
            return None;
        };
        if !self.speaks_protobuf() {
            return None;
        }
        self.check_what_has_no_effect(&endpoint, variable);
        self.check_headers();
        self.check_resource();
        Some(Settings {
            endpoint,
            timeout: self.timeout(),
            batch: self.batch(),
            sampler: self.sampler(),
            profile: self.profile(),
            service_name: self.service_name(),
            parents: self.parents(),
        })
    }

    fn is_disabled(&mut self) -> bool {
        let Some(text) = self.get("OTEL_SDK_DISABLED") else {
            return false;
        };
        let is_true = text.eq_ignore_ascii_case("true");
        if !is_true && !text.eq_ignore_ascii_case("false") {
            self.warn(
                "OTEL_SDK_DISABLED",
                "neither true nor false: taken as false",
            );
        }
        is_true
    }

    fn wants_otlp(&mut self) -> bool {
        let text = self.get(EXPORTER).unwrap_or_else(|| "otlp".to_owned());
        let mut words = text.split(',').map(str::trim);
        if words.any(|word| word == "otlp") {
            return true;
        }
        if text != "none" {
            self.warn(EXPORTER, "only otlp and none are supported: traces are off");
        }
        false
    }

    fn speaks_protobuf(&mut self) -> bool {
        let names = [
            "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL",
            "OTEL_EXPORTER_OTLP_PROTOCOL",
        ];
        match self.first(names) {
            Some((variable, text)) if text != "http/protobuf" => {
                self.warn(
                    variable,
                    "only http/protobuf is supported (port 4318 of most collectors): traces are off",
                );
                false
            }
            Some(_) | None => true,
        }
    }

    fn check_what_has_no_effect(&mut self, endpoint: &Uri, variable: &'static str) {
        let names = [
            "OTEL_EXPORTER_OTLP_TRACES_COMPRESSION",
            "OTEL_EXPORTER_OTLP_COMPRESSION",
        ];
        if let Some((name, text)) = self.first(names)
            && !text.eq_ignore_ascii_case("none")
        {
            self.warn(name, "only none is supported: traces are sent uncompressed");
        }
        for name in WITHOUT_EFFECT {
            if self.get(name).is_some() {
                self.warn(name, "without effect: the system's certificates are used");
            }
        }
        if endpoint
            .authority()
            .is_some_and(|authority| authority.as_str().contains('@'))
        {
            self.warn(
                variable,
                "a name and password in the URL are without effect: use OTEL_EXPORTER_OTLP_HEADERS",
            );
        }
    }

    fn check_headers(&mut self) {
        let names = [
            "OTEL_EXPORTER_OTLP_TRACES_HEADERS",
            "OTEL_EXPORTER_OTLP_HEADERS",
        ];
        let Some((variable, text)) = self.first(names) else {
            return;
        };
        for (index, entry) in text.split_terminator(',').enumerate() {
            let pair = entry.split_once('=');
            let is_good = pair.is_some_and(|(name, value)| {
                http::HeaderName::try_from(name.trim()).is_ok()
                    && http::HeaderValue::try_from(value.trim()).is_ok()
                    && !value.trim().is_empty()
            });
            if !is_good {
                let place = index + 1;
                self.warn(
                    variable,
                    format!("entry {place} is not name=value: it is left out"),
                );
            }
        }
    }

    fn check_resource(&mut self) {
        let text = self.get("OTEL_RESOURCE_ATTRIBUTES").unwrap_or_default();
        for (index, entry) in text.split_terminator(',').enumerate() {
            if !entry.contains('=') {
                let place = index + 1;
                self.warn(
                    "OTEL_RESOURCE_ATTRIBUTES",
                    format!("entry {place} is not name=value: it is left out"),
                );
            }
        }
    }

    fn service_name(&self) -> Option<&'static str> {
        let attributes = self.get("OTEL_RESOURCE_ATTRIBUTES").unwrap_or_default();
        let is_service = |entry: &str| {
            let name = entry.split_once('=').map(|(name, _)| name.trim());
            name == Some("service.name")
        };
        let is_given =
            self.get("OTEL_SERVICE_NAME").is_some() || attributes.split(',').any(is_service);
        (!is_given).then_some("tidegate")
    }

    fn number(&mut self, name: &'static str, most: u64, otherwise: u64) -> u64 {
        let Some(text) = self.get(name) else {
            return otherwise;
        };
        let number = text
            .parse()
            .ok()
            .filter(|number| (1..=most).contains(number));
        number.unwrap_or_else(|| {
            self.warn(
                name,
                format!("not a number from 1 to {most}: taken as {otherwise}"),
            );
            otherwise
        })
    }

    fn timeout(&mut self) -> Duration {
        const TRACES: &str = "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT";
        const ALL: &str = "OTEL_EXPORTER_OTLP_TIMEOUT";
        let name = if self.get(TRACES).is_some() {
            TRACES
        } else {
            ALL
        };
        let exporter = self.number(name, LONGEST_DELAY_MS, 10_000);
        let batch = self.number("OTEL_BSP_EXPORT_TIMEOUT", LONGEST_DELAY_MS, 30_000);
        Duration::from_millis(exporter.min(batch))
    }

    fn batch(&mut self) -> Batch {
        let waiting = self.number("OTEL_BSP_MAX_QUEUE_SIZE", MOST_WAITING, 2_048);
        let exported = self.number("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", waiting, waiting.min(512));
        let delay = self.number("OTEL_BSP_SCHEDULE_DELAY", LONGEST_DELAY_MS, 5_000);
        Batch {
            most_waiting: usize::try_from(waiting).unwrap_or(usize::MAX),
            most_exported: usize::try_from(exported).unwrap_or(usize::MAX),
            delay: Duration::from_millis(delay),
        }
    }

    fn sampler(&mut self) -> Sampler {
        let parent_based = |root: Sampler| Sampler::ParentBased(Box::new(root));
        let text = self.get(SAMPLER);
        match text.as_deref() {
            None | Some("parentbased_always_on") => parent_based(Sampler::AlwaysOn),
            Some("always_on") => Sampler::AlwaysOn,
            Some("always_off") => Sampler::AlwaysOff,
            Some("parentbased_always_off") => parent_based(Sampler::AlwaysOff),
            Some("traceidratio") => Sampler::TraceIdRatioBased(self.ratio()),
            Some("parentbased_traceidratio") => {
                parent_based(Sampler::TraceIdRatioBased(self.ratio()))
            }
            Some(_) => {
                self.warn(
                    SAMPLER,
                    "only always_on, always_off and traceidratio are supported, each also with \
                     parentbased_ before it: taken as parentbased_always_on",
                );
                parent_based(Sampler::AlwaysOn)
            }
        }
    }

    fn ratio(&mut self) -> f64 {
        let Some(text) = self.get(SAMPLER_ARG) else {
            return 1.0;
        };
        let ratio = text
            .parse()
            .ok()
            .filter(|ratio| (0.0..=1.0).contains(ratio));
        ratio.unwrap_or_else(|| {
            self.warn(SAMPLER_ARG, "not a number from 0 to 1: taken as 1");
            1.0
        })
    }

    fn profile(&mut self) -> Profile {
        const OPT_IN: &str = "OTEL_SEMCONV_STABILITY_OPT_IN";
        let text = self.get(OPT_IN).unwrap_or_default();
        let mut profile = Profile::default();
        // Words of other fields are meant for other programs.
        for word in text.split(',').map(str::trim) {
            if word == LATEST {
                profile = Profile::Latest;
            } else if word.starts_with("gen_ai") {
                self.warn(
                    OPT_IN,
                    format!("of gen_ai's words only {LATEST} is supported"),
                );
            }
        }
        profile
    }

    fn parents(&mut self) -> Parents {
        let text = self.get(PROPAGATORS);
        let text = text.unwrap_or_else(|| "tracecontext".to_owned());
        let mut parents = Parents::Ignored;
        for word in text.split(',').map(str::trim) {
            match word {
                "tracecontext" => parents = Parents::Continued,
                // There is nothing that would look at baggage.
                "none" | "baggage" => {}
                _ => self.warn(PROPAGATORS, "only tracecontext is supported"),
            }
        }
        parents
    }
}

/// Where traces are posted: the signal's own address as it is, the one for all
/// signals with the path that the standard gives.
fn endpoint(variable: &str, text: &str) -> Option<Uri> {
    let uri: Uri = text.parse().ok()?;
    let mut parts = uri.into_parts();
    let is_http = parts
        .scheme
        .as_ref()
        .is_some_and(|scheme| matches!(scheme.as_str(), "http" | "https"));
    if !is_http || parts.authority.is_none() {
        return None;
    }
    if variable == ENDPOINT {
        let path = parts.path_and_query.as_ref().map_or("", PathAndQuery::path);
        let path = format!("{}/v1/traces", path.trim_end_matches('/'));
        parts.path_and_query = Some(path.parse().ok()?);
    }
    Uri::from_parts(parts).ok()
}

#[cfg(test)]
mod tests;
