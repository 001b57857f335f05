//! Threads for CPU work, so that the async runtime never runs it.
//!
//! The pool does not know what its jobs compute. It has a fixed number of
//! threads and a bounded queue, and refuses what does not fit: a caller who is
//! told at once can shed or degrade, one who waits in an endless line cannot.

use std::collections::BTreeMap;
use std::future::Future;
use std::num::NonZero;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use tokio::sync::oneshot;

#[cfg(test)]
mod tests;

/// How long a dropped pool waits for running jobs before it leaves them to
/// finish by themselves.
const GRACE: Duration = Duration::from_secs(5);

/// Why a job gave no result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PoolError {
    /// All threads are busy and the queue is full; the job was not taken.
    #[error("all threads are busy and {queue} jobs wait already")]
    Full {
        /// The most jobs that may wait.
        queue: usize,
    },
    /// The job panicked; the panic hook has reported where.
    #[error("the job panicked")]
    Panicked,
    /// The pool was dropped before the job started.
    #[error("the pool is closed")]
    Closed,
}

impl PoolError {
    /// True when the same job may be taken a little later.
    pub fn may_retry(self) -> bool {
        match self {
            Self::Full { .. } => true,
            Self::Panicked | Self::Closed => false,
        }
    }
}

/// A fixed number of threads that run CPU jobs in the order of their arrival.
///
/// Dropping the pool drops the jobs that have not started and waits up to 5 s
/// for the running ones; a job that takes longer keeps its thread until it ends.
/// A pool that is dropped by one of its own jobs does not wait for that one.
#[derive(Debug)]
pub struct Pool {
    queue: Arc<Queue>,
    threads: Vec<JoinHandle<()>>,
}

impl Pool {
    /// Starts `threads` threads, at least one, in front of which up to `queue`
    /// jobs may wait.
    ///
    /// # Panics
    /// When the operating system refuses to start a thread.
    pub fn new(threads: usize, queue: usize) -> Self {
        let threads = threads.max(1);
        // The pool exists before its threads do, so that a panic on the way
        // stops those that have started.
        let mut pool = Self {
            queue: Arc::new(Queue::new(threads, queue)),
            threads: Vec::with_capacity(threads),
        };
        for number in 0..threads {
            let queue = Arc::clone(&pool.queue);
            let thread = thread::Builder::new()
                .name(format!("tidegate-cpu-{number}"))
                .spawn(move || work(&queue))
                .expect("the operating system starts a thread");
            pool.queue.lock().alive += 1;
            pool.threads.push(thread);
        }
        pool
    }

    /// Starts one thread for each core that this process may use.
    ///
    /// # Panics
    /// When the operating system refuses to start a thread.
    pub fn per_core(queue: usize) -> Self {
        let cores = thread::available_parallelism().map_or(1, NonZero::get);
        Self::new(cores, queue)
    }

    /// Runs `job` on one of the threads and returns its result.
    ///
    /// The job is queued when the future is first polled. Dropping the future
    /// takes a job that has not started out of the queue; one that has started
    /// runs to its end and its result is dropped. The future does not borrow
    /// the pool.
    ///
    /// # Errors
    /// [`PoolError::Full`] at once when no thread is free and the queue is full,
    /// [`PoolError::Panicked`] when the job panics, [`PoolError::Closed`] when
    /// the pool is dropped before the job starts.
    pub fn run<T, J>(&self, job: J) -> impl Future<Output = Result<T, PoolError>> + Send + use<T, J>
    where
        T: Send + 'static,
        J: FnOnce() -> T + Send + 'static,
    {
        let queue = Arc::clone(&self.queue);
        async move {
            let (caller, result) = oneshot::channel();
            let _place = Queue::enter(queue, answering(caller, job))?;
            result.await.unwrap_or(Err(PoolError::Closed))
        }
    }

    /// Returns how many jobs have been taken and not started.
    pub fn waiting(&self) -> usize {
        self.queue.lock().jobs.len()
    }

    /// Returns how many threads the pool has.
    pub fn threads(&self) -> usize {
        self.threads.len()
    }

    /// Joins all threads but the current one, or none when `grace` is over
    /// before they have left; `true` when they were joined.
    fn join_within(&mut self, grace: Duration) -> bool {
        let current = thread::current().id();
        let mut threads = std::mem::take(&mut self.threads);
        let of_all = threads.len();
        threads.retain(|thread| thread.thread().id() != current);
        if threads.is_empty() {
            return true;
        }
        let staying = of_all - threads.len();
        if !self.queue.wait_until_left(staying, grace) {
            return false;
        }
        // A thread ends in an error only after a panic that the hook reported.
        threads.into_iter().for_each(|thread| drop(thread.join()));
        true
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        drop(self.queue.close());
        self.join_within(GRACE);
    }
}

