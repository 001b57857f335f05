//! The queue in Redis.
//!
//! All of it lies in one slot, so that an entry and what follows it change
//! together: a queue is on one node of a cluster. Scripts make the names of the
//! rows out of what they find; they are in the slot of the one key that is
//! named.
//!
//! ```text
//! tidegate:queue:{q}:e:N           hash    d where it stands; s what never changes;
//!                                          b input, z state, r result, n note;
//!                                          k token of the last change
//! tidegate:queue:{q}:ready:LANE    sorted  what may be taken, by rank and order
//! tidegate:queue:{q}:broken        sorted  what is handed out first, by order
//! tidegate:queue:{q}:later         sorted  what is due later, by when
//! tidegate:queue:{q}:held          sorted  what is held, by until when
//! tidegate:queue:{q}:ended         sorted  what may be removed, by when
//! tidegate:queue:{q}:list:S:O      sorted  ids of a shelf and owner, by when put
//! tidegate:queue:{q}:followers:N   set     what waits for an entry
//! tidegate:queue:{q}:key:K         string  the id that was put with a key
//! tidegate:queue:{q}:count         hash    how many, by shelf, rank and lane
//! tidegate:queue:{q}:last          hash    last version and order; taken; not ended
//! tidegate:queue:{q}:aside         set     rows that nobody could read
//!
//! N  digest of owner and id     O  of the owner     K  of owner and key
//! ```
//!
//! What callers name is never part of a key, lanes excepted. A script does many
//! entries at once, and has so much longer than a question: it is done or not,
//! as a whole, though it may be done after nobody waits for it any more.

mod bell;
mod row;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use redis::{Script, ScriptInvocation};
use tokio::sync::watch;

use super::Link;
use crate::entries::{self, FIRST_END, Part as Packed, check_change, check_put, millis, number_of};
use crate::error::StoreError;
use crate::queue::{
    Begun, Change, Changed, Count, Counts, Entry, EntryName, Head, Held, Holding, Part, Placed,
    Put, PutError, Queue, Shelf, Take, Taken, To, When,
};
use bell::Bell;
use row::Fields;

/// The Redis home of [`Queue`]. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct RedisQueue {
    link: Link,
    scripts: &'static Scripts,
    bell: Arc<Bell>,
}

const PREFIX: &str = "tidegate:queue:{q}:";
/// Entries that are taken in one step: others wait for it.
const TAKEN_TOGETHER: usize = 256;
/// Rows that are read in one question.
const READ_TOGETHER: usize = 64;
/// Entries that one sweep removes at most.
const SWEPT_TOGETHER: usize = 128;
/// How much longer a script may take for each entry, and for each KiB: about
/// twenty times what it takes.
const LONGER_EACH: Duration = Duration::from_millis(1);
const LONGER_EACH_KIB: Duration = Duration::from_micros(50);

#[derive(Debug)]
struct Scripts {
    put: Script,
    take: Script,
    hold: Script,
    note: Script,
    stop: Script,
    change: Script,
    sweep: Script,
    list: Script,
    counts: Script,
}

fn scripts() -> &'static Scripts {
    static SCRIPTS: OnceLock<Scripts> = OnceLock::new();
    let script = |own: &str| Script::new(&format!("{}\n{own}", include_str!("queue/rows.lua")));
    SCRIPTS.get_or_init(|| Scripts {
        put: script(include_str!("queue/put.lua")),
        take: script(include_str!("queue/take.lua")),
        hold: script(include_str!("queue/hold.lua")),
        note: script(include_str!("queue/note.lua")),
        stop: script(include_str!("queue/stop.lua")),
        change: script(include_str!("queue/change.lua")),
        sweep: script(include_str!("queue/sweep.lua")),
        list: script(include_str!("queue/list.lua")),
        counts: script(include_str!("queue/counts.lua")),
    })
}

fn invoke(script: &Script) -> ScriptInvocation<'_> {
    let mut invocation = script.prepare_invoke();
    invocation.key(format!("{PREFIX}last"));
    invocation
}

