//! Standard error, written in batches by a thread of its own.
//!
//! A line a request costs a system call a request, which is a third of what a
//! request costs in all. Lines are gathered here and written every tenth of a
//! second, and when the last handle goes.

use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tracing_subscriber::fmt::MakeWriter;

const PAUSE: Duration = Duration::from_millis(100);
/// Where standard error does not keep up, lines are lost rather than requests
/// held up; how many is said as soon as there is room.
const MOST_BYTES: usize = 4 << 20;

/// Makes writers that append to the batch.
#[derive(Debug, Clone)]
pub(super) struct Batched(Arc<Shared>);

/// Writes what is left when it is dropped.
#[derive(Debug)]
#[must_use = "dropping it stops the log"]
pub(crate) struct LogGuard {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    batch: Mutex<Batch>,
    wake: Condvar,
}

#[derive(Debug, Default)]
struct Batch {
    lines: Vec<u8>,
    lost: u64,
    closed: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Batch> {
        self.batch.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a line, then a while for more.
    fn gathered(&self) -> MutexGuard<'_, Batch> {
        let idle = |batch: &mut Batch| batch.lines.is_empty() && !batch.closed;
        let batch = self
            .wake
            .wait_while(self.lock(), idle)
            .unwrap_or_else(PoisonError::into_inner);
        let pause = self
            .wake
            .wait_timeout_while(batch, PAUSE, |batch| !batch.closed);
        pause.unwrap_or_else(PoisonError::into_inner).0
    }

    /// Writes batches until the guard is dropped.
    fn run(&self, mut out: impl Write) {
        let mut writing = Vec::new();
        loop {
            let mut batch = self.gathered();
            std::mem::swap(&mut batch.lines, &mut writing);
            let (lost, closed) = (std::mem::take(&mut batch.lost), batch.closed);
            drop(batch);
            // Nobody is left to tell that standard error is gone.
            let _ = out.write_all(&writing);
            if lost > 0 {
                let _ = writeln!(
                    out,
                    "{lost} log lines were lost: standard error does not keep up"
                );
            }
            writing.clear();
            if closed {
                return;
            }
        }
    }
}

impl Batched {
    /// Starts the thread.
    pub(super) fn start() -> io::Result<(Self, LogGuard)> {
        let shared = Arc::new(Shared {
            batch: Mutex::default(),
            wake: Condvar::new(),
        });
        let writer = shared.clone();
        let thread = std::thread::Builder::new().name("log".to_owned());
        let thread = thread.spawn(move || writer.run(io::stderr()))?;
        Ok((
            Self(shared.clone()),
            LogGuard {
                shared,
                thread: Some(thread),
            },
        ))
    }
}

impl Drop for LogGuard {
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.wake.notify_one();
        if let Some(thread) = self.thread.take() {
            // A panic there has been printed already.
            let _ = thread.join();
        }
    }
}

impl Write for &Batched {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut batch = self.0.lock();
        if batch.lines.len() + line.len() > MOST_BYTES {
            batch.lost += 1;
        } else {
            let first = batch.lines.is_empty();
            batch.lines.extend_from_slice(line);
            drop(batch);
            if first {
                self.0.wake.notify_one();
            }
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Batched {
    type Writer = &'a Self;

    fn make_writer(&'a self) -> Self::Writer {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(lines: &[Vec<u8>]) -> Vec<u8> {
        let shared = Arc::new(Shared {
            batch: Mutex::default(),
            wake: Condvar::new(),
        });
        let batched = Batched(shared.clone());
        for line in lines {
            (&batched).write_all(line).unwrap();
        }
        shared.lock().closed = true;
        let mut out = Vec::new();
        shared.run(&mut out);
        out
    }

    #[test]
    fn what_was_logged_is_written_at_the_end() {
        assert_eq!(written(&[b"a\n".to_vec(), b"b\n".to_vec()]), b"a\nb\n");
    }

    #[test]
    fn lines_beyond_the_bound_are_counted_and_said() {
        let line = vec![b'x'; MOST_BYTES / 2];
        let out = written(&[line.clone(), line.clone(), line.clone(), line]);
        let end = String::from_utf8_lossy(&out[MOST_BYTES..]).into_owned();
        assert_eq!(
            end,
            "2 log lines were lost: standard error does not keep up\n"
        );
    }
}
