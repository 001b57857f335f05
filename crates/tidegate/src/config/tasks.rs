//! `[tasks]`, `[[task_kinds]]`, `[[schedules]]` and `[[webhooks]]`.

use std::collections::BTreeMap;
use std::time::Duration;

use tidegate_engine::{BadSchedule, Missed, Priority, Ticks};

use super::Sources;
use super::keys::{Key, Kind, integer, key, optional, required, word};
use super::layers::{Layers, Scalars};
use super::problems::{Fault, Report};
use super::providers::{check_unique, unusable};
use super::rows::Row;
use super::secret::{Reference, Secret};
use super::value::Value;

const DAY_S: u64 = 86_400;
const YEAR_S: u64 = 366 * DAY_S;
const DAY_MS: u64 = DAY_S * 1_000;

/// The settings of `[tasks]`.
pub(super) const TASK_KEYS: &[Key] = &[
    key(
        "tasks.concurrency",
        integer(0, 4_096),
        "4",
        "Tasks that `serve` runs at once; 0 leaves all of them to `tidegate worker`.",
    ),
    key(
        "tasks.prefetch",
        integer(0, 4_096),
        "0",
        "Tasks that are held beside them, to begin at once when one ends: faster for very short ones, but others cannot have them meanwhile.",
    ),
    key(
        "tasks.lease_ms",
        integer(100, 3_600_000),
        "15000",
        "How long a task is kept for a worker that is silent; then another one begins it again.",
    ),
    key(
        "tasks.max_waiting",
        integer(1, 100_000_000),
        "1000000",
        "Tasks that may be there that have not ended; further ones are refused.",
    ),
    key(
        "tasks.max_input_bytes",
        integer(1_024, 16 << 20),
        "8388608",
        "Largest input of a task.",
    ),
    key(
        "tasks.max_retries",
        integer(0, 1_000),
        "3",
        "Repeats of a task that does not say otherwise.",
    ),
    key(
        "tasks.backoff_ms",
        integer(0, DAY_MS),
        "2000",
        "Longest wait before the first repeat, of which a random part is waited; doubles each time, up to 120 s.",
    ),
    key(
        "tasks.timeout_ms",
        integer(1, DAY_MS),
        "300000",
        "How long an attempt may take, unless the task says otherwise.",
    ),
    key(
        "tasks.result_ttl_s",
        integer(0, YEAR_S),
        "86400",
        "Seconds that a task is kept after its end, unless it says otherwise.",
    ),
    key(
        "tasks.dead_ttl_s",
        integer(0, YEAR_S),
        "2592000",
        "Seconds that a dead letter is kept at least.",
    ),
    key(
        "tasks.max_ended",
        integer(1, 100_000_000),
        "1000000",
        "Tasks that are kept after their end; beyond that those go first that would be next.",
    ),
    key(
        "tasks.inline",
        Kind::Flag,
        "false",
        "Runs each task while it is submitted, before that is answered; USE_CELERY=false sets it.",
    ),
    key(
        "tasks.health_every_s",
        integer(0, YEAR_S),
        "300",
        "How often the health of all models is logged by the task monitor_health; 0 is never.",
    ),
];

/// The settings of one `[[task_kinds]]` table.
pub const KIND_KEYS: &[Key] = &[
    required("task_kinds.name", Kind::Name, "\"chat\"", "Which kind."),
    key(
        "task_kinds.concurrency",
        Kind::Limit,
        "unlimited",
        "Tasks of it that may run at once.",
    ),
    key(
        "task_kinds.per_minute",
        Kind::Limit,
        "unlimited",
        "Tasks of it that may begin in any minute.",
    ),
];

/// The settings of one `[[schedules]]` table.
pub const SCHEDULE_KEYS: &[Key] = &[
    required(
        "schedules.name",
        Kind::Name,
        "\"nightly-scan\"",
        "What its ticks are known by, at most 48 characters.",
    ),
    required(
        "schedules.kind",
        Kind::Name,
        "\"scan_batch\"",
        "What is submitted.",
    ),
    optional(
        "schedules.cron",
        Kind::Text,
        "\"30 3 * * *\"",
        "When, in UTC: minute, hour, day, month, weekday; a sixth field in front stands for seconds.",
    ),
    optional(
        "schedules.every",
        Kind::Text,
        "\"5m\"",
        "Or how often: a number with s, m, h or d, counted from 1970.",
    ),
    key(
        "schedules.input",
        Kind::Text,
        "{}",
        "With this input, as JSON.",
    ),
    key(
        "schedules.priority",
        word(PRIORITIES),
        "normal",
        "How urgent it is.",
    ),
    key(
        "schedules.missed",
        word(&["skip", "once", "all"]),
        "once",
        "What becomes of ticks that nobody was there for: left out, made up for once, or all of them (the last hundred at most).",
    ),
    key(
        "schedules.tenant",
        Kind::Text,
        "@local",
        "Whose the tasks are; the one of a gateway without keys unless said.",
    ),
];

