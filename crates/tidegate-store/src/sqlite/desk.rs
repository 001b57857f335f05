//! Where the async side leaves work for threads that may block.

use std::fmt;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::timeout;

use crate::error::StoreError;

/// Kibibytes that may wait in front of one desk; a small question counts as one.
const ROOM_KIB: u32 = 64 << 10;
/// How long somebody waits to be let in.
const PATIENCE: Duration = Duration::from_secs(5);

/// A bounded queue in front of threads, and the threads.
pub(super) struct Desk<J> {
    queue: Mutex<Option<Sender<Asked<J>>>>,
    room: Arc<Semaphore>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

/// A job, and the room that it takes until it is dropped.
pub(super) struct Asked<J> {
    pub(super) job: J,
    _room: OwnedSemaphorePermit,
}

pub(super) type Queue<J> = mpsc::Receiver<Asked<J>>;

impl<J> Desk<J> {
    /// A desk and the end of its queue.
    pub(super) fn new() -> (Self, Queue<J>) {
        let (sender, receiver) = channel();
        let desk = Self {
            queue: Mutex::new(Some(sender)),
            room: Arc::new(Semaphore::new(ROOM_KIB as usize)),
            threads: Mutex::default(),
        };
        (desk, receiver)
    }

    /// Keeps a thread that [`close`](Self::close) waits for.
    pub(super) fn keep(&self, thread: JoinHandle<()>) {
        lock(&self.threads).push(thread);
    }

    /// Leaves a job of this many bytes and waits for its answer. Dropping the
    /// future leaves the job where it is: it may be done all the same.
    pub(super) async fn ask<T>(
        &self,
        bytes: usize,
        job: impl FnOnce(oneshot::Sender<T>) -> J,
    ) -> Result<T, StoreError> {
        let kib = u32::try_from(bytes / 1_024).unwrap_or(u32::MAX);
        let kib = kib.saturating_add(1).min(ROOM_KIB);
        let room = self.room.clone().acquire_many_owned(kib);
        let room = timeout(PATIENCE, room).await.map_err(|_| crowded())?;
        let room = room.map_err(|_| closed())?;
        let (reply, answer) = oneshot::channel();
        let asked = Asked {
            job: job(reply),
            _room: room,
        };
        let sent = match &*lock(&self.queue) {
            Some(queue) => queue.send(asked).is_ok(),
            None => false,
        };
        if !sent {
            return Err(closed());
        }
        answer.await.map_err(|_| closed())
    }

    /// Lets nobody in any more, and waits until all that was asked is done.
    pub(super) async fn close(&self) {
        self.room.close();
        drop(lock(&self.queue).take());
        let threads = std::mem::take(&mut *lock(&self.threads));
        let joined = tokio::task::spawn_blocking(move || {
            for thread in threads {
                // A thread that panicked has nothing more to write.
                drop(thread.join());
            }
        });
        drop(joined.await);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn crowded() -> StoreError {
    let reason =
        format!("the disk has been too slow for {PATIENCE:?}, and no more may wait for it");
    StoreError::Refused { reason }
}

fn closed() -> StoreError {
    let reason = "the database is closed".to_owned();
    StoreError::Refused { reason }
}

impl<J> fmt::Debug for Desk<J> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Desk")
            .field("room_kib", &self.room.available_permits())
            .finish_non_exhaustive()
    }
}
