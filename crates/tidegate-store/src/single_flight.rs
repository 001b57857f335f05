//! One caller loads what many wait for.

use std::collections::HashMap;
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared, WeakShared};

/// The load panicked in this caller's hands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("loading panicked")]
pub struct LoadPanicked;

type Load<V> = Shared<BoxFuture<'static, Option<V>>>;
type WeakLoad<V> = WeakShared<BoxFuture<'static, Option<V>>>;

/// Loads that are under way, by key.
///
/// Every waiter drives the load, so it goes on when the first caller leaves,
/// and it is dropped, which cancels it, when the last one does. Nothing is
/// remembered after the load ended: that is the cache's business.
pub struct SingleFlight<V> {
    flights: Arc<Mutex<Flights<V>>>,
}

struct Flights<V> {
    by_key: HashMap<Box<str>, (u64, WeakLoad<V>)>,
    next: u64,
}

impl<V> Default for SingleFlight<V> {
    fn default() -> Self {
        Self {
            flights: Arc::new(Mutex::new(Flights {
                by_key: HashMap::new(),
                next: 0,
            })),
        }
    }
}

impl<V> fmt::Debug for SingleFlight<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SingleFlight").finish_non_exhaustive()
    }
}

impl<V: Clone + Send + Sync + 'static> SingleFlight<V> {
    /// The value under `key`, loaded by `load` unless somebody loads it already.
    ///
    /// When a load panics, its own caller gets the error and one of the others
    /// loads again. Dropping the future leaves the flight.
    ///
    /// # Errors
    /// [`LoadPanicked`] for the caller whose `load` it was.
    pub async fn run<F>(&self, key: &str, load: impl Fn() -> F) -> Result<V, LoadPanicked>
    where
        F: Future<Output = V> + Send + 'static,
    {
        loop {
            let (flight, leads) = self.join(key, &load);
            match flight.await {
                Some(value) => return Ok(value),
                None if leads => return Err(LoadPanicked),
                None => {}
            }
        }
    }

    /// Flights under way, for tests and metrics.
    pub fn in_flight(&self) -> usize {
        self.flights
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .by_key
            .len()
    }

    fn join<F>(&self, key: &str, load: &impl Fn() -> F) -> (Load<V>, bool)
    where
        F: Future<Output = V> + Send + 'static,
    {
        let mut flights = self.flights.lock().unwrap_or_else(PoisonError::into_inner);
        let known = flights
            .by_key
            .get(key)
            .and_then(|(_, flight)| flight.upgrade());
        // A flight that has ended and was not yet forgotten is history.
        if let Some(flight) = known.filter(|flight| flight.peek().is_none()) {
            return (flight, false);
        }
        let id = flights.next;
        flights.next += 1;
        let forget = Forget {
            flights: self.flights.clone(),
            key: key.into(),
            id,
        };
        let load = AssertUnwindSafe(load()).catch_unwind();
        let flight = async move {
            let value = load.await.ok();
            drop(forget);
            value
        };
        let flight = flight.boxed().shared();
        if let Some(weak) = flight.downgrade() {
            flights.by_key.insert(key.into(), (id, weak));
        }
        (flight, true)
    }
}

/// Takes the flight off the list when it ends or is cancelled.
struct Forget<V> {
    flights: Arc<Mutex<Flights<V>>>,
    key: Box<str>,
    id: u64,
}

impl<V> Drop for Forget<V> {
    fn drop(&mut self) {
        let mut flights = self.flights.lock().unwrap_or_else(PoisonError::into_inner);
        if flights
            .by_key
            .get(&self.key)
            .is_some_and(|(id, _)| *id == self.id)
        {
            flights.by_key.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::Duration;

    use futures_util::future::join_all;
    use tokio::time::sleep;

    use super::*;

    #[derive(Clone, Default)]
    struct Loads {
        started: Arc<AtomicU64>,
        ended: Arc<AtomicU64>,
    }

    impl Loads {
        async fn slow(self) -> u64 {
            let number = self.started.fetch_add(1, Ordering::SeqCst) + 1;
            sleep(Duration::from_secs(1)).await;
            self.ended.fetch_add(1, Ordering::SeqCst);
            number
        }

        fn counts(&self) -> (u64, u64) {
            (
                self.started.load(Ordering::SeqCst),
                self.ended.load(Ordering::SeqCst),
            )
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_thousand_callers_of_one_key_load_once() {
        let (flights, loads) = (SingleFlight::default(), Loads::default());
        let callers = (0..1_000).map(|_| flights.run("k", || loads.clone().slow()));
        assert!(
            join_all(callers)
                .await
                .into_iter()
                .all(|value| value == Ok(1))
        );
        assert_eq!(loads.counts(), (1, 1));
        assert_eq!(flights.in_flight(), 0);
        assert_eq!(flights.run("k", || loads.clone().slow()).await, Ok(2));
    }

    #[tokio::test(start_paused = true)]
    async fn the_load_goes_on_when_its_first_caller_leaves() {
        let (flights, loads) = (SingleFlight::default(), Loads::default());
        let first = flights.run("k", || loads.clone().slow());
        let mut first = Box::pin(tokio::time::timeout(Duration::from_millis(500), first));
        let second = flights.run("k", || loads.clone().slow());
        let (first, second) = tokio::join!(&mut first, second);
        assert!(first.is_err());
        assert_eq!(second, Ok(1));
        assert_eq!(loads.counts(), (1, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn the_load_is_cancelled_when_its_last_caller_leaves() {
        let (flights, loads) = (SingleFlight::default(), Loads::default());
        let callers = (0..10).map(|_| flights.run("k", || loads.clone().slow()));
        let all = tokio::time::timeout(Duration::from_millis(500), join_all(callers)).await;
        assert!(all.is_err());
        sleep(Duration::from_secs(10)).await;
        assert_eq!(loads.counts(), (1, 0));
        assert_eq!(flights.in_flight(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn when_a_load_panics_exactly_one_other_caller_takes_over() {
        let flights = SingleFlight::default();
        let started = Arc::new(AtomicU64::new(0));
        let load = || {
            let started = started.clone();
            async move {
                sleep(Duration::from_secs(1)).await;
                assert!(
                    started.fetch_add(1, Ordering::SeqCst) > 0,
                    "the first load fails"
                );
                7
            }
        };
        let outcomes = join_all((0..100).map(|_| flights.run("k", load))).await;
        assert_eq!(
            outcomes.iter().filter(|outcome| outcome.is_err()).count(),
            1
        );
        assert_eq!(started.load(Ordering::SeqCst), 2);
    }
}