/// The settings of one `[[webhooks]]` table.
pub const WEBHOOK_KEYS: &[Key] = &[
    required(
        "webhooks.host",
        Kind::Text,
        "\"hooks.example.com\"",
        "Host, with a port where it is not the usual one.",
    ),
    required(
        "webhooks.secret",
        Kind::Secret,
        "\"env:HOOK_SECRET\"",
        "What messages to it are signed with, as env:NAME or file:PATH; at least 16 characters.",
    ),
];

const PRIORITIES: &[&str] = &["critical", "high", "normal", "low", "background"];
const LONGEST_NAME: usize = 48;
const SHORTEST_SECRET: usize = 16;

/// `[tasks]` and its tables.
#[derive(Debug, Clone, PartialEq)]
pub struct Tasks {
    /// Tasks that `serve` runs at once.
    pub concurrency: usize,
    /// Tasks that are held beside them.
    pub prefetch: usize,
    /// How long a task is kept for a silent worker.
    pub lease: Duration,
    /// Bounds and defaults of tasks.
    pub bounds: Bounds,
    /// Whether each task runs while it is submitted.
    pub inline: bool,
    /// How often the health of models is logged.
    pub health_every: Option<Duration>,
    /// Bounds of kinds.
    pub kinds: BTreeMap<String, KindRow>,
    /// What is submitted again and again.
    pub schedules: Vec<ScheduleRow>,
    /// Who may be told the end of a task, and what messages are signed with.
    pub webhooks: Vec<(String, Secret)>,
}

/// Bounds and defaults of tasks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bounds {
    /// Tasks that may be there that have not ended.
    pub max_waiting: u64,
    /// Largest input.
    pub max_input_bytes: usize,
    /// Repeats.
    pub max_retries: u32,
    /// Longest wait before the first repeat.
    pub backoff: Duration,
    /// How long an attempt may take.
    pub timeout: Duration,
    /// How long a task is kept after its end.
    pub result_ttl: Duration,
    /// How long a dead letter is kept.
    pub dead_ttl: Duration,
    /// Tasks that are kept after their end.
    pub max_ended: u64,
}

/// One `[[task_kinds]]` table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KindRow {
    /// Tasks that may run at once.
    pub concurrency: Option<u64>,
    /// Tasks that may begin in any minute.
    pub per_minute: Option<u64>,
}

/// One `[[schedules]]` table.
#[derive(Debug, Clone, PartialEq)]
pub struct ScheduleRow {
    /// What its ticks are known by.
    pub name: String,
    /// What is submitted.
    pub kind: String,
    /// When: a cron expression, or how often.
    pub when: When,
    /// With this input, as JSON.
    pub input: String,
    /// How urgent it is.
    pub priority: Priority,
    /// What becomes of missed ticks.
    pub missed: Missed,
    /// Whose the tasks are.
    pub tenant: String,
}

/// When a schedule is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum When {
    /// By a cron expression.
    Cron(String),
    /// Every so often.
    Every(Duration),
}

impl When {
    /// Its ticks.
    ///
    /// # Errors
    /// [`BadSchedule`] when it has none.
    pub fn ticks(&self) -> Result<Ticks, BadSchedule> {
        match self {
            Self::Cron(expression) => Ticks::cron(expression),
            Self::Every(interval) => Ticks::every(*interval),
        }
    }
}

/// Builds all of it; rows with a problem are left out and reported.
pub(super) fn build(layers: &Layers, sources: &Sources<'_>, report: &mut Report) -> Tasks {
    let scalars = &layers.scalars;
    let seconds = |path| Duration::from_secs(scalars.integer(path));
    let health_every = seconds("tasks.health_every_s");
    check_unique(&layers.task_kinds, report);
    check_unique(&layers.schedules, report);
    Tasks {
        concurrency: scalars.integer("tasks.concurrency"),
        prefetch: scalars.integer("tasks.prefetch"),
        lease: scalars.millis("tasks.lease_ms"),
        bounds: bounds(scalars),
        inline: scalars.flag("tasks.inline"),
        health_every: (!health_every.is_zero()).then_some(health_every),
        kinds: layers.task_kinds.iter().filter_map(kind).collect(),
        schedules: rows(&layers.schedules, |row| schedule(row, report)),
        webhooks: rows(&layers.webhooks, |row| webhook(row, sources, report)),
    }
}

