//! The memory home of [`Cache`], bounded in bytes.

mod counters;
mod entry;
mod forgotten;
mod index;

use std::fmt;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use moka::notification::RemovalCause;
use moka::policy::Expiry;
use tokio::runtime::Handle;
use tokio::time::Instant;

pub(crate) use self::counters::Counters;
use self::entry::{Entry, weight};
use self::index::{Cursor, Index, Label};
use crate::cache::{Cache, CacheHealth, CacheStats, Hit, Keep, Load, Name, Selector, Turn};
use crate::codec::MOST_VALUE_BYTES;
use crate::error::StoreError;
use crate::leases::Leases;
use crate::memory_leases::MemoryLeases;

pub(crate) use self::entry::Span;
pub(crate) use self::forgotten::{Demand, Labels};

/// Values in the memory of one process. Also the first tier of homes that
/// several share.
///
/// What is held is bounded in bytes: values, their names and labels, and all
/// that points at them. Where there is no room, what is asked for often stays.
pub struct MemoryCache {
    inner: Arc<Inner>,
    refresh_ahead: f64,
    /// Who makes which value anew.
    refreshing: MemoryLeases,
    counters: Counters,
}

struct Inner {
    /// Replaced as a whole where it is emptied or gets another bound.
    entries: RwLock<Entries>,
    state: Mutex<State>,
    departed: Arc<Departed>,
}

struct Entries {
    held: moka::sync::Cache<Arc<Name>, Arc<Entry>>,
    max_bytes: u64,
}

#[derive(Default)]
struct State {
    index: Index,
    forgotten: forgotten::Forgotten,
    next_id: u64,
}

/// What left on its own, to be taken out of the index: whoever notices it may
/// hold the lock on the index already.
#[derive(Default)]
struct Departed {
    entries: Mutex<Vec<Arc<Entry>>>,
    evictions: counters::Counter,
}

/// Why a value is not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotKept {
    /// It was forgotten while it was made, or may have been.
    Forgotten,
    /// It is larger than all that may be held.
    TooLarge,
}

/// Expired values leave without being asked for.
struct ByTime;

impl Expiry<Arc<Name>, Arc<Entry>> for ByTime {
    fn expire_after_create(
        &self,
        _: &Arc<Name>,
        entry: &Arc<Entry>,
        _: std::time::Instant,
    ) -> Option<Duration> {
        Some(entry.until.saturating_duration_since(Instant::now()))
    }

    fn expire_after_update(
        &self,
        name: &Arc<Name>,
        entry: &Arc<Entry>,
        now: std::time::Instant,
        _: Option<Duration>,
    ) -> Option<Duration> {
        self.expire_after_create(name, entry, now)
    }
}

impl Entries {
    fn new(max_bytes: u64, departed: &Arc<Departed>) -> Self {
        let departed = departed.clone();
        let held = moka::sync::Cache::builder()
            .max_capacity(max_bytes)
            .weigher(|name: &Arc<Name>, entry: &Arc<Entry>| {
                let labels = entry.labels.iter().map(Label::len);
                weight(name, entry.value.len(), labels)
            })
            .expire_after(ByTime)
            .eviction_listener(move |_, entry, cause| match cause {
                RemovalCause::Size => {
                    departed.evictions.add(1);
                    lock(&departed.entries).push(entry);
                }
                RemovalCause::Expired => lock(&departed.entries).push(entry),
                // Whoever does that knows the index.
                RemovalCause::Explicit | RemovalCause::Replaced => {}
            })
            .build();
        Self { held, max_bytes }
    }
}

impl MemoryCache {
    /// An empty cache that holds at most `max_bytes`. A value is due to be made
    /// anew in the last share `refresh_ahead`, 0 to 1, of its time; 0 for never.
    pub fn new(max_bytes: u64, refresh_ahead: f64) -> Self {
        let departed = Arc::default();
        Self {
            inner: Arc::new(Inner {
                entries: RwLock::new(Entries::new(max_bytes, &departed)),
                state: Mutex::default(),
                departed,
            }),
            refresh_ahead: refresh_ahead.clamp(0.0, 1.0),
            refreshing: MemoryLeases::default(),
            counters: Counters::default(),
        }
    }

    /// What is held under a name, without counting it as a look-up.
    pub(crate) fn find(&self, name: &Name) -> Option<Hit> {
        let now = Instant::now();
        Some(self.inner.find(name, now)?.hit(now))
    }

    /// How much was forgotten so far.
    pub(crate) fn forgotten(&self) -> u64 {
        lock(&self.inner.state).forgotten.count()
    }

