//! Entries as they are read.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, Params, Row, params};

use super::entry::{AGAIN, BROKEN, COLUMNS, DUE, STOPPING, Spot};
use crate::entries::{self, Part as Packed, number_of, shelf_of};
use crate::error::StoreError;
use crate::queue::{Count, Counts, Entry, EntryName, Head, Part, Shelf, Stamps, Tries};
use crate::sqlite::clock::Clock;

/// An entry whose bytes are packed.
#[derive(Debug)]
pub(super) struct Stored {
    spot: Spot,
    name: EntryName,
    after: Vec<u8>,
    state: Vec<u8>,
    note: Vec<u8>,
    result: Option<Vec<u8>>,
    input: Option<Vec<u8>>,
}

/// With its input, or with nothing in its place.
fn select(input: &str, rest: &str) -> String {
    format!("SELECT {COLUMNS}, owner, id, after, state, note, result, {input} FROM entry {rest}")
}

const INPUT: &str = "(SELECT input FROM entry_input WHERE entry_input.seq = entry.seq)";
const LIST: &str = "WHERE owner = ?1 AND shelf = ?2 ORDER BY put_ms DESC, id DESC LIMIT ?3";
const LIST_AFTER: &str = "WHERE owner = ?1 AND shelf = ?2 AND (put_ms, id) < (?4, ?5)
    ORDER BY put_ms DESC, id DESC LIMIT ?3";
const COUNTS: &str = "SELECT lane, rank, shelf, entries FROM entry_count WHERE entries > 0";
const OLDEST: &str = "SELECT seq, due_ms FROM entry
    WHERE lane = ?1 AND rank = ?2 AND place = 1 ORDER BY seq LIMIT 1";

impl Stored {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        let (owner, id) = (row.get(16)?, row.get(17)?);
        Ok(Self {
            spot: Spot::read(row)?,
            name: EntryName { owner, id },
            after: row.get(18)?,
            state: row.get(19)?,
            note: row.get(20)?,
            result: row.get(21)?,
            input: row.get(22)?,
        })
    }

    fn find(
        db: &Connection,
        statement: &str,
        params: impl Params,
    ) -> rusqlite::Result<Option<Self>> {
        let mut find = db.prepare_cached(statement)?;
        find.query_row(params, Self::read).optional()
    }

    pub(super) fn at(db: &Connection, seq: i64) -> rusqlite::Result<Option<Self>> {
        Self::find(db, &select(INPUT, "WHERE seq = ?1"), [seq])
    }

    pub(super) fn named(db: &Connection, name: &EntryName) -> rusqlite::Result<Option<Self>> {
        let statement = select(INPUT, "WHERE owner = ?1 AND id = ?2");
        Self::find(db, &statement, [&name.owner, &name.id])
    }

    /// What cannot be read of it is missing.
    pub(super) async fn entry(self) -> Result<Entry, StoreError> {
        let (spot, name) = (self.spot, self.name);
        let what = "a shelf of the queue";
        let shelf = shelf_of(spot.shelf).ok_or(StoreError::Corrupt { what })?;
        let input = match self.input {
            Some(input) => entries::open(&name, Packed::Input, input).await,
            None => None,
        };
        let result = match self.result {
            Some(result) => entries::open(&name, Packed::Result, result).await,
            None => None,
        };
        let state = entries::open(&name, Packed::State, self.state).await;
        let note = entries::open(&name, Packed::Note, self.note).await;
        let few = |number: i64| u32::try_from(number).unwrap_or(u32::MAX);
        let [put_ms, due_ms, begun_ms, ended_ms] = spot.stamps.map(i64::cast_unsigned);
        let head = Head {
            name,
            rank: spot.rank,
            shelf,
            version: spot.version.cast_unsigned(),
            after: entries::read_ids(&self.after).unwrap_or_default(),
            broken: spot.is(BROKEN),
            stopping: spot.is(STOPPING),
            tries: Tries {
                begun: few(spot.tries.0),
                lost: few(spot.tries.1),
            },
            stamps: Stamps {
                put_ms,
                due_ms,
                begun_ms,
                ended_ms,
            },
            state: state.unwrap_or_default(),
            note: note.unwrap_or_default(),
            lane: spot.lane,
        };
        Ok(Entry {
            head,
            input,
            result,
        })
    }
}

pub(super) fn list(
    db: &Connection,
    owner: &str,
    shelf: Shelf,
    part: &Part,
) -> rusqlite::Result<Vec<Stored>> {
    let (shelf, limit) = (
        number_of(shelf),
        i64::try_from(part.limit).unwrap_or(i64::MAX),
    );
    match &part.after {
        None => {
            let mut all = db.prepare_cached(&select("NULL", LIST))?;
            let rows = all.query_map(params![owner, shelf, limit], Stored::read)?;
            rows.collect()
        }
        Some((put_ms, id)) => {
            let put_ms = i64::try_from(*put_ms).unwrap_or(i64::MAX);
            let mut rest = db.prepare_cached(&select("NULL", LIST_AFTER))?;
            let rows = rest.query_map(params![owner, shelf, limit, put_ms, id], Stored::read)?;
            rows.collect()
        }
    }
}

pub(super) fn counts(db: &Connection, clock: Clock) -> rusqlite::Result<Counts> {
    let mut counts = Vec::new();
    let mut oldest: Option<(i64, i64)> = None;
    let mut find = db.prepare_cached(COUNTS)?;
    let mut rows = find.query([])?;
    while let Some(row) = rows.next()? {
        let (lane, rank, number): (String, u8, u8) = (row.get(0)?, row.get(1)?, row.get(2)?);
        if number == DUE || number == AGAIN {
            let mut first = db.prepare_cached(OLDEST)?;
            let first = first.query_row(params![lane, rank], |row| Ok((row.get(0)?, row.get(1)?)));
            oldest = oldest.into_iter().chain(first.optional()?).min();
        }
        let entries: i64 = row.get(3)?;
        if let Some(shelf) = shelf_of(number) {
            counts.push(Count {
                lane,
                rank,
                shelf,
                entries: entries.cast_unsigned(),
            });
        }
    }
    let waited = oldest.map(|(_, due_ms)| clock.now_ms().saturating_sub(due_ms).max(0));
    Ok(Counts {
        counts,
        oldest: waited.map(|waited| Duration::from_millis(waited.cast_unsigned())),
    })
}

#[cfg(test)]
pub(super) fn statements() -> Vec<String> {
    let lists = [LIST, LIST_AFTER].map(|rest| select("NULL", rest));
    let one = select(INPUT, "WHERE seq = ?1");
    [&lists[..], &[one, OLDEST.to_owned()]].concat()
}
