//! The thread that writes.

use std::sync::mpsc::RecvTimeoutError;
use std::thread;
use std::time::{Duration, Instant};

use rusqlite::{Connection, TransactionBehavior};
use tokio::sync::oneshot;

use crate::error::OpenError;
use crate::records::WriteError;
use crate::sqlite::clock::Clock;
use crate::sqlite::desk::{Asked, Desk, Queue};
use crate::sqlite::failure::{self, Stage};
use crate::sqlite::file::DatabaseFile;
use crate::sqlite::rows::{self, Change, Key, Outcome, Versions};

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

/// A change, and who waits for it.
pub(super) struct Job {
    key: Key,
    change: Change,
    reply: oneshot::Sender<Outcome>,
}

impl Job {
    pub(super) fn new(key: Key, change: Change, reply: oneshot::Sender<Outcome>) -> Self {
        Self { key, change, reply }
    }
}

pub(super) fn start(
    file: &DatabaseFile,
    db: Connection,
    clock: Clock,
) -> Result<Desk<Job>, OpenError> {
    let (desk, queue) = Desk::new();
    let writer = Writer {
        db,
        clock,
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
    fn run(mut self, queue: &Queue<Job>) {
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
    fn serve(&mut self, jobs: Vec<Asked<Job>>) {
        let outcomes = match self.commit(&jobs) {
            Ok(outcomes) => outcomes,
            // One row that cannot be written must not fail the others.
            Err(failed)
                if jobs.len() > 1
                    && failed.stage == Stage::Before
                    && !failure::concerns_all(&failed.error) =>
            {
                jobs.iter().map(|job| self.commit_alone(job)).collect()
            }
            Err(failed) => jobs.iter().map(|_| Err(refusal(&failed))).collect(),
        };
        for (asked, outcome) in jobs.into_iter().zip(outcomes) {
            // Who does not wait any more needs no answer.
            asked.job.reply.send(outcome).ok();
        }
    }

    fn commit_alone(&mut self, job: &Asked<Job>) -> Outcome {
        match self.commit(std::slice::from_ref(job)) {
            Ok(mut outcomes) => outcomes.remove(0),
            Err(failed) => Err(refusal(&failed)),
        }
    }

    fn commit(&mut self, jobs: &[Asked<Job>]) -> Result<Vec<Outcome>, Failed> {
        let clock = self.clock;
        let transaction = self
            .db
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(Failed::before)?;
        let write = || {
            let mut versions = Versions::read(&transaction)?;
            let outcomes = jobs.iter().map(|asked| {
                let job = &asked.job;
                rows::apply(&transaction, &job.key, &job.change, &mut versions, clock)
            });
            let outcomes = outcomes.collect::<rusqlite::Result<Vec<Outcome>>>()?;
            versions.keep(&transaction)?;
            Ok(outcomes)
        };
        let outcomes = write().map_err(Failed::before)?;
        let stage = Stage::Commit;
        let committed = transaction.commit();
        committed.map_err(|error| Failed { error, stage })?;
        Ok(outcomes)
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
fn together(first: Asked<Job>, queue: &Queue<Job>) -> Vec<Asked<Job>> {
    let mut bytes = first.job.change.bytes();
    let mut jobs = vec![first];
    while jobs.len() < MOST_TOGETHER && bytes < MOST_BYTES_TOGETHER {
        let Ok(next) = queue.try_recv() else { break };
        bytes += next.job.change.bytes();
        jobs.push(next);
    }
    jobs
}

fn refusal(failed: &Failed) -> WriteError {
    failure::store_error(&failed.error, failed.stage).into()
}
