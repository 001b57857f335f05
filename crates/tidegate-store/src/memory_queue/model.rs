//! What a queue is, without a clock and without waiting: other homes are held
//! to it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use bytes::Bytes;

use super::millis;
use crate::queue::{
    Begun, Change, Changed, Count, Counts, Entry, EntryName, Head, Held, Holding, Lane,
    MOST_FOLLOWERS, OLDEST_EVERY, Part, Placed, Put, PutError, Shelf, Stamps, Take, Taken, To,
    Tries, WELL, When,
};

mod taking;

/// Entries that one sweep removes at most.
const SWEPT_TOGETHER: usize = 128;

/// All entries, and by what they are found.
#[derive(Debug, Default)]
pub(super) struct Model {
    pub(super) now_ms: u64,
    entries: BTreeMap<EntryName, Row>,
    keys: HashMap<(String, String), String>,
    /// Who follows an entry and has not ended.
    followers: HashMap<EntryName, BTreeSet<EntryName>>,
    /// What may be taken, by lane.
    ready: BTreeMap<String, BTreeSet<(u8, u64, EntryName)>>,
    broken: BTreeSet<(u64, EntryName)>,
    /// What is due later, by when.
    later: BTreeSet<(u64, EntryName)>,
    /// What is held, by until when.
    held: BTreeSet<(u64, EntryName)>,
    /// What has ended, by when.
    ended: BTreeSet<(u64, EntryName)>,
    last: Last,
}

/// Numbers that are given once.
#[derive(Debug, Default)]
struct Last {
    version: u64,
    order: u64,
    taken: u64,
}

#[derive(Debug)]
struct Row {
    entry: Entry,
    key: Option<String>,
    /// Grows with every put.
    order: u64,
    /// What it follows and has not ended.
    left: usize,
    /// What it follows, until it has ended once.
    follows: BTreeSet<String>,
    /// What follows it and has never ended.
    needed: usize,
    /// The change that gave it its version.
    made: Option<Change>,
    begun: Begun,
    until_ms: u64,
}

impl Model {
    pub(super) fn put(&mut self, entries: Vec<Put>, most: u64) -> Result<Vec<Placed>, PutError> {
        self.check(&entries, most)?;
        Ok(entries.into_iter().map(|entry| self.place(entry)).collect())
    }

    /// Nothing is put where one of them cannot be.
    fn check(&self, entries: &[Put], most: u64) -> Result<(), PutError> {
        let mut new = Newcomers::default();
        for put in entries {
            if self.known(put).is_some() || new.knows(put) {
                continue;
            }
            for after in put.after.iter().collect::<BTreeSet<&String>>() {
                self.check_followed(put, after, &mut new)?;
            }
            new.add(put);
        }
        if !new.names.is_empty() && self.live() + new.names.len() as u64 > most {
            return Err(PutError::Full { limit: most });
        }
        Ok(())
    }

