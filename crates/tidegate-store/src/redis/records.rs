//! Rows in Redis.
//!
//! All rows of one table and owner lie in one slot, so that a row and its place
//! in the index change together, in a cluster as well:
//!
//! ```text
//! tidegate:rec:{D}:row:I   hash     v version, twice; k token of its writer;
//!                                   m place in the index; id, g group, b value
//! tidegate:rec:{D}:index   sorted   places, all with score 0
//! tidegate:rec:{D}:ends    sorted   places of rows that expire, by when
//! tidegate:rec:{D}:last    string   the last version
//!
//! D  digest of table and owner     I  digest of the id
//! place  16 bytes of the group's digest, then the id
//! ```
//!
//! What callers name is never part of a key. A busy owner's rows of one table
//! are on one node of a cluster: owners and tables are spread, rows of one are
//! not, since a list would then have to ask every node.

use std::time::Duration;

use async_trait::async_trait;
use redis::{Pipeline, Script, ScriptInvocation};

use super::Link;
use crate::error::StoreError;
use crate::records::{Expect, Page, Record, Records, Row, RowKey, WriteError};
use crate::sealed;

/// The Redis home of [`Records`]. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct RedisRecords {
    link: Link,
    scripts: &'static Scripts,
}

/// A hundred years: sums with it are exact in a script.
const MOST_MS: u64 = 100 * 365 * 24 * 3_600 * 1_000;
/// Rows that are read in one question: its time limit is meant for small ones.
const READ_TOGETHER: usize = 64;

#[derive(Debug)]
struct Scripts {
    put: Script,
    touch: Script,
    delete: Script,
    list: Script,
}

fn scripts() -> &'static Scripts {
    static SCRIPTS: std::sync::OnceLock<Scripts> = std::sync::OnceLock::new();
    let script = |own: &str| Script::new(&format!("{}\n{own}", include_str!("records/index.lua")));
    SCRIPTS.get_or_init(|| Scripts {
        put: script(include_str!("records/put.lua")),
        touch: script(include_str!("records/touch.lua")),
        delete: script(include_str!("records/delete.lua")),
        list: script(include_str!("records/list.lua")),
    })
}

impl RedisRecords {
    /// Rows behind a link.
    pub(crate) fn new(link: Link) -> Self {
        let scripts = scripts();
        Self { link, scripts }
    }
}

/// The keys of one table and owner.
struct Keys {
    prefix: String,
}

impl Keys {
    fn of(table: &str, owner: &str) -> Self {
        let digest = digest(&[table, owner]);
        let prefix = format!("tidegate:rec:{{{}}}", hex(digest));
        Self { prefix }
    }

    fn row(&self, id: &str) -> String {
        format!("{}:row:{}", self.prefix, hex(digest(&[id])))
    }

    /// A script with the index, and the row if it is about one.
    fn invoke<'a>(&self, script: &'a Script, id: Option<&str>) -> ScriptInvocation<'a> {
        let mut invocation = script.prepare_invoke();
        for name in ["index", "ends", "last"] {
            invocation.key(format!("{}:{name}", self.prefix));
        }
        if let Some(id) = id {
            invocation.key(self.row(id));
        }
        invocation
    }
}

/// No names that differ have the same, though they be spelled to.
pub(super) fn digest(names: &[&str]) -> [u8; 16] {
    let mut hasher = blake3::Hasher::new();
    for name in names {
        hasher.update(&(name.len() as u64).to_le_bytes());
        hasher.update(name.as_bytes());
    }
    let mut digest = [0; 16];
    hasher.finalize_xof().fill(&mut digest);
    digest
}

fn hex(digest: [u8; 16]) -> String {
    format!("{:032x}", u128::from_be_bytes(digest))
}

/// Where a row stands in the index: groups do not touch, ids are in order.
fn place_in_index(group: &str, id: &str) -> Vec<u8> {
    let mut place = digest(&[group]).to_vec();
    place.extend(id.as_bytes());
    place
}

/// A version as it lies there: twice, so that one that was spoiled is noticed.
fn spelled(version: u64) -> String {
    format!("{version} {version}")
}

fn version_of(spelled: &str) -> Result<u64, StoreError> {
    let what = "a row's version";
    let (one, other) = spelled
        .split_once(' ')
        .ok_or(StoreError::Corrupt { what })?;
    match one.parse() {
        Ok(version) if one == other => Ok(version),
        _ => Err(StoreError::Corrupt { what }),
    }
}

fn expected(expect: Expect) -> String {
    match expect {
        Expect::Absent => "absent".to_owned(),
        Expect::Version(version) => spelled(version),
        Expect::Anything => "anything".to_owned(),
    }
}

fn millis(ttl: Duration) -> u64 {
    u64::try_from(ttl.as_millis()).map_or(MOST_MS, |ttl| ttl.min(MOST_MS))
}

/// What a row's hash holds, as far as it can be read.
type Fields = (
    Option<String>,
    Option<String>,
    Option<String>,
    Option<Vec<u8>>,
);

