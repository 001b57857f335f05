//! Rows in the memory of one process: they are gone when it ends.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::time::Instant;

use crate::error::StoreError;
use crate::records::{Expect, Page, Record, Records, Row, RowKey, WriteError};
use crate::sealed;

/// The memory home of [`Records`].
#[derive(Debug, Default)]
pub struct MemoryRecords {
    rows: Mutex<Rows>,
}

#[derive(Debug, Default)]
struct Rows {
    by_key: BTreeMap<Place, Kept>,
    /// Ids by table, owner and group.
    by_group: BTreeSet<(&'static str, String, String, String)>,
    /// Rows that expire, by when.
    by_until: BTreeSet<(Instant, Place)>,
    /// Never used twice: a row that is written anew after its deletion has a
    /// version that nobody has read.
    last_version: u64,
}

const SWEPT_PER_WRITE: usize = 4;

type Place = (&'static str, String, String);

#[derive(Debug)]
struct Kept {
    record: Record,
    until: Option<Instant>,
}

/// A time that is longer than the clock has no end.
fn after(ttl: Duration) -> Option<Instant> {
    Instant::now().checked_add(ttl)
}

impl Kept {
    fn is_alive(&self) -> bool {
        self.until.is_none_or(|until| until > Instant::now())
    }
}

fn place(key: RowKey<'_>) -> Place {
    (key.table, key.owner.to_owned(), key.id.to_owned())
}

impl Rows {
    fn alive(&self, key: RowKey<'_>) -> Option<&Kept> {
        self.by_key.get(&place(key)).filter(|kept| kept.is_alive())
    }

    fn expect(&self, key: RowKey<'_>, expect: Expect) -> Result<(), WriteError> {
        let version = self.alive(key).map(|kept| kept.record.version);
        let met = match expect {
            Expect::Absent => version.is_none(),
            Expect::Version(read) => version == Some(read),
            Expect::Anything => true,
        };
        if met {
            Ok(())
        } else {
            Err(WriteError::Conflict)
        }
    }

    fn remove(&mut self, place: Place) -> Option<Kept> {
        let kept = self.by_key.remove(&place)?;
        if let Some(until) = kept.until {
            self.by_until.remove(&(until, place.clone()));
        }
        let (table, owner, id) = place;
        self.by_group
            .remove(&(table, owner, kept.record.group.clone(), id));
        Some(kept)
    }

    fn insert(&mut self, place: Place, kept: Kept) {
        if let Some(until) = kept.until {
            self.by_until.insert((until, place.clone()));
        }
        let (table, owner, id) = place.clone();
        let group = kept.record.group.clone();
        self.by_group.insert((table, owner, group, id));
        self.by_key.insert(place, kept);
    }

    /// Removes some of what has expired: more than one write can add.
    fn sweep(&mut self) {
        for _ in 0..SWEPT_PER_WRITE {
            match self.by_until.first() {
                Some((until, place)) if *until <= Instant::now() => {
                    let place = place.clone();
                    self.remove(place);
                }
                Some(_) | None => return,
            }
        }
    }
}

impl MemoryRecords {
    fn lock(&self) -> MutexGuard<'_, Rows> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Records for MemoryRecords {
    async fn get(&self, key: RowKey<'_>) -> Result<Option<Record>, StoreError> {
        Ok(self.lock().alive(key).map(|kept| kept.record.clone()))
    }

    async fn put(&self, key: RowKey<'_>, row: Row<'_>, expect: Expect) -> Result<u64, WriteError> {
        sealed::check_size(row.value.len())?;
        let mut rows = self.lock();
        rows.sweep();
        rows.expect(key, expect)?;
        rows.last_version += 1;
        let version = rows.last_version;
        let record = Record {
            id: key.id.to_owned(),
            value: Bytes::copy_from_slice(row.value),
            group: row.group.to_owned(),
            version,
        };
        rows.remove(place(key));
        let until = row.ttl.and_then(after);
        rows.insert(place(key), Kept { record, until });
        Ok(version)
    }

    async fn touch(&self, key: RowKey<'_>, ttl: Duration) -> Result<bool, StoreError> {
        let mut rows = self.lock();
        let kept = rows.remove(place(key));
        let Some(mut kept) = kept.filter(Kept::is_alive) else {
            return Ok(false);
        };
        kept.until = after(ttl);
        rows.insert(place(key), kept);
        Ok(true)
    }

    async fn delete(&self, key: RowKey<'_>, expect: Expect) -> Result<bool, WriteError> {
        let mut rows = self.lock();
        rows.expect(key, expect)?;
        let removed = rows.remove(place(key));
        Ok(removed.is_some_and(|kept| kept.is_alive()))
    }

    async fn list(
        &self,
        table: &'static str,
        owner: &str,
        group: &str,
        page: Page<'_>,
    ) -> Result<Vec<Record>, StoreError> {
        let rows = self.lock();
        let name = |id: &str| (table, owner.to_owned(), group.to_owned(), id.to_owned());
        let first = name(page.after.unwrap_or_default());
        let listed = rows
            .by_group
            .range(first..)
            .take_while(|place| place.0 == table && place.1 == owner && place.2 == group)
            .filter(|place| page.after != Some(&*place.3))
            .filter_map(|place| {
                let id = &place.3;
                rows.alive(RowKey { table, owner, id })
            });
        let listed = listed.take(page.limit);
        Ok(listed.map(|kept| kept.record.clone()).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_has_expired_does_not_pile_up() {
        let records = MemoryRecords::default();
        for round in 0..1_000 {
            let id = &round.to_string();
            let (table, owner) = ("t", "o");
            let key = RowKey { table, owner, id };
            let ttl = Some(Duration::from_secs(10));
            let row = Row {
                value: b"v",
                group: "g",
                ttl,
            };
            records.put(key, row, Expect::Absent).await.unwrap();
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        let rows = records.lock();
        let kept = (rows.by_key.len(), rows.by_group.len(), rows.by_until.len());
        assert_eq!(kept, (10, 10, 10));
    }
}
