//! Every name that a span can carry, once, in both sets of conventions.
//!
//! No name comes from a request, so nobody can make one.

use std::fmt::Write as _;

use super::profile::Profile;

/// An attribute, and what it is called under each profile; nothing where a
/// profile has no name for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Attribute {
    span: On,
    v1_36: Option<&'static str>,
    latest: Option<&'static str>,
    meaning: &'static str,
}

/// On which spans an attribute is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum On {
    Request,
    Call,
    Both,
}

impl On {
    fn as_str(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Call => "call",
            Self::Both => "both",
        }
    }
}

impl Attribute {
    const fn same(span: On, name: &'static str, meaning: &'static str) -> Self {
        Self {
            span,
            v1_36: Some(name),
            latest: Some(name),
            meaning,
        }
    }

    const fn latest(span: On, name: &'static str, meaning: &'static str) -> Self {
        Self {
            span,
            v1_36: None,
            latest: Some(name),
            meaning,
        }
    }

    /// What it is called under `profile`.
    pub(super) fn name(&self, profile: Profile) -> Option<&'static str> {
        match profile {
            Profile::V1_36 => self.v1_36,
            Profile::Latest => self.latest,
        }
    }
}

/// Declares the attributes and the list of all of them together, so that none
/// is missing from the documentation.
macro_rules! attributes {
    ($($constant:ident = $attribute:expr;)*) => {
        $(pub(super) const $constant: Attribute = $attribute;)*
        const ALL: &[Attribute] = &[$($constant),*];
    };
}

attributes! {
    METHOD = Attribute::same(On::Request, "http.request.method", "`_OTHER` for a method that HTTP does not know");
    ROUTE = Attribute::same(On::Request, "http.route", "the path as in `openapi.json`; absent where there is no such path");
    STATUS = Attribute::same(On::Request, "http.response.status_code", "absent when the client left before an answer");
    SCHEME = Attribute::same(On::Request, "url.scheme", "`http`");
    ERROR = Attribute::same(On::Both, "error.type", "the stable word of the error");
    REQUEST_ID = Attribute::same(On::Request, "tidegate.request_id", "as in `x-request-id`");
    TENANT = Attribute::same(On::Request, "tidegate.tenant", "the tenant of the key; `@local` without keys");
    REVISION = Attribute::same(On::Request, "tidegate.revision", "of the configuration that served the request");
    MODEL = Attribute::same(On::Request, "tidegate.model", "the `provider/model` that answered");
    ATTEMPTS = Attribute::same(On::Request, "tidegate.attempts", "calls that were sent");
    CACHE = Attribute::same(On::Request, "tidegate.cache", "`hit`, `miss` or `bypass`");
    DEGRADED = Attribute::same(On::Request, "tidegate.degraded", "what was skipped or weakened, a list");
    OVERHEAD = Attribute::same(On::Request, "tidegate.overhead_ms", "total less waiting for upstreams and for room");
    VERDICT = Attribute::same(On::Request, "tidegate.verdict", "`allow`, `flag` or `block`; absent where the guard is off");
    PROMPT = Attribute::same(On::Request, "tidegate.prompt", "`name@version/variant` of the prompt that the request names");
    ENDING = Attribute::same(On::Request, "tidegate.ending", "`client_left` or `broken`; absent when the answer was complete");
    OPERATION = Attribute::same(On::Call, "gen_ai.operation.name", "`chat`, `text_completion` or `embeddings`");
    PROVIDER = Attribute {
        span: On::Call,
        v1_36: Some("gen_ai.system"),
        latest: Some("gen_ai.provider.name"),
        meaning: "the conventions' own word for a well-known service, else the provider's name in the configuration",
    };
    REQUEST_MODEL = Attribute::same(On::Call, "gen_ai.request.model", "the model of the chain entry");
    STREAM = Attribute::latest(On::Call, "gen_ai.request.stream", "true for a stream, else absent");
    INPUT_TOKENS = Attribute::same(On::Call, "gen_ai.usage.input_tokens", "where the upstream reports it");
    OUTPUT_TOKENS = Attribute::same(On::Call, "gen_ai.usage.output_tokens", "where the upstream reports it");
    FIRST_CHUNK = Attribute::latest(On::Call, "gen_ai.response.time_to_first_chunk", "seconds until the first content of a stream");
    SERVER_ADDRESS = Attribute::same(On::Call, "server.address", "host of the upstream");
    SERVER_PORT = Attribute::same(On::Call, "server.port", "port of the upstream");
}

