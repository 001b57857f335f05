//! A task as it is shown.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tidegate_store::{Entry, Head, Stamps};

use crate::doc::Doc;
use crate::priority::Priority;
use crate::progress::Progress;
use crate::state::TaskState;

/// Why a task has not succeeded (yet).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// A stable word.
    pub code: String,
    /// What happened, for people.
    pub message: String,
}

/// The longest message of a failure that is kept.
const MOST_MESSAGE_BYTES: usize = 2_000;

impl Failure {
    pub(crate) fn new(code: &str, message: impl Into<String>) -> Self {
        let mut message = message.into();
        let mut end = message.len().min(MOST_MESSAGE_BYTES);
        while !message.is_char_boundary(end) {
            end -= 1;
        }
        message.truncate(end);
        let code = code.to_owned();
        Self { code, message }
    }
}

/// A task.
#[derive(Debug, Clone, PartialEq)]
pub struct Task {
    /// Which one.
    pub id: String,
    /// What is to be done.
    pub kind: String,
    /// Where it stands.
    pub state: TaskState,
    /// How urgent it is.
    pub priority: Priority,
    /// How often it was tried.
    pub tries: TryCount,
    /// How far its attempt has come, where it says so.
    pub progress: Option<Progress>,
    /// What its handler is given; `None` in lists, and where it cannot be read.
    pub input: Option<Bytes>,
    /// What its handler has returned; `None` in lists.
    pub result: Option<Bytes>,
    /// Why the last attempt failed.
    pub error: Option<Failure>,
    /// What it depends on.
    pub depends_on: Vec<String>,
    /// Words by which it is listed.
    pub tags: Vec<String>,
    /// When it was what.
    pub times: Times,
}

/// How often a task was tried.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TryCount {
    /// Attempts that were begun.
    pub attempt: u32,
    /// Repeats that it has.
    pub max_retries: u32,
}

/// When a task was what, in milliseconds since 1970 by the store's clock.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Times {
    /// It was submitted.
    pub created: u64,
    /// It may run from then on.
    pub run_at: u64,
    /// Its last attempt began.
    pub started: Option<u64>,
    /// It ended.
    pub finished: Option<u64>,
    /// How long it waited before its last attempt, from when it might have run.
    pub wait_ms: Option<u64>,
    /// How long its last attempt took.
    pub run_ms: Option<u64>,
}

impl Times {
    pub(crate) fn of(stamps: Stamps) -> Self {
        let known = |ms: u64| (ms > 0).then_some(ms);
        let (started, finished) = (known(stamps.begun_ms), known(stamps.ended_ms));
        let wait = started.map(|started| started.saturating_sub(stamps.due_ms));
        let run = started.zip(finished);
        Self {
            created: stamps.put_ms,
            run_at: stamps.due_ms,
            started,
            finished,
            wait_ms: wait,
            run_ms: run.map(|(started, finished)| finished.saturating_sub(started)),
        }
    }
}

impl Task {
    pub(crate) fn of_entry(entry: Entry) -> Self {
        Self {
            input: entry.input,
            result: entry.result,
            ..Self::of_head(entry.head)
        }
    }

    pub(crate) fn of_head(head: Head) -> Self {
        let doc = Doc::read(&head.state);
        let held_back = doc.as_ref().map_or(0, |doc| doc.held_back);
        let (max_retries, tags, error) = match doc {
            Some(doc) => (doc.max_retries, doc.tags, doc.error),
            None => (0, Vec::new(), None),
        };
        let state = state_of(&head);
        Self {
            id: head.name.id,
            kind: head.lane,
            state,
            priority: Priority::of_rank(head.rank),
            tries: TryCount {
                attempt: head.tries.begun.saturating_sub(held_back),
                max_retries,
            },
            progress: serde_json::from_slice(&head.note).ok(),
            input: None,
            result: None,
            error,
            depends_on: head.after,
            tags,
            times: Times::of(head.stamps),
        }
    }
}

/// A task whose dependency has failed is looked at by a worker before it ends;
/// until then it waits.
fn state_of(head: &Head) -> TaskState {
    match TaskState::of_shelf(head.shelf) {
        TaskState::Queued if head.broken => TaskState::Waiting,
        state => state,
    }
}
