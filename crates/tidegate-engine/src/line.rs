//! Requests that wait for room, first come first served.
//!
//! Only the one at the head of the line looks for room; the others wait for
//! their turn. So nobody is overtaken, and a hundred waiting requests do not
//! race for one place.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex as StdMutex, PoisonError};

use tidegate_work::Deadline;
use tokio::sync::{Mutex, MutexGuard, Notify};
use tokio::time::Instant;

/// The line in front of one chain.
#[derive(Debug)]
pub(crate) struct Line {
    // Tokio's mutex hands itself on in the order in which it was asked for.
    head: Mutex<()>,
    waiting: AtomicUsize,
    bell: Notify,
    /// Those who were admitted before and look for another try.
    returning: AtomicUsize,
    call: Notify,
    /// When the head expects room.
    expected: StdMutex<Option<Instant>>,
    capacity: AtomicUsize,
}

/// Why a request got no turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoTurn {
    /// The line is full.
    Full {
        /// How many wait.
        waiting: usize,
    },
    /// The deadline passed before it was this request's turn.
    TooLate,
}

/// The head of the line; dropping it lets the next one step forward.
pub(crate) struct Turn<'a> {
    _head: MutexGuard<'a, ()>,
    _place: Place<'a>,
}

/// A place in the line, given up on drop.
struct Place<'a>(&'a AtomicUsize);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Line {
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            head: Mutex::new(()),
            waiting: AtomicUsize::new(0),
            bell: Notify::new(),
            returning: AtomicUsize::new(0),
            call: Notify::new(),
            expected: StdMutex::new(None),
            capacity: AtomicUsize::new(capacity),
        }
    }

    /// Lets another number of requests wait; who waits already stays.
    pub(crate) fn set_capacity(&self, capacity: usize) {
        self.capacity.store(capacity, Ordering::Relaxed);
    }

    /// How many wait, the head included.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::SeqCst)
    }

    /// Waits until everybody who came before has found room or left.
    pub(crate) async fn turn(&self, deadline: Deadline) -> Result<Turn<'_>, NoTurn> {
        let waiting = self.waiting.fetch_add(1, Ordering::SeqCst);
        let place = Place(&self.waiting);
        if waiting >= self.capacity.load(Ordering::Relaxed) {
            return Err(NoTurn::Full { waiting });
        }
        let head = deadline
            .run(self.head.lock())
            .await
            .map_err(|_| NoTurn::TooLate)?;
        Ok(Turn {
            _head: head,
            _place: place,
        })
    }

    /// Notes when the head expects room.
    pub(crate) fn expect(&self, at: Option<Instant>) {
        *self.expected.lock().unwrap_or_else(PoisonError::into_inner) = at;
    }

    /// When the head expects room, as it said last.
    pub(crate) fn expected(&self) -> Option<Instant> {
        *self.expected.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells the head that something was given back.
    pub(crate) fn ring(&self) {
        if self.waiting() > 0 {
            // The permit is kept for a head that is just looking around.
            self.bell.notify_one();
        }
        if self.returning.load(Ordering::SeqCst) > 0 {
            self.call.notify_waiters();
        }
    }

    /// Waits beside the line until something may have been given back, at most
    /// until `until`. For requests that had their turn and failed upstream:
    /// they came before everybody in the line, and what they may not try again
    /// must not hold up those who may.
    pub(crate) async fn beside(&self, until: Instant) {
        self.returning.fetch_add(1, Ordering::SeqCst);
        let _place = Place(&self.returning);
        tokio::select! {
            () = self.call.notified() => {}
            () = tokio::time::sleep_until(until) => {}
        }
    }

    /// Waits until something is given back.
    pub(crate) async fn bell(&self) {
        self.bell.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::future::join_all;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn turns_come_in_the_order_of_arrival() {
        let line = Line::new(100);
        let order = std::sync::Mutex::new(Vec::new());
        let deadline = Deadline::after(Duration::from_secs(60));
        let requests = (0..50).map(|number| {
            let (line, order) = (&line, &order);
            async move {
                let turn = line.turn(deadline).await.ok().unwrap();
                tokio::time::sleep(Duration::from_millis(10)).await;
                order.lock().unwrap().push(number);
                drop(turn);
            }
        });
        join_all(requests).await;
        assert_eq!(order.into_inner().unwrap(), (0..50).collect::<Vec<_>>());
        assert_eq!(line.waiting(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_line_refuses_and_a_late_one_leaves() {
        let line = Line::new(2);
        let soon = Deadline::after(Duration::from_secs(1));
        let turn = line.turn(soon).await.ok();
        let (second, third) = tokio::join!(line.turn(soon), line.turn(soon));
        assert_eq!(second.err(), Some(NoTurn::TooLate));
        assert_eq!(third.err(), Some(NoTurn::Full { waiting: 2 }));
        drop(turn);
        assert_eq!(line.waiting(), 0);
    }
}
