//! What a worker has in hand.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tidegate_store::{Begun, Entry, EntryName, Holding};
use tidegate_work::CancelToken;
use tokio::sync::Notify;

use crate::handlers::Desk;

/// Why an attempt is to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Why {
    /// Somebody cancelled the task.
    Cancelled,
    /// The worker shuts down.
    Interrupted,
    /// The task is somebody else's by now.
    Lost,
}

/// How one hears that an attempt is to stop.
#[derive(Debug, Clone, Default)]
pub(super) struct Stop {
    pub(super) token: CancelToken,
    why: Arc<Mutex<Option<Why>>>,
}

impl Stop {
    /// The first reason counts, but for a loss: then nothing else matters.
    fn because(&self, why: Why) {
        let mut said = self.why.lock().unwrap_or_else(PoisonError::into_inner);
        if said.is_none() || why == Why::Lost {
            *said = Some(why);
        }
        drop(said);
        self.token.cancel();
    }

    pub(super) fn why(&self) -> Why {
        let said = *self.why.lock().unwrap_or_else(PoisonError::into_inner);
        said.unwrap_or(Why::Interrupted)
    }
}

/// What is known of a task in hand.
#[derive(Debug)]
struct Piece {
    version: u64,
    phase: Phase,
    stop: Stop,
    desk: Arc<Desk>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Taken beside those that run.
    Ready,
    /// Runs.
    Running,
    /// Has run, and the store is being told.
    Ending,
}

/// A task that runs, as its attempt needs it.
#[derive(Debug, Clone)]
pub(super) struct Grip {
    pub(super) stop: Stop,
    pub(super) desk: Arc<Desk>,
}

/// What a worker has in hand, and how much more it can take.
#[derive(Debug)]
pub(super) struct Hand {
    concurrency: usize,
    prefetch: usize,
    inside: Mutex<Inside>,
    /// Rung when something was put down, or is to be told.
    pub(super) changed: Notify,
}

#[derive(Debug, Default)]
struct Inside {
    pieces: BTreeMap<EntryName, Piece>,
    ready: VecDeque<Entry>,
    /// Attempts that did not stop when they were told: their places are taken
    /// as long as they go on.
    stuck: usize,
}

impl Inside {
    fn running(&self) -> usize {
        let running = self
            .pieces
            .values()
            .filter(|piece| piece.phase == Phase::Running);
        running.count() + self.stuck
    }
}

/// How many tasks can be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Room {
    /// Tasks that can be begun at once.
    pub(super) free: usize,
    /// Tasks that can be held, these included.
    pub(super) most: usize,
}

impl Hand {
    pub(super) fn new(concurrency: usize, prefetch: usize) -> Self {
        Self {
            concurrency,
            prefetch,
            inside: Mutex::default(),
            changed: Notify::new(),
        }
    }

    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn room(&self) -> Room {
        let inside = self.inside();
        let free = self.concurrency.saturating_sub(inside.running());
        let all = self.concurrency + self.prefetch;
        let most = all.saturating_sub(inside.pieces.len() + inside.stuck);
        Room {
            free: free.min(most),
            most,
        }
    }

    /// Takes up a task that begins now.
    pub(super) fn begin(&self, entry: &Entry) -> Grip {
        self.hold(entry, Phase::Running)
    }

    /// Takes up a task that begins later.
    pub(super) fn keep(&self, entry: Entry) {
        self.hold(&entry, Phase::Ready);
        self.inside().ready.push_back(entry);
    }

    fn hold(&self, entry: &Entry, phase: Phase) -> Grip {
        let grip = Grip {
            stop: Stop::default(),
            desk: Arc::default(),
        };
        let piece = Piece {
            version: entry.head.version,
            phase,
            stop: grip.stop.clone(),
            desk: grip.desk.clone(),
        };
        self.inside().pieces.insert(entry.head.name.clone(), piece);
        grip
    }

    /// Tasks that were held and can begin now.
    pub(super) fn ready(&self) -> Vec<Entry> {
        let mut inside = self.inside();
        let free = self.concurrency.saturating_sub(inside.running());
        let ready = free.min(inside.ready.len());
        inside.ready.drain(..ready).collect()
    }

    /// Whether tasks wait here that could begin.
    pub(super) fn has_ready(&self) -> bool {
        let inside = self.inside();
        !inside.ready.is_empty() && inside.running() < self.concurrency
    }

    /// Tasks that were held and not begun, which are given back.
    pub(super) fn unbegun(&self) -> Vec<Entry> {
        self.inside().ready.drain(..).collect()
    }

    /// An attempt has ended; its place is free, the task still in hand.
    pub(super) fn ending(&self, name: &EntryName) {
        if let Some(piece) = self.inside().pieces.get_mut(name) {
            piece.phase = Phase::Ending;
        }
        self.changed.notify_waiters();
    }

    /// The store knows what became of it.
    pub(super) fn put_down(&self, name: &EntryName, version: u64) {
        let mut inside = self.inside();
        let is_this = inside
            .pieces
            .get(name)
            .is_some_and(|piece| piece.version == version);
        if is_this {
            inside.pieces.remove(name);
        }
        drop(inside);
        self.changed.notify_waiters();
    }

    pub(super) fn stuck(&self) {
        self.inside().stuck += 1;
    }

    pub(super) fn unstuck(&self) {
        let mut inside = self.inside();
        inside.stuck = inside.stuck.saturating_sub(1);
        drop(inside);
        self.changed.notify_waiters();
    }

    /// Everything in hand, as the store wants it.
    pub(super) fn holdings(&self) -> Vec<Holding> {
        let inside = self.inside();
        let holdings = inside.pieces.iter().map(|(name, piece)| Holding {
            name: name.clone(),
            version: piece.version,
            begun: match piece.phase {
                Phase::Ready => Begun::No,
                Phase::Running | Phase::Ending => Begun::Yes,
            },
        });
        holdings.collect()
    }

    /// What handlers have told since they were asked last.
    pub(super) fn news(&self) -> Vec<(Holding, Bytes)> {
        let inside = self.inside();
        let news = inside.pieces.iter().filter_map(|(name, piece)| {
            let holding = Holding {
                name: name.clone(),
                version: piece.version,
                begun: Begun::Yes,
            };
            Some((holding, piece.desk.news()?))
        });
        news.collect()
    }

    pub(super) fn stop(&self, holding: &Holding, why: Why) {
        let mut inside = self.inside();
        if let Some(piece) = inside.pieces.get(&holding.name)
            && piece.version == holding.version
        {
            piece.stop.because(why);
            if why == Why::Lost && piece.phase == Phase::Ready {
                inside.pieces.remove(&holding.name);
                inside.ready.retain(|entry| entry.head.name != holding.name);
            }
        }
    }

    pub(super) fn interrupt(&self) {
        for piece in self.inside().pieces.values() {
            piece.stop.because(Why::Interrupted);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.inside().pieces.len()
    }

    /// Waits until nothing is in hand.
    pub(super) async fn is_empty(&self) {
        loop {
            let changed = self.changed.notified();
            if self.len() == 0 {
                return;
            }
            changed.await;
        }
    }
}