fn rows<T>(rows: &[Row], build: impl FnMut(&Row) -> Option<T>) -> Vec<T> {
    rows.iter().filter_map(build).collect()
}

fn bounds(scalars: &Scalars) -> Bounds {
    Bounds {
        max_waiting: scalars.integer("tasks.max_waiting"),
        max_input_bytes: scalars.integer("tasks.max_input_bytes"),
        max_retries: scalars.integer("tasks.max_retries"),
        backoff: scalars.millis("tasks.backoff_ms"),
        timeout: scalars.millis("tasks.timeout_ms"),
        result_ttl: Duration::from_secs(scalars.integer("tasks.result_ttl_s")),
        dead_ttl: Duration::from_secs(scalars.integer("tasks.dead_ttl_s")),
        max_ended: scalars.integer("tasks.max_ended"),
    }
}

fn limit(row: &Row, name: &str) -> Option<u64> {
    match row.value(name) {
        Some(Value::Limit(limit)) => limit,
        _ => None,
    }
}

fn kind(row: &Row) -> Option<(String, KindRow)> {
    let bounds = KindRow {
        concurrency: limit(row, "concurrency"),
        per_minute: limit(row, "per_minute"),
    };
    Some((row.text("name")?.to_owned(), bounds))
}

fn word_of(row: &Row, name: &str) -> Option<String> {
    match row.value(name) {
        Some(Value::Text(text)) => Some(text),
        _ => None,
    }
}

fn schedule(row: &Row, report: &mut Report) -> Option<ScheduleRow> {
    let name = row.text("name")?.to_owned();
    if name.len() > LONGEST_NAME {
        let fault = format!(
            "the name has {} characters; at most {LONGEST_NAME} are allowed",
            name.len()
        );
        row.blame("name", Fault::new(fault), report);
        return None;
    }
    let when = when(row, report)?;
    if let Err(bad) = when.ticks() {
        let said = match &when {
            When::Cron(_) => "cron",
            When::Every(_) => "every",
        };
        row.blame(said, Fault::new(bad.to_string()), report);
        return None;
    }
    let input = word_of(row, "input")?;
    if let Err(error) = serde_json::from_str::<serde::de::IgnoredAny>(&input) {
        row.blame(
            "input",
            Fault::new(format!("it is no JSON: {error}")),
            report,
        );
        return None;
    }
    Some(ScheduleRow {
        name,
        kind: row.text("kind")?.to_owned(),
        when,
        input,
        priority: word_of(row, "priority")?.parse().ok()?,
        missed: match &*word_of(row, "missed")? {
            "skip" => Missed::Skip,
            "all" => Missed::All,
            _ => Missed::Once,
        },
        tenant: word_of(row, "tenant")?,
    })
}

fn when(row: &Row, report: &mut Report) -> Option<When> {
    let wrong = |name: &str, fault: &str, report: &mut Report| {
        row.blame(name, Fault::new(fault), report);
        None
    };
    match (row.text("cron"), row.text("every")) {
        (Some(cron), None) => Some(When::Cron(cron.to_owned())),
        (None, Some(text)) => match interval(text) {
            Some(every) => Some(When::Every(every)),
            None => wrong(
                "every",
                "expected a number with s, m, h or d, such as 90s or 5m",
                report,
            ),
        },
        (Some(_), Some(_)) => wrong("every", "cron or every says when, not both", report),
        (None, None) => wrong("cron", "cron or every must say when", report),
    }
}

/// `90s`, `5m`, `2h` or `1d`.
fn interval(text: &str) -> Option<Duration> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => DAY_S,
        _ => return None,
    };
    let number = number.parse::<u64>().ok()?;
    Some(Duration::from_secs(number.checked_mul(seconds)?))
}

fn webhook(row: &Row, sources: &Sources<'_>, report: &mut Report) -> Option<(String, Secret)> {
    let host = row.text("host")?.to_owned();
    if host.contains(['/', '@', ' ']) {
        let fault = "a host such as hooks.example.com or hooks.example.com:8443, and nothing else";
        row.blame("host", Fault::new(fault), report);
        return None;
    }
    let secret = Reference::parse(row.text("secret")?)?.resolve(sources);
    match secret.map_err(|error| unusable(&error)) {
        Ok(secret) if secret.expose().len() >= SHORTEST_SECRET => Some((host, secret)),
        Ok(_) => {
            let fault = format!("the secret has fewer than {SHORTEST_SECRET} characters");
            row.blame("secret", Fault::new(fault), report);
            None
        }
        Err(fault) => {
            row.blame("secret", fault, report);
            None
        }
    }
}
