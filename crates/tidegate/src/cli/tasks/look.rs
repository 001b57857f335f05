//! `tidegate tasks ls`, `show` and `stats`.

use std::time::{SystemTime, UNIX_EPOCH};

use clap::Args;
use serde_json::Value;
use tidegate_engine::{ListTasks, Task, TaskState, TaskStats};

use super::{Desk, Failed, Place, Shape, print};
use crate::cli::Exit;
use crate::http::utc_millis;
use crate::task_report::{stats_json, summary, task_json};

pub(super) const LIST_HELP: &str = "\
Examples:
  tidegate tasks ls --state dead --kind chat
  tidegate tasks ls --all --json | jq -r 'select(.run_ms > 60000) | .id'";

/// Which tasks are listed.
#[derive(Debug, Args)]
pub(super) struct ListArgs {
    /// Those in this state: waiting, queued, running, retrying, succeeded, failed, cancelled, dead
    #[arg(long)]
    state: Option<TaskState>,
    /// Those of this kind
    #[arg(long)]
    kind: Option<String>,
    /// Those with this tag
    #[arg(long)]
    tag: Option<String>,
    /// How many at most
    #[arg(
        long,
        value_name = "NUMBER",
        default_value_t = 50,
        conflicts_with = "all"
    )]
    limit: usize,
    /// All of them
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    pub(super) place: Place,
}

/// Tasks that are read at a time.
const PAGE: usize = 200;

pub(super) async fn list(desk: &Desk, args: &ListArgs) -> Result<Exit, Failed> {
    let mut left = if args.all { usize::MAX } else { args.limit };
    let mut next = None;
    if !args.place.json {
        print(HEADER);
    }
    while left > 0 {
        let list = ListTasks {
            state: args.state,
            kind: args.kind.clone(),
            tag: args.tag.clone(),
            limit: PAGE.min(left),
            next,
        };
        let page = desk.tasks.list(&desk.caller, &list).await?;
        for task in &page.tasks {
            print(&match Shape::of(&args.place) {
                Shape::Json => Value::Object(summary(task)).to_string(),
                Shape::Text => row(task, now_ms()),
            });
        }
        left = left.saturating_sub(page.tasks.len());
        next = page.next;
        if next.is_none() {
            break;
        }
    }
    Ok(Exit::Clean)
}

const HEADER: &str = "ID                                KIND            STATE      PRIORITY    \
                      TRY    AGE   WAIT    RUN";

fn row(task: &Task, now_ms: u64) -> String {
    let time = |ms: Option<u64>| ms.map_or_else(|| "-".to_owned(), short);
    let age = now_ms.saturating_sub(task.times.created);
    format!(
        "{:<32}  {:<14}  {:<9}  {:<10}  {:>3}  {:>5}  {:>5}  {:>5}",
        task.id,
        task.kind,
        task.state.as_str(),
        task.priority.as_str(),
        task.tries.attempt,
        short(age),
        time(task.times.wait_ms),
        time(task.times.run_ms),
    )
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    u64::try_from(since.unwrap_or_default().as_millis()).unwrap_or(u64::MAX)
}

/// A time in one unit: people compare, machines read `--json`.
pub(super) fn short(ms: u64) -> String {
    const UNITS: [(u64, &str); 4] = [
        (86_400_000, "d"),
        (3_600_000, "h"),
        (60_000, "m"),
        (1_000, "s"),
    ];
    let unit = UNITS.into_iter().find(|(unit, _)| ms >= *unit);
    match unit {
        Some((unit, word)) => format!("{}{word}", ms / unit),
        None => format!("{ms}ms"),
    }
}

pub(super) async fn show(desk: &Desk, id: &str, shape: Shape) -> Result<Exit, Failed> {
    print_task(&desk.task(id).await?, shape);
    Ok(Exit::Clean)
}

pub(super) fn print_task(task: &Task, shape: Shape) {
    print(&match shape {
        Shape::Json => task_json(task).to_string(),
        Shape::Text => text(task),
    });
}

fn text(task: &Task) -> String {
    let mut text = format!(
        "task      {}\nkind      {}\nstate     {}\npriority  {}\ntried     {}, repeats up to {}",
        task.id,
        task.kind,
        task.state,
        task.priority,
        times(task.tries.attempt),
        times(task.tries.max_retries),
    );
    let mut line = |name: &str, said: String| text.push_str(&format!("\n{name:<9} {said}"));
    if let Some(progress) = &task.progress {
        line("progress", super::watch::said(progress));
    }
    if let Some(error) = &task.error {
        line("error", format!("{}: {}", error.code, error.message));
    }
    if !task.depends_on.is_empty() {
        line("after", task.depends_on.join(", "));
    }
    if !task.tags.is_empty() {
        line("tags", task.tags.join(", "));
    }
    line("created", utc_millis(task.times.created));
    line("due", utc_millis(task.times.run_at));
    if let Some(started) = task.times.started {
        let waited = task.times.wait_ms.map(short).unwrap_or_default();
        line("started", format!("{} after {waited}", utc_millis(started)));
    }
    if let Some(finished) = task.times.finished {
        let ran = task.times.run_ms.map(short);
        let ran = ran.map_or_else(String::new, |ran| format!(" after {ran}"));
        line("finished", format!("{}{ran}", utc_millis(finished)));
    }
    let shown = task_json(task);
    for name in ["input", "result"] {
        if !shown[name].is_null() {
            text.push_str(&format!("\n\n{name}:\n{:#}", shown[name]));
        }
    }
    text
}

fn times(number: u32) -> String {
    let word = if number == 1 { "time" } else { "times" };
    format!("{number} {word}")
}

pub(super) async fn stats(desk: &Desk, shape: Shape) -> Result<Exit, Failed> {
    let stats = desk.tasks.stats().await?;
    print(&match shape {
        Shape::Json => stats_json(&stats).to_string(),
        Shape::Text => stats_text(&stats),
    });
    Ok(Exit::Clean)
}

fn stats_text(stats: &TaskStats) -> String {
    let count = |states: &std::collections::BTreeMap<TaskState, u64>| {
        let all = TaskState::ALL.into_iter();
        let all = all.map(|state| format!("{:>9}", states.get(&state).copied().unwrap_or(0)));
        all.collect::<Vec<_>>().join("  ")
    };
    let names = TaskState::ALL.map(|state| format!("{:>9}", state.as_str()));
    let mut text = format!("{:<16}  {}", "", names.join("  "));
    text.push_str(&format!("\n{:<16}  {}", "all", count(&stats.states)));
    for (kind, of_kind) in &stats.kinds {
        text.push_str(&format!("\n{kind:<16}  {}", count(&of_kind.states)));
    }
    let waits = stats.priorities.iter();
    let waits = waits.map(|(priority, tasks)| format!("{tasks} {priority}"));
    let waits = waits.collect::<Vec<_>>().join(", ");
    if !waits.is_empty() {
        text.push_str(&format!("\n\nnot ended: {waits}"));
    }
    if let Some(oldest) = stats.oldest {
        let ms = u64::try_from(oldest.as_millis()).unwrap_or(u64::MAX);
        text.push_str(&format!(
            "\nthe oldest that might run waits for {}",
            short(ms)
        ));
    }
    text
}
