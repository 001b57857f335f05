//! One attempt at one task.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tidegate_store::{Begun, Entry, Head, Holding, Quota, Refused, Used};
use tokio::time::{Instant, sleep, timeout};

use super::Bench;
use super::ending::Ran;
use super::hand::{Grip, Why};
use super::seat::{Came, Seat};
use crate::doc::Doc;
use crate::handlers::{Context, Desk, Job, TaskError};
use crate::task::Failure;
use crate::transition::{self, Outcome, Repeat};

type Run = Result<Bytes, TaskError>;

/// Runs a task, and leaves what became of it to be told.
pub(super) async fn attempt(bench: &Arc<Bench>, entry: Entry, doc: Doc, grip: Grip) {
    let Entry { head, input, .. } = entry;
    let (began, desk) = (Instant::now(), grip.desk.clone());
    let outcome = match bench.held_back(&head).await {
        Some(time) => Outcome::Held(time),
        None => {
            let input = input.unwrap_or_default();
            run(bench, (&head, &doc), input, grip).await
        }
    };
    let ran = Ran {
        took: began.elapsed(),
    };
    bench.tell_last(&head, &desk).await;
    let change = transition::attempted(&head, doc, outcome, &bench.queue.rules());
    bench.finish(&head, change, Some(ran));
}

async fn run(bench: &Arc<Bench>, (head, doc): (&Head, &Doc), input: Bytes, grip: Grip) -> Outcome {
    let limit = doc.timeout();
    let Grip { stop, desk } = grip;
    let told = stop.token.child();
    let context = Context::new(head, doc, told.clone(), desk);
    let Some(work) = bench
        .queue
        .handlers()
        .start(&head.lane, Job { input, context })
    else {
        let message = format!("nobody here works at {:?}", head.lane);
        return TaskError::lasting("unknown_kind", message).outcome();
    };
    let mut seat = Seat::take(bench.config.isolation, &bench.threads, work);
    tokio::select! {
        // A handler that hears it may be home before this is looked at.
        biased;
        () = stop.token.cancelled() => {
            let why = stop.why();
            let told = Failure::new("stopped", "it was told to stop, and failed");
            let outcome = end(bench, seat, bench.config.grace, told).await;
            stopped(why, outcome)
        }
        came = seat.ended() => outcome_of(came, None),
        () = sleep(limit) => {
            told.cancel();
            let late = Failure::new("timeout", format!("it took longer than {limit:?}"));
            end(bench, seat, Duration::ZERO, late).await
        }
    }
}

/// Ends an attempt that has been told to stop, and gives its place up where it
/// does not end.
async fn end(
    bench: &Arc<Bench>,
    mut seat: Seat<Run>,
    grace: Duration,
    failure: Failure,
) -> Outcome {
    if let Ok(came) = timeout(grace, seat.ended()).await {
        return outcome_of(came, Some(failure));
    }
    if let Some(came) = seat.kill().await {
        return outcome_of(came, Some(failure));
    }
    bench.hand.stuck();
    let bench = bench.clone();
    bench.threads.clone().spawn(async move {
        drop(seat.ended().await);
        bench.hand.unstuck();
    });
    let message = format!(
        "{}, and does not stop: its handler never awaits",
        failure.message
    );
    Outcome::Failed(Failure::new(&failure.code, message), Repeat::Backoff)
}

/// A handler that comes home with a result has done its work, whatever it was
/// told meanwhile.
fn stopped(why: Why, outcome: Outcome) -> Outcome {
    match (why, outcome) {
        (_, Outcome::Done(result)) => Outcome::Done(result),
        (Why::Cancelled, _) => Outcome::Stopped,
        (Why::Interrupted | Why::Lost, _) => Outcome::Interrupted,
    }
}

fn outcome_of(came: Came<Run>, dropped: Option<Failure>) -> Outcome {
    match came {
        Came::Home(Ok(result)) => Outcome::Done(result),
        Came::Home(Err(error)) => error.outcome(),
        Came::Panicked(message) => {
            let message = format!("its handler panicked: {message}");
            TaskError::passing("panic", message).outcome()
        }
        Came::Dropped => match dropped {
            Some(failure) => Outcome::Failed(failure, Repeat::Backoff),
            None => Outcome::Interrupted,
        },
    }
}

impl Bench {
    /// What a handler has said last would be gone with the task's end.
    async fn tell_last(&self, head: &Head, desk: &Desk) {
        let Some(note) = desk.news() else { return };
        let holding = Holding {
            name: head.name.clone(),
            version: head.version,
            begun: Begun::Yes,
        };
        if let Err(error) = self.queue.store().note(&holding, note).await {
            tracing::debug!(%error, "the last progress of a task is not told");
        }
    }

    /// Whether the task's kind has run as often as it may, and for how long it
    /// has to wait.
    async fn held_back(&self, head: &Head) -> Option<Duration> {
        let rate = self.queue.handlers().limits(&head.lane).rate?;
        let quota = Quota {
            requests: Some(rate.tasks),
            window: rate.window,
            ..Quota::unlimited()
        };
        let key = format!("tasks/{}", head.lane);
        match self.limits.reserve(&key, &quota, 0).await {
            Ok(reservation) => {
                reservation.settle(Used::Tokens(0));
                None
            }
            Err(refused) => {
                let time = wait_of(&refused).max(Duration::from_millis(10));
                self.pauses.pause(&head.lane, time);
                Some(time)
            }
        }
    }
}

/// Until it is worth asking again.
fn wait_of(refused: &Refused) -> Duration {
    match refused {
        Refused::Throttled { retry_after, .. } => retry_after.unwrap_or(Duration::from_secs(1)),
        Refused::Cooling { retry_after, .. } | Refused::Unreachable { retry_after } => *retry_after,
        // A start costs no tokens.
        Refused::TooLarge { .. } => Duration::from_secs(1),
    }
}
