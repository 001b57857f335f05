//! An entry as a step sees it: all but its bytes.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::tally::Tally;
use crate::entries::FIRST_END;
use crate::queue::{EntryName, WELL};
use crate::sqlite::session::Session;

/// Its holder has begun.
pub(super) const BEGUN: i64 = 1;
/// Its holder is asked to stop.
pub(super) const STOPPING: i64 = 2;
/// Something that it follows has not ended well.
pub(super) const BROKEN: i64 = 4;
/// It follows something, and has never ended.
pub(super) const FOLLOWS: i64 = 8;

/// By what an entry is found: `place` in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Nowhere,
    Ready,
    Broken,
    Later,
    Held,
    Ended,
}

pub(super) const WAITING: u8 = 0;
pub(super) const DUE: u8 = 1;
pub(super) const AGAIN: u8 = 2;
pub(super) const HELD: u8 = 3;
/// The shelf of what has ended well.
const ENDED_WELL: u8 = FIRST_END + WELL;

/// What a step reads and writes of an entry.
#[derive(Debug, Clone)]
pub(super) struct Spot {
    pub(super) seq: i64,
    pub(super) lane: String,
    pub(super) rank: u8,
    pub(super) shelf: u8,
    /// The number of its [`Place`], and where it is among those there.
    pub(super) place: (i64, i64),
    pub(super) version: i64,
    pub(super) marks: i64,
    /// How many it waits for, and how many need it.
    pub(super) ties: (i64, i64),
    /// How often it was begun, and how often lost.
    pub(super) tries: (i64, i64),
    /// When it was put, is due, was begun, has ended.
    pub(super) stamps: [i64; 4],
    /// Its shelf and the number of its place in the file.
    before: (u8, i64),
}

pub(super) const COLUMNS: &str = "seq, lane, rank, shelf, place, at, version, marks, waits, \
     needed, begun, lost, put_ms, due_ms, begun_ms, ended_ms";
const SAVE: &str = "UPDATE entry SET shelf = ?2, place = ?3, at = ?4, version = ?5, marks = ?6,
    waits = ?7, needed = ?8, begun = ?9, lost = ?10, due_ms = ?11, begun_ms = ?12, ended_ms = ?13
    WHERE seq = ?1";

/// When it is due, in [`Spot::stamps`].
pub(super) const DUE_MS: usize = 1;
pub(super) const BEGUN_MS: usize = 2;
pub(super) const ENDED_MS: usize = 3;

impl Spot {
    pub(super) fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        let (shelf, place) = (row.get(3)?, row.get(4)?);
        Ok(Self {
            seq: row.get(0)?,
            lane: row.get(1)?,
            rank: row.get(2)?,
            shelf,
            place: (place, row.get(5)?),
            version: row.get(6)?,
            marks: row.get(7)?,
            ties: (row.get(8)?, row.get(9)?),
            tries: (row.get(10)?, row.get(11)?),
            stamps: [row.get(12)?, row.get(13)?, row.get(14)?, row.get(15)?],
            before: (shelf, place),
        })
    }

    pub(super) fn named(db: &Connection, name: &EntryName) -> rusqlite::Result<Option<Self>> {
        Self::beside(db, &name.owner, &name.id)
    }

    pub(super) fn beside(db: &Connection, owner: &str, id: &str) -> rusqlite::Result<Option<Self>> {
        let statement = Self::select("WHERE owner = ?1 AND id = ?2");
        let mut find = db.prepare_cached(&statement)?;
        find.query_row(params![owner, id], Self::read).optional()
    }

    /// A statement that [`Self::all`] runs.
    pub(super) fn select(rest: &str) -> String {
        format!("SELECT {COLUMNS} FROM entry {rest}")
    }

    /// All that a statement finds, whose columns are [`COLUMNS`].
    pub(super) fn all(
        db: &Connection,
        rest: &str,
        params: impl rusqlite::Params,
    ) -> rusqlite::Result<Vec<Self>> {
        let mut find = db.prepare_cached(&Self::select(rest))?;
        find.query_map(params, Self::read)?.collect()
    }

    pub(super) fn is(&self, mark: i64) -> bool {
        self.marks & mark != 0
    }

    pub(super) fn mark(&mut self, mark: i64) {
        self.marks |= mark;
    }

    pub(super) fn unmark(&mut self, mark: i64) {
        self.marks &= !mark;
    }

    pub(super) fn has_ended(&self) -> bool {
        self.shelf >= FIRST_END
    }

    pub(super) fn ended_well(&self) -> bool {
        self.shelf == ENDED_WELL
    }

    pub(super) fn begin(&mut self, now_ms: i64) {
        self.mark(BEGUN);
        self.tries.0 += 1;
        self.stamps[BEGUN_MS] = now_ms;
    }

    /// Puts it on a shelf, to be found by what is to become of it there; what is
    /// held or has ended is there until some time.
    pub(super) fn shelve(&mut self, shelf: u8, until_ms: i64, now_ms: i64) {
        self.shelf = shelf;
        let due_ms = self.stamps[DUE_MS];
        let (place, at) = match shelf {
            WAITING => (Place::Nowhere, 0),
            DUE | AGAIN if self.is(BROKEN) => (Place::Broken, self.seq),
            DUE | AGAIN if due_ms > now_ms => (Place::Later, due_ms),
            DUE | AGAIN => (Place::Ready, 0),
            HELD => (Place::Held, until_ms),
            _ if self.ties.1 > 0 => (Place::Nowhere, until_ms),
            _ => (Place::Ended, until_ms),
        };
        self.place = (place as i64, at);
    }

    /// More need it, or fewer: what has ended stays meanwhile.
    pub(super) fn need(&mut self, more: i64) {
        self.ties.1 += more;
        if self.has_ended() {
            let place = if self.ties.1 > 0 {
                Place::Nowhere
            } else {
                Place::Ended
            };
            self.place.0 = place as i64;
        }
    }

    pub(super) fn save(&self, session: &mut Session<'_>) -> rusqlite::Result<()> {
        self.tally(&mut session.tally);
        let mut save = session.db.prepare_cached(SAVE)?;
        save.execute(params![
            self.seq,
            self.shelf,
            self.place.0,
            self.place.1,
            self.version,
            self.marks,
            self.ties.0,
            self.ties.1,
            self.tries.0,
            self.tries.1,
            self.stamps[DUE_MS],
            self.stamps[BEGUN_MS],
            self.stamps[ENDED_MS],
        ])?;
        Ok(())
    }

    fn tally(&self, tally: &mut Tally) {
        let (shelf, place) = self.before;
        if shelf != self.shelf {
            tally.count((&self.lane, self.rank), shelf, -1);
            tally.count((&self.lane, self.rank), self.shelf, 1);
        }
        let stays = |shelf, place| i64::from(shelf >= FIRST_END && place == Place::Nowhere as i64);
        tally.keep_ended(stays(self.shelf, self.place.0) - stays(shelf, place));
    }
}
