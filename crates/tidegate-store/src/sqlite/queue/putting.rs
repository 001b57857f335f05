//! Puts entries: all of them or none.

use std::collections::{BTreeSet, HashMap, HashSet};

use rusqlite::{Connection, OptionalExtension, params};

use super::entry::{BEGUN, BROKEN, DUE, FOLLOWS, HELD, Place, Spot, WAITING};
use crate::entries::{self, Part as Packed, millis};
use crate::error::StoreError;
use crate::queue::{MOST_FOLLOWERS, Placed, Put, PutError, When};
use crate::sqlite::session::Session;

/// An entry whose bytes are packed.
#[derive(Debug)]
pub(super) struct SealedPut {
    put: Put,
    after: Vec<u8>,
    input: Vec<u8>,
    state: Vec<u8>,
}

impl SealedPut {
    pub(super) async fn seal(mut put: Put) -> Result<Self, StoreError> {
        let input = std::mem::take(&mut put.input);
        let state = std::mem::take(&mut put.state);
        Ok(Self {
            after: entries::spell(&put.after),
            input: entries::seal(&put.name, Packed::Input, &input).await?,
            state: entries::seal(&put.name, Packed::State, &state).await?,
            put,
        })
    }

    pub(super) fn bytes(&self) -> usize {
        self.after.len() + self.input.len() + self.state.len()
    }

    /// What it follows, each once.
    fn parents(&self) -> BTreeSet<&str> {
        self.put.after.iter().map(String::as_str).collect()
    }
}

const BY_KEY: &str = "SELECT id FROM entry WHERE owner = ?1 AND key = ?2";
const IS_THERE: &str = "SELECT 1 FROM entry WHERE owner = ?1 AND id = ?2";
const FOLLOWERS: &str = "SELECT count(*) FROM entry_follower WHERE parent = ?1";
const INSERT: &str = "INSERT INTO entry (owner, id, lane, rank, key, after, shelf, place, at,
    version, marks, waits, needed, begun, lost, put_ms, due_ms, begun_ms, ended_ms, state, note)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, 0, ?13, 0, ?14, ?15, ?16, 0, ?17, x'')";
const INSERT_INPUT: &str = "INSERT INTO entry_input (seq, input) VALUES (?1, ?2)";
const INSERT_FOLLOWER: &str = "INSERT INTO entry_follower (parent, follower) VALUES (?1, ?2)";
const TO_BROKEN: &str = "UPDATE entry SET at = seq WHERE seq = ?1";

type Answer = Result<Vec<Placed>, PutError>;

/// What one call puts, as far as it was looked at.
#[derive(Default)]
struct Newcomers<'a> {
    names: HashSet<(&'a str, &'a str)>,
    /// With the ids of those that have them.
    keys: HashMap<(&'a str, &'a str), &'a str>,
    followers: HashMap<(&'a str, &'a str), usize>,
}

pub(super) fn put(
    session: &mut Session<'_>,
    entries: &[SealedPut],
    most: u64,
) -> rusqlite::Result<Answer> {
    let known = match check(session, entries, most)? {
        Ok(known) => known,
        Err(error) => return Ok(Err(error)),
    };
    let mut placed = Vec::with_capacity(entries.len());
    for (entry, known) in entries.iter().zip(known) {
        placed.push(match known {
            Some(id) => Placed::Known { id },
            None => place(session, entry)?,
        });
    }
    if placed
        .iter()
        .any(|placed| matches!(placed, Placed::New { .. }))
    {
        session.tally.ring();
    }
    Ok(Ok(placed))
}

/// The ids of those that are there; nothing is put where one cannot be.
fn check(
    session: &Session<'_>,
    entries: &[SealedPut],
    most: u64,
) -> rusqlite::Result<Result<Vec<Option<String>>, PutError>> {
    let mut new = Newcomers::default();
    let mut all_known = Vec::with_capacity(entries.len());
    for entry in entries {
        let known = known(session.db, &entry.put, &new)?;
        if known.is_none() {
            for after in entry.parents() {
                if let Err(error) = check_followed(session.db, &entry.put, after, &mut new)? {
                    return Ok(Err(error));
                }
            }
            new.add(&entry.put);
        }
        all_known.push(known);
    }
    let live = session.tally.live(session.db)?.cast_unsigned();
    if !new.names.is_empty() && live + new.names.len() as u64 > most {
        return Ok(Err(PutError::Full { limit: most }));
    }
    Ok(Ok(all_known))
}

impl<'a> Newcomers<'a> {
    fn add(&mut self, put: &'a Put) {
        let (owner, id) = (&*put.name.owner, &*put.name.id);
        self.names.insert((owner, id));
        if let Some(key) = &put.key {
            self.keys.insert((owner, key), id);
        }
    }
}