/// What a request is, in the conventions' words; nothing for routes that call
/// no model.
pub(super) fn operation(route: &str) -> Option<&'static str> {
    match route {
        "/v1/chat/completions" | "/v1/messages" => Some("chat"),
        "/v1/completions" => Some("text_completion"),
        "/v1/embeddings" => Some("embeddings"),
        _ => None,
    }
}

/// Asked by machines every few seconds: a span of each would bury the others.
pub(super) fn is_traced(route: &str) -> bool {
    !route.starts_with("/health") && route != "/metrics"
}

/// The methods that may stand in a span; any other is `_OTHER`.
pub(super) fn method(method: &str) -> &'static str {
    const KNOWN: [&str; 9] = [
        "CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE",
    ];
    let known = KNOWN.into_iter().find(|known| *known == method);
    known.unwrap_or("_OTHER")
}

/// The name of a request's span.
pub(super) fn request_span(method: &str, route: Option<&str>) -> String {
    let method = if method == "_OTHER" { "HTTP" } else { method };
    match route {
        Some(route) => format!("{method} {route}"),
        None => method.to_owned(),
    }
}

/// The name of a call's span.
pub(super) fn call_span(operation: &str, model: &str) -> String {
    format!("{operation} {model}")
}

/// The conventions' word for who answers at `host`, where both profiles have
/// the same one.
pub(crate) fn well_known(host: &str) -> Option<&'static str> {
    match host {
        "api.openai.com" => Some("openai"),
        "api.anthropic.com" => Some("anthropic"),
        "api.cohere.com" => Some("cohere"),
        "api.deepseek.com" => Some("deepseek"),
        "api.groq.com" => Some("groq"),
        "api.mistral.ai" => Some("mistral_ai"),
        "api.perplexity.ai" => Some("perplexity"),
        _ => None,
    }
}

/// The table of names for the documentation.
pub fn trace_names_markdown() -> String {
    let mut table = "| span | default (1.36.0) | `gen_ai_latest_experimental` | meaning |\n\
                     |---|---|---|---|\n"
        .to_owned();
    let shown = |name: Option<&str>| name.map_or("–".to_owned(), |name| format!("`{name}`"));
    for attribute in ALL {
        let (old, new) = (shown(attribute.v1_36), shown(attribute.latest));
        let (span, meaning) = (attribute.span.as_str(), attribute.meaning);
        writeln!(table, "| {span} | {old} | {new} | {meaning} |")
            .expect("writing to a string cannot fail");
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Renaming one breaks somebody's dashboard.
    #[test]
    fn the_names_of_both_profiles_are_a_contract() {
        insta::assert_snapshot!("names", trace_names_markdown());
    }

    #[test]
    fn no_name_stands_for_two_things() {
        for profile in [Profile::V1_36, Profile::Latest] {
            let mut names: Vec<_> = ALL.iter().filter_map(|all| all.name(profile)).collect();
            let count = names.len();
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len(), count, "{profile:?}");
        }
    }

    #[test]
    fn a_method_of_the_callers_own_making_stays_out_of_the_names() {
        assert_eq!(method("PATCH"), "PATCH");
        assert_eq!(method("STEAL"), "_OTHER");
        assert_eq!(request_span(method("STEAL"), None), "HTTP");
    }
}
