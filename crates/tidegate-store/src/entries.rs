//! Entries of a queue as homes outside of this process write them.

use std::time::Duration;

use bytes::Bytes;

use crate::codec::{self, Envelope};
use crate::error::StoreError;
use crate::queue::{Change, ENDS, EntryName, Put, RANKS, Shelf, To, When};
use crate::records::RowKey;
use crate::sealed;

/// Bytes of the longest name of a lane.
const MOST_LANE_BYTES: usize = 255;

/// What an entry must be like for any home to take it.
///
/// # Errors
/// [`StoreError::Refused`] says what is wrong with it.
pub(crate) fn check_put(put: &Put) -> Result<(), StoreError> {
    let refuse = |reason: &str| {
        let reason = reason.to_owned();
        Err(StoreError::Refused { reason })
    };
    if put.lane.is_empty() || put.lane.len() > MOST_LANE_BYTES {
        return refuse("an entry whose lane is not 1 to 255 bytes long");
    }
    if put.rank >= RANKS {
        return refuse("an entry of a rank that is not below 8");
    }
    if put.held.is_some() && !put.after.is_empty() {
        return refuse("an entry that is held and follows another one");
    }
    sealed::check_size(put.input.len())?;
    sealed::check_size(put.state.len())
}

/// What a change must be like for any home to make it.
///
/// # Errors
/// [`StoreError::Refused`] says what is wrong with it.
pub(crate) fn check_change(change: &Change) -> Result<(), StoreError> {
    if matches!(change.to, To::Ended { how, .. } if how >= ENDS) {
        let reason = "an end that is not below 8".to_owned();
        return Err(StoreError::Refused { reason });
    }
    sealed::check_size(change.state.len())?;
    sealed::check_size(change.result.as_ref().map_or(0, Bytes::len))
}

/// Shelves that there are.
const SHELVES: u8 = FIRST_END + ENDS;
/// Whatever has this number or a higher one has ended.
pub(crate) const FIRST_END: u8 = 4;

/// A shelf as homes write it.
pub(crate) fn number_of(shelf: Shelf) -> u8 {
    match shelf {
        Shelf::Waiting => 0,
        Shelf::Due => 1,
        Shelf::Again => 2,
        Shelf::Held => 3,
        Shelf::Ended(how) => FIRST_END + how,
    }
}

/// A shelf as homes have written it.
pub(crate) fn shelf_of(number: u8) -> Option<Shelf> {
    match number {
        0 => Some(Shelf::Waiting),
        1 => Some(Shelf::Due),
        2 => Some(Shelf::Again),
        3 => Some(Shelf::Held),
        FIRST_END..SHELVES => Some(Shelf::Ended(number - FIRST_END)),
        SHELVES.. => None,
    }
}

/// What of an entry an envelope holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Input,
    State,
    Result,
    Note,
}

impl Part {
    fn as_str(self) -> &'static str {
        match self {
            Self::Input => "input",
            Self::State => "state",
            Self::Result => "result",
            Self::Note => "note",
        }
    }
}

/// Packs a part of an entry. Nothing is packed as nothing: most entries have no
/// state when they are put.
///
/// # Errors
/// [`StoreError::Refused`] when it is larger than a row may be.
pub(crate) async fn seal(
    name: &EntryName,
    part: Part,
    value: &Bytes,
) -> Result<Vec<u8>, StoreError> {
    sealed::check_size(value.len())?;
    if value.is_empty() {
        return Ok(Vec::new());
    }
    let (names, value, bytes) = (names(name, part), value.clone(), value.len());
    let pack = move || {
        let envelope = Envelope {
            value,
            ..Envelope::default()
        };
        codec::seal(&names, &envelope).unwrap_or_default()
    };
    Ok(sealed::beside(bytes, pack).await)
}

/// Unpacks a part of an entry; `None` where it is not what was packed there.
pub(crate) async fn open(name: &EntryName, part: Part, stored: Vec<u8>) -> Option<Bytes> {
    if stored.is_empty() {
        return Some(Bytes::new());
    }
    let (names, bytes) = (names(name, part), stored.len());
    let opened = sealed::beside(bytes, move || sealed::open(&names, stored)).await;
    opened.ok()
}

