//! The thread that writes.

use std::sync::mpsc::RecvTimeoutError;
use std::thread;
use std::time::{Duration, Instant};

use rusqlite::{Connection, TransactionBehavior};
use tokio::sync::oneshot;

use crate::error::{OpenError, StoreError};
use crate::sqlite::clock::Clock;
use crate::sqlite::desk::{Asked, Desk, Queue};
use crate::sqlite::failure::{self, Stage};
use crate::sqlite::file::DatabaseFile;
use crate::sqlite::rows;
use crate::sqlite::session::Session;

/// Changes of one transaction at most: they wait for its slowest.
const MOST_TOGETHER: usize = 512;
/// Bytes of one transaction, give or take one row.
const MOST_BYTES_TOGETHER: usize = 8 << 20;
/// Expired rows that are removed in one step, so that nobody waits long.
const SWEPT_TOGETHER: usize = 128;
const SWEEP_EVERY: Duration = Duration::from_secs(1);
/// Between two steps while there is more to sweep.
const SWEEP_ON: Duration = Duration::from_millis(10);

/// What became of a change.
#[derive(Debug, Clone, Copy)]
pub(super) enum Done {
    Version(u64),
    WasThere(bool),
}

impl Done {
    pub(super) fn version(self) -> u64 {
        match self {
            Self::Version(version) => version,
            Self::WasThere(_) => 0,
        }
    }

    pub(super) fn was_there(self) -> bool {
        match self {
            Self::Version(_) => true,
            Self::WasThere(was_there) => was_there,
        }
    }
}

/// Whether a transaction is on the disk before anybody hears of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flush {
    /// It outlives a loss of power.
    Yes,
    /// It outlives the process alone.
    No,
}

