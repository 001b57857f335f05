//! Turns merged settings into typed sections, and checks what only shows when
//! several settings are seen together.

use std::path::PathBuf;
use std::time::Duration;

use super::keys::NO_FILE;
use super::layers::{Layers, Scalars};
use super::problems::{Fault, Report};
use super::store;
use super::typed::{
    Backoff, Breaker, Cache, Level, Log, LogFormat, Prompts, Resilience, Server, Sessions,
};

/// Checks settings that limit each other.
pub(super) fn check_together(layers: &Layers, report: &mut Report) {
    let scalars = &layers.scalars;
    check_order(
        scalars,
        ["resilience.cooldown_ms", "resilience.max_cooldown_ms"],
        report,
    );
    check_order(
        scalars,
        ["resilience.backoff_ms.base", "resilience.backoff_ms.max"],
        report,
    );
    check_public(layers, report);
    store::check_databases(scalars, report);
}

/// Blames the setting of the stronger layer, which was written last.
fn check_order(scalars: &Scalars, [low, high]: [&str; 2], report: &mut Report) {
    let (low_value, high_value): (u64, u64) = (scalars.integer(low), scalars.integer(high));
    if low_value <= high_value || report.concerns(low) || report.concerns(high) {
        return;
    }
    let (low_origin, high_origin) = (&scalars.found(low).origin, &scalars.found(high).origin);
    if high_origin.layer() > low_origin.layer() {
        let message = format!("{high_value} is less than {low} = {low_value}");
        let help = format!("raise it to at least {low_value}, or lower {low}");
        report.add(high_origin, high, Fault::new(message).help(help));
    } else {
        let message = format!("{low_value} is more than {high} = {high_value}");
        let help = format!("lower it to at most {high_value}, or raise {high}");
        report.add(low_origin, low, Fault::new(message).help(help));
    }
}

/// Without keys an open address is open to everyone.
fn check_public(layers: &Layers, report: &mut Report) {
    let scalars = &layers.scalars;
    // Keys with a problem are meant to be there.
    if !layers.keys.is_empty() || report.concerns("keys") {
        return;
    }
    let bind = scalars.address("server.bind");
    let local = bind.ip().to_canonical().is_loopback();
    if local || scalars.flag("server.allow_public") || report.concerns("server.allow_public") {
        return;
    }
    let fault = Fault::new(format!(
        "{bind} can be reached from other machines without a key"
    ));
    let help = "use a loopback address, add [[keys]], or set server.allow_public = true \
                if something in front of tidegate checks who calls";
    report.add(
        &scalars.found("server.bind").origin,
        "server.bind",
        fault.help(help),
    );
}

/// `[server]`.
pub(super) fn server(scalars: &Scalars) -> Server {
    let workers: usize = scalars.integer("server.workers");
    Server {
        bind: scalars.address("server.bind"),
        deadline: scalars.millis("server.deadline_ms"),
        drain: scalars.millis("server.drain_ms"),
        allow_public: scalars.flag("server.allow_public"),
        hosts: scalars.names("server.hosts"),
        max_body_bytes: scalars.integer("server.max_body_bytes"),
        stream_idle: scalars.millis("server.stream_idle_ms"),
        workers: (workers > 0).then_some(workers),
    }
}

/// `[log]`.
pub(super) fn log(scalars: &Scalars) -> Log {
    let known = "the key takes only these words";
    Log {
        level: Level::from_word(scalars.word("log.level")).expect(known),
        format: LogFormat::from_word(scalars.word("log.format")).expect(known),
        access: scalars.flag("log.access"),
    }
}

/// `[cache]`.
pub(super) fn cache(scalars: &Scalars) -> Cache {
    Cache {
        answers: scalars.flag("cache.answers"),
        ttl: Duration::from_secs(scalars.integer("cache.ttl_s")),
        max_bytes: scalars.integer("cache.max_bytes"),
        warm: Some(scalars.word("cache.warm"))
            .filter(|file| *file != NO_FILE)
            .map(Into::into),
        refresh_ahead: scalars.share("cache.refresh_ahead"),
    }
}

/// `[sessions]`.
pub(super) fn sessions(scalars: &Scalars) -> Sessions {
    Sessions {
        ttl: Duration::from_secs(scalars.integer("sessions.ttl_s")),
        max_bytes: scalars.integer("sessions.max_bytes"),
        history_tokens: scalars.integer("sessions.history_tokens"),
    }
}

/// A folder, unless the setting says that there is none.
pub(super) fn folder(scalars: &Scalars, path: &str) -> Option<PathBuf> {
    let word = Some(scalars.word(path)).filter(|folder| *folder != NO_FILE);
    word.map(Into::into)
}

/// `[prompts]`.
pub(super) fn prompts(scalars: &Scalars) -> Prompts {
    Prompts {
        packs: folder(scalars, "prompts.packs"),
        frameworks: folder(scalars, "prompts.frameworks"),
    }
}

/// `[resilience]`.
pub(super) fn resilience(scalars: &Scalars) -> Resilience {
    Resilience {
        breaker: breaker(scalars),
        backoff: backoff(scalars),
        attempt: scalars.millis("resilience.attempt_ms"),
        switch_delay: scalars.millis("resilience.switch_delay_ms"),
        retry_budget: scalars.share("resilience.retry_budget"),
        adaptive: scalars.flag("resilience.adaptive"),
        window: scalars.millis("resilience.window_ms"),
        max_waiting: scalars.integer("resilience.max_waiting"),
    }
}

fn breaker(scalars: &Scalars) -> Breaker {
    let failure_rate = scalars.share("resilience.failure_rate");
    let slow_call = scalars.millis("resilience.slow_call_ms");
    Breaker {
        failure_threshold: scalars.integer("resilience.failure_threshold"),
        success_threshold: scalars.integer("resilience.success_threshold"),
        cooldown: scalars.millis("resilience.cooldown_ms"),
        max_cooldown: scalars.millis("resilience.max_cooldown_ms"),
        failure_rate: (failure_rate > 0.0).then_some(failure_rate),
        minimum_calls: scalars.integer("resilience.minimum_calls"),
        slow_call: (!slow_call.is_zero()).then_some(slow_call),
        slow_call_rate: scalars.share("resilience.slow_call_rate"),
    }
}

fn backoff(scalars: &Scalars) -> Backoff {
    Backoff {
        base: scalars.millis("resilience.backoff_ms.base"),
        max: scalars.millis("resilience.backoff_ms.max"),
        retries: scalars.integer("resilience.backoff_ms.retries"),
    }
}
