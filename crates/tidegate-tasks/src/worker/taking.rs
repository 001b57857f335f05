//! The loop that takes tasks.

use std::collections::BTreeMap;
use std::time::Duration;

use tidegate_store::{Begun, Entry, Held, Holding, Lane, Shelf, Take};
use tidegate_work::CancelToken;
use tokio::time::{Instant, sleep};

use super::Bench;
use super::attempt;
use super::hand::{Room, Why};
use crate::queue::name;
use crate::transition::{self, Next, Outcome};

/// How often the queue is looked at although nobody rang: a ring may be missed.
const LOOK: Duration = Duration::from_secs(1);
/// How soon it is looked at again after the store did not answer.
const AGAIN: Duration = Duration::from_millis(200);

/// Takes and begins tasks until it is told to stop, and then gives back those
/// that have not begun.
pub(super) async fn take(bench: &std::sync::Arc<Bench>, stop: &CancelToken) {
    let mut bell = bench.queue.bell();
    while !stop.is_cancelled() {
        let changed = bench.hand.changed.notified();
        tokio::pin!(changed);
        changed.as_mut().enable();
        begin_ready(bench).await;
        bell.borrow_and_update();
        let room = bench.hand.room();
        let wait = if room.most == 0 {
            Some(Duration::MAX)
        } else {
            take_once(bench, room).await
        };
        let Some(wait) = wait else { continue };
        tokio::select! {
            () = stop.cancelled() => {}
            () = &mut changed, if room.most == 0 || bench.hand.has_ready() => {}
            rung = bell.changed(), if room.most > 0 => if rung.is_err() { sleep(LOOK).await },
            () = sleep(wait.min(LOOK)), if room.most > 0 => {}
        }
    }
    for entry in bench.hand.unbegun() {
        let doc = crate::doc::Doc::read(&entry.head.state).unwrap_or_else(crate::doc::Doc::lost);
        let change =
            transition::attempted(&entry.head, doc, Outcome::Unbegun, &bench.queue.rules());
        bench.finish(&entry.head, change, None);
    }
}

/// Takes what there is. Says how long nothing else may come, or `None` where
/// there may be more at once.
async fn take_once(bench: &std::sync::Arc<Bench>, room: Room) -> Option<Duration> {
    let open = bench.lanes();
    let lanes: Vec<Lane<'_>> = open.iter().map(Open::lane).collect();
    let taken = bench.queue.store().take(Take {
        lanes: &lanes,
        most: room.most,
        begin: room.free,
        hold: bench.config.lease,
    });
    match taken.await {
        Ok(taken) => {
            let is_full = taken.entries.len() == room.most;
            for (place, entry) in taken.entries.into_iter().enumerate() {
                if place < room.free {
                    begin(bench, entry);
                } else {
                    bench.hand.keep(entry);
                }
            }
            let paused = bench.pauses.next();
            let next = [taken.next, paused].into_iter().flatten().min();
            (!is_full).then(|| next.unwrap_or(LOOK))
        }
        Err(error) => {
            tracing::debug!(%error, "no tasks are taken");
            sleep(AGAIN).await;
            None
        }
    }
}

/// Begins what was held and has a place now.
async fn begin_ready(bench: &std::sync::Arc<Bench>) {
    let ready = bench.hand.ready();
    if ready.is_empty() {
        return;
    }
    let holdings: Vec<Holding> = ready.iter().map(begun).collect();
    let held = bench
        .queue
        .store()
        .hold(&holdings, bench.config.lease)
        .await;
    // Where the store cannot say, nobody has noted that it begins: it is not
    // begun, and what is in hand is looked at again.
    let Ok(held) = held else {
        for entry in ready {
            bench.hand.keep(entry);
        }
        sleep(AGAIN).await;
        return;
    };
    for ((mut entry, holding), held) in ready.into_iter().zip(&holdings).zip(held) {
        entry.head.tries.begun += 1;
        match held {
            Held::Lost => bench.hand.put_down(&holding.name, holding.version),
            Held::Stopping => {
                entry.head.stopping = true;
                begin(bench, entry);
            }
            Held::Yes => begin(bench, entry),
        }
    }
}