/// Work of a transaction, and who waits for it.
pub(super) trait Job: Send {
    /// What it takes of the room for what waits.
    fn bytes(&self) -> usize;
    fn flush(&self) -> Flush;
    /// May be done once more, after a transaction that failed.
    fn apply(&mut self, session: &mut Session<'_>) -> rusqlite::Result<()>;
    fn answer(self: Box<Self>, done: Result<(), StoreError>);
}

pub(super) type AnyJob = Box<dyn Job>;

/// A job that is one function.
struct Task<T, F> {
    bytes: usize,
    flush: Flush,
    work: F,
    outcome: Option<T>,
    reply: oneshot::Sender<Result<T, StoreError>>,
}

/// Makes a job out of a function.
pub(super) fn job<T, F>(
    (bytes, flush): (usize, Flush),
    work: F,
    reply: oneshot::Sender<Result<T, StoreError>>,
) -> AnyJob
where
    T: Send + 'static,
    F: FnMut(&mut Session<'_>) -> rusqlite::Result<T> + Send + 'static,
{
    Box::new(Task {
        bytes,
        flush,
        work,
        outcome: None,
        reply,
    })
}

impl<T, F> Job for Task<T, F>
where
    T: Send,
    F: FnMut(&mut Session<'_>) -> rusqlite::Result<T> + Send,
{
    fn bytes(&self) -> usize {
        self.bytes
    }

    fn flush(&self) -> Flush {
        self.flush
    }

    fn apply(&mut self, session: &mut Session<'_>) -> rusqlite::Result<()> {
        self.outcome = Some((self.work)(session)?);
        Ok(())
    }

    /// Who does not wait any more needs no answer.
    fn answer(self: Box<Self>, done: Result<(), StoreError>) {
        let answer = match (done, self.outcome) {
            (Ok(()), Some(outcome)) => Ok(outcome),
            (Ok(()), None) => return,
            (Err(error), _) => Err(error),
        };
        self.reply.send(answer).ok();
    }
}

pub(super) fn start(
    file: &DatabaseFile,
    db: Connection,
    clock: Clock,
) -> Result<Desk<AnyJob>, OpenError> {
    let (desk, queue) = Desk::new();
    let writer = Writer {
        db,
        clock,
        flush: Flush::Yes,
        sweep_at: Instant::now(),
    };
    let thread = thread::Builder::new().name("sqlite-write".to_owned());
    let thread = thread.spawn(move || writer.run(&queue));
    desk.keep(thread.map_err(|error| file.unusable(&error))?);
    Ok(desk)
}

struct Writer {
    db: Connection,
    clock: Clock,
    /// How the connection is set.
    flush: Flush,
    sweep_at: Instant,
}

/// A transaction that came to nothing.
struct Failed {
    error: rusqlite::Error,
    stage: Stage,
}

impl Failed {
    fn before(error: rusqlite::Error) -> Self {
        let stage = Stage::Before;
        Self { error, stage }
    }
}

impl Writer {
    fn run(mut self, queue: &Queue<AnyJob>) {
        loop {
            let wait = self.sweep_at.saturating_duration_since(Instant::now());
            match queue.recv_timeout(wait) {
                Ok(first) => self.serve(together(first, queue)),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            if self.sweep_at <= Instant::now() {
                self.sweep_at = Instant::now() + self.sweep();
            }
        }
    }

    /// Nobody hears of a change before it is on the disk.
    fn serve(&mut self, mut jobs: Vec<Asked<AnyJob>>) {
        match self.commit(&mut jobs) {
            Ok(()) => answer_all(jobs, &Ok(())),
            // One row that cannot be written must not fail the others.
            Err(failed)
                if jobs.len() > 1
                    && failed.stage == Stage::Before
                    && !failure::concerns_all(&failed.error) =>
            {
                for job in jobs {
                    let mut alone = vec![job];
                    let done = self.commit(&mut alone);
                    answer_all(alone, &done.map_err(|failed| refusal(&failed)));
                }
            }
            Err(failed) => answer_all(jobs, &Err(refusal(&failed))),
        }
    }

    fn commit(&mut self, jobs: &mut [Asked<AnyJob>]) -> Result<(), Failed> {
        self.set_flush(jobs).map_err(Failed::before)?;
        let transaction = self
            .db
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(Failed::before)?;
        let mut write = || {
            let mut session = Session::begin(&transaction, self.clock)?;
            for asked in jobs.iter_mut() {
                asked.job.apply(&mut session)?;
            }
            session.end()
        };
        write().map_err(Failed::before)?;
        let stage = Stage::Commit;
        let committed = transaction.commit();
        committed.map_err(|error| Failed { error, stage })
    }

    /// A flush takes longer than all else: what may be lost with the power does
    /// not wait for one, where nothing else is in its transaction. The next
    /// flush writes it along.
    fn set_flush(&mut self, jobs: &[Asked<AnyJob>]) -> rusqlite::Result<()> {
        let all_may_be_lost = jobs.iter().all(|asked| asked.job.flush() == Flush::No);
        let (flush, level) = if all_may_be_lost {
            (Flush::No, "NORMAL")
        } else {
            (Flush::Yes, "FULL")
        };
        if self.flush != flush {
            self.db.pragma_update(None, "synchronous", level)?;
            self.flush = flush;
        }
        Ok(())
    }

    /// Takes one step, and says when to take the next. What fails here fails
    /// for the next writer as well, who says so.
    fn sweep(&mut self) -> Duration {
        let clock = self.clock;
        if !rows::any_expired(&self.db, clock).unwrap_or(false) {
            return SWEEP_EVERY;
        }
        match rows::sweep(&self.db, SWEPT_TOGETHER, clock) {
            Ok(swept) if swept >= SWEPT_TOGETHER => SWEEP_ON,
            Ok(_) | Err(_) => SWEEP_EVERY,
        }
    }
}

/// What waits by now, in the order in which it was asked.
fn together(first: Asked<AnyJob>, queue: &Queue<AnyJob>) -> Vec<Asked<AnyJob>> {
    let mut bytes = first.job.bytes();
    let mut jobs = vec![first];
    while jobs.len() < MOST_TOGETHER && bytes < MOST_BYTES_TOGETHER {
        let Ok(next) = queue.try_recv() else { break };
        bytes += next.job.bytes();
        jobs.push(next);
    }
    jobs
}

fn answer_all(jobs: Vec<Asked<AnyJob>>, done: &Result<(), StoreError>) {
    for asked in jobs {
        asked.job.answer(done.clone());
    }
}

fn refusal(failed: &Failed) -> StoreError {
    failure::store_error(&failed.error, failed.stage)
}