    /// Whether a value whose load began at this count may have been forgotten.
    pub(crate) fn was_forgotten(&self, since: u64, name: &Name, labels: &Labels) -> bool {
        let state = lock(&self.inner.state);
        state.forgotten.takes(since, name, labels)
    }

    /// Keeps a value whose load began at a count of what was forgotten.
    pub(crate) fn fill(
        &self,
        (name, since): (&Name, u64),
        value: &[u8],
        span: Span,
        labels: &Labels,
    ) -> Result<(), NotKept> {
        self.inner.fill((name, since), value, span, labels)
    }

    /// Forgets what a demand takes; whoever loads it now will not keep it.
    /// Goes on to the end where the future is dropped.
    pub(crate) async fn forget(&self, demand: Demand) -> u64 {
        let mut walk = self.inner.begin_to_forget(demand);
        for _ in 0..STEPS_AT_ONCE {
            if self.inner.forget_some(&mut walk) {
                return walk.removed;
            }
        }
        let inner = self.inner.clone();
        let rest = tokio::task::spawn_blocking(move || {
            while !inner.forget_some(&mut walk) {}
            walk.removed
        });
        rest.await.unwrap_or(0)
    }

    /// Drops one value, whatever is known of it.
    pub(crate) fn drop_one(&self, name: &Name) {
        let mut state = lock(&self.inner.state);
        let entries = read(&self.inner.entries);
        if let Some(entry) = entries.held.remove(name) {
            state.index.remove(&entry);
        }
    }

    /// Drops all values; what was forgotten up to now is not known any more.
    pub(crate) fn clear(&self) {
        let max_bytes = read(&self.inner.entries).max_bytes;
        lock(&self.inner.state).forgotten.lose_track();
        self.inner.replace(max_bytes);
    }

    /// Bytes and values that are held, and values that left for want of room.
    pub(crate) fn held(&self) -> (u64, u64, u64) {
        let entries = read(&self.inner.entries);
        entries.held.run_pending_tasks();
        drop(entries);
        // What has left must not be kept alive by nobody looking.
        self.inner.settle(&mut lock(&self.inner.state));
        let entries = read(&self.inner.entries);
        let (bytes, count) = (entries.held.weighted_size(), entries.held.entry_count());
        (bytes, count, self.inner.departed.evictions.get())
    }

    /// Whether the value is there, and due to be made anew.
    pub(crate) fn is_due(&self, name: &Name) -> bool {
        let now = Instant::now();
        let entry = self.inner.find(name, now);
        entry.is_some_and(|entry| entry.is_due(now))
    }
}

/// Beyond this, carrying out a demand blocks for longer than a request should.
const STEPS_AT_ONCE: u32 = 4;

/// A demand that is being carried out.
struct Walk {
    demand: Demand,
    /// Whoever is left to be looked at; the last one is at the cursor.
    owners: Vec<Arc<str>>,
    cursor: Cursor,
    /// Later values are not meant.
    before_id: u64,
    removed: u64,
}

impl Inner {
    fn find(&self, name: &Name, now: Instant) -> Option<Arc<Entry>> {
        let entry = read(&self.entries).held.get(name)?;
        (entry.until > now).then_some(entry)
    }

    /// The lock is held over the look at what was forgotten and the insertion:
    /// whoever forgets comes before both, and is seen, or after, and finds it.
    fn fill(
        &self,
        (name, since): (&Name, u64),
        value: &[u8],
        span: Span,
        labels: &Labels,
    ) -> Result<(), NotKept> {
        let lengths = labels.tags.iter().chain(&labels.domain).map(String::len);
        let weight = weight(name, value.len(), lengths);
        let mut state = lock(&self.state);
        if state.forgotten.takes(since, name, labels) {
            return Err(NotKept::Forgotten);
        }
        let entries = read(&self.entries);
        if u64::from(weight) > entries.max_bytes {
            return Err(NotKept::TooLarge);
        }
        let entry = Arc::new(Entry::new(state.next_id, name, value, span, labels));
        state.next_id += 1;
        state.index.add(&entry);
        entries.held.insert(entry.name.clone(), entry);
        self.settle(&mut state);
        Ok(())
    }

    /// Takes what has left out of the index.
    fn settle(&self, state: &mut State) {
        let departed = mem::take(&mut *lock(&self.departed.entries));
        for entry in departed {
            state.index.remove(&entry);
        }
    }

    fn begin_to_forget(&self, demand: Demand) -> Walk {
        let mut state = lock(&self.state);
        self.settle(&mut state);
        state.forgotten.push(demand.clone());
        Walk {
            owners: state.index.owners(demand.owner.as_deref()),
            demand,
            cursor: Cursor::default(),
            before_id: state.next_id,
            removed: 0,
        }
    }

