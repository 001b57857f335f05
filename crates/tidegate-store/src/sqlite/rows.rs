//! The statements, over one connection.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, Row as SqlRow, params};

use crate::error::StoreError;
use crate::records::{Expect, Record, RowKey, WriteError};
use crate::sealed;
use crate::sqlite::clock::Clock;
use crate::sqlite::failure::{Stage, store_error};
use crate::sqlite::reader::List;
use crate::sqlite::session::Session;
use crate::sqlite::writer::Done;

/// A [`RowKey`] that can wait for a thread.
#[derive(Debug)]
pub(super) struct Key {
    table: &'static str,
    owner: String,
    id: String,
}

impl From<RowKey<'_>> for Key {
    fn from(key: RowKey<'_>) -> Self {
        Self {
            table: key.table,
            owner: key.owner.to_owned(),
            id: key.id.to_owned(),
        }
    }
}

impl Key {
    pub(super) fn bytes(&self) -> usize {
        self.owner.len() + self.id.len()
    }
}

/// What is to become of a row.
#[derive(Debug)]
pub(super) enum Change {
    Put {
        /// As it is stored.
        value: Vec<u8>,
        group: String,
        ttl: Option<Duration>,
        expect: Expect,
    },
    Touch {
        ttl: Duration,
    },
    Delete {
        expect: Expect,
    },
}

impl Change {
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Put { value, group, .. } => value.len() + group.len(),
            Self::Touch { .. } | Self::Delete { .. } => 0,
        }
    }
}

const ALIVE: &str = "SELECT version FROM record
    WHERE tbl = ?1 AND owner = ?2 AND id = ?3 AND (until IS NULL OR until > ?4)";
const PUT: &str = "INSERT INTO record (tbl, owner, id, grp, version, until, seal, value)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
    ON CONFLICT (tbl, owner, id) DO UPDATE SET grp = excluded.grp, version = excluded.version,
    until = excluded.until, seal = excluded.seal, value = excluded.value";
const TOUCH: &str = "UPDATE record SET until = ?5
    WHERE tbl = ?1 AND owner = ?2 AND id = ?3 AND (until IS NULL OR until > ?4)";
const DELETE: &str = "DELETE FROM record WHERE tbl = ?1 AND owner = ?2 AND id = ?3";
const GET: &str = "SELECT id, grp, version, seal, value FROM record
    WHERE tbl = ?1 AND owner = ?2 AND id = ?3 AND (until IS NULL OR until > ?4)";
const LIST: &str = "SELECT id, grp, version, seal, value FROM record
    WHERE tbl = ?1 AND owner = ?2 AND grp = ?3 AND (until IS NULL OR until > ?4)
    ORDER BY id LIMIT ?5";
const LIST_AFTER: &str = "SELECT id, grp, version, seal, value FROM record
    WHERE tbl = ?1 AND owner = ?2 AND grp = ?3 AND (until IS NULL OR until > ?4) AND id > ?6
    ORDER BY id LIMIT ?5";
const ANY_EXPIRED: &str = "SELECT 1 FROM record WHERE until <= ?1 LIMIT 1";
const SWEEP: &str = "DELETE FROM record WHERE rowid IN
    (SELECT rowid FROM record WHERE until <= ?1 ORDER BY until LIMIT ?2)";

/// Versions of one database, each given once.
#[derive(Debug)]
pub(super) struct Versions {
    stored: i64,
    last: i64,
}

impl Versions {
    /// Must be read and kept within one transaction.
    pub(super) fn read(db: &Connection) -> rusqlite::Result<Self> {
        let mut read = db.prepare_cached("SELECT last FROM version")?;
        let stored = read.query_row([], |row| row.get(0))?;
        Ok(Self {
            stored,
            last: stored,
        })
    }

    pub(super) fn next(&mut self) -> i64 {
        self.last += 1;
        self.last
    }

    pub(super) fn keep(&self, db: &Connection) -> rusqlite::Result<()> {
        if self.last != self.stored {
            let mut keep = db.prepare_cached("UPDATE version SET last = ?1")?;
            keep.execute([self.last])?;
        }
        Ok(())
    }
}