/// How much longer so much may take.
fn longer(entries: usize, bytes: usize) -> Duration {
    let few = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    LONGER_EACH * few(entries) + LONGER_EACH_KIB * few(bytes / 1_024)
}

fn spelled(when: When) -> String {
    match when {
        When::Now => "i0".to_owned(),
        When::In(time) => format!("i{}", millis(time)),
        When::At(ms) => format!("a{}", ms.min(1 << 52)),
    }
}

fn what(what: &'static str) -> StoreError {
    StoreError::Corrupt { what }
}

impl RedisQueue {
    /// The queue behind a link.
    pub(crate) fn new(link: Link) -> Self {
        Self {
            bell: Arc::new(Bell::new(&link)),
            scripts: scripts(),
            link,
        }
    }

    /// Why nothing was put, from what a script tells.
    fn refusal(entries: &[(EntryName, Vec<String>)], most: u64, told: &[Vec<u8>]) -> PutError {
        let number = |at: usize| -> Option<usize> {
            let text = std::str::from_utf8(told.get(at)?).ok()?;
            text.parse().ok()
        };
        let entry = number(1).and_then(|at| entries.get(at));
        let named = entry.and_then(|(name, after)| Some((name, after.get(number(2)?)?)));
        match (told.first().map(|word| &word[..]), named) {
            (Some(b"full"), _) => PutError::Full { limit: most },
            (Some(b"missing"), Some((name, after))) => PutError::Missing {
                id: name.id.clone(),
                after: after.clone(),
            },
            (Some(b"crowded"), Some((_, after))) => PutError::Crowded {
                after: after.clone(),
            },
            _ => what("what became of entries").into(),
        }
    }

    async fn take_some(
        &self,
        take: &Take<'_>,
        (most, begin): (usize, usize),
    ) -> Result<Taken, StoreError> {
        let mut invocation = invoke(&self.scripts.take);
        invocation.arg(most).arg(begin).arg(millis(take.hold));
        for (n, lane) in take.lanes.iter().enumerate() {
            if take.lanes[..n]
                .iter()
                .any(|before| before.name == lane.name)
            {
                continue;
            }
            let most_held = lane
                .most_held
                .map_or(String::new(), |most| most.to_string());
            invocation.arg(lane.name).arg(most_held);
        }
        let (wait, rows): (i64, Vec<Fields>) =
            self.link.invoke_long(&invocation, longer(most, 0)).await?;
        let mut entries = Vec::with_capacity(rows.len());
        for fields in rows {
            entries.extend(row::entry(fields).await);
        }
        let next = u64::try_from(wait).ok().map(Duration::from_millis);
        Ok(Taken { entries, next })
    }

    async fn read(&self, rows: &[[u8; 16]]) -> Result<Vec<Fields>, StoreError> {
        let mut pipe = redis::pipe();
        for row in rows {
            row::read(&mut pipe, row);
        }
        self.link.pipe(&pipe).await
    }
}

#[async_trait]
impl Queue for RedisQueue {
    async fn put(&self, entries: Vec<Put>, most: u64) -> Result<Vec<Placed>, PutError> {
        let mut put = invoke(&self.scripts.put);
        put.arg(self.link.node()).arg(most);
        let (mut names, mut bytes) = (Vec::with_capacity(entries.len()), 0);
        for entry in entries {
            check_put(&entry)?;
            let name = &entry.name;
            let input = entries::seal(name, Packed::Input, &entry.input).await?;
            let state = entries::seal(name, Packed::State, &entry.state).await?;
            bytes += input.len() + state.len();
            put.arg(&row::digest_of(name)[..]).arg(row::known(&entry));
            put.arg(input).arg(state).arg(entry.rank);
            put.arg(spelled(entry.when));
            put.arg(
                entry
                    .held
                    .map_or(String::new(), |hold| millis(hold).to_string()),
            );
            let parents: Vec<String> = row::parents(&entry).into_iter().collect();
            names.push((entry.name, parents));
        }
        if names.is_empty() {
            return Ok(Vec::new());
        }
        let longer = longer(names.len(), bytes);
        let told: Vec<Vec<u8>> = self.link.invoke_long(&put, longer).await?;
        if told.first().map(|word| &word[..]) != Some(b"placed") {
            return Err(Self::refusal(&names, most, &told));
        }
        self.bell.ring();
        let placed = told[1..].iter().map(|told| {
            let told = std::str::from_utf8(told).ok()?;
            match told.strip_prefix('=') {
                Some(id) => Some(Placed::Known { id: id.to_owned() }),
                None => told.parse().ok().map(|version| Placed::New { version }),
            }
        });
        let placed: Option<Vec<Placed>> = placed.collect();
        Ok(placed.ok_or(what("what became of entries"))?)
    }

