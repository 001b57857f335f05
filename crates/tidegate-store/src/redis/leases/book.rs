//! What a node holds, and the task that looks after it.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::{BoxFuture, FutureExt};
use futures_util::stream::FuturesUnordered;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use super::{Claim, Tenure, scripts};
use crate::error::StoreError;
use crate::redis::Link;

/// When a server that did not answer is asked again.
const ASK_AGAIN: Duration = Duration::from_millis(100);

/// Beyond this many, leases that are dropped end by themselves.
const MOST_KEPT: usize = 65_536;

/// All leases of a node.
#[derive(Debug)]
pub(super) struct Book {
    link: Link,
    began: Instant,
    pages: Mutex<Pages>,
    /// Rung when something is due earlier than the task knows.
    changed: Notify,
}

#[derive(Debug, Default)]
struct Pages {
    entries: HashMap<u64, Entry>,
    /// What is to be done next, and when.
    due: BTreeSet<(Instant, u64)>,
    last_id: u64,
    /// Whether the task runs.
    is_kept: bool,
}

/// One lease.
#[derive(Debug)]
pub(super) struct Entry {
    claim: Claim,
    tenure: Arc<Tenure>,
    step: Step,
    /// Until when the server may have it.
    ends: Instant,
}

/// What is to be done with a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// It is being asked for.
    Wait,
    /// It is held.
    Extend,
    /// It was held and is somebody else's by now.
    Mourn,
    /// It was given back here, and has to be given back there.
    Release,
}

impl Entry {
    pub(super) fn new(claim: Claim, tenure: Arc<Tenure>) -> Self {
        let ends = Instant::now() + claim.ttl;
        Self {
            claim,
            tenure,
            step: Step::Wait,
            ends,
        }
    }
}

/// What was done for a lease, and what came of it.
struct Answer {
    id: u64,
    step: Step,
    asked: Instant,
    answer: Result<bool, StoreError>,
}

type Asking = FuturesUnordered<BoxFuture<'static, Answer>>;

impl Book {
    pub(super) fn new(link: Link) -> Self {
        Self {
            link,
            began: Instant::now(),
            pages: Mutex::default(),
            changed: Notify::new(),
        }
    }

    pub(super) fn link(&self) -> &Link {
        &self.link
    }

    pub(super) fn now_ms(&self) -> u64 {
        self.at_ms(Instant::now())
    }

    fn at_ms(&self, at: Instant) -> u64 {
        u64::try_from((at - self.began).as_millis()).unwrap_or(u64::MAX)
    }

    fn pages(&self) -> MutexGuard<'_, Pages> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes down what is asked for, and starts the task where none runs.
    pub(super) fn add(self: &Arc<Self>, entry: Entry) -> u64 {
        let mut pages = self.pages();
        pages.last_id += 1;
        let id = pages.last_id;
        pages.entries.insert(id, entry);
        if !pages.is_kept {
            pages.is_kept = true;
            self.link.spawn(self.clone().keep());
        }
        id
    }

    /// A lease was granted.
    pub(super) fn begin(&self, id: u64, asked: Instant) {
        let mut pages = self.pages();
        if let Some(entry) = pages.entries.get_mut(&id) {
            self.extended(entry, asked);
            let next = asked + entry.claim.ttl / 3;
            pages.due.insert((next, id));
        }
        drop(pages);
        self.changed.notify_one();
    }

    fn extended(&self, entry: &mut Entry, asked: Instant) {
        entry.step = Step::Extend;
        entry.ends = asked + entry.claim.ttl;
        entry.tenure.set(self.at_ms(entry.ends));
    }

    /// A lease was not granted.
    pub(super) fn forget(&self, id: u64) {
        self.pages().entries.remove(&id);
    }

    /// A lease was dropped. One that was lost may still be the holder's at the
    /// server: the token says so there.
    pub(super) fn give_back(&self, id: u64) {
        let mut pages = self.pages();
        if pages.entries.len() > MOST_KEPT {
            pages.entries.remove(&id);
        } else if let Some(entry) = pages.entries.get_mut(&id) {
            entry.step = Step::Release;
            // Asked for just now, it may be granted just after.
            entry.ends = Instant::now() + entry.claim.ttl;
            pages.due.insert((Instant::now(), id));
            drop(pages);
            self.changed.notify_one();
        }
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        let pages = self.pages();
        pages.entries.is_empty() && !pages.is_kept
    }

