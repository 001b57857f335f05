//! What one transaction has counted.

use std::collections::HashMap;

use rusqlite::{Connection, params};

use crate::entries::FIRST_END;

/// Changes of the counters: written once, at the end of the transaction.
#[derive(Debug, Default)]
pub(in crate::sqlite) struct Tally {
    /// By lane, rank and shelf.
    counts: HashMap<(String, u8, u8), i64>,
    taken: i64,
    /// In the transactions before, once it was looked at.
    taken_before: Option<i64>,
    rung: i64,
    kept: i64,
}

const COUNT: &str = "INSERT INTO entry_count (lane, rank, shelf, entries) VALUES (?1, ?2, ?3, ?4)
    ON CONFLICT (lane, rank, shelf) DO UPDATE SET entries = entries + excluded.entries";
const FORGET: &str = "DELETE FROM entry_count
    WHERE lane = ?1 AND rank = ?2 AND shelf = ?3 AND entries <= 0";
const LAST: &str = "UPDATE entry_last SET taken = taken + ?1, rung = rung + ?2, kept = kept + ?3";
const SUM_OF_LANE: &str =
    "SELECT coalesce(sum(entries), 0) FROM entry_count WHERE lane = ?1 AND shelf = ?2";
const LIVE: &str = "SELECT coalesce(sum(entries), 0) FROM entry_count WHERE shelf < ?1";
const ENDED: &str = "SELECT coalesce(sum(entries), 0) FROM entry_count WHERE shelf >= ?1";
/// The number of the shelf of what is held.
const HELD: u8 = 3;

impl Tally {
    /// So many more entries of a lane and rank stand on a shelf.
    pub(super) fn count(&mut self, (lane, rank): (&str, u8), shelf: u8, more: i64) {
        let place = (lane.to_owned(), rank, shelf);
        *self.counts.entry(place).or_default() += more;
    }

    /// So many more stay though they have ended.
    pub(super) fn keep_ended(&mut self, more: i64) {
        self.kept += more;
    }

    pub(super) fn ring(&mut self) {
        self.rung += 1;
    }

    /// How often the bell was rung before and in this transaction; `None` where
    /// nobody did in this one.
    pub(super) fn rung(&self, db: &Connection) -> rusqlite::Result<Option<i64>> {
        if self.rung == 0 {
            return Ok(None);
        }
        Ok(Some(rung(db)? + self.rung))
    }

    /// How many were taken, this one included.
    pub(super) fn take(&mut self, db: &Connection) -> rusqlite::Result<u64> {
        let before = match self.taken_before {
            Some(before) => before,
            None => {
                let mut taken = db.prepare_cached("SELECT taken FROM entry_last")?;
                *self
                    .taken_before
                    .insert(taken.query_row([], |row| row.get(0))?)
            }
        };
        self.taken += 1;
        Ok((before + self.taken).cast_unsigned())
    }

    /// How many of a lane are held.
    pub(super) fn held(&self, db: &Connection, lane: &str) -> rusqlite::Result<i64> {
        let mut sum = db.prepare_cached(SUM_OF_LANE)?;
        let before: i64 = sum.query_row(params![lane, HELD], |row| row.get(0))?;
        let since = self.sum(|place, shelf| place == lane && shelf == HELD);
        Ok(before + since)
    }

    /// How many have not ended.
    pub(super) fn live(&self, db: &Connection) -> rusqlite::Result<i64> {
        let before: i64 = db
            .prepare_cached(LIVE)?
            .query_row([FIRST_END], |row| row.get(0))?;
        Ok(before + self.sum(|_, shelf| shelf < FIRST_END))
    }

    /// How many have ended and may be removed.
    pub(super) fn removable(&self, db: &Connection) -> rusqlite::Result<i64> {
        let ended: i64 = db
            .prepare_cached(ENDED)?
            .query_row([FIRST_END], |row| row.get(0))?;
        let mut kept = db.prepare_cached("SELECT kept FROM entry_last")?;
        let kept: i64 = kept.query_row([], |row| row.get(0))?;
        let since = self.sum(|_, shelf| shelf >= FIRST_END) - self.kept;
        Ok(ended - kept + since)
    }

    fn sum(&self, counts: impl Fn(&str, u8) -> bool) -> i64 {
        let these = self
            .counts
            .iter()
            .filter(|((lane, _, shelf), _)| counts(lane, *shelf));
        these.map(|(_, more)| more).sum()
    }

    pub(in crate::sqlite) fn keep(&self, db: &Connection) -> rusqlite::Result<()> {
        let mut count = db.prepare_cached(COUNT)?;
        for ((lane, rank, shelf), more) in &self.counts {
            if *more == 0 {
                continue;
            }
            count.execute(params![lane, rank, shelf, more])?;
            if *more < 0 {
                let mut forget = db.prepare_cached(FORGET)?;
                forget.execute(params![lane, rank, shelf])?;
            }
        }
        if (self.taken, self.rung, self.kept) != (0, 0, 0) {
            let mut last = db.prepare_cached(LAST)?;
            last.execute([self.taken, self.rung, self.kept])?;
        }
        Ok(())
    }
}

/// How often the bell was rung.
pub(super) fn rung(db: &Connection) -> rusqlite::Result<i64> {
    let mut rung = db.prepare_cached("SELECT rung FROM entry_last")?;
    rung.query_row([], |row| row.get(0))
}
