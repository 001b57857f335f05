//! `tidegate tasks watch`: a task as it goes on.

use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use serde_json::json;
use tidegate_engine::{Progress, Task};

use super::look::short;
use super::{Desk, Failed, Shape, exit_of, print};
use crate::cli::Exit;
use crate::cli::progress::{progress_over, progress_with};
use crate::cli::signals::Signals;
use crate::task_report::{News, Watched};

pub(super) const HELP: &str = "\
A bar on a terminal, lines elsewhere, and events with --json: state, progress, end.
Exit codes: 0 it succeeded, 1 it ended otherwise, 2 there is no such task, 3 the store cannot be
reached, 130 interrupted (the task goes on).";

/// How often the task is looked at: progress is shown within twice that.
const LOOK: Duration = Duration::from_millis(80);
/// How long a store may be away before watching is given up.
const PATIENCE: Duration = Duration::from_secs(10);

pub(super) async fn watch(desk: &Desk, id: &str, shape: Shape) -> Result<Exit, Failed> {
    let mut signals = Signals::catch()
        .map_err(|error| Failed::new(Exit::Usage, format!("signals cannot be caught: {error}")))?;
    let seen = tokio::select! {
        seen = until_ended(desk, id, shape) => seen,
        _ = signals.next() => {
            progress_ends();
            eprintln!("the task goes on; tidegate tasks cancel {id} ends it");
            return Ok(Exit::Interrupted);
        }
    };
    progress_ends();
    let task = seen?;
    if shape == Shape::Text {
        print(&ended(&task));
    }
    Ok(exit_of(task.state))
}

/// Waits until a task has ended.
pub(super) async fn until_ended_quietly(desk: &Desk, id: &str) -> Result<Task, Failed> {
    follow(desk, id, |_, _| {}).await
}

/// Shows what is new until the task has ended.
pub(super) async fn until_ended(desk: &Desk, id: &str, shape: Shape) -> Result<Task, Failed> {
    follow(desk, id, |task, news| tell(task, news, shape)).await
}

async fn follow(desk: &Desk, id: &str, tell: impl Fn(&Task, &News)) -> Result<Task, Failed> {
    let mut watched = Watched::default();
    let mut answered = Instant::now();
    // One that is not there is told at once.
    let mut task = desk.task(id).await?;
    loop {
        if let Some(news) = watched.news(&task) {
            tell(&task, &news);
        }
        if task.state.is_final() {
            return Ok(task);
        }
        tokio::time::sleep(LOOK).await;
        match desk.tasks.get(&desk.caller, id).await {
            Ok(Some(now)) => {
                task = now;
                answered = Instant::now();
            }
            Ok(None) => return Err(Failed::absent(id)),
            Err(error) if answered.elapsed() >= PATIENCE => return Err(error.into()),
            // The store is asked again.
            Err(_) => {}
        }
    }
}

fn is_drawn() -> bool {
    std::io::stderr().is_terminal()
}

pub(super) fn progress_ends() {
    if is_drawn() {
        progress_over();
    }
}

fn tell(task: &Task, news: &News, shape: Shape) {
    match shape {
        Shape::Json => print(&json!({ "event": news.event, "task": news.task }).to_string()),
        Shape::Text if is_drawn() => draw(task),
        Shape::Text if !task.state.is_final() => print(&line(task)),
        // How it ended is said by who waits for it.
        Shape::Text => {}
    }
}

fn draw(task: &Task) {
    match &task.progress {
        Some(progress) => {
            let size = |steps: u64| usize::try_from(steps).unwrap_or(usize::MAX);
            progress_with(
                size(progress.current),
                size(progress.total),
                &said(progress),
            );
        }
        None => progress_with(0, 1, task.state.as_str()),
    }
}

/// One line about a task that has not ended.
fn line(task: &Task) -> String {
    let attempt = task.tries.attempt;
    match &task.progress {
        Some(progress) => format!("{} (attempt {attempt}): {}", task.state, said(progress)),
        None => format!("{} (attempt {attempt})", task.state),
    }
}

/// How far a task has come, in words.
pub(super) fn said(progress: &Progress) -> String {
    let steps = match progress.total {
        0 => progress.current.to_string(),
        total => format!("{}/{total}", progress.current),
    };
    let mut said = format!("{steps}, {}/s", progress.per_second);
    if let Some(eta_ms) = progress.eta_ms {
        said.push_str(&format!(", {} left", short(eta_ms)));
    }
    if !progress.message.is_empty() {
        said.push_str(&format!(": {}", progress.message));
    }
    said
}

fn ended(task: &Task) -> String {
    let ran = task.times.run_ms.map(short);
    let ran = ran.map_or_else(String::new, |ran| format!(" after {ran}"));
    match &task.error {
        Some(error) => format!("{}{ran}: {}: {}", task.state, error.code, error.message),
        None => format!("{}{ran}", task.state),
    }
}