/// The entry that is meant: the one with its id before the one with its key.
fn known(db: &Connection, put: &Put, new: &Newcomers<'_>) -> rusqlite::Result<Option<String>> {
    let (owner, id) = (&*put.name.owner, &*put.name.id);
    if new.names.contains(&(owner, id)) || db.prepare_cached(IS_THERE)?.exists([owner, id])? {
        return Ok(Some(id.to_owned()));
    }
    let Some(key) = put.key.as_deref() else {
        return Ok(None);
    };
    if let Some(id) = new.keys.get(&(owner, key)) {
        return Ok(Some((*id).to_owned()));
    }
    let mut by_key = db.prepare_cached(BY_KEY)?;
    by_key.query_row([owner, key], |row| row.get(0)).optional()
}

fn check_followed<'a>(
    db: &Connection,
    put: &'a Put,
    after: &'a str,
    new: &mut Newcomers<'a>,
) -> rusqlite::Result<Result<(), PutError>> {
    let owner = &*put.name.owner;
    let (is_live, before) = match Spot::beside(db, owner, after)? {
        Some(parent) if parent.has_ended() => (false, 0),
        Some(parent) => {
            let mut followers = db.prepare_cached(FOLLOWERS)?;
            let before: i64 = followers.query_row([parent.seq], |row| row.get(0))?;
            (true, usize::try_from(before).unwrap_or(usize::MAX))
        }
        None if new.names.contains(&(owner, after)) => (true, 0),
        None => {
            let (id, after) = (put.name.id.clone(), after.to_owned());
            return Ok(Err(PutError::Missing { id, after }));
        }
    };
    let followers = new.followers.entry((owner, after)).or_default();
    *followers += usize::from(is_live);
    if before.saturating_add(*followers) > MOST_FOLLOWERS {
        let after = after.to_owned();
        return Ok(Err(PutError::Crowded { after }));
    }
    Ok(Ok(()))
}

/// What an entry follows, looked at: those that have not ended, and whether one
/// has ended badly.
fn follow(session: &mut Session<'_>, entry: &SealedPut) -> rusqlite::Result<(Vec<i64>, bool)> {
    let (mut live, mut is_broken) = (Vec::new(), false);
    for after in entry.parents() {
        let Some(mut parent) = Spot::beside(session.db, &entry.put.name.owner, after)? else {
            continue;
        };
        parent.need(1);
        parent.save(session)?;
        if !parent.has_ended() {
            live.push(parent.seq);
        }
        is_broken |= parent.has_ended() && !parent.ended_well();
    }
    Ok((live, is_broken))
}

/// When something is, by the clock of the file.
pub(super) fn at(now_ms: i64, when: When) -> i64 {
    match when {
        When::Now => now_ms,
        When::In(time) => now_ms.saturating_add(millis(time).cast_signed()),
        When::At(ms) => i64::try_from(ms).unwrap_or(i64::MAX).max(now_ms),
    }
}

fn place(session: &mut Session<'_>, entry: &SealedPut) -> rusqlite::Result<Placed> {
    let (live, is_broken) = follow(session, entry)?;
    let (put, now_ms) = (&entry.put, session.now_ms);
    let due_ms = at(now_ms, put.when);
    let version = session.versions.next();
    let is_held = put.held.is_some();
    let shelf = match put.held {
        Some(_) => HELD,
        None if !live.is_empty() && !is_broken => WAITING,
        None => DUE,
    };
    let (place, place_at) = match put.held {
        Some(hold) => (Place::Held, at(now_ms, When::In(hold))),
        None if shelf == WAITING => (Place::Nowhere, 0),
        None if is_broken => (Place::Broken, 0),
        None if due_ms > now_ms => (Place::Later, due_ms),
        None => (Place::Ready, 0),
    };
    let waits = i64::try_from(live.len()).unwrap_or(i64::MAX);
    let mark = |is_so: bool, mark: i64| i64::from(is_so) * mark;
    let marks =
        mark(is_held, BEGUN) | mark(is_broken, BROKEN) | mark(!put.after.is_empty(), FOLLOWS);
    let (db, begun_ms) = (session.db, i64::from(is_held) * now_ms);
    let mut insert = db.prepare_cached(INSERT)?;
    insert.execute(params![
        put.name.owner,
        put.name.id,
        put.lane,
        put.rank,
        put.key,
        entry.after,
        shelf,
        place as i64,
        place_at,
        version,
        marks,
        waits,
        is_held,
        now_ms,
        due_ms,
        begun_ms,
        entry.state
    ])?;
    let seq = db.last_insert_rowid();
    if is_broken {
        db.prepare_cached(TO_BROKEN)?.execute([seq])?;
    }
    db.prepare_cached(INSERT_INPUT)?
        .execute(params![seq, entry.input])?;
    for parent in live {
        db.prepare_cached(INSERT_FOLLOWER)?.execute([parent, seq])?;
    }
    session.tally.count((&put.lane, put.rank), shelf, 1);
    let version = version.cast_unsigned();
    Ok(Placed::New { version })
}

#[cfg(test)]
pub(super) fn statements() -> Vec<String> {
    let named = Spot::select("WHERE owner = ?1 AND id = ?2");
    let others = [BY_KEY, IS_THERE, FOLLOWERS, TO_BROKEN];
    [&[named][..], &others.map(str::to_owned)].concat()
}
