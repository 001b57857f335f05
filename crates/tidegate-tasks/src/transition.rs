//! What becomes of a task: the whole life of one is decided here, by functions
//! of nothing but what they are given.

use std::time::Duration;

use bytes::Bytes;
use tidegate_store::{Change, Head, To, Tries, WELL, When};

use crate::doc::Doc;
use crate::new_task::OnFailed;
use crate::state::TaskState;
use crate::task::Failure;

/// A task whose worker died so often is not tried again: it may be what kills
/// them.
pub const MOST_LOST: u32 = 5;

/// The word for a task that failed because another one did.
pub(crate) const DEPENDENCY_FAILED: &str = "dependency_failed";

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// With a result.
    Done(Bytes),
    /// Without.
    Failed(Failure, Repeat),
    /// It was stopped, because somebody cancelled the task.
    Stopped,
    /// It was stopped, because the worker shuts down. That is no failure.
    Interrupted,
    /// It was given back before it was begun.
    Unbegun,
    /// It was not begun: its kind has run as often as it may, for so long.
    Held(Duration),
}

/// Whether it may help to try again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repeat {
    /// It would end the same way.
    Never,
    /// After the task's own backoff.
    Backoff,
    /// Not before so long, because somebody who is too busy asked for it.
    After(Duration),
}

/// What a step may know besides the task.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules {
    /// Bound of the waits between attempts.
    pub(crate) cap: Duration,
    /// How long dead letters are kept.
    pub(crate) keep_dead: Duration,
    /// In `[0, 1)`.
    pub(crate) random: f64,
}

/// What is done with a task that was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Next {
    /// It is run.
    Run(Doc),
    /// It goes elsewhere without having run.
    Leave(Change),
}

/// Decides over a task that was taken, with the input that could be read.
pub(crate) fn taken(head: &Head, input: Option<&Bytes>, rules: &Rules) -> Next {
    let (Some(doc), Some(_)) = (Doc::read(&head.state), input) else {
        let error = Failure::new("unreadable", "the store holds it, but it cannot be read");
        return Next::Leave(unreadable(head, error, rules));
    };
    if head.broken && doc.on_failed() == OnFailed::Fail {
        let error = "a task that it depends on has failed or was cancelled";
        let error = Failure::new(DEPENDENCY_FAILED, error);
        return Next::Leave(ended(head, failing(doc, error), TaskState::Failed, rules));
    }
    if head.stopping {
        return Next::Leave(ended(head, doc, TaskState::Cancelled, rules));
    }
    if lost(head.tries, &doc) >= MOST_LOST {
        let error = format!("{MOST_LOST} workers died or fell silent while they ran it");
        let doc = failing(doc, Failure::new("worker_lost", error));
        return Next::Leave(ended(head, doc, TaskState::Dead, rules));
    }
    if head.broken {
        return Next::Leave(due(head, &doc, To::Due(When::Now)));
    }
    Next::Run(doc)
}

fn lost(tries: Tries, doc: &Doc) -> u32 {
    tries.lost.saturating_sub(doc.forgiven)
}

fn failing(mut doc: Doc, error: Failure) -> Doc {
    doc.error = Some(error);
    doc
}

/// Decides over a task whose attempt has ended.
pub(crate) fn attempted(head: &Head, doc: Doc, outcome: Outcome, rules: &Rules) -> Change {
    match outcome {
        Outcome::Done(result) => {
            let mut doc = doc;
            doc.error = None;
            let mut change = ended(head, doc, TaskState::Succeeded, rules);
            change.result = Some(result);
            change
        }
        Outcome::Stopped => ended(head, doc, TaskState::Cancelled, rules),
        Outcome::Interrupted => due(head, &doc, To::Again(When::Now)),
        Outcome::Unbegun => due(head, &doc, To::Due(When::Now)),
        Outcome::Held(time) => {
            let mut doc = doc;
            doc.held_back = doc.held_back.saturating_add(1);
            due(head, &doc, To::Due(When::In(time)))
        }
        Outcome::Failed(error, Repeat::Never) => {
            ended(head, failing(doc, error), TaskState::Failed, rules)
        }
        Outcome::Failed(error, Repeat::Backoff) => repeated(head, failing(doc, error), None, rules),
        Outcome::Failed(error, Repeat::After(time)) => {
            repeated(head, failing(doc, error), Some(time), rules)
        }
    }
}

fn repeated(head: &Head, mut doc: Doc, after: Option<Duration>, rules: &Rules) -> Change {
    doc.failures = doc.failures.saturating_add(1);
    let backoff = doc.backoff(rules.cap);
    match backoff.delay(doc.failures, rules.random, after) {
        Some(delay) => due(head, &doc, To::Again(When::In(delay))),
        None => ended(head, doc, TaskState::Dead, rules),
    }
}

/// Takes a task that has ended in vain up again, as if nothing had happened.
pub(crate) fn retried(head: &Head, mut doc: Doc) -> Change {
    doc.failures = 0;
    doc.forgiven = head.tries.lost;
    doc.error = None;
    due(head, &doc, To::Due(When::Now))
}

/// Cancels a task that nobody works at.
pub(crate) fn cancelled(head: &Head, doc: Doc, rules: &Rules) -> Change {
    ended(head, doc, TaskState::Cancelled, rules)
}

fn due(head: &Head, doc: &Doc, to: To) -> Change {
    Change {
        name: head.name.clone(),
        version: head.version,
        to,
        state: doc.write(),
        result: None,
    }
}

fn ended(head: &Head, doc: Doc, state: TaskState, rules: &Rules) -> Change {
    let keep = if state == TaskState::Dead {
        doc.keep().max(rules.keep_dead)
    } else {
        doc.keep()
    };
    due(
        head,
        &doc,
        To::Ended {
            how: how(state),
            keep,
        },
    )
}

/// The end as the queue numbers it.
fn how(state: TaskState) -> u8 {
    match state.shelf() {
        tidegate_store::Shelf::Ended(how) => how,
        // Nobody ends in one of these.
        tidegate_store::Shelf::Waiting
        | tidegate_store::Shelf::Due
        | tidegate_store::Shelf::Again
        | tidegate_store::Shelf::Held => WELL,
    }
}

/// What cannot be read keeps nothing of what it was but its name.
fn unreadable(head: &Head, error: Failure, rules: &Rules) -> Change {
    ended(head, failing(Doc::lost(), error), TaskState::Dead, rules)
}

#[cfg(test)]
mod simulated;
#[cfg(test)]
mod tests;
