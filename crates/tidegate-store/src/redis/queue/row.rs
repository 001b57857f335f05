//! An entry's row, as the scripts and this process read it.

use std::collections::BTreeSet;

use redis::Pipeline;

use super::PREFIX;
use crate::entries::{self, Part as Packed, shelf_of};
use crate::queue::{Entry, EntryName, Head, Put, Stamps, Tries};
use crate::redis::records::digest;

/// What is in a row, as far as it is there: where it stands, what never changes,
/// input, state, note, result.
pub(super) type Fields = (
    Option<Vec<u8>>,
    Option<Vec<u8>>,
    Option<Vec<u8>>,
    Option<Vec<u8>>,
    Option<Vec<u8>>,
    Option<Vec<u8>>,
);

/// What names the row of an entry.
pub(super) fn digest_of(name: &EntryName) -> [u8; 16] {
    digest(&[&name.owner, &name.id])
}

/// Asks for a row.
pub(super) fn read(pipe: &mut Pipeline, row: &[u8; 16]) {
    let key = [PREFIX.as_bytes(), b"e:", row].concat();
    let fields = &["d", "s", "b", "z", "n", "r"];
    pipe.cmd("HMGET").arg(key).arg(fields);
}

/// What never changes of an entry. Scripts read it up to the id.
pub(super) fn known(put: &Put) -> Vec<u8> {
    let owner = &put.name.owner;
    let mut known = digest(&[owner]).to_vec();
    known.push(u8::try_from(put.lane.len()).unwrap_or(u8::MAX));
    known.extend(put.lane.as_bytes());
    match &put.key {
        Some(key) => {
            known.push(16);
            known.extend(digest(&[owner, key]));
        }
        None => known.push(0),
    }
    let parents = parents(put);
    let parents: Vec<[u8; 16]> = parents.iter().map(|id| digest(&[owner, id])).collect();
    push(&mut known, &parents.concat());
    push(&mut known, put.name.id.as_bytes());
    push(&mut known, owner.as_bytes());
    known.extend(entries::spell(&put.after));
    known
}

/// What an entry follows, each once.
pub(super) fn parents(put: &Put) -> BTreeSet<String> {
    put.after.iter().cloned().collect()
}

fn push(known: &mut Vec<u8>, part: &[u8]) {
    let length = u32::try_from(part.len()).unwrap_or(u32::MAX);
    known.extend(length.to_le_bytes());
    known.extend(part);
}

/// What [`known`] wrote: the lane, the name, and what it follows.
fn read_known(known: &[u8]) -> Option<(String, EntryName, Vec<String>)> {
    let mut rest = known.get(16..)?;
    let lane = short(&mut rest)?;
    short(&mut rest)?;
    long(&mut rest)?;
    let id = text(long(&mut rest)?)?;
    let owner = text(long(&mut rest)?)?;
    Some((
        text(lane)?,
        EntryName { owner, id },
        entries::read_ids(rest)?,
    ))
}

fn text(bytes: &[u8]) -> Option<String> {
    std::str::from_utf8(bytes).ok().map(str::to_owned)
}

fn short<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, after) = rest.split_first()?;
    let (part, after) = after.split_at_checked(usize::from(*length))?;
    *rest = after;
    Some(part)
}

fn long<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, after) = rest.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
    let (part, after) = after.split_at_checked(length)?;
    *rest = after;
    Some(part)
}

const STOPPING: u8 = 2;
const BROKEN: u8 = 4;
/// Ranks are so far apart in the order of what is ready.
const RANK: u64 = 1 << 44;

/// Where an entry stands, without its name and its bytes.
fn read_data(data: &[u8]) -> Option<Head> {
    let (bytes, data) = data.split_first_chunk::<3>()?;
    let (counts, data) = data.split_first_chunk::<16>()?;
    let counts: [[u8; 4]; 4] = counts.as_chunks().0.try_into().ok()?;
    let (moments, rest) = data.as_chunks::<8>();
    let moments: [[u8; 8]; 7] = moments.try_into().ok()?;
    if !rest.is_empty() {
        return None;
    }
    let [version, score, put_ms, due_ms, begun_ms, ended_ms, _] =
        moments.map(|moment| f64::from_le_bytes(moment) as u64);
    let [begun, lost, ..] = counts.map(u32::from_le_bytes);
    let [shelf, marks, _] = *bytes;
    Some(Head {
        name: EntryName {
            owner: String::new(),
            id: String::new(),
        },
        lane: String::new(),
        rank: u8::try_from(score / RANK).ok()?,
        shelf: shelf_of(shelf)?,
        version,
        after: Vec::new(),
        broken: marks & BROKEN != 0,
        stopping: marks & STOPPING != 0,
        tries: Tries { begun, lost },
        stamps: Stamps {
            put_ms,
            due_ms,
            begun_ms,
            ended_ms,
        },
        state: bytes::Bytes::new(),
        note: bytes::Bytes::new(),
    })
}

/// The entry of a row; `None` where it is none that can be told to anybody.
pub(super) async fn entry(fields: Fields) -> Option<Entry> {
    let (data, known, input, state, note, result) = fields;
    let head = data.as_deref().and_then(read_data);
    let known = known.as_deref().and_then(read_known);
    let (Some(mut head), Some((lane, name, after))) = (head, known) else {
        return None;
    };
    let input = match input {
        Some(input) => entries::open(&name, Packed::Input, input).await,
        None => None,
    };
    let result = match result {
        Some(result) => entries::open(&name, Packed::Result, result).await,
        None => None,
    };
    let state = entries::open(&name, Packed::State, state.unwrap_or_default()).await;
    let note = entries::open(&name, Packed::Note, note.unwrap_or_default()).await;
    head.state = state.unwrap_or_default();
    head.note = note.unwrap_or_default();
    (head.lane, head.name, head.after) = (lane, name, after);
    Some(Entry {
        head,
        input,
        result,
    })
}