fn begun(entry: &Entry) -> Holding {
    Holding {
        name: entry.head.name.clone(),
        version: entry.head.version,
        begun: Begun::Yes,
    }
}

/// Begins a task, or sends it where it belongs without.
fn begin(bench: &std::sync::Arc<Bench>, entry: Entry) {
    let grip = bench.hand.begin(&entry);
    let rules = bench.queue.rules();
    match transition::taken(&entry.head, entry.input.as_ref(), &rules) {
        Next::Leave(change) => bench.finish(&entry.head, change, None),
        Next::Run(doc) => {
            let bench_of = bench.clone();
            let attempt = async move { attempt::attempt(&bench_of, entry, doc, grip).await };
            bench.attempts.spawn(attempt);
        }
    }
}

/// Runs the one task that was submitted held, until it has ended.
pub(super) async fn run_alone(bench: &std::sync::Arc<Bench>, owner: &str, id: &str) {
    let name = name(owner, id);
    loop {
        let Ok(Some(entry)) = bench.queue.store().get(&name).await else {
            sleep(AGAIN).await;
            continue;
        };
        match entry.head.shelf {
            Shelf::Held => {
                begin(bench, entry);
                bench.attempts.close();
                bench.attempts.wait().await;
                bench.hand.is_empty().await;
            }
            Shelf::Ended(_) => return,
            Shelf::Waiting | Shelf::Due | Shelf::Again => {
                take_alone(bench, &entry).await;
            }
        }
    }
}

/// Its repeat is due at some time; whatever else is taken with it is run too.
async fn take_alone(bench: &std::sync::Arc<Bench>, entry: &Entry) {
    let lanes = [Lane {
        name: &entry.head.lane,
        most_held: None,
    }];
    let taken = bench.queue.store().take(Take {
        lanes: &lanes,
        most: 1,
        begin: 1,
        hold: bench.config.lease,
    });
    let taken = taken.await.unwrap_or_default();
    let none = taken.entries.is_empty();
    for entry in taken.entries {
        begin(bench, entry);
    }
    if none {
        sleep(taken.next.unwrap_or(AGAIN).min(LOOK)).await;
    }
    bench.attempts.close();
    bench.attempts.wait().await;
    bench.hand.is_empty().await;
}

/// A lane that tasks may be taken from now.
struct Open {
    name: String,
    most_held: Option<u32>,
}

impl Open {
    fn lane(&self) -> Lane<'_> {
        Lane {
            name: &self.name,
            most_held: self.most_held,
        }
    }
}

impl Bench {
    /// The lanes of its kinds that are not paused.
    fn lanes(&self) -> Vec<Open> {
        let handlers = self.queue.handlers();
        let wanted = |kind: &&str| match &self.config.kinds {
            None => true,
            Some(kinds) => kinds.iter().any(|wanted| handlers.resolve(wanted) == *kind),
        };
        let kinds = handlers.kinds().filter(wanted);
        let open = kinds.filter(|kind| !self.pauses.is_paused(kind));
        let lanes = open.map(|kind| Open {
            name: kind.to_owned(),
            most_held: handlers.limits(kind).concurrency,
        });
        lanes.collect()
    }

    /// Stops attempts of which the store says that they are to stop.
    pub(super) fn heard(&self, holding: &Holding, held: Held) {
        match held {
            Held::Yes => {}
            Held::Stopping => self.hand.stop(holding, Why::Cancelled),
            Held::Lost => self.hand.stop(holding, Why::Lost),
        }
    }
}

/// Kinds that have run as often as they may, and until when.
#[derive(Debug, Default)]
pub(super) struct Pauses(std::sync::Mutex<BTreeMap<String, Instant>>);

impl Pauses {
    pub(super) fn pause(&self, kind: &str, time: Duration) {
        let mut pauses = self
            .0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        pauses.insert(kind.to_owned(), Instant::now() + time);
    }

    fn is_paused(&self, kind: &str) -> bool {
        let pauses = self
            .0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        pauses
            .get(kind)
            .is_some_and(|until| *until > Instant::now())
    }

    /// In how long the next one is over.
    fn next(&self) -> Option<Duration> {
        let mut pauses = self
            .0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let now = Instant::now();
        pauses.retain(|_, until| *until > now);
        Some(*pauses.values().min()? - now)
    }
}