fn names(name: &EntryName, part: Part) -> Vec<u8> {
    let (table, owner, id) = ("entry", &*name.owner, &*name.id);
    sealed::names(RowKey { table, owner, id }, part.as_str())
}

/// What tells a change from any other one of the same version: whoever makes it
/// again, because the answer was lost, is told that it was made.
pub(crate) fn token(change: &Change) -> [u8; 8] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&change.version.to_le_bytes());
    for number in numbers(change.to) {
        hasher.update(&number.to_le_bytes());
    }
    hasher.update(&(change.state.len() as u64).to_le_bytes());
    hasher.update(&change.state);
    hasher.update(&[u8::from(change.result.is_some())]);
    hasher.update(change.result.as_deref().unwrap_or_default());
    let mut token = [0; 8];
    hasher.finalize_xof().fill(&mut token);
    token
}

fn numbers(to: To) -> [u64; 3] {
    let when = |shelf, when| match when {
        When::Now => [shelf, 0, 0],
        When::In(time) => [shelf, 1, millis(time)],
        When::At(ms) => [shelf, 2, ms],
    };
    match to {
        To::Due(at) => when(1, at),
        To::Again(at) => when(2, at),
        To::Ended { how, keep } => [u64::from(FIRST_END + how), 0, millis(keep)],
    }
}

/// A hundred years: sums with it are exact everywhere.
const MOST_MS: u64 = 100 * 365 * 24 * 3_600 * 1_000;

/// A time as it is written.
pub(crate) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).map_or(MOST_MS, |ms| ms.min(MOST_MS))
}

/// The ids that an entry follows, as one value.
pub(crate) fn spell(ids: &[String]) -> Vec<u8> {
    let mut spelled = Vec::new();
    for id in ids {
        spelled.extend(u32::try_from(id.len()).unwrap_or(u32::MAX).to_le_bytes());
        spelled.extend(id.as_bytes());
    }
    spelled
}

/// The ids as they were spelled; `None` where they were not.
pub(crate) fn read_ids(mut spelled: &[u8]) -> Option<Vec<String>> {
    let mut ids = Vec::new();
    while !spelled.is_empty() {
        let (length, rest) = spelled.split_first_chunk::<4>()?;
        let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
        let (id, rest) = rest.split_at_checked(length)?;
        ids.push(std::str::from_utf8(id).ok()?.to_owned());
        spelled = rest;
    }
    Some(ids)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read_as_they_were_spelled_and_nothing_else_is() {
        let ids = ["", "a", "a longer one", "\u{1f980}"].map(str::to_owned);
        let spelled = spell(&ids);
        assert_eq!(read_ids(&spelled), Some(ids.to_vec()));
        assert_eq!(read_ids(&[]), Some(Vec::new()));
        assert_eq!(read_ids(&spelled[..spelled.len() - 1]), None);
        assert_eq!(read_ids(&[1, 0, 0, 0, 0xff]), None);
    }

    #[test]
    fn every_shelf_has_a_number_of_its_own() {
        for number in 0..SHELVES {
            assert_eq!(shelf_of(number).map(number_of), Some(number));
        }
        assert_eq!(shelf_of(SHELVES), None);
    }

    #[tokio::test]
    async fn a_part_is_read_where_it_was_packed_and_nowhere_else() {
        let name = |owner: &str, id: &str| EntryName {
            owner: owner.to_owned(),
            id: id.to_owned(),
        };
        let here = name("a", "b");
        let value = Bytes::from_static(b"value");
        let packed = seal(&here, Part::Input, &value).await.unwrap();
        let read = open(&here, Part::Input, packed.clone()).await;
        assert_eq!(read, Some(value));
        assert_eq!(open(&here, Part::State, packed.clone()).await, None);
        assert_eq!(
            open(&name("a", "c"), Part::Input, packed.clone()).await,
            None
        );
        assert_eq!(open(&name("ab", ""), Part::Input, packed).await, None);
    }
}
