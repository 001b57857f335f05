//! The rows of everything but `[resilience]`.

use crate::gateway::Scene;
use crate::observe as see;
use crate::trial::{Row, UNSET, Upstream};

const THROTTLED: &str = "429 rate_limit_exceeded";
const TOO_LARGE: &str = "413 request_too_large";
const SLOW: (&str, &str) = ("models.chain", "[\"up/slow-300\"]");
const SOON: (&str, &str) = ("server.deadline_ms", "200");

pub(crate) fn rows() -> Vec<Row> {
    let mut rows = server_rows();
    rows.extend(log_and_cache_rows());
    rows.extend(provider_rows());
    rows.extend(model_rows());
    rows
}

/// A row with nothing else set and the mock upstream.
pub(crate) fn row(
    key: &'static str,
    cases: [(&'static str, &'static str); 2],
    observe: fn(crate::trial::Trial) -> see::Observed,
) -> Row {
    Row {
        key,
        cases,
        given: &[],
        upstream: Upstream::Mock,
        observe,
    }
}

impl Row {
    /// With other settings.
    pub(crate) fn given(self, given: &'static [(&'static str, &'static str)]) -> Self {
        Self { given, ..self }
    }

    /// With one scene per request.
    pub(crate) fn played(self, scenes: Vec<Scene>) -> Self {
        let upstream = Upstream::Stage(scenes);
        Self { upstream, ..self }
    }
}

fn server_rows() -> Vec<Row> {
    let bind = [
        ("\"127.0.0.1:0\"", "127.0.0.1"),
        ("\"127.0.0.2:0\"", "127.0.0.2"),
    ];
    let drain = [("0", "cut"), ("5000", "answered")];
    let idle = [("50", "upstream_timed_out"), ("5000", "[DONE]")];
    let hosts = [("[]", "403 foreign_host"), ("[\"gate.example\"]", "200")];
    vec![
        row("server.bind", bind, see::address),
        row("server.hosts", hosts, see::outcome_under_another_name),
        row(
            "server.deadline_ms",
            [("100", "504 deadline_exceeded"), ("9000", "200")],
            see::outcome,
        )
        .given(&[SLOW]),
        row("server.drain_ms", drain, see::request_at_the_end).given(&[SLOW]),
        row(
            "server.allow_public",
            [("false", "exit 2"), ("true", "listens")],
            see::start,
        )
        .given(&[("server.bind", "\"0.0.0.0:0\"")]),
        row(
            "server.max_body_bytes",
            [("1024", TOO_LARGE), ("4096", "200")],
            see::outcome_of_two_kilobytes,
        ),
        Row {
            upstream: Upstream::Paced,
            ..row("server.stream_idle_ms", idle, see::end_of_stream)
        },
        row(
            "server.workers",
            [("1", "0 workers"), ("3", "3 workers")],
            see::workers,
        ),
    ]
}

fn log_and_cache_rows() -> Vec<Row> {
    let level = [("\"error\"", "not said"), ("\"info\"", "said")];
    let format = [("\"text\"", "text"), ("\"json\"", "json")];
    let max_bytes = [("1000", "some gone"), ("1000000", "all kept")];
    let quiet: &[_] = &[("log.access", "false")];
    vec![
        row("log.level", level, see::greeting),
        row("log.format", format, see::form_of_log),
        row(
            "log.access",
            [("false", "0 lines"), ("true", "1 lines")],
            see::lines_of_a_request,
        ),
        row(
            "cache.answers",
            [("false", "bypass"), ("true", "hit")],
            see::cache_of_second,
        ),
        row(
            "cache.ttl_s",
            [("1", "gone"), ("3600", "kept")],
            see::age_of_cache,
        )
        .given(quiet),
        row("cache.max_bytes", max_bytes, see::room_in_cache).given(quiet),
        row(
            "cache.warm",
            [("\"none\"", "nothing"), ("\"tidegate.toml\"", "read")],
            see::warming,
        ),
    ]
}

fn provider_rows() -> Vec<Row> {
    let answers = || vec![Scene::answer()];
    let name = [("\"up\"", "up/m"), ("\"other\"", "other/m")];
    let kind = [("\"extractive\"", "The"), ("\"mock\"", "token")];
    let url = [
        ("\"http://UPSTREAM/v1\"", "200"),
        ("\"http://UPSTREAM/elsewhere\"", "404 model_not_found"),
    ];
    let key = [
        ("\"env:FIRST_KEY\"", "Bearer first"),
        ("\"env:SECOND_KEY\"", "Bearer second"),
    ];
    let headers = [("{}", "absent"), ("{ x-team = \"search\" }", "search")];
    let usage = [("false", "not asked for"), ("true", "asked for")];
    let bound = [
        ("\"auto\"", "max_tokens"),
        ("\"max_completion_tokens\"", "max_completion_tokens"),
    ];
    vec![
        row("providers.name", name, see::answered_by).given(NO_MODELS),
        row("providers.kind", kind, see::content).given(&[("providers.base_url", UNSET)]),
        row("providers.base_url", url, see::outcome),
        row("providers.api_key", key, see::authorization).played(answers()),
        row("providers.headers", headers, see::team).played(answers()),
        row("providers.stream_usage", usage, see::usage_of_stream).played(answers()),
        row("providers.max_tokens_field", bound, see::field_of_bound).played(answers()),
    ]
}

/// Without models the only provider gets every name.
const NO_MODELS: &[(&str, &str)] = &[
    ("models.name", UNSET),
    ("models.chain", UNSET),
    ("models.requests_per_minute", UNSET),
    ("models.tokens_per_minute", UNSET),
    ("models.max_concurrent", UNSET),
];

fn model_rows() -> Vec<Row> {
    let chain = [
        ("[\"up/answer\"]", "up/answer"),
        ("[\"up/slow-1\"]", "up/slow-1"),
    ];
    let tokens = [("1000", TOO_LARGE), ("\"unlimited\"", "200")];
    let concurrent = [("1", "200, 504 deadline_exceeded"), ("2", "200, 200")];
    vec![
        row("models.name", [("\"m\"", "m"), ("\"n\"", "n")], see::names),
        row("models.chain", chain, see::answered_by),
        row(
            "models.requests_per_minute",
            [("1", THROTTLED), ("2", "200")],
            see::second_outcome,
        )
        .given(&[SOON]),
        row(
            "models.tokens_per_minute",
            tokens,
            see::outcome_of_many_tokens,
        ),
        row("models.max_concurrent", concurrent, see::both_outcomes).given(&[
            ("models.chain", "[\"up/slow-600\"]"),
            ("server.deadline_ms", "1000"),
        ]),
        row(
            "models.default_output_tokens",
            [("1", "200"), ("2000", TOO_LARGE)],
            see::outcome,
        )
        .given(&[("models.tokens_per_minute", "1000")]),
    ]
}
