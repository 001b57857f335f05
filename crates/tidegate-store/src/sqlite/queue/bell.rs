//! Hears what other processes do to the file.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rusqlite::Connection;
use tokio::sync::watch;

use super::tally;
use crate::error::OpenError;
use crate::sqlite::file::DatabaseFile;

/// How often the file is looked at while somebody listens: it costs a few
/// microseconds.
const LOOK: Duration = Duration::from_millis(25);

/// A bell, and the thread that rings it for other processes.
pub(super) struct Bell {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    bell: watch::Sender<u64>,
    /// The last ring in the file that was heard.
    heard: AtomicI64,
    closing: AtomicBool,
}

impl Bell {
    pub(super) fn hang(file: &DatabaseFile) -> Result<Self, OpenError> {
        let db = file.open_to_read()?;
        let shared = Arc::new(Shared {
            bell: watch::Sender::new(0),
            heard: AtomicI64::new(tally::rung(&db).unwrap_or_default()),
            closing: AtomicBool::new(false),
        });
        let (listener, name) = (shared.clone(), "sqlite-bell".to_owned());
        let thread = thread::Builder::new().name(name);
        let thread = thread.spawn(move || listener.listen(&db));
        Ok(Self {
            shared,
            thread: Mutex::new(Some(thread.map_err(|error| file.unusable(&error))?)),
        })
    }

    /// This process has rung for the time of this number.
    pub(super) fn ring(&self, rung: i64) {
        self.shared.heard.fetch_max(rung, Ordering::AcqRel);
        self.shared.bell.send_modify(|rung| *rung += 1);
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<u64> {
        let receiver = self.shared.bell.subscribe();
        if let Some(thread) = &*self.thread() {
            thread.thread().unpark();
        }
        receiver
    }

    pub(super) async fn close(&self) {
        self.shared.closing.store(true, Ordering::Release);
        let thread = self.thread().take();
        if let Some(thread) = thread {
            thread.thread().unpark();
            let joined = tokio::task::spawn_blocking(move || drop(thread.join()));
            drop(joined.await);
        }
    }

    fn thread(&self) -> std::sync::MutexGuard<'_, Option<JoinHandle<()>>> {
        self.thread.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Bell {
    fn drop(&mut self) {
        self.shared.closing.store(true, Ordering::Release);
        if let Some(thread) = &*self.thread() {
            thread.thread().unpark();
        }
    }
}

impl Shared {
    /// Sleeps while nobody listens.
    fn listen(&self, db: &Connection) {
        let mut seen = None;
        while !self.closing.load(Ordering::Acquire) {
            if self.bell.receiver_count() == 0 {
                thread::park();
                continue;
            }
            // What cannot be read now is looked at again in a moment.
            let version = data_version(db).ok();
            if version.is_some() && version != seen {
                seen = version;
                self.hear(tally::rung(db).unwrap_or_default());
            }
            thread::park_timeout(LOOK);
        }
    }

    fn hear(&self, rung: i64) {
        if self.heard.fetch_max(rung, Ordering::AcqRel) < rung {
            self.bell.send_modify(|rung| *rung += 1);
        }
    }
}

/// Differs when another connection has written.
fn data_version(db: &Connection) -> rusqlite::Result<i64> {
    let mut version = db.prepare_cached("PRAGMA data_version")?;
    version.query_row([], |row| row.get(0))
}

impl fmt::Debug for Bell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bell").finish_non_exhaustive()
    }
}