    fn check_followed<'a>(
        &self,
        put: &'a Put,
        after: &'a String,
        new: &mut Newcomers<'a>,
    ) -> Result<(), PutError> {
        let name = beside(&put.name, after);
        let is_live = match self.entries.get(&name) {
            Some(row) => !row.entry.head.shelf.is_end(),
            None if new.names.contains(&(&put.name.owner, after)) => true,
            None => {
                let (id, after) = (put.name.id.clone(), after.clone());
                return Err(PutError::Missing { id, after });
            }
        };
        let followers = new.followers.entry((&put.name.owner, after)).or_default();
        *followers += usize::from(is_live);
        if *followers + self.followers(&name) > MOST_FOLLOWERS {
            let after = after.clone();
            return Err(PutError::Crowded { after });
        }
        Ok(())
    }

    fn live(&self) -> u64 {
        let heads = self.entries.values().map(|row| &row.entry.head);
        heads.filter(|head| !head.shelf.is_end()).count() as u64
    }

    fn followers(&self, name: &EntryName) -> usize {
        self.followers.get(name).map_or(0, BTreeSet::len)
    }

    fn known(&self, put: &Put) -> Option<String> {
        if self.entries.contains_key(&put.name) {
            return Some(put.name.id.clone());
        }
        let key = (put.name.owner.clone(), put.key.clone()?);
        self.keys.get(&key).cloned()
    }

    fn place(&mut self, put: Put) -> Placed {
        if let Some(id) = self.known(&put) {
            return Placed::Known { id };
        }
        let name = put.name.clone();
        if let Some(key) = &put.key {
            let place = (name.owner.clone(), key.clone());
            self.keys.insert(place, name.id.clone());
        }
        self.last.order += 1;
        let version = self.next_version();
        let (left, broken) = self.follow(&put);
        for id in put.after.iter().collect::<BTreeSet<&String>>() {
            self.alter(&beside(&name, id), |row| row.needed += 1);
        }
        let row = self.row(put, version, (left, broken));
        self.entries.insert(name.clone(), row);
        self.shelve(&name);
        Placed::New { version }
    }

    fn row(&self, put: Put, version: u64, (left, broken): (usize, bool)) -> Row {
        let stamps = Stamps {
            put_ms: self.now_ms,
            due_ms: self.at(put.when),
            begun_ms: put.held.map_or(0, |_| self.now_ms),
            ended_ms: 0,
        };
        let shelf = match put.held {
            Some(_) => Shelf::Held,
            None if left > 0 && !broken => Shelf::Waiting,
            None => Shelf::Due,
        };
        let head = Head {
            name: put.name,
            lane: put.lane,
            rank: put.rank,
            shelf,
            version,
            after: put.after,
            broken,
            stopping: false,
            tries: Tries {
                begun: u32::from(put.held.is_some()),
                lost: 0,
            },
            stamps,
            state: put.state,
            note: Bytes::new(),
        };
        Row {
            follows: head.after.iter().cloned().collect(),
            entry: Entry {
                head,
                input: Some(put.input),
                result: None,
            },
            key: put.key,
            order: self.last.order,
            left,
            needed: 0,
            made: None,
            begun: Begun::Yes,
            until_ms: put.held.map_or(0, |hold| self.at(When::In(hold))),
        }
    }

    /// Notes whom an entry follows: how many have not ended, and whether one
    /// has ended badly.
    fn follow(&mut self, put: &Put) -> (usize, bool) {
        let (mut left, mut broken) = (0, false);
        let after: BTreeSet<&String> = put.after.iter().collect();
        for id in after {
            let name = beside(&put.name, id);
            let Some(row) = self.entries.get(&name) else {
                continue;
            };
            match row.entry.head.shelf {
                Shelf::Ended(how) => broken |= how != WELL,
                Shelf::Waiting | Shelf::Due | Shelf::Again | Shelf::Held => {
                    left += 1;
                    let followers = self.followers.entry(name).or_default();
                    followers.insert(put.name.clone());
                }
            }
        }
        (left, broken)
    }

    fn at(&self, when: When) -> u64 {
        match when {
            When::Now => self.now_ms,
            When::In(time) => self.now_ms.saturating_add(millis(time)),
            When::At(ms) => ms.max(self.now_ms),
        }
    }

    fn next_version(&mut self) -> u64 {
        self.last.version += 1;
        self.last.version
    }

    /// Puts an entry where it can be found.
    fn shelve(&mut self, name: &EntryName) {
        let row = &self.entries[name];
        let (head, name) = (&row.entry.head, name.clone());
        match head.shelf {
            Shelf::Waiting => {}
            Shelf::Due | Shelf::Again if head.broken => {
                self.broken.insert((row.order, name));
            }
            Shelf::Due | Shelf::Again if head.stamps.due_ms > self.now_ms => {
                self.later.insert((head.stamps.due_ms, name));
            }
            Shelf::Due | Shelf::Again => {
                let lane = self.ready.entry(head.lane.clone()).or_default();
                lane.insert((head.rank, row.order, name));
            }
            Shelf::Held => {
                self.held.insert((row.until_ms, name));
            }
            Shelf::Ended(_) if row.needed > 0 => {}
            Shelf::Ended(_) => {
                self.ended.insert((row.until_ms, name));
            }
        }
    }

    /// Takes an entry from where it is found.
    fn unshelve(&mut self, name: &EntryName) {
        let row = &self.entries[name];
        let (head, order, until) = (&row.entry.head, row.order, row.until_ms);
        if let Some(lane) = self.ready.get_mut(&head.lane) {
            lane.remove(&(head.rank, order, name.clone()));
        }
        self.broken.remove(&(order, name.clone()));
        self.later.remove(&(head.stamps.due_ms, name.clone()));
        self.held.remove(&(until, name.clone()));
        self.ended.remove(&(until, name.clone()));
    }

    /// Moves an entry: nothing else changes where it stands.
    fn alter(&mut self, name: &EntryName, alter: impl FnOnce(&mut Row)) {
        if !self.entries.contains_key(name) {
            return;
        }
        self.unshelve(name);
        if let Some(row) = self.entries.get_mut(name) {
            alter(row);
        }
        self.shelve(name);
    }

    fn holder(&mut self, held: &Holding) -> Option<&mut Row> {
        let row = self.entries.get_mut(&held.name)?;
        let head = &row.entry.head;
        (head.shelf == Shelf::Held && head.version == held.version).then_some(row)
    }

    pub(super) fn hold(&mut self, held: &Holding, hold: Duration) -> Held {
        let until_ms = self.at(When::In(hold));
        let now_ms = self.now_ms;
        let Some(row) = self.holder(held) else {
            return Held::Lost;
        };
        let begins = held.begun == Begun::Yes && row.begun == Begun::No;
        let stopping = row.entry.head.stopping;
        self.alter(&held.name, |row| {
            row.until_ms = until_ms;
            if begins {
                begin(row, now_ms);
            }
        });
        if stopping { Held::Stopping } else { Held::Yes }
    }

    pub(super) fn note(&mut self, held: &Holding, note: Bytes) -> bool {
        let row = self.holder(held);
        row.map(|row| row.entry.head.note = note).is_some()
    }

    pub(super) fn stop(&mut self, name: &EntryName) -> bool {
        let Some(row) = self.entries.get_mut(name) else {
            return false;
        };
        let head = &mut row.entry.head;
        let is_held = head.shelf == Shelf::Held;
        head.stopping |= is_held;
        is_held
    }

    pub(super) fn change(&mut self, change: Change) -> Changed {
        let name = change.name.clone();
        let Some(row) = self.entries.get(&name) else {
            return Changed::Lost;
        };
        let head = &row.entry.head;
        if row.made.as_ref() == Some(&change) {
            return Changed::To(head.version);
        }
        if head.version != change.version {
            return Changed::Lost;
        }
        let stopping = head.stopping;
        let version = self.next_version();
        let now_ms = self.now_ms;
        let due = |when| Some(if stopping { now_ms } else { self.at(when) });
        let (shelf, until_ms, due_ms) = match change.to {
            To::Due(when) => (Shelf::Due, 0, due(when)),
            To::Again(when) => (Shelf::Again, 0, due(when)),
            To::Ended { how, keep } => (Shelf::Ended(how), self.at(When::In(keep)), None),
        };
        self.alter(&name, |row| {
            row.until_ms = until_ms;
            row.entry.result = change.result.clone();
            let waits = shelf == Shelf::Due && row.left > 0;
            let head = &mut row.entry.head;
            head.shelf = if waits { Shelf::Waiting } else { shelf };
            head.version = version;
            head.state = change.state.clone();
            head.stopping = stopping && !shelf.is_end();
            head.stamps.ended_ms = 0;
            match due_ms {
                Some(due_ms) => {
                    head.stamps.due_ms = due_ms;
                    head.broken = false;
                }
                None => head.stamps.ended_ms = now_ms,
            }
            row.made = Some(change);
        });
        if let Shelf::Ended(how) = shelf {
            self.end(&name, how);
        }
        Changed::To(version)
    }

    /// Lets go on, or hands out, what follows an entry.
    fn end(&mut self, name: &EntryName, how: u8) {
        for parent in self
            .entries
            .get_mut(name)
            .map_or_else(BTreeSet::new, |row| {
                // Once it has ended, it follows nothing any more.
                row.left = 0;
                std::mem::take(&mut row.follows)
            })
        {
            let parent = beside(name, &parent);
            if let Some(others) = self.followers.get_mut(&parent) {
                others.remove(name);
            }
            self.alter(&parent, |row| row.needed -= 1);
        }
        for follower in self.followers.remove(name).unwrap_or_default() {
            self.alter(&follower, |row| {
                row.left -= 1;
                let head = &mut row.entry.head;
                let waits = head.shelf == Shelf::Waiting;
                if waits && (how != WELL || row.left == 0) {
                    head.shelf = Shelf::Due;
                    head.broken = how != WELL;
                }
            });
        }
    }

    pub(super) fn get(&self, name: &EntryName) -> Option<Entry> {
        Some(self.entries.get(name)?.entry.clone())
    }

    pub(super) fn list(&self, owner: &str, shelf: Shelf, part: &Part) -> Vec<Head> {
        let place = |head: &Head| (head.stamps.put_ms, head.name.id.clone());
        let heads = self.entries.values().map(|row| &row.entry.head);
        let heads = heads.filter(|head| head.name.owner == owner && head.shelf == shelf);
        let mut heads: Vec<&Head> = heads
            .filter(|head| part.after.as_ref().is_none_or(|after| place(head) < *after))
            .collect();
        heads.sort_by_key(|head| std::cmp::Reverse(place(head)));
        heads.into_iter().take(part.limit).cloned().collect()
    }

    pub(super) fn counts(&self) -> Counts {
        let mut counts: HashMap<(String, u8, Shelf), u64> = HashMap::new();
        for row in self.entries.values() {
            let head = &row.entry.head;
            *counts
                .entry((head.lane.clone(), head.rank, head.shelf))
                .or_default() += 1;
        }
        let counts = counts
            .into_iter()
            .map(|((lane, rank, shelf), entries)| Count {
                lane,
                rank,
                shelf,
                entries,
            });
        let ready = self.ready.values().flatten();
        let oldest = ready.min_by_key(|(_, order, _)| *order);
        let since = oldest.map(|(_, _, name)| self.entries[name].entry.head.stamps.due_ms);
        let oldest = since.map(|since| self.now_ms.saturating_sub(since));
        Counts {
            counts: counts.collect(),
            oldest: oldest.map(Duration::from_millis),
        }
    }

    pub(super) fn sweep(&mut self, most: u64) -> u64 {
        self.let_go();
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        let too_many = self.ended.len().saturating_sub(most);
        let first = self.ended.iter().enumerate().take(SWEPT_TOGETHER);
        let swept = first.take_while(|(n, (until, _))| *until <= self.now_ms || *n < too_many);
        let swept: Vec<EntryName> = swept.map(|(_, (_, name))| name.clone()).collect();
        for name in &swept {
            self.unshelve(name);
            let Some(row) = self.entries.remove(name) else {
                continue;
            };
            if let Some(key) = row.key {
                self.keys.remove(&(name.owner.clone(), key));
            }
        }
        swept.len() as u64
    }
}

/// Another entry of the same owner.
fn beside(name: &EntryName, id: &str) -> EntryName {
    EntryName {
        owner: name.owner.clone(),
        id: id.to_owned(),
    }
}

/// What one call puts, as far as it was looked at.
#[derive(Debug, Default)]
struct Newcomers<'a> {
    names: BTreeSet<(&'a String, &'a String)>,
    keys: BTreeSet<(&'a String, &'a String)>,
    followers: HashMap<(&'a String, &'a String), usize>,
}

impl<'a> Newcomers<'a> {
    fn knows(&self, put: &Put) -> bool {
        let owner = &put.name.owner;
        let key = put.key.as_ref();
        self.names.contains(&(owner, &put.name.id))
            || key.is_some_and(|key| self.keys.contains(&(owner, key)))
    }

    fn add(&mut self, put: &'a Put) {
        let owner = &put.name.owner;
        self.names.insert((owner, &put.name.id));
        self.keys.extend(put.key.as_ref().map(|key| (owner, key)));
    }
}

fn begin(row: &mut Row, now_ms: u64) {
    row.begun = Begun::Yes;
    row.entry.head.tries.begun += 1;
    row.entry.head.stamps.begun_ms = now_ms;
}