    /// Takes one step; true after the last.
    fn forget_some(&self, walk: &mut Walk) -> bool {
        let Some(owner) = walk.owners.last() else {
            return true;
        };
        let mut state = lock(&self.state);
        let found = state.index.next(owner, &walk.demand.what, &mut walk.cursor);
        let now = Instant::now();
        let entries = read(&self.entries);
        for entry in found {
            if entry.id >= walk.before_id {
                continue;
            }
            state.index.remove(&entry);
            let removed = entries.held.remove(&*entry.name);
            walk.removed += u64::from(removed.is_some_and(|entry| entry.until > now));
        }
        if matches!(walk.cursor, Cursor::End) {
            walk.owners.pop();
            walk.cursor = Cursor::Start;
        }
        walk.owners.is_empty()
    }

    /// Begins anew with nothing in it.
    fn replace(&self, max_bytes: u64) {
        let mut state = lock(&self.state);
        let index = mem::take(&mut state.index);
        let entries = Entries::new(max_bytes, &self.departed);
        let mut held = self.entries.write().unwrap_or_else(PoisonError::into_inner);
        let before = mem::replace(&mut *held, entries);
        drop((held, state));
        // A million values take a while to free.
        match Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(move || drop((index, before)))),
            Err(_) => drop((index, before)),
        }
    }
}

#[async_trait]
impl Cache for MemoryCache {
    async fn get(&self, name: &Name) -> Option<Hit> {
        let hit = self.find(name);
        match &hit {
            Some(_) => self.counters.hits.add(1),
            None => self.counters.misses.add(1),
        }
        hit
    }

    async fn begin(&self, name: &Name) -> Load {
        Load {
            name: name.clone(),
            since: self.forgotten(),
            _lease: None,
        }
    }

    async fn turn(&self, name: &Name) -> Turn {
        // There is no other node, but whoever loaded it here may have ended
        // between the caller's look and now.
        match self.find(name) {
            Some(hit) => Turn::Found(hit),
            None => Turn::Load(self.begin(name).await),
        }
    }

    async fn turn_to_refresh(&self, name: &Name) -> Option<Load> {
        let load = self.begin(name).await;
        let key = name.in_one();
        let lease = self.refreshing.try_acquire(&key, Duration::MAX).await;
        let lease = lease.ok().flatten()?;
        // Whoever had the turn before may be done.
        self.is_due(name).then_some(Load {
            _lease: Some(lease),
            ..load
        })
    }

    async fn put(&self, load: Load, value: Bytes, keep: &Keep) {
        if !load.name.is_fit() || !keep.is_fit() || value.len() > MOST_VALUE_BYTES {
            self.counters.errors.add(1);
            return;
        }
        if keep.ttl.is_zero() {
            return;
        }
        let span = Span::new(keep.ttl, self.refresh_ahead);
        let kept = self.fill((&load.name, load.since), &value, span, &keep.labels());
        match kept {
            Ok(()) => self.counters.sets.add(1),
            Err(NotKept::Forgotten) => {}
            Err(NotKept::TooLarge) => self.counters.errors.add(1),
        }
    }

    async fn invalidate(&self, owner: Option<&str>, what: &Selector) -> Result<u64, StoreError> {
        if !what.is_fit() {
            self.counters.errors.add(1);
            return Ok(0);
        }
        let demand = Demand {
            owner: owner.map(ToOwned::to_owned),
            what: what.clone(),
        };
        let removed = self.forget(demand).await;
        self.counters.invalidations.add(removed);
        Ok(removed)
    }

    fn resize(&self, max_bytes: u64) {
        self.inner.replace(max_bytes);
    }

    fn stats(&self) -> CacheStats {
        let (bytes, entries, evictions) = self.held();
        CacheStats {
            evictions,
            bytes,
            entries,
            ..self.counters.stats()
        }
    }

    async fn check(&self) -> CacheHealth {
        let began = Instant::now();
        let name = Name {
            owner: String::new(),
            namespace: "check",
            key: "probe".to_owned(),
        };
        let span = Span::new(Duration::from_secs(1), 0.0);
        let filled = self.fill((&name, self.forgotten()), b"", span, &Labels::default());
        // A cache of hardly any bytes keeps nothing, and works.
        let found = filled == Err(NotKept::TooLarge) || self.find(&name).is_some();
        self.drop_one(&name);
        CacheHealth {
            home: "memory",
            latency: if found {
                Ok(began.elapsed())
            } else {
                let what = "the value that was just put in";
                Err(StoreError::Corrupt { what })
            },
        }
    }
}

impl fmt::Debug for MemoryCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryCache")
            .field("max_bytes", &read(&self.inner.entries).max_bytes)
            .finish_non_exhaustive()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn read<T>(lock: &RwLock<T>) -> std::sync::RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}
