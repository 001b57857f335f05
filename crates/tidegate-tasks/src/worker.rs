//! Who works at the tasks of a queue.
//!
//! Three loops share what a worker has in hand: one takes tasks, one tells the
//! store what became of them, and one keeps the others' hands on them and
//! listens whether they are to stop. Each attempt runs by itself.

mod attempt;
mod ending;
mod hand;
mod keeping;
mod seat;
mod taking;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tidegate_store::Limits;
use tidegate_work::CancelToken;
use tokio::sync::mpsc;
use tokio_util::task::TaskTracker;

use crate::error::SubmitError;
use crate::new_task::NewTask;
use crate::queue::{Submitted, TaskQueue};
use crate::state::TaskState;
use ending::Ending;
use hand::Hand;
pub use seat::Isolation;
use taking::Pauses;

/// How a worker works.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerConfig {
    /// Tasks that run at once.
    pub concurrency: usize,
    /// Tasks that are held beside them, to begin at once when one ends. Others
    /// cannot have them meanwhile.
    pub prefetch: usize,
    /// How long the store keeps a task for a worker that is silent.
    pub lease: Duration,
    /// How long a worker that is told to end waits for what runs.
    pub drain: Duration,
    /// How long a handler may go on after it was told to stop.
    pub grace: Duration,
    /// Where handlers run.
    pub isolation: Isolation,
    /// The kinds that it works at; `None` for all that it has handlers for.
    pub kinds: Option<Vec<String>>,
}

impl Default for WorkerConfig {
    fn default() -> Self {
        Self {
            concurrency: 4,
            prefetch: 0,
            lease: Duration::from_secs(15),
            drain: Duration::from_secs(30),
            grace: Duration::from_secs(5),
            isolation: Isolation::Thread,
            kinds: None,
        }
    }
}

/// The end of a task, or of an attempt, as metrics want it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskEnd {
    /// What was done.
    pub kind: String,
    /// Where the task stands now.
    pub state: TaskState,
    /// How long it waited, from when it might have run.
    pub wait: Duration,
    /// How long the attempt took; zero where there was none.
    pub run: Duration,
}

type OnEnd = Arc<dyn Fn(&TaskEnd) + Send + Sync>;

/// Works at the tasks of a queue.
pub struct Worker {
    bench: Arc<Bench>,
    endings: mpsc::UnboundedReceiver<Ending>,
}

/// What the loops of a worker share.
struct Bench {
    queue: TaskQueue,
    limits: Arc<dyn Limits>,
    config: WorkerConfig,
    hand: Hand,
    /// As many wait as are in hand.
    endings: mpsc::UnboundedSender<Ending>,
    attempts: TaskTracker,
    /// Handlers. Nobody waits for those that do not end.
    threads: TaskTracker,
    pauses: Pauses,
    on_end: OnEnd,
}

impl Worker {
    /// A worker that asks these limits before it begins a task of a kind that
    /// has a rate, and tells each end.
    pub fn new(
        queue: TaskQueue,
        limits: Arc<dyn Limits>,
        config: WorkerConfig,
        on_end: impl Fn(&TaskEnd) + Send + Sync + 'static,
    ) -> Self {
        let (sender, endings) = mpsc::unbounded_channel();
        let hand = Hand::new(config.concurrency.max(1), config.prefetch);
        let bench = Bench {
            queue,
            limits,
            config,
            hand,
            endings: sender,
            attempts: TaskTracker::new(),
            threads: TaskTracker::new(),
            pauses: Pauses::default(),
            on_end: Arc::new(on_end),
        };
        Self {
            bench: Arc::new(bench),
            endings,
        }
    }

    /// Works until it is told to stop. It then takes nothing more, gives back
    /// what it has not begun, waits for what runs as long as it may, and gives
    /// back the rest as well: another worker begins it again.
    pub async fn run(self, stop: CancelToken) {
        let Self { bench, mut endings } = self;
        let over = CancelToken::new();
        let work = async {
            taking::take(&bench, &stop).await;
            bench.drain().await;
            over.cancel();
        };
        let end = ending::end(&bench, &mut endings, &over);
        let keep = keeping::keep(&bench, &over);
        let tell = keeping::tell(&bench, &over);
        tokio::join!(work, end, keep, tell);
    }

    /// Runs one task at once, in place of a queue that others work at: submits
    /// it, and returns when it has ended. Its repeats are waited for.
    ///
    /// # Errors
    /// [`SubmitError`] when it was not submitted.
    pub async fn run_inline(self, owner: &str, task: NewTask) -> Result<Submitted, SubmitError> {
        let Self { bench, mut endings } = self;
        let submitted = bench
            .queue
            .submit_held(owner, task, bench.config.lease)
            .await?;
        if submitted.was_there {
            return Ok(submitted);
        }
        let over = CancelToken::new();
        let work = async {
            taking::run_alone(&bench, owner, &submitted.id).await;
            over.cancel();
        };
        let end = ending::end(&bench, &mut endings, &over);
        let keep = keeping::keep(&bench, &over);
        let tell = keeping::tell(&bench, &over);
        tokio::join!(work, end, keep, tell);
        Ok(submitted)
    }
}

impl Bench {
    /// Lets what runs come to its end.
    async fn drain(&self) {
        self.attempts.close();
        let ended = async {
            self.attempts.wait().await;
            self.hand.is_empty().await;
        };
        if tokio::time::timeout(self.config.drain, ended).await.is_ok() {
            return;
        }
        self.hand.interrupt();
        let ended = async {
            self.attempts.wait().await;
            self.hand.is_empty().await;
        };
        let last = self.config.grace + seat::STUCK + ending::LAST;
        if tokio::time::timeout(last, ended).await.is_err() {
            let left = self.hand.len();
            tracing::warn!(
                left,
                "a worker ends with tasks in hand: others begin them again"
            );
        }
    }
}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker")
            .field("config", &self.bench.config)
            .finish_non_exhaustive()
    }
}