    /// Runs as long as there is something in the book.
    async fn keep(self: Arc<Self>) {
        let closing = self.link.closing();
        tokio::pin!(closing);
        let mut asking = Asking::new();
        loop {
            let next = self.ask_what_is_due(&asking);
            let next = match next {
                Next::Ask(claims) => {
                    asking.extend(claims);
                    continue;
                }
                Next::Pause(until) => until,
                Next::End => return,
            };
            tokio::select! {
                Some(answer) = asking.next() => self.note(answer),
                () = self.changed.notified() => {}
                () = sleep_until(next) => {}
                () = &mut closing => return self.give_back_all(asking).await,
            }
        }
    }

    fn ask_what_is_due(self: &Arc<Self>, asking: &Asking) -> Next {
        let mut pages = self.pages();
        let now = Instant::now();
        let mut due = Vec::new();
        while let Some((at, id)) = pages.due.first().copied() {
            if at > now {
                break;
            }
            pages.due.pop_first();
            if let Some(entry) = pages.entries.get(&id) {
                due.extend(self.ask(id, entry));
            }
        }
        if !due.is_empty() {
            return Next::Ask(due);
        }
        if pages.entries.is_empty() && asking.is_empty() {
            pages.is_kept = false;
            return Next::End;
        }
        let far = now + Duration::from_secs(3_600);
        Next::Pause(pages.due.first().map_or(far, |(at, _)| *at))
    }

    fn ask(self: &Arc<Self>, id: u64, entry: &Entry) -> Option<BoxFuture<'static, Answer>> {
        let step = entry.step;
        let script = match step {
            Step::Extend => &scripts().extend,
            Step::Release => &scripts().release,
            Step::Wait | Step::Mourn => return None,
        };
        let (book, claim) = (self.clone(), entry.claim.clone());
        let asked = Instant::now();
        let asking = async move {
            let answer = claim.ask(&book.link, script).await;
            Answer {
                id,
                step,
                asked,
                answer,
            }
        };
        Some(asking.boxed())
    }

    fn note(&self, answer: Answer) {
        let mut pages = self.pages();
        let Some(entry) = pages.entries.get_mut(&answer.id) else {
            return;
        };
        let now = Instant::now();
        let again = match answer.step {
            Step::Extend => now + ASK_AGAIN.min(entry.claim.ttl / 12),
            // It ends by itself; there may be many of these after an outage.
            Step::Release | Step::Wait | Step::Mourn => now + entry.claim.ttl / 4,
        };
        let next = match (answer.step, answer.answer) {
            // It was dropped meanwhile, and that is due already.
            (Step::Extend, _) if entry.step == Step::Release => return,
            (Step::Extend, Ok(true)) => {
                self.extended(entry, answer.asked);
                Some(answer.asked + entry.claim.ttl / 3)
            }
            (Step::Extend, Err(_)) if now < entry.ends => Some(again),
            (Step::Extend, Ok(false) | Err(_)) => {
                entry.step = Step::Mourn;
                entry.tenure.set(0);
                None
            }
            // By then it has ended without us.
            (Step::Release, Err(_)) if now < entry.ends => Some(again),
            (Step::Release | Step::Wait | Step::Mourn, _) => {
                pages.entries.remove(&answer.id);
                None
            }
        };
        if let Some(next) = next {
            pages.due.insert((next, answer.id));
        }
    }

    /// The link is closing: what was dropped is given back, once. What is still
    /// held ends by itself.
    async fn give_back_all(self: Arc<Self>, mut asking: Asking) {
        let released: Vec<_> = {
            let pages = self.pages();
            let released = pages.entries.iter();
            let released = released.filter(|(_, entry)| entry.step == Step::Release);
            released
                .filter_map(|(id, entry)| self.ask(*id, entry))
                .collect()
        };
        asking.extend(released);
        while asking.next().await.is_some() {}
        self.pages().is_kept = false;
    }
}

/// What the task does next.
enum Next {
    Ask(Vec<BoxFuture<'static, Answer>>),
    Pause(Instant),
    End,
}