    async fn take(&self, take: Take<'_>) -> Result<Taken, StoreError> {
        let mut taken = Taken::default();
        loop {
            let before = taken.entries.len();
            let most = (take.most - before).min(TAKEN_TOGETHER);
            let begin = take.begin.saturating_sub(before);
            match self.take_some(&take, (most, begin)).await {
                Ok(some) => {
                    taken.next = some.next;
                    taken.entries.extend(some.entries);
                }
                // What was taken before must be heard of.
                Err(_) if before > 0 => return Ok(taken),
                Err(error) => return Err(error),
            }
            let now = taken.entries.len();
            if now - before < most || now >= take.most {
                return Ok(taken);
            }
        }
    }

    async fn hold(&self, held: &[Holding], hold: Duration) -> Result<Vec<Held>, StoreError> {
        if held.is_empty() {
            return Ok(Vec::new());
        }
        let mut invocation = invoke(&self.scripts.hold);
        invocation.arg(millis(hold));
        for held in held {
            invocation.arg(&row::digest_of(&held.name)[..]);
            invocation.arg(held.version);
            invocation.arg(match held.begun {
                Begun::Yes => 1,
                Begun::No => 0,
            });
        }
        let longer = longer(held.len(), 0);
        let answers: Vec<u8> = self.link.invoke_long(&invocation, longer).await?;
        let held = answers.into_iter().map(|answer| match answer {
            1 => Held::Yes,
            2 => Held::Stopping,
            _ => Held::Lost,
        });
        Ok(held.collect())
    }

    async fn note(&self, held: &Holding, note: Bytes) -> Result<bool, StoreError> {
        let note = entries::seal(&held.name, Packed::Note, &note).await?;
        let mut invocation = invoke(&self.scripts.note);
        invocation.arg(&row::digest_of(&held.name)[..]);
        invocation.arg(held.version).arg(note);
        self.link.invoke(&invocation).await
    }

    async fn change(&self, changes: Vec<Change>) -> Result<Vec<Changed>, StoreError> {
        if changes.is_empty() {
            return Ok(Vec::new());
        }
        let mut invocation = invoke(&self.scripts.change);
        invocation.arg(self.link.node());
        let (entries, mut bytes) = (changes.len(), 0);
        for change in changes {
            check_change(&change)?;
            let name = &change.name;
            let state = entries::seal(name, Packed::State, &change.state).await?;
            let mut result = Vec::new();
            if let Some(value) = &change.result {
                result.push(b'+');
                result.extend(entries::seal(name, Packed::Result, value).await?);
            }
            bytes += state.len() + result.len();
            let (shelf, when) = match change.to {
                To::Due(when) => (number_of(Shelf::Due), when),
                To::Again(when) => (number_of(Shelf::Again), when),
                To::Ended { how, keep } => (FIRST_END + how, When::In(keep)),
            };
            invocation.arg(&row::digest_of(name)[..]);
            invocation.arg(change.version).arg(shelf).arg(spelled(when));
            invocation.arg(state).arg(result);
            invocation.arg(&entries::token(&change)[..]);
        }
        let longer = longer(entries, bytes);
        let versions: Vec<Option<u64>> = self.link.invoke_long(&invocation, longer).await?;
        self.bell.ring();
        let changed = versions.into_iter();
        Ok(changed
            .map(|version| version.map_or(Changed::Lost, Changed::To))
            .collect())
    }

