//! Who is next.

use std::time::Duration;

use rusqlite::{Connection, params};

use super::entry::{AGAIN, BEGUN, DUE_MS, HELD, Spot};
use super::putting::at;
use super::reading::Stored;
use crate::queue::{OLDEST_EVERY, RANKS, Take, When};
use crate::sqlite::session::Session;

/// Entries that become due, or free, in one step.
const MOVED_TOGETHER: i64 = 1_000;

/// A [`Take`] that can wait for a thread.
#[derive(Debug)]
pub(super) struct Wanted {
    lanes: Vec<(String, Option<u32>)>,
    most: usize,
    begin: usize,
    hold: Duration,
}

impl From<&Take<'_>> for Wanted {
    fn from(take: &Take<'_>) -> Self {
        let mut lanes: Vec<(String, Option<u32>)> = Vec::new();
        for lane in take.lanes {
            if !lanes.iter().any(|(name, _)| name == lane.name) {
                lanes.push((lane.name.to_owned(), lane.most_held));
            }
        }
        Self {
            lanes,
            most: take.most,
            begin: take.begin,
            hold: take.hold,
        }
    }
}

/// SQLite uses an index over a part of the rows where its condition is asked for,
/// word by word.
const BROKEN: &str = "WHERE place = 2 AND place > 1 ORDER BY at LIMIT ?1";
const FIRST: &str = "WHERE lane = ?1 AND place = 1 ORDER BY rank, seq LIMIT 1";
const FIRST_OF_RANK: &str = "WHERE lane = ?1 AND rank = ?2 AND place = 1 ORDER BY seq LIMIT 1";
const SILENT: &str = "WHERE place = 4 AND place > 1 AND at <= ?1 ORDER BY at LIMIT ?2";
const LET_IN: &str = "UPDATE entry SET place = 1, at = 0 WHERE seq IN
    (SELECT seq FROM entry WHERE place = 3 AND place > 1 AND at <= ?1 ORDER BY at LIMIT ?2)";
/// Each with its own words: SQLite would look for the way anew whenever another
/// place is bound.
const NEXT: [&str; 2] = [
    "SELECT min(at) FROM entry WHERE place = 3 AND place > 1",
    "SELECT min(at) FROM entry WHERE place = 4 AND place > 1",
];

/// A lane with room, and what is first in it.
struct Open<'a> {
    name: &'a str,
    room: i64,
    first: Option<Spot>,
}

type Answer = (Vec<Stored>, Option<Duration>);

pub(super) fn take(session: &mut Session<'_>, wanted: &Wanted) -> rusqlite::Result<Answer> {
    let_go(session)?;
    let_in(session)?;
    let mut taken = Vec::new();
    if wanted.most > 0 {
        let most = i64::try_from(wanted.most).unwrap_or(i64::MAX);
        for broken in Spot::all(session.db, BROKEN, [most])? {
            session.tally.take(session.db)?;
            give(session, broken, wanted, &mut taken)?;
        }
    }
    let mut lanes = open_lanes(session, wanted)?;
    while taken.len() < wanted.most && !lanes.is_empty() {
        let number = session.tally.take(session.db)?;
        let which = if number.is_multiple_of(OLDEST_EVERY) {
            oldest(session.db, &mut lanes)?
        } else {
            let first = |lane: &Open<'_>| lane.first.as_ref().map(|spot| (spot.rank, spot.seq));
            (0..lanes.len()).min_by_key(|n| first(&lanes[*n]))
        };
        let Some(which) = which else { break };
        let lane = &mut lanes[which];
        let Some(next) = lane.first.take() else { break };
        give(session, next, wanted, &mut taken)?;
        lane.room -= 1;
        lane.first = first_of(session.db, lane.name)?;
        lanes.retain(|lane| lane.room > 0 && lane.first.is_some());
    }
    Ok((taken, next_in(session)?))
}

fn open_lanes<'a>(session: &Session<'_>, wanted: &'a Wanted) -> rusqlite::Result<Vec<Open<'a>>> {
    let mut open = Vec::new();
    for (name, most_held) in &wanted.lanes {
        let room = match most_held {
            Some(most) => i64::from(*most) - session.tally.held(session.db, name)?,
            None => i64::MAX,
        };
        let first = if room > 0 {
            first_of(session.db, name)?
        } else {
            None
        };
        if first.is_some() {
            open.push(Open { name, room, first });
        }
    }
    Ok(open)
}

fn first_of(db: &Connection, lane: &str) -> rusqlite::Result<Option<Spot>> {
    Ok(Spot::all(db, FIRST, [lane])?.pop())
}

/// The lane of the entry that was put first, which then is the first there.
fn oldest(db: &Connection, lanes: &mut [Open<'_>]) -> rusqlite::Result<Option<usize>> {
    let mut found: Option<(usize, Spot)> = None;
    for (n, lane) in lanes.iter().enumerate() {
        for rank in 0..RANKS {
            let first = Spot::all(db, FIRST_OF_RANK, params![lane.name, rank])?.pop();
            if let Some(first) = first
                && found.as_ref().is_none_or(|(_, spot)| first.seq < spot.seq)
            {
                found = Some((n, first));
            }
        }
    }
    Ok(found.map(|(n, spot)| {
        lanes[n].first = Some(spot);
        n
    }))
}

fn give(
    session: &mut Session<'_>,
    mut spot: Spot,
    wanted: &Wanted,
    taken: &mut Vec<Stored>,
) -> rusqlite::Result<()> {
    let now_ms = session.now_ms;
    spot.version = session.versions.next();
    spot.unmark(BEGUN);
    if taken.len() < wanted.begin {
        spot.begin(now_ms);
    }
    let until_ms = at(session.now_ms, When::In(wanted.hold));
    spot.shelve(HELD, until_ms, now_ms);
    spot.save(session)?;
    taken.extend(Stored::at(session.db, spot.seq)?);
    Ok(())
}

/// Takes back what its holder has been silent about for too long.
pub(super) fn let_go(session: &mut Session<'_>) -> rusqlite::Result<()> {
    let now_ms = session.now_ms;
    for mut spot in Spot::all(session.db, SILENT, [now_ms, MOVED_TOGETHER])? {
        spot.version = session.versions.next();
        spot.tries.1 += i64::from(spot.is(BEGUN));
        spot.stamps[DUE_MS] = now_ms;
        spot.shelve(AGAIN, 0, now_ms);
        spot.save(session)?;
    }
    Ok(())
}

/// Makes ready what has become due.
fn let_in(session: &mut Session<'_>) -> rusqlite::Result<()> {
    let now_ms = session.now_ms;
    let mut let_in = session.db.prepare_cached(LET_IN)?;
    let_in.execute([now_ms, MOVED_TOGETHER])?;
    Ok(())
}

fn next_in(session: &Session<'_>) -> rusqlite::Result<Option<Duration>> {
    let mut next: Option<i64> = None;
    for statement in NEXT {
        let mut first = session.db.prepare_cached(statement)?;
        let first: Option<i64> = first.query_row([], |row| row.get(0))?;
        next = next.into_iter().chain(first).min();
    }
    let wait = next.map(|next| next.saturating_sub(session.now_ms).max(0));
    Ok(wait.map(|wait| Duration::from_millis(wait.cast_unsigned())))
}

#[cfg(test)]
pub(super) fn statements() -> Vec<String> {
    let entries = [BROKEN, FIRST, FIRST_OF_RANK, SILENT];
    let entries = entries.map(Spot::select);
    let others = [LET_IN, NEXT[0], NEXT[1]].map(str::to_owned);
    [&entries[..], &others].concat()
}
