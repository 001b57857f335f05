//! The rows of `[resilience]`.

use std::time::Duration;

use crate::gateway::Scene;
use crate::observe as see;
use crate::rows::row;
use crate::trial::Row;

type Given = &'static [(&'static str, &'static str)];

const BROKEN: (&str, &str) = ("models.chain", "[\"up/status-500\"]");
const ONE_FAILURE: (&str, &str) = ("resilience.failure_threshold", "1");
const MANY_FAILURES: (&str, &str) = ("resilience.failure_threshold", "1000");
const SOON: (&str, &str) = ("server.deadline_ms", "500");

pub(crate) fn resilience_rows() -> Vec<Row> {
    let mut rows = breaker_rows();
    rows.extend(rate_rows());
    rows.extend(attempt_rows());
    rows.extend(backoff_rows());
    rows
}

fn breaker_rows() -> Vec<Row> {
    let threshold = [("1", "503 no_healthy_model"), ("5", "502 upstream_status")];
    let success = [("1", "healthy"), ("2", "half_open")];
    let healed: Given = &[
        ONE_FAILURE,
        ("resilience.cooldown_ms", "1"),
        ("resilience.max_cooldown_ms", "1"),
    ];
    let throttled: Given = &[
        ("models.chain", "[\"up/throttle-60\"]"),
        ("resilience.cooldown_ms", "1000"),
    ];
    vec![
        row(
            "resilience.failure_threshold",
            threshold,
            see::second_outcome,
        )
        .given(&[BROKEN, SOON]),
        row(
            "resilience.success_threshold",
            success,
            see::state_after_two,
        )
        .given(healed)
        .played(vec![Scene::status(500), Scene::answer()]),
        row(
            "resilience.cooldown_ms",
            [("1000", "short"), ("60000", "long")],
            see::cooldown,
        )
        .given(&[BROKEN, ONE_FAILURE]),
        row(
            "resilience.max_cooldown_ms",
            [("1000", "short"), ("60000", "long")],
            see::cooldown,
        )
        .given(throttled),
    ]
}

fn rate_rows() -> Vec<Row> {
    const TWO_CALLS: (&str, &str) = ("resilience.minimum_calls", "2");
    let trips = |value, other| [(value, "circuit_open"), (other, "healthy")];
    let failing: Given = &[BROKEN, MANY_FAILURES, TWO_CALLS];
    let failing_half: Given = &[BROKEN, MANY_FAILURES, ("resilience.failure_rate", "0.5")];
    let slow: Given = &[("models.chain", "[\"up/slow-20\"]"), TWO_CALLS];
    let half_slow: Given = &[("resilience.slow_call_ms", "250"), TWO_CALLS];
    let one_slow = vec![
        Scene::answer().after(Duration::from_millis(300)),
        Scene::answer(),
    ];
    vec![
        row(
            "resilience.failure_rate",
            trips("0.5", "0.0"),
            see::state_after_two,
        )
        .given(failing),
        row(
            "resilience.minimum_calls",
            trips("2", "3"),
            see::state_after_two,
        )
        .given(failing_half),
        row(
            "resilience.slow_call_ms",
            trips("10", "0"),
            see::state_after_two,
        )
        .given(slow),
        row(
            "resilience.slow_call_rate",
            trips("0.5", "0.9"),
            see::state_after_two,
        )
        .given(half_slow)
        .played(one_slow),
    ]
}

fn attempt_rows() -> Vec<Row> {
    let attempt = [("50", "up/answer"), ("5000", "up/slow-300")];
    let budget = [("0.0", "11 calls"), ("1.0", "12 calls")];
    let adaptive = [("true", "1 at once"), ("false", "2 at once")];
    let window = [("1000", "429 rate_limit_exceeded"), ("60000", "200")];
    let waiting = [("0", "200, 503 overloaded"), ("1", "200, 200")];
    let repeated: Given = &[
        BROKEN,
        MANY_FAILURES,
        ("resilience.backoff_ms.base", "0"),
        ("resilience.backoff_ms.retries", "20"),
    ];
    let slow = Scene::answer().after(Duration::from_millis(200));
    vec![
        row("resilience.attempt_ms", attempt, see::answered_by)
            .given(&[("models.chain", "[\"up/slow-300\", \"up/answer\"]")]),
        row(
            "resilience.switch_delay_ms",
            [("0", "200 soon"), ("300", "200 late")],
            see::duration,
        )
        .given(&[("models.chain", "[\"up/status-500\", \"up/answer\"]")]),
        row("resilience.retry_budget", budget, see::calls_of_one).given(repeated),
        row("resilience.adaptive", adaptive, see::calls_at_once)
            .given(&[("models.max_concurrent", "2")])
            .played(vec![Scene::status(500), slow]),
        row("resilience.window_ms", window, see::second_outcome).given(&[
            ("models.requests_per_minute", "60"),
            ("server.deadline_ms", "200"),
        ]),
        row("resilience.max_waiting", waiting, see::both_outcomes).given(&[
            ("models.chain", "[\"up/slow-300\"]"),
            ("models.max_concurrent", "1"),
        ]),
    ]
}

fn backoff_rows() -> Vec<Row> {
    let in_time = |value, other| [(value, "answered"), (other, "failed")];
    let once: Given = &[
        ("resilience.backoff_ms.max", "3600000"),
        ("resilience.backoff_ms.retries", "1"),
        SOON,
    ];
    let often: Given = &[
        MANY_FAILURES,
        ("resilience.backoff_ms.base", "10"),
        ("resilience.backoff_ms.retries", "11"),
        ("resilience.retry_budget", "1.0"),
        SOON,
    ];
    let failing = |times: usize| {
        let mut scenes = vec![Scene::status(500); times];
        scenes.push(Scene::answer());
        scenes
    };
    let retries = [("0", "502 upstream_status"), ("1", "200")];
    vec![
        row(
            "resilience.backoff_ms.base",
            in_time("0", "3600000"),
            see::success,
        )
        .given(once)
        .played(failing(1)),
        row(
            "resilience.backoff_ms.max",
            in_time("10", "100000"),
            see::success,
        )
        .given(often)
        .played(failing(11)),
        row("resilience.backoff_ms.retries", retries, see::outcome)
            .given(&[("resilience.backoff_ms.base", "0")])
            .played(failing(1)),
    ]
}