/// What a change came to: that it was not as expected is an answer, and the
/// other changes of its transaction go on.
pub(super) type Outcome = Result<Done, WriteError>;

pub(super) fn apply(
    session: &mut Session<'_>,
    key: &Key,
    change: &Change,
) -> rusqlite::Result<Outcome> {
    let (db, clock) = (session.db, session.clock);
    match change {
        Change::Put { expect, .. } => {
            if !is_as_expected(alive(db, key, clock)?, *expect) {
                return Ok(Err(WriteError::Conflict));
            }
            let version = session.versions.next();
            put(db, key, change, version, clock)?;
            Ok(Ok(Done::Version(version.cast_unsigned())))
        }
        Change::Touch { ttl } => {
            let (now, until) = (clock.now_ms(), clock.after_ms(*ttl));
            let mut touch = db.prepare_cached(TOUCH)?;
            let touched = touch.execute(params![key.table, key.owner, key.id, now, until])?;
            Ok(Ok(Done::WasThere(touched > 0)))
        }
        Change::Delete { expect } => {
            let version = alive(db, key, clock)?;
            if !is_as_expected(version, *expect) {
                return Ok(Err(WriteError::Conflict));
            }
            let mut delete = db.prepare_cached(DELETE)?;
            delete.execute(params![key.table, key.owner, key.id])?;
            Ok(Ok(Done::WasThere(version.is_some())))
        }
    }
}

fn alive(db: &Connection, key: &Key, clock: Clock) -> rusqlite::Result<Option<i64>> {
    let mut alive = db.prepare_cached(ALIVE)?;
    alive
        .query_row(
            params![key.table, key.owner, key.id, clock.now_ms()],
            |row| row.get(0),
        )
        .optional()
}

fn is_as_expected(version: Option<i64>, expect: Expect) -> bool {
    match expect {
        Expect::Absent => version.is_none(),
        Expect::Version(read) => version.map(i64::cast_unsigned) == Some(read),
        Expect::Anything => true,
    }
}

fn put(
    db: &Connection,
    key: &Key,
    change: &Change,
    version: i64,
    clock: Clock,
) -> rusqlite::Result<()> {
    let Change::Put {
        value, group, ttl, ..
    } = change
    else {
        return Ok(());
    };
    let until = ttl.map(|ttl| clock.after_ms(ttl));
    let seal = seal(version, value);
    let mut put = db.prepare_cached(PUT)?;
    put.execute(params![
        key.table, key.owner, key.id, group, version, until, seal, value
    ])?;
    Ok(())
}

/// Ties a row to its version; the envelope of the value ties the value to the
/// row. SQLite itself does not notice a bit that has changed within either.
fn seal(version: i64, value: &[u8]) -> i64 {
    // The envelope begins with a checksum of all of it.
    let head = &value[..value.len().min(HEAD_BYTES)];
    let mut hasher = blake3::Hasher::new();
    hasher.update(&version.to_le_bytes());
    hasher.update(head);
    let mut first = [0; 8];
    hasher.finalize_xof().fill(&mut first);
    i64::from_le_bytes(first)
}

const HEAD_BYTES: usize = 32;

/// A row as it lies there.
struct Found {
    id: String,
    group: String,
    version: i64,
    seal: i64,
    value: Vec<u8>,
}

impl Found {
    fn read(row: &SqlRow<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            id: row.get(0)?,
            group: row.get(1)?,
            version: row.get(2)?,
            seal: row.get(3)?,
            value: row.get(4)?,
        })
    }

    fn record(self, table: &'static str, owner: &str) -> Result<Record, StoreError> {
        if seal(self.version, &self.value) != self.seal {
            let what = "a row of one version";
            return Err(StoreError::Corrupt { what });
        }
        let id = &self.id;
        let names = sealed::names(RowKey { table, owner, id }, &self.group);
        Ok(Record {
            value: sealed::open(&names, self.value)?,
            id: self.id,
            group: self.group,
            version: self.version.cast_unsigned(),
        })
    }
}

