//! `tidegate tasks submit`.

use std::io::Read as _;

use clap::Args;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use tidegate_engine::{NewTask, Priority, Submitted};

use super::look::print_task;
use super::{Desk, Failed, Place, Shape, exit_of, print, watch};
use crate::cli::Exit;
use crate::http::{MOST_TASKS, Wish, submitted_json, wish};

pub(super) const HELP: &str = "\
Examples:
  tidegate tasks submit monitor_health --wait
  tidegate tasks submit chat --input '{\"query\": \"When does the breaker open?\"}' --priority high
  tidegate tasks submit scan_batch --input @texts.json --tag nightly --idempotency-key 2027-01-31
  jq -c '{kind: \"chat\", input: {query: .question}}' questions.ndjson | tidegate tasks submit --batch
Exit codes: 0 submitted (with --wait: it succeeded), 1 with --wait: it ended otherwise, 2 refused,
3 the store cannot be reached or the queue is full; to submit the same again with ids or
idempotency keys is safe.";

/// What is submitted.
#[derive(Debug, Args)]
pub(super) struct SubmitArgs {
    #[command(flatten)]
    wish: TaskArgs,
    /// Read tasks from standard input, one JSON object a line with the fields of POST /v1/tasks
    #[arg(long, conflicts_with_all = ["kind", "input", "id", "wait"])]
    batch: bool,
    /// Wait until it has ended, and show it
    #[arg(long)]
    wait: bool,
    #[command(flatten)]
    pub(super) place: Place,
}

/// One task.
#[derive(Debug, Args)]
struct TaskArgs {
    /// What is to be done: chat, scan_batch, monitor_health
    #[arg(required_unless_present = "batch")]
    kind: Option<String>,
    /// With this input: JSON, @FILE, or - for standard input
    #[arg(long, value_name = "JSON", default_value = "{}")]
    input: String,
    /// Its id; one is made unless said
    #[arg(long)]
    id: Option<String>,
    /// How urgent it is: critical, high, normal, low, background
    #[arg(long, default_value = "normal")]
    priority: Priority,
    #[command(flatten)]
    repeats: RepeatArgs,
    /// Id of a task that must succeed first; may be repeated
    #[arg(long, value_name = "ID")]
    depends_on: Vec<String>,
    /// Not before this time, such as 2027-01-31T09:30:00Z
    #[arg(long, value_name = "TIME")]
    run_at: Option<String>,
    /// Another task with this key is this one
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
    /// A word by which it is listed; may be repeated
    #[arg(long)]
    tag: Vec<String>,
    #[command(flatten)]
    at_end: AtEndArgs,
}

/// How often, and after how long, it is repeated.
#[derive(Debug, Args)]
struct RepeatArgs {
    /// Repeats after the first attempt
    #[arg(long, value_name = "NUMBER")]
    max_retries: Option<u32>,
    /// Longest wait before the first repeat, in milliseconds; it doubles with each
    #[arg(long, value_name = "MS")]
    backoff_ms: Option<u64>,
    /// How long an attempt may take, in milliseconds
    #[arg(long, value_name = "MS")]
    timeout_ms: Option<u64>,
}

/// What becomes of it after its end.
#[derive(Debug, Args)]
struct AtEndArgs {
    /// Seconds that it is kept after its end
    #[arg(long, value_name = "SECONDS")]
    result_ttl_s: Option<u64>,
    /// Where its end is told: an address at a host that [[webhooks]] names
    #[arg(long, value_name = "URL")]
    webhook: Option<String>,
}

pub(super) async fn submit(desk: &Desk, args: &SubmitArgs) -> Result<Exit, Failed> {
    if args.batch {
        return many(desk, Shape::of(&args.place)).await;
    }
    let shape = Shape::of(&args.place);
    let submitted = one(desk, &args.wish.json()?).await?;
    if args.wait {
        let task = match shape {
            // Progress goes beside what is printed, and not into it.
            Shape::Json => watch::until_ended_quietly(desk, &submitted.id).await?,
            Shape::Text => watch::until_ended(desk, &submitted.id, shape).await?,
        };
        watch::progress_ends();
        print_task(&task, shape);
        return Ok(exit_of(task.state));
    }
    if submitted.was_there {
        eprintln!("it was there before");
    }
    desk.told(&submitted.id, shape, &submitted.id).await?;
    Ok(Exit::Clean)
}

