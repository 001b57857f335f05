//! Rows in an SQLite file: what was acknowledged is there after a crash of the
//! process, and after a loss of power.
//!
//! One thread writes. What waits for it is written in one transaction, so that
//! one flush of the disk acknowledges all of it. A few other threads read.

mod clock;
mod desk;
mod failure;
mod file;
mod look;
mod queue;
mod reader;
mod rows;
mod session;
#[cfg(test)]
mod tests;
mod writer;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::error::{OpenError, StoreError};
use crate::records::{Expect, Page, Record, Records, Row, RowKey, WriteError};
use crate::sealed;
use crate::state::Remark;
use clock::Clock;
use desk::Desk;
use file::DatabaseFile;
use reader::Question;
use rows::{Change, Key};
use session::Session;
use writer::{AnyJob, Done, Flush};

pub use queue::SqliteQueue;

/// The SQLite home of [`Records`]. Cheap to clone.
///
/// Several processes may open the same folder. A row expires by the clock of
/// whoever looks: a clock that is set while a process runs does not move what
/// that process sees; one that was set while none ran lengthens or shortens
/// what is left of every row by as much.
#[derive(Debug, Clone)]
pub struct SqliteRecords {
    write: Arc<Desk<AnyJob>>,
    read: Arc<Desk<Question>>,
    file: DatabaseFile,
    clock: Clock,
}

impl SqliteRecords {
    /// Opens `tidegate.db` in a folder, and makes both where they are missing.
    ///
    /// # Errors
    /// [`OpenError::File`] says which file or folder cannot be used, and why.
    pub async fn open(folder: &Path) -> Result<Self, OpenError> {
        let folder = folder.to_owned();
        let opened = tokio::task::spawn_blocking(move || Self::open_now(&folder)).await;
        opened.unwrap_or_else(|panicked| std::panic::resume_unwind(panicked.into_panic()))
    }

    fn open_now(folder: &Path) -> Result<Self, OpenError> {
        let file = DatabaseFile::at(folder)?;
        let writer = file.open_to_write()?;
        let clock = Clock::start();
        Ok(Self {
            read: Arc::new(reader::start(&file, clock)?),
            write: Arc::new(writer::start(&file, writer, clock)?),
            file,
            clock,
        })
    }

    /// Ends after what was asked for is written. Whoever asks later is refused.
    pub async fn close(&self) {
        // The last connection to close writes the log back into the database;
        // that must be the one that may.
        self.read.close().await;
        self.write.close().await;
    }

    /// How the file is doing.
    pub async fn inspect(&self) -> Vec<Remark> {
        let asked = self.read.ask(0, Question::Look).await;
        match asked.and_then(|answer| answer) {
            Ok(remarks) => remarks,
            Err(error) => vec![look::fault(&error)],
        }
    }

    async fn change(&self, key: RowKey<'_>, change: Change) -> Result<Done, WriteError> {
        let key = Key::from(key);
        let bytes = change.bytes() + key.bytes();
        let work = move |session: &mut Session<'_>| rows::apply(session, &key, &change);
        let job = |reply| writer::job((bytes, Flush::Yes), work, reply);
        self.write.ask(bytes, job).await??
    }
}

#[async_trait]
impl Records for SqliteRecords {
    async fn get(&self, key: RowKey<'_>) -> Result<Option<Record>, StoreError> {
        let key = Key::from(key);
        self.read.ask(0, |reply| Question::Get(key, reply)).await?
    }

    async fn put(&self, key: RowKey<'_>, row: Row<'_>, expect: Expect) -> Result<u64, WriteError> {
        let change = Change::Put {
            value: sealed::seal(key, row).await?,
            group: row.group.to_owned(),
            ttl: row.ttl,
            expect,
        };
        Ok(self.change(key, change).await?.version())
    }

    async fn touch(&self, key: RowKey<'_>, ttl: Duration) -> Result<bool, StoreError> {
        match self.change(key, Change::Touch { ttl }).await {
            Ok(done) => Ok(done.was_there()),
            Err(WriteError::Store(error)) => Err(error),
            // A touch expects nothing.
            Err(WriteError::Conflict) => Ok(false),
        }
    }

    async fn delete(&self, key: RowKey<'_>, expect: Expect) -> Result<bool, WriteError> {
        let done = self.change(key, Change::Delete { expect }).await?;
        Ok(done.was_there())
    }

    async fn list(
        &self,
        table: &'static str,
        owner: &str,
        group: &str,
        page: Page<'_>,
    ) -> Result<Vec<Record>, StoreError> {
        let list = reader::List {
            table,
            owner: owner.to_owned(),
            group: group.to_owned(),
            after: page.after.map(str::to_owned),
            limit: page.limit,
        };
        self.read
            .ask(0, |reply| Question::List(list, reply))
            .await?
    }
}