    async fn stop(&self, name: &EntryName) -> Result<bool, StoreError> {
        let mut invocation = invoke(&self.scripts.stop);
        invocation.arg(self.link.node());
        invocation.arg(&row::digest_of(name)[..]);
        let is_held = self.link.invoke(&invocation).await?;
        self.bell.ring();
        Ok(is_held)
    }

    async fn get(&self, name: &EntryName) -> Result<Option<Entry>, StoreError> {
        let fields = self.read(&[row::digest_of(name)]).await?;
        let Some(fields) = fields.into_iter().next() else {
            return Ok(None);
        };
        if fields.0.is_none() && fields.1.is_none() {
            return Ok(None);
        }
        match row::entry(fields).await {
            Some(entry) if entry.head.name == *name => Ok(Some(entry)),
            _ => Err(what("a whole entry of this name")),
        }
    }

    /// Two questions: which entries, and what is in them.
    async fn list(&self, owner: &str, shelf: Shelf, part: &Part) -> Result<Vec<Head>, StoreError> {
        let mut heads: Vec<Head> = Vec::new();
        let mut after = part.after.clone();
        while heads.len() < part.limit {
            let most = READ_TOGETHER.min(part.limit - heads.len());
            let mut list = invoke(&self.scripts.list);
            list.arg(number_of(shelf));
            list.arg(&super::records::digest(&[owner])[..]).arg(most);
            if let Some((put_ms, id)) = &after {
                list.arg((*put_ms).min(1 << 52)).arg(id);
            }
            let ids: Vec<String> = self.link.invoke(&list).await?;
            let name = |id: &String| EntryName {
                owner: owner.to_owned(),
                id: id.clone(),
            };
            let rows: Vec<[u8; 16]> = ids.iter().map(|id| row::digest_of(&name(id))).collect();
            if rows.is_empty() {
                break;
            }
            let before = heads.len();
            for fields in self.read(&rows).await? {
                let found = row::entry(fields).await.map(|entry| entry.head);
                // One that has just moved is listed where it is now.
                heads.extend(found.filter(|head| head.shelf == shelf));
            }
            let last = heads[before..].last();
            after = last.map(|head| (head.stamps.put_ms, head.name.id.clone()));
            if ids.len() < most || after.is_none() {
                break;
            }
        }
        Ok(heads)
    }

    async fn counts(&self) -> Result<Counts, StoreError> {
        let invocation = invoke(&self.scripts.counts);
        let (waited, told): (i64, Vec<(Vec<u8>, i64)>) = self.link.invoke(&invocation).await?;
        let count = |(field, entries): (Vec<u8>, i64)| {
            let (shelf, rest) = field.split_first()?;
            let (rank, lane) = rest.split_first()?;
            Some(Count {
                lane: std::str::from_utf8(lane).ok()?.to_owned(),
                rank: rank.checked_sub(b'0')?,
                shelf: entries::shelf_of(shelf.checked_sub(b'0')?)?,
                entries: u64::try_from(entries).ok().filter(|entries| *entries > 0)?,
            })
        };
        Ok(Counts {
            counts: told.into_iter().filter_map(count).collect(),
            oldest: u64::try_from(waited).ok().map(Duration::from_millis),
        })
    }

    async fn sweep(&self, most: u64) -> Result<u64, StoreError> {
        let mut invocation = invoke(&self.scripts.sweep);
        invocation.arg(most.min(1 << 52)).arg(SWEPT_TOGETHER);
        let longer = longer(SWEPT_TOGETHER, 0);
        self.link.invoke_long(&invocation, longer).await
    }

    fn bell(&self) -> watch::Receiver<u64> {
        self.bell.subscribe()
    }

    async fn now_ms(&self) -> Result<u64, StoreError> {
        let (seconds, micros): (u64, u64) = self.link.run(&redis::cmd("TIME")).await?;
        Ok(seconds * 1_000 + micros / 1_000)
    }
}

#[cfg(test)]
mod tests;
