//! What becomes of entries after they were taken.

use std::collections::BTreeSet;
use std::time::Duration;

use rusqlite::{OptionalExtension, params};

use super::entry::{
    AGAIN, BEGUN, BROKEN, DUE, DUE_MS, ENDED_MS, FOLLOWS, HELD, STOPPING, Spot, WAITING,
};
use super::putting::at;
use super::taking;
use crate::entries::{self, FIRST_END, Part as Packed};
use crate::error::StoreError;
use crate::queue::{Begun, Change, Changed, EntryName, Held, Holding, To, WELL, When};
use crate::sqlite::session::Session;

/// Entries that one sweep removes at most.
const SWEPT_TOGETHER: i64 = 128;

/// A change whose bytes are packed.
#[derive(Debug)]
pub(super) struct SealedChange {
    name: EntryName,
    version: i64,
    to: To,
    state: Vec<u8>,
    result: Option<Vec<u8>>,
    token: [u8; 8],
}

impl SealedChange {
    pub(super) async fn seal(change: Change) -> Result<Self, StoreError> {
        let name = &change.name;
        let result = match &change.result {
            Some(result) => Some(entries::seal(name, Packed::Result, result).await?),
            None => None,
        };
        Ok(Self {
            version: change.version.cast_signed(),
            to: change.to,
            state: entries::seal(name, Packed::State, &change.state).await?,
            result,
            token: entries::token(&change),
            name: change.name,
        })
    }

    pub(super) fn bytes(&self) -> usize {
        self.state.len() + self.result.as_ref().map_or(0, Vec::len)
    }

    /// The token of an entry that this change has given a version.
    fn mark(&self, version: i64) -> Vec<u8> {
        [version.to_le_bytes(), self.token].concat()
    }
}

const TOKEN: &str = "SELECT token FROM entry WHERE seq = ?1";
const LEAVE: &str = "UPDATE entry SET token = ?2, state = ?3, result = ?4 WHERE seq = ?1";
const NOTE: &str = "UPDATE entry SET note = ?2 WHERE seq = ?1";
const AFTER: &str = "SELECT owner, after FROM entry WHERE seq = ?1";
const FOLLOWERS: &str = "WHERE seq IN (SELECT follower FROM entry_follower WHERE parent = ?1)";
const FORGET_FOLLOWERS: &str = "DELETE FROM entry_follower WHERE parent = ?1";
const FORGET_FOLLOWER: &str = "DELETE FROM entry_follower WHERE parent = ?1 AND follower = ?2";
const OVER: &str = "WHERE place = 5 AND place > 1 ORDER BY at LIMIT ?1";
const REMOVE: &str = "DELETE FROM entry WHERE seq = ?1";
const REMOVE_INPUT: &str = "DELETE FROM entry_input WHERE seq = ?1";

fn holder(session: &Session<'_>, held: &Holding) -> rusqlite::Result<Option<Spot>> {
    let spot = Spot::named(session.db, &held.name)?;
    Ok(spot.filter(|spot| spot.shelf == HELD && spot.version.cast_unsigned() == held.version))
}

pub(super) fn hold(
    session: &mut Session<'_>,
    held: &Holding,
    hold: Duration,
) -> rusqlite::Result<Held> {
    let Some(mut spot) = holder(session, held)? else {
        return Ok(Held::Lost);
    };
    let now_ms = session.now_ms;
    if held.begun == Begun::Yes && !spot.is(BEGUN) {
        spot.begin(now_ms);
    }
    spot.shelve(HELD, at(session.now_ms, When::In(hold)), now_ms);
    spot.save(session)?;
    Ok(if spot.is(STOPPING) {
        Held::Stopping
    } else {
        Held::Yes
    })
}

pub(super) fn note(
    session: &mut Session<'_>,
    held: &Holding,
    note: &[u8],
) -> rusqlite::Result<bool> {
    let Some(spot) = holder(session, held)? else {
        return Ok(false);
    };
    let mut leave = session.db.prepare_cached(NOTE)?;
    leave.execute(params![spot.seq, note])?;
    Ok(true)
}

pub(super) fn stop(session: &mut Session<'_>, name: &EntryName) -> rusqlite::Result<bool> {
    let spot = Spot::named(session.db, name)?;
    let Some(mut spot) = spot.filter(|spot| spot.shelf == HELD) else {
        return Ok(false);
    };
    spot.mark(STOPPING);
    spot.save(session)?;
    session.tally.ring();
    Ok(true)
}

