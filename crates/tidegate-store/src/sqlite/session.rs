//! What the jobs of one transaction have in common.

use rusqlite::Connection;

use crate::sqlite::clock::Clock;
use crate::sqlite::queue::Tally;
use crate::sqlite::rows::Versions;

/// One transaction, as a job sees it.
pub(super) struct Session<'a> {
    pub(super) db: &'a Connection,
    pub(super) clock: Clock,
    /// The time that all of it happens at.
    pub(super) now_ms: i64,
    pub(super) versions: Versions,
    pub(super) tally: Tally,
}

impl<'a> Session<'a> {
    /// Must begin and [`end`](Self::end) within one transaction.
    pub(super) fn begin(db: &'a Connection, clock: Clock) -> rusqlite::Result<Self> {
        Ok(Self {
            db,
            clock,
            now_ms: clock.now_ms(),
            versions: Versions::read(db)?,
            tally: Tally::default(),
        })
    }

    /// Writes what the jobs have counted.
    pub(super) fn end(self) -> rusqlite::Result<()> {
        self.versions.keep(self.db)?;
        self.tally.keep(self.db)
    }
}