async fn one(desk: &Desk, body: &str) -> Result<Submitted, Failed> {
    let tasks = match wish(body.as_bytes()).map_err(refused)? {
        Wish::One(task) => vec![*task],
        Wish::Many(tasks) => tasks,
    };
    let submitted = desk.tasks.submit(&desk.caller, tasks).await?;
    let first = submitted.into_iter().next();
    first.ok_or_else(|| Failed::new(Exit::Unreachable, "the store has not said its id"))
}

fn refused(error: impl std::fmt::Display) -> Failed {
    Failed::new(Exit::Usage, error.to_string())
}

/// Submits what stands on standard input, a thousand at a time, each thousand
/// all or none.
async fn many(desk: &Desk, shape: Shape) -> Result<Exit, Failed> {
    let text = read_input()?;
    let lines: Vec<&str> = text
        .lines()
        .filter(|line| !line.trim().is_empty())
        .collect();
    for (place, lines) in lines.chunks(MOST_TASKS).enumerate() {
        let first = place * MOST_TASKS + 1;
        let at = |failed: Failed| {
            let last = first + lines.len() - 1;
            let message = format!("tasks {first} to {last}: {}", failed.message);
            Failed::new(failed.exit, message)
        };
        let tasks = read_many(lines).map_err(at)?;
        let submitted = desk.tasks.submit(&desk.caller, tasks).await;
        for submitted in submitted.map_err(|error| at(error.into()))? {
            print(&match shape {
                Shape::Json => submitted_json(&submitted).to_string(),
                Shape::Text => submitted.id,
            });
        }
    }
    Ok(Exit::Clean)
}

fn read_many(lines: &[&str]) -> Result<Vec<NewTask>, Failed> {
    match wish(format!("{{\"tasks\":[{}]}}", lines.join(",")).as_bytes()).map_err(refused)? {
        Wish::Many(tasks) => Ok(tasks),
        Wish::One(task) => Ok(vec![*task]),
    }
}

fn read_input() -> Result<String, Failed> {
    let mut text = String::new();
    let read = std::io::stdin().read_to_string(&mut text);
    read.map_err(|error| {
        Failed::new(
            Exit::Usage,
            format!("standard input cannot be read: {error}"),
        )
    })?;
    Ok(text)
}

impl TaskArgs {
    /// The task as a request would say it: both are read by the same code.
    fn json(&self) -> Result<String, Failed> {
        let mut said = Map::new();
        let mut say = |name: &str, value: Value| {
            if !value.is_null() {
                said.insert(name.to_owned(), value);
            }
        };
        say("kind", json!(self.kind));
        say("id", json!(self.id));
        say("priority", json!(self.priority));
        say("max_retries", json!(self.repeats.max_retries));
        say("backoff_ms", json!(self.repeats.backoff_ms));
        say("timeout_ms", json!(self.repeats.timeout_ms));
        say("depends_on", json!(self.depends_on));
        say("run_at", json!(self.run_at));
        say("idempotency_key", json!(self.idempotency_key));
        say("tags", json!(self.tag));
        say("result_ttl_s", json!(self.at_end.result_ttl_s));
        say("webhook", json!(self.at_end.webhook));
        let input = self.input()?;
        let said = Value::Object(said).to_string();
        // The input keeps its bytes.
        Ok(format!("{{\"input\":{input},{}", &said[1..]))
    }

    fn input(&self) -> Result<Box<RawValue>, Failed> {
        let text = match self.input.strip_prefix('@') {
            Some(file) => std::fs::read_to_string(file).map_err(|error| {
                Failed::new(Exit::Usage, format!("{file} cannot be read: {error}"))
            })?,
            None if self.input == "-" => read_input()?,
            None => self.input.clone(),
        };
        serde_json::from_str(&text)
            .map_err(|error| Failed::new(Exit::Usage, format!("--input is no JSON: {error}")))
    }
}