pub(super) fn change(
    session: &mut Session<'_>,
    change: &SealedChange,
) -> rusqlite::Result<Changed> {
    let Some(mut spot) = Spot::named(session.db, &change.name)? else {
        return Ok(Changed::Lost);
    };
    if spot.version != change.version {
        return was_made(session, &spot, change);
    }
    let now_ms = session.now_ms;
    spot.version = session.versions.next();
    spot.stamps[ENDED_MS] = 0;
    let (shelf, when) = match change.to {
        To::Due(when) if spot.ties.0 > 0 => (WAITING, when),
        To::Due(when) => (DUE, when),
        To::Again(when) => (AGAIN, when),
        To::Ended { how, keep } => (FIRST_END + how, When::In(keep)),
    };
    let ends = shelf >= FIRST_END;
    let waits = ends || !spot.is(STOPPING);
    let until_ms = at(now_ms, if waits { when } else { When::Now });
    if ends {
        spot.stamps[ENDED_MS] = now_ms;
        spot.unmark(STOPPING);
        spot.ties.0 = 0;
    } else {
        spot.stamps[DUE_MS] = until_ms;
        spot.unmark(BROKEN);
    }
    let followed = ends && spot.is(FOLLOWS);
    spot.unmark(if ends { FOLLOWS } else { 0 });
    spot.shelve(shelf, until_ms, now_ms);
    spot.save(session)?;
    let mut leave = session.db.prepare_cached(LEAVE)?;
    let token = change.mark(spot.version);
    leave.execute(params![spot.seq, token, change.state, change.result])?;
    if followed {
        unfollow(session, spot.seq)?;
    }
    // What nothing needs is followed by nothing: to look costs more than the rest.
    if ends && spot.ties.1 > 0 {
        let_follow(session, &spot)?;
    }
    session.tally.ring();
    Ok(Changed::To(spot.version.cast_unsigned()))
}

/// The answer to a change of another version than the entry has.
fn was_made(
    session: &Session<'_>,
    spot: &Spot,
    change: &SealedChange,
) -> rusqlite::Result<Changed> {
    let mut token = session.db.prepare_cached(TOKEN)?;
    let token: Option<Option<Vec<u8>>> =
        token.query_row([spot.seq], |row| row.get(0)).optional()?;
    Ok(if token.flatten() == Some(change.mark(spot.version)) {
        Changed::To(spot.version.cast_unsigned())
    } else {
        Changed::Lost
    })
}

/// What an entry follows is not needed by it any more.
fn unfollow(session: &mut Session<'_>, seq: i64) -> rusqlite::Result<()> {
    let db = session.db;
    let mut after = db.prepare_cached(AFTER)?;
    let (owner, after): (String, Vec<u8>) =
        after.query_row([seq], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let after: BTreeSet<String> = entries::read_ids(&after)
        .unwrap_or_default()
        .into_iter()
        .collect();
    for id in after {
        let Some(mut parent) = Spot::beside(db, &owner, &id)? else {
            continue;
        };
        let mut forget = db.prepare_cached(FORGET_FOLLOWER)?;
        forget.execute([parent.seq, seq])?;
        parent.need(-1);
        parent.save(session)?;
    }
    Ok(())
}

/// Lets go on, or hands out, what follows an entry that has ended.
fn let_follow(session: &mut Session<'_>, ended: &Spot) -> rusqlite::Result<()> {
    let now_ms = session.now_ms;
    for mut follower in Spot::all(session.db, FOLLOWERS, [ended.seq])? {
        follower.ties.0 -= 1;
        let is_well = ended.shelf == FIRST_END + WELL;
        if follower.shelf == WAITING && (!is_well || follower.ties.0 == 0) {
            if !is_well {
                follower.mark(BROKEN);
            }
            follower.shelve(DUE, 0, now_ms);
        }
        follower.save(session)?;
    }
    let mut forget = session.db.prepare_cached(FORGET_FOLLOWERS)?;
    forget.execute([ended.seq])?;
    Ok(())
}

pub(super) fn sweep(session: &mut Session<'_>, most: u64) -> rusqlite::Result<u64> {
    taking::let_go(session)?;
    let most = i64::try_from(most).unwrap_or(i64::MAX);
    let too_many = session.tally.removable(session.db)?.saturating_sub(most);
    let now_ms = session.now_ms;
    let over = Spot::all(session.db, OVER, [SWEPT_TOGETHER])?;
    let mut swept = 0;
    for spot in over {
        if spot.place.1 > now_ms && swept >= too_many {
            break;
        }
        session.db.prepare_cached(REMOVE)?.execute([spot.seq])?;
        session
            .db
            .prepare_cached(REMOVE_INPUT)?
            .execute([spot.seq])?;
        session.tally.count((&spot.lane, spot.rank), spot.shelf, -1);
        swept += 1;
    }
    Ok(swept.cast_unsigned())
}

#[cfg(test)]
pub(super) fn statements() -> Vec<String> {
    let entries = [FOLLOWERS, OVER].map(Spot::select);
    let others = [TOKEN, LEAVE, NOTE, AFTER, FORGET_FOLLOWERS, REMOVE];
    [&entries[..], &others.map(str::to_owned)].concat()
}
