//! The queue in the same file as the records, by the same threads.

mod bell;
mod changing;
mod entry;
mod putting;
mod reading;
mod taking;
mod tally;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use rusqlite::Connection;
use tokio::sync::watch;

use super::SqliteRecords;
use super::clock::Clock;
use super::desk::Desk;
use super::failure::{Stage, store_error};
use super::reader::Question;
use super::session::Session;
use super::writer::{self, AnyJob, Flush};
use crate::entries::{self, Part as Packed, check_change, check_put};
use crate::error::{OpenError, StoreError};
use crate::queue::{
    Change, Changed, Counts, Entry, EntryName, Head, Held, Holding, Part, Placed, Put, PutError,
    Queue, Shelf, Take, Taken,
};
use bell::Bell;
use changing::SealedChange;
use putting::SealedPut;
use reading::Stored;
use taking::Wanted;

pub(super) use tally::Tally;

/// The SQLite home of [`Queue`], over the file of some records. Cheap to clone.
///
/// Several processes may open the same folder: one of them hears of what
/// another one has put within 50 ms. Whatever was acknowledged was flushed to
/// the disk, except that holders are still there and what they note: that
/// outlives the process and not a loss of power.
#[derive(Debug, Clone)]
pub struct SqliteQueue {
    write: Arc<Desk<AnyJob>>,
    read: Arc<Desk<Question>>,
    clock: Clock,
    bell: Arc<Bell>,
}

impl SqliteQueue {
    /// The queue beside these records. It is closed before they are.
    ///
    /// # Errors
    /// [`OpenError::File`] when the file cannot be opened once more.
    pub fn beside(records: &SqliteRecords) -> Result<Self, OpenError> {
        Ok(Self {
            write: records.write.clone(),
            read: records.read.clone(),
            clock: records.clock,
            bell: Arc::new(Bell::hang(&records.file)?),
        })
    }

    /// Listens to other processes no more.
    pub async fn close(&self) {
        self.bell.close().await;
    }

    /// Does something in a transaction, which others may join.
    async fn step<T: Send + 'static>(
        &self,
        (bytes, flush): (usize, Flush),
        work: impl FnMut(&mut Session<'_>) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let job = |reply| writer::job((bytes, flush), work, reply);
        self.write.ask(bytes, job).await?
    }

    /// The same for what others should hear of.
    async fn ring_after<T: Send + 'static>(
        &self,
        bytes: usize,
        mut work: impl FnMut(&mut Session<'_>) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let step = move |session: &mut Session<'_>| {
            let done = work(session)?;
            Ok((session.tally.rung(session.db)?, done))
        };
        let (rung, done) = self.step((bytes, Flush::Yes), step).await?;
        if let Some(rung) = rung {
            self.bell.ring(rung);
        }
        Ok(done)
    }

    async fn look<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Connection, Clock) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let question = |reply: tokio::sync::oneshot::Sender<_>| {
            Question::Else(Box::new(move |db, clock| {
                if !reply.is_closed() {
                    reply.send(look(db, clock)).ok();
                }
            }))
        };
        let found = self.read.ask(0, question).await?;
        found.map_err(|error| store_error(&error, Stage::Before))
    }
}

#[async_trait]
impl Queue for SqliteQueue {
    async fn put(&self, entries: Vec<Put>, most: u64) -> Result<Vec<Placed>, PutError> {
        let mut sealed = Vec::with_capacity(entries.len());
        let mut bytes = 0;
        for put in entries {
            check_put(&put)?;
            let put = SealedPut::seal(put).await?;
            bytes += put.bytes();
            sealed.push(put);
        }
        let put = move |session: &mut Session<'_>| putting::put(session, &sealed, most);
        self.ring_after(bytes, put).await?
    }

    async fn take(&self, take: Take<'_>) -> Result<Taken, StoreError> {
        let wanted = Wanted::from(&take);
        let take = move |session: &mut Session<'_>| taking::take(session, &wanted);
        let (stored, next) = self.step((0, Flush::Yes), take).await?;
        let mut entries = Vec::with_capacity(stored.len());
        for stored in stored {
            entries.push(stored.entry().await?);
        }
        Ok(Taken { entries, next })
    }

    async fn hold(&self, held: &[Holding], hold: Duration) -> Result<Vec<Held>, StoreError> {
        let held = held.to_vec();
        let hold = move |session: &mut Session<'_>| {
            let each = held.iter().map(|held| changing::hold(session, held, hold));
            each.collect::<rusqlite::Result<Vec<Held>>>()
        };
        self.step((0, Flush::No), hold).await
    }

    async fn note(&self, held: &Holding, note: Bytes) -> Result<bool, StoreError> {
        let note = entries::seal(&held.name, Packed::Note, &note).await?;
        let (held, bytes) = (held.clone(), note.len());
        let note = move |session: &mut Session<'_>| changing::note(session, &held, &note);
        self.step((bytes, Flush::No), note).await
    }

    async fn change(&self, changes: Vec<Change>) -> Result<Vec<Changed>, StoreError> {
        let mut sealed = Vec::with_capacity(changes.len());
        let mut bytes = 0;
        for change in changes {
            check_change(&change)?;
            let change = SealedChange::seal(change).await?;
            bytes += change.bytes();
            sealed.push(change);
        }
        let change = move |session: &mut Session<'_>| {
            let each = sealed
                .iter()
                .map(|change| changing::change(session, change));
            each.collect::<rusqlite::Result<Vec<Changed>>>()
        };
        self.ring_after(bytes, change).await
    }

    async fn stop(&self, name: &EntryName) -> Result<bool, StoreError> {
        let name = name.clone();
        let stop = move |session: &mut Session<'_>| changing::stop(session, &name);
        self.ring_after(0, stop).await
    }

    async fn get(&self, name: &EntryName) -> Result<Option<Entry>, StoreError> {
        let name = name.clone();
        let stored = self.look(move |db, _| Stored::named(db, &name)).await?;
        match stored {
            Some(stored) => Ok(Some(stored.entry().await?)),
            None => Ok(None),
        }
    }

    async fn list(&self, owner: &str, shelf: Shelf, part: &Part) -> Result<Vec<Head>, StoreError> {
        let (owner, part) = (owner.to_owned(), part.clone());
        let look = move |db: &Connection, _| reading::list(db, &owner, shelf, &part);
        let mut heads = Vec::new();
        for stored in self.look(look).await? {
            heads.push(stored.entry().await?.head);
        }
        Ok(heads)
    }

    async fn counts(&self) -> Result<Counts, StoreError> {
        self.look(reading::counts).await
    }

    async fn sweep(&self, most: u64) -> Result<u64, StoreError> {
        let sweep = move |session: &mut Session<'_>| changing::sweep(session, most);
        self.step((0, Flush::Yes), sweep).await
    }

    fn bell(&self) -> watch::Receiver<u64> {
        self.bell.subscribe()
    }

    async fn now_ms(&self) -> Result<u64, StoreError> {
        Ok(self.clock.now_ms().cast_unsigned())
    }
}

#[cfg(test)]
mod tests;
