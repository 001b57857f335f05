//! The loop that tells the store what became of tasks.

use std::time::Duration;

use tidegate_store::{Change, Changed, Head, To};
use tidegate_work::CancelToken;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

use super::{Bench, TaskEnd};
use crate::state::TaskState;

/// Ends that are told together.
const TOGETHER: usize = 256;
/// Between two tries to tell a store that does not answer.
const AGAIN: Duration = Duration::from_millis(100);
/// How long the last ends are tried for, when the worker is over.
pub(super) const LAST: Duration = Duration::from_secs(2);

/// A change that is to be told, and what metrics want to know of it.
#[derive(Debug)]
pub(super) struct Ending {
    change: Change,
    end: TaskEnd,
}

/// What an attempt cost.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ran {
    pub(super) took: Duration,
}

impl Bench {
    /// Leaves a change to be told. The task stays in hand until it is.
    pub(super) fn finish(&self, head: &Head, change: Change, ran: Option<Ran>) {
        let stamps = head.stamps;
        let wait = stamps.begun_ms.saturating_sub(stamps.due_ms);
        let end = TaskEnd {
            kind: head.lane.clone(),
            state: match change.to {
                To::Due(_) => TaskState::Queued,
                To::Again(_) => TaskState::Retrying,
                To::Ended { how, .. } => TaskState::of_shelf(tidegate_store::Shelf::Ended(how)),
            },
            wait: Duration::from_millis(wait),
            run: ran.map_or(Duration::ZERO, |ran| ran.took),
        };
        self.hand.ending(&change.name);
        // The loop that hears it ends after everything in hand.
        self.endings.send(Ending { change, end }).ok();
    }
}

/// Tells ends until it is over, and then those that are left.
pub(super) async fn end(
    bench: &Bench,
    endings: &mut mpsc::UnboundedReceiver<Ending>,
    over: &CancelToken,
) {
    let mut together = Vec::new();
    loop {
        tokio::select! {
            _ = endings.recv_many(&mut together, TOGETHER) => {}
            () = over.cancelled() => break,
        }
        // A store that does not answer keeps nobody from ending.
        tokio::select! {
            () = tell(bench, &mut together) => {}
            () = over.cancelled() => break,
        }
    }
    let last = async {
        while !(together.is_empty() && endings.is_empty()) {
            if together.is_empty() {
                endings.recv_many(&mut together, TOGETHER).await;
            }
            tell(bench, &mut together).await;
        }
    };
    if timeout(LAST, last).await.is_err() {
        tracing::warn!("the store was not told of every end: these tasks run again");
    }
}

/// Tells some ends, again and again until the store answers.
async fn tell(bench: &Bench, endings: &mut Vec<Ending>) {
    let changes: Vec<Change> = endings.iter().map(|ending| ending.change.clone()).collect();
    let changed = loop {
        match bench.queue.store().change(changes.clone()).await {
            Ok(changed) => break changed,
            Err(error) => {
                tracing::debug!(%error, "ends of tasks are told again");
                sleep(AGAIN).await;
            }
        }
    };
    for (ending, changed) in endings.drain(..).zip(changed) {
        let Ending { change, end } = ending;
        match changed {
            Changed::To(_) => bench.told(&end),
            Changed::Lost => {
                let (id, kind) = (&change.name.id, &end.kind);
                tracing::warn!(%id, %kind, "the end of a task came too late: it is somebody else's");
            }
        }
        bench.hand.put_down(&change.name, change.version);
    }
}

impl Bench {
    fn told(&self, end: &TaskEnd) {
        if end.state.is_final() {
            self.queue.pace().ended(&end.kind);
        }
        (self.on_end)(end);
    }
}