fn failed(error: rusqlite::Error) -> StoreError {
    store_error(&error, Stage::Before)
}

pub(super) fn get(db: &Connection, key: &Key, clock: Clock) -> Result<Option<Record>, StoreError> {
    let found = || {
        let mut get = db.prepare_cached(GET)?;
        let place = params![key.table, key.owner, key.id, clock.now_ms()];
        get.query_row(place, Found::read).optional()
    };
    let found: Option<Found> = found().map_err(failed)?;
    found
        .map(|found| found.record(key.table, &key.owner))
        .transpose()
}

pub(super) fn list(db: &Connection, list: &List, clock: Clock) -> Result<Vec<Record>, StoreError> {
    let limit = i64::try_from(list.limit).unwrap_or(i64::MAX);
    let (now, group) = (clock.now_ms(), &list.group);
    let found = || match &list.after {
        None => {
            let place = params![list.table, list.owner, group, now, limit];
            let mut all = db.prepare_cached(LIST)?;
            all.query_map(place, Found::read)?.collect()
        }
        Some(after) => {
            let place = params![list.table, list.owner, group, now, limit, after];
            let mut rest = db.prepare_cached(LIST_AFTER)?;
            rest.query_map(place, Found::read)?.collect()
        }
    };
    let found: rusqlite::Result<Vec<Found>> = found();
    found
        .map_err(failed)?
        .into_iter()
        .map(|found| found.record(list.table, &list.owner))
        .collect()
}

/// Whether there is something to sweep: looking takes no lock.
pub(super) fn any_expired(db: &Connection, clock: Clock) -> rusqlite::Result<bool> {
    db.prepare_cached(ANY_EXPIRED)?.exists([clock.now_ms()])
}

/// Removes up to `most` expired rows and returns how many they were.
pub(super) fn sweep(db: &Connection, most: usize, clock: Clock) -> rusqlite::Result<usize> {
    let most = i64::try_from(most).unwrap_or(i64::MAX);
    db.prepare_cached(SWEEP)?
        .execute(params![clock.now_ms(), most])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sqlite::file::STEPS;

    fn plan(db: &Connection, statement: &str) -> String {
        let mut plan = db
            .prepare(&format!("EXPLAIN QUERY PLAN {statement}"))
            .unwrap();
        let count = plan.parameter_count();
        let steps = plan.query_map(rusqlite::params_from_iter(vec![1; count]), |row| {
            row.get::<_, String>(3)
        });
        let steps: Vec<String> = steps.unwrap().map(Result::unwrap).collect();
        steps.join("; ")
    }

    #[test]
    fn no_statement_reads_more_than_it_needs() {
        let db = Connection::open_in_memory().unwrap();
        db.execute_batch(STEPS[0]).unwrap();
        for (statement, by) in [
            (LIST, "record_by_group (tbl=? AND owner=? AND grp=?)"),
            (
                LIST_AFTER,
                "record_by_group (tbl=? AND owner=? AND grp=? AND id>?)",
            ),
            (GET, "(tbl=? AND owner=? AND id=?)"),
            (ALIVE, "(tbl=? AND owner=? AND id=?)"),
            (TOUCH, "(tbl=? AND owner=? AND id=?)"),
            (DELETE, "(tbl=? AND owner=? AND id=?)"),
            (ANY_EXPIRED, "record_by_until (until<?)"),
            (SWEEP, "record_by_until (until<?)"),
        ] {
            let plan = plan(&db, statement);
            assert!(plan.contains(by), "{plan} for {statement}");
            assert!(!plan.contains("SCAN") && !plan.contains("B-TREE"), "{plan}");
        }
    }

    #[test]
    fn a_seal_depends_on_the_version_and_on_the_envelope() {
        let first = seal(1, b"envelope");
        assert_eq!(first, seal(1, b"envelope"));
        assert_ne!(first, seal(2, b"envelope"));
        assert_ne!(first, seal(1, b"envelopf"));
    }
}
