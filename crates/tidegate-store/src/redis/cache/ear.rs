//! Hears what other nodes forget, and says whether the memory of this node can
//! be trusted.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Interval, MissedTickBehavior, interval, timeout};
use tracing::{debug, warn};

use super::Inner;
use super::keys::TOPIC;
use super::news::{Count, News};
use crate::redis::TopicEvent;

/// How far this node has heard.
#[derive(Debug)]
pub(super) struct Ear {
    /// Nothing while it does not hear: then it knows nothing.
    heard: watch::Sender<Option<Count>>,
    /// Whether announcements arrive, whatever is known of those before.
    connected: AtomicBool,
}

impl Default for Ear {
    fn default() -> Self {
        let (heard, _) = watch::channel(None);
        Self {
            heard,
            connected: AtomicBool::new(false),
        }
    }
}

impl Ear {
    /// Whether everything that was announced up to now was heard, or comes
    /// within moments.
    pub(super) fn hears(&self) -> bool {
        self.heard.borrow().is_some()
    }

    /// Waits until this much was heard; false where that takes too long.
    pub(super) async fn has_heard(&self, count: &Count, patience: Duration) -> bool {
        let mut heard = self.heard.subscribe();
        let covered = |heard: &Option<Count>| heard.as_ref().is_some_and(|own| own.covers(count));
        let waited = timeout(patience, heard.wait_for(covered)).await;
        waited.is_ok_and(|heard| heard.is_ok())
    }

    /// Waits until this node hears.
    pub(super) async fn listens(&self, patience: Duration) -> bool {
        let mut heard = self.heard.subscribe();
        let waited = timeout(patience, heard.wait_for(Option::is_some)).await;
        waited.is_ok_and(|heard| heard.is_ok())
    }
}

/// How often the count is looked at, whatever was heard: a way on which
/// messages get lost in silence must not go unnoticed.
const LOOK: Duration = Duration::from_secs(1);
/// How often lists that nobody uses any more are emptied.
const TIDY: Duration = Duration::from_secs(60);
/// How often it is tried to carry out what is owed.
const PAY: Duration = Duration::from_millis(250);

/// Hears, until the link is closed. Never waits for long: what comes next may
/// be in the memory of this node.
pub(super) async fn listen(inner: Arc<Inner>) {
    let mut topic = inner.shelf.link.subscribe(TOPIC);
    let mut look = ticks(LOOK);
    let mut behind = None;
    loop {
        tokio::select! {
            () = inner.shelf.link.closing() => return,
            event = topic.recv() => match event {
                Some(TopicEvent::Message(message)) => inner.heard(&message).await,
                Some(TopicEvent::Lost) => {
                    inner.ear.connected.store(false, Ordering::Relaxed);
                    inner.ear.heard.send_modify(|heard| *heard = None);
                }
                Some(TopicEvent::Resumed) => {
                    inner.ear.connected.store(true, Ordering::Relaxed);
                    inner.catch_up().await;
                }
                None => return,
            },
            _ = look.tick() => inner.look(&mut behind).await,
        }
    }
}

/// Carries out what is owed and empties lists, until the link is closed.
pub(super) async fn keep_house(inner: Arc<Inner>) {
    let mut pay = ticks(PAY);
    let mut tidy = ticks(TIDY.mul_f64(0.5 + fastrand::f64()));
    loop {
        tokio::select! {
            () = inner.shelf.link.closing() => return,
            _ = pay.tick() => inner.pay().await,
            _ = tidy.tick() => {
                if let Err(error) = inner.shelf.tidy().await {
                    debug!(%error, "lists of cached values could not be trimmed: {error}");
                }
            }
        }
    }
}

fn ticks(period: Duration) -> Interval {
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

impl Inner {
    async fn heard(&self, message: &[u8]) {
        let Some(news) = News::read(message) else {
            // A newer version may say more than this one understands.
            self.counters.errors.add(1);
            self.catch_up().await;
            return;
        };
        if news.db != self.shelf.link.shared().address.db {
            return;
        }
        let heard = self.ear.heard.borrow().clone();
        match heard {
            Some(heard) if heard.is_before(&news.count) => {
                self.near.forget(news.demand).await;
                let count = Some(news.count);
                self.ear.heard.send_modify(|heard| *heard = count);
            }
            // From before this node caught up.
            Some(heard) if heard.covers(&news.count) => {}
            Some(_) | None => self.catch_up().await,
        }
    }

    /// Forgets everything that this node remembers, since it may have missed
    /// what was to be forgotten, and goes on from what is counted now.
    async fn catch_up(&self) {
        self.ear.heard.send_modify(|heard| *heard = None);
        self.near.clear();
        if let Ok(count) = self.shelf.count().await {
            self.ear.heard.send_modify(|heard| *heard = Some(count));
        }
    }

    /// Compares what was heard with what there is, and catches up where that
    /// was already the case a look ago.
    async fn look(&self, behind: &mut Option<Count>) {
        let Ok(count) = self.shelf.count().await else {
            return;
        };
        let heard = self.ear.heard.borrow().clone();
        match heard {
            Some(heard) if heard.covers(&count) => *behind = None,
            Some(heard) => {
                let missed = behind
                    .replace(count)
                    .is_some_and(|before| !heard.covers(&before));
                if missed {
                    warn!("messages to the cache were lost: what it remembers is dropped");
                    *behind = None;
                    self.catch_up().await;
                }
            }
            // The topic is heard, and the count could not be asked for then.
            None if self.ear.connected.load(Ordering::Relaxed) => self.catch_up().await,
            None => {}
        }
    }
}
