//! Entries in the memory of one process: they are gone when it ends.

mod model;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::entries::{check_change, check_put};
use crate::error::StoreError;
use crate::queue::{
    Change, Changed, Counts, Entry, EntryName, Head, Held, Holding, Part, Placed, Put, PutError,
    Queue, Shelf, Take, Taken,
};
use crate::sealed;
use model::Model;

/// The memory home of [`Queue`].
#[derive(Debug)]
pub struct MemoryQueue {
    model: Mutex<Model>,
    bell: watch::Sender<u64>,
    wall_ms: u64,
    since: Instant,
}

impl Default for MemoryQueue {
    fn default() -> Self {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH);
        Self {
            model: Mutex::default(),
            bell: watch::Sender::new(0),
            wall_ms: millis(wall.unwrap_or_default()),
            since: Instant::now(),
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl MemoryQueue {
    fn model(&self) -> MutexGuard<'_, Model> {
        let mut model = self.model.lock().unwrap_or_else(PoisonError::into_inner);
        model.now_ms = self.wall_ms + millis(self.since.elapsed());
        model
    }

    fn ring(&self) {
        self.bell.send_modify(|rung| *rung += 1);
    }
}

#[async_trait]
impl Queue for MemoryQueue {
    async fn put(&self, entries: Vec<Put>, most: u64) -> Result<Vec<Placed>, PutError> {
        entries.iter().try_for_each(check_put)?;
        let placed = self.model().put(entries, most)?;
        self.ring();
        Ok(placed)
    }

    async fn take(&self, take: Take<'_>) -> Result<Taken, StoreError> {
        Ok(self.model().take(&take))
    }

    async fn hold(&self, held: &[Holding], hold: Duration) -> Result<Vec<Held>, StoreError> {
        let mut model = self.model();
        Ok(held.iter().map(|held| model.hold(held, hold)).collect())
    }

    async fn note(&self, held: &Holding, note: Bytes) -> Result<bool, StoreError> {
        sealed::check_size(note.len())?;
        Ok(self.model().note(held, note))
    }

    async fn change(&self, changes: Vec<Change>) -> Result<Vec<Changed>, StoreError> {
        changes.iter().try_for_each(check_change)?;
        let changed = {
            let mut model = self.model();
            changes
                .into_iter()
                .map(|change| model.change(change))
                .collect()
        };
        self.ring();
        Ok(changed)
    }

    async fn stop(&self, name: &EntryName) -> Result<bool, StoreError> {
        let stopped = self.model().stop(name);
        self.ring();
        Ok(stopped)
    }

    async fn get(&self, name: &EntryName) -> Result<Option<Entry>, StoreError> {
        Ok(self.model().get(name))
    }

    async fn list(&self, owner: &str, shelf: Shelf, part: &Part) -> Result<Vec<Head>, StoreError> {
        Ok(self.model().list(owner, shelf, part))
    }

    async fn counts(&self) -> Result<Counts, StoreError> {
        Ok(self.model().counts())
    }

    async fn sweep(&self, most: u64) -> Result<u64, StoreError> {
        Ok(self.model().sweep(most))
    }

    fn bell(&self) -> watch::Receiver<u64> {
        self.bell.subscribe()
    }

    async fn now_ms(&self) -> Result<u64, StoreError> {
        Ok(self.model().now_ms)
    }
}