/// Reads a row. Nothing at all is no row; anything less than all of it is none
/// that this home has written.
async fn record(
    table: &'static str,
    owner: &str,
    fields: Fields,
) -> Result<Option<Record>, StoreError> {
    let (version, id, group, stored) = match fields {
        (None, None, None, None) => return Ok(None),
        (Some(version), Some(id), Some(group), Some(stored)) => (version, id, group, stored),
        _ => {
            return Err(StoreError::Corrupt {
                what: "a whole row",
            });
        }
    };
    let version = version_of(&version)?;
    let id_text = &*id;
    let key = RowKey {
        table,
        owner,
        id: id_text,
    };
    let names = sealed::names(key, &group);
    let bytes = stored.len();
    let value = sealed::beside(bytes, move || sealed::open(&names, stored)).await?;
    Ok(Some(Record {
        id,
        value,
        group,
        version,
    }))
}

fn read(pipe: &mut Pipeline, row: &str) {
    pipe.cmd("HMGET").arg(row).arg(&["v", "id", "g", "b"]);
}

#[async_trait]
impl Records for RedisRecords {
    async fn get(&self, key: RowKey<'_>) -> Result<Option<Record>, StoreError> {
        let row = Keys::of(key.table, key.owner).row(key.id);
        let mut get = redis::cmd("HMGET");
        get.arg(row).arg(&["v", "id", "g", "b"]);
        let fields: Fields = self.link.run(&get).await?;
        let record = record(key.table, key.owner, fields).await?;
        match record {
            Some(record) if record.id != key.id => Err(StoreError::Corrupt {
                what: "the row of this id",
            }),
            record => Ok(record),
        }
    }

    async fn put(&self, key: RowKey<'_>, row: Row<'_>, expect: Expect) -> Result<u64, WriteError> {
        let stored = sealed::seal(key, row).await?;
        let keys = Keys::of(key.table, key.owner);
        let mut put = keys.invoke(&self.scripts.put, Some(key.id));
        put.arg(expected(expect));
        // A client that sends it again, because the answer was lost, is not in
        // conflict with itself.
        put.arg(format!("{:016x}", fastrand::u64(..)));
        put.arg(place_in_index(row.group, key.id));
        put.arg(key.id).arg(row.group);
        put.arg(
            row.ttl
                .map(millis)
                .map_or(String::new(), |ttl| ttl.to_string()),
        );
        put.arg(stored);
        let version: Option<String> = self.link.invoke(&put).await?;
        match version {
            Some(version) => Ok(version_of(&version)?),
            None => Err(WriteError::Conflict),
        }
    }

    async fn touch(&self, key: RowKey<'_>, ttl: Duration) -> Result<bool, StoreError> {
        let keys = Keys::of(key.table, key.owner);
        let mut touch = keys.invoke(&self.scripts.touch, Some(key.id));
        touch.arg(millis(ttl));
        self.link.invoke(&touch).await
    }

    async fn delete(&self, key: RowKey<'_>, expect: Expect) -> Result<bool, WriteError> {
        let keys = Keys::of(key.table, key.owner);
        let mut delete = keys.invoke(&self.scripts.delete, Some(key.id));
        delete.arg(expected(expect));
        let deleted: Option<bool> = self.link.invoke(&delete).await?;
        deleted.ok_or(WriteError::Conflict)
    }

    /// Two questions, or more where rows have ended meanwhile: which rows, and
    /// what is in them. Their keys can then be named, as a cluster wants it.
    async fn list(
        &self,
        table: &'static str,
        owner: &str,
        group: &str,
        page: Page<'_>,
    ) -> Result<Vec<Record>, StoreError> {
        let keys = Keys::of(table, owner);
        let mut listed = Vec::new();
        let mut after = page.after.map(str::to_owned);
        while listed.len() < page.limit {
            let most = READ_TOGETHER.min(page.limit - listed.len());
            let ids = self.ids(&keys, group, after.as_deref(), most).await?;
            for fields in self.rows(&keys, &ids).await? {
                let found = record(table, owner, fields).await?;
                // One that has just moved is listed where it is now.
                listed.extend(found.filter(|record| record.group == group));
            }
            if ids.len() < most {
                break;
            }
            after = ids.last().cloned();
        }
        Ok(listed)
    }
}

impl RedisRecords {
    /// The ids that the index has.
    async fn ids(
        &self,
        keys: &Keys,
        group: &str,
        after: Option<&str>,
        most: usize,
    ) -> Result<Vec<String>, StoreError> {
        let first = match after {
            Some(after) => [b"(", &*place_in_index(group, after)].concat(),
            None => [b"[", &*place_in_index(group, "")].concat(),
        };
        // No id has this byte in it.
        let last = [b"(", &*place_in_index(group, ""), &[0xff]].concat();
        let mut list = keys.invoke(&self.scripts.list, None);
        list.arg(first).arg(last).arg(most);
        let places: Vec<Vec<u8>> = self.link.invoke(&list).await?;
        let id = |place: Vec<u8>| String::from_utf8(place.get(16..)?.to_vec()).ok();
        let ids: Option<Vec<String>> = places.into_iter().map(id).collect();
        ids.ok_or(StoreError::Corrupt {
            what: "a place in an index",
        })
    }

    async fn rows(&self, keys: &Keys, ids: &[String]) -> Result<Vec<Fields>, StoreError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let mut pipe = redis::pipe();
        for id in ids {
            read(&mut pipe, &keys.row(id));
        }
        self.link.pipe(&pipe).await
    }
}

#[cfg(test)]
mod tests;