/// A job that tells the queue when it no longer needs the thread.
type Job = Box<dyn FnOnce(&Queue) + Send>;

/// Wraps `job` so that it answers `caller`, or is skipped once nobody listens.
fn answering<T, J>(caller: oneshot::Sender<Result<T, PoolError>>, job: J) -> Job
where
    T: Send + 'static,
    J: FnOnce() -> T + Send + 'static,
{
    Box::new(move |queue| {
        if caller.is_closed() {
            return queue.release();
        }
        // The job is consumed, so nobody sees a state that its panic broke.
        let outcome = catch_unwind(AssertUnwindSafe(job));
        // Before the answer: a caller who has it finds the thread free.
        queue.release();
        // A caller who left meanwhile has no use for the answer.
        let _unheard = match outcome {
            Ok(value) => caller.send(Ok(value)),
            Err(_panic) => caller.send(Err(PoolError::Panicked)),
        };
    })
}

/// A thread's life: one job after the other until the queue is closed.
fn work(queue: &Queue) {
    while let Some(job) = queue.next() {
        // What the job itself does is caught before it answers; this is for
        // values whose destructors panic.
        drop(catch_unwind(AssertUnwindSafe(|| job(queue))));
    }
    queue.leave();
}

/// The bounded line of jobs in front of the threads.
#[derive(Debug)]
struct Queue {
    state: Mutex<State>,
    arrived: Condvar,
    left: Condvar,
    /// The most jobs that wait while all threads are busy.
    room: usize,
    threads: usize,
}

#[derive(Default)]
struct State {
    /// By number of arrival, the oldest first.
    jobs: BTreeMap<u64, Job>,
    arrivals: u64,
    running: usize,
    alive: usize,
    closed: bool,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State")
            .field("waiting", &self.jobs.len())
            .field("running", &self.running)
            .field("closed", &self.closed)
            .finish_non_exhaustive()
    }
}

impl Queue {
    fn new(threads: usize, room: usize) -> Self {
        Self {
            state: Mutex::default(),
            arrived: Condvar::new(),
            left: Condvar::new(),
            room,
            threads,
        }
    }

    // No foreign code runs under the lock, so a poisoned state is still whole.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes `job`, whose place is given up when the returned value is dropped.
    fn enter(queue: Arc<Self>, job: Job) -> Result<Place, PoolError> {
        let mut state = queue.lock();
        if state.closed {
            return Err(PoolError::Closed);
        }
        // Counts running jobs too: a burst that meets idle threads must not be
        // refused only because they have not woken up yet.
        if state.jobs.len() + state.running >= queue.threads.saturating_add(queue.room) {
            return Err(PoolError::Full { queue: queue.room });
        }
        let number = state.arrivals;
        state.arrivals += 1;
        state.jobs.insert(number, job);
        drop(state);
        queue.arrived.notify_one();
        Ok(Place { queue, number })
    }

    /// Waits for the oldest job; `None` once the queue is closed.
    fn next(&self) -> Option<Job> {
        let mut state = self.lock();
        while !state.closed {
            if let Some((_, job)) = state.jobs.pop_first() {
                state.running += 1;
                return Some(job);
            }
            state = self
                .arrived
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        None
    }

    fn release(&self) {
        self.lock().running -= 1;
    }

    /// Takes no more jobs and returns those that have not started, to be
    /// dropped without the lock.
    fn close(&self) -> BTreeMap<u64, Job> {
        let mut state = self.lock();
        state.closed = true;
        self.arrived.notify_all();
        std::mem::take(&mut state.jobs)
    }

    fn leave(&self) {
        self.lock().alive -= 1;
        self.left.notify_all();
    }

    /// Waits until no more than `staying` threads are alive; `false` when that
    /// takes longer than `grace`.
    fn wait_until_left(&self, staying: usize, grace: Duration) -> bool {
        let (_state, waited) = self
            .left
            .wait_timeout_while(self.lock(), grace, |state| state.alive > staying)
            .unwrap_or_else(PoisonError::into_inner);
        !waited.timed_out()
    }
}

/// A caller's place in the queue.
struct Place {
    queue: Arc<Queue>,
    number: u64,
}

impl Drop for Place {
    fn drop(&mut self) {
        let unstarted = self.queue.lock().jobs.remove(&self.number);
        // The lock is free again: the job's destructor may use the pool.
        drop(unstarted);
    }
}
