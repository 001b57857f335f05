//! The Redis home of [`Cache`]: a tier in memory before one that all nodes
//! share.
//!
//! What is forgotten on one node is announced to all. A node trusts its memory
//! only while it hears the announcements; otherwise it asks Redis, and goes by
//! its memory where Redis does not answer either. Then a value may be found
//! that another node forgot in the meantime: requests go on rather than wait.

mod debts;
mod ear;
mod keys;
mod news;
mod shelf;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use redis::cmd;
use tokio::time::{Instant, sleep};

use self::debts::Debts;
use self::ear::Ear;
use self::shelf::Shelf;
use super::link::Link;
use crate::cache::{
    Cache, CacheHealth, CacheStats, Freshness, Hit, Keep, Load, Name, Selector, Turn,
};
use crate::codec::{self, Envelope};
use crate::error::StoreError;
use crate::leases::{Lease, Leases};
use crate::memory_cache::{Counters, Demand, Labels, MemoryCache, NotKept, Span};
use crate::memory_leases::MemoryLeases;

/// Values in Redis, and those that are asked for often in memory as well.
pub(crate) struct RedisCache {
    inner: Arc<Inner>,
}

struct Inner {
    near: MemoryCache,
    shelf: Shelf,
    ear: Ear,
    debts: Debts,
    leases: Arc<dyn Leases>,
    /// Who makes which value anew while Redis is away.
    own_leases: MemoryLeases,
    refresh_ahead: f64,
    counters: Counters,
}

/// A value as it lies in Redis.
struct Found {
    envelope: Envelope,
    labels: Labels,
    /// For how much longer it is good.
    span: Span,
}

/// Where a value was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tier {
    Near,
    Far,
}

/// A loader that died is waited for no longer than this.
const LEASE: Duration = Duration::from_secs(2);
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_millis(50);
/// Values above this are packed and unpacked beside the requests.
const LONG_WORK_BYTES: usize = 256 << 10;
/// What was kept together does not expire together.
const JITTER: f64 = 0.1;

impl RedisCache {
    /// A cache on a link, of which `max_bytes` are kept in this process. A value
    /// is due to be made anew in the last share `refresh_ahead` of its time.
    pub(crate) fn new(
        link: Link,
        leases: Arc<dyn Leases>,
        max_bytes: u64,
        refresh_ahead: f64,
    ) -> Self {
        let inner = Arc::new(Inner {
            near: MemoryCache::new(max_bytes, 0.0),
            shelf: Shelf { link: link.clone() },
            ear: Ear::default(),
            debts: Debts::default(),
            leases,
            own_leases: MemoryLeases::default(),
            refresh_ahead: refresh_ahead.clamp(0.0, 1.0),
            counters: Counters::default(),
        });
        link.spawn(ear::listen(inner.clone()));
        link.spawn(ear::keep_house(inner.clone()));
        Self { inner }
    }

    /// Waits until this node hears the others: before, it keeps nothing.
    pub(crate) async fn listens(&self, patience: Duration) -> bool {
        self.inner.ear.listens(patience).await
    }
}

impl Inner {
    /// Looks in memory, then in Redis, without counting a look-up.
    async fn find(&self, name: &Name) -> Option<(Hit, Tier)> {
        let near = || Some((self.near.find(name)?, Tier::Near));
        if let Some(found) = self.ear.hears().then(near).flatten() {
            return Some(found);
        }
        match self.find_far(name).await {
            Ok(hit) => Some((hit?, Tier::Far)),
            Err(_) => near(),
        }
    }

    /// Looks in Redis, and remembers what it finds.
    async fn find_far(&self, name: &Name) -> Result<Option<Hit>, StoreError> {
        let hears = self.ear.hears();
        let since = self.near.forgotten();
        let key = keys::value(&name.owner, name.namespace, &name.key);
        let Some(bytes) = self.shelf.read(&key).await? else {
            return Ok(None);
        };
        let Some(found) = self.read(&key, bytes).await else {
            self.counters.errors.add(1);
            return Ok(None);
        };
        if found.span.whole.is_zero() || self.debts.take(name, &found.labels) {
            return Ok(None);
        }
        let value = found.envelope.value;
        if hears {
            // Whatever keeps it out of memory, it was there when Redis was asked.
            let _ = self
                .near
                .fill((name, since), &value, found.span, &found.labels);
        }
        let freshness = if found.span.fresh.is_zero() {
            Freshness::RefreshDue
        } else {
            Freshness::Fresh
        };
        Ok(Some(Hit { value, freshness }))
    }

    /// Unpacks a value; nothing for what is not one.
    async fn read(&self, key: &str, bytes: Vec<u8>) -> Option<Found> {
        let bytes = Bytes::from(bytes);
        let envelope = if bytes.len() > LONG_WORK_BYTES {
            let key = key.to_owned();
            let work = move || codec::open(key.as_bytes(), &bytes);
            tokio::task::spawn_blocking(work).await.ok()?.ok()?
        } else {
            codec::open(key.as_bytes(), &bytes).ok()?
        };
        let labels = keys::read_labels(&envelope.notes)?;
        let now = self.server_ms();
        // Another server may have taken over with another clock: nothing is good
        // for longer than it ever was.
        let whole = envelope.expires_ms.checked_sub(envelope.made_ms)?;
        let left = envelope.expires_ms.saturating_sub(now).min(whole);
        let ahead = (whole as f64 * self.refresh_ahead) as u64;
        let span = Span {
            fresh: Duration::from_millis(left.saturating_sub(ahead)),
            whole: Duration::from_millis(left),
        };
        Some(Found {
            envelope,
            labels,
            span,
        })
    }

    /// The server's clock; its beginning while that was never heard of.
    fn server_ms(&self) -> u64 {
        let now = self.shelf.link.server_now().unwrap_or_default();
        u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
    }

    /// Keeps a value here and there.
    async fn keep(&self, load: &Load, value: Bytes, keep: &Keep) {
        let (name, labels) = (&load.name, keep.labels());
        let ttl = keep
            .ttl
            .mul_f64(1.0 - JITTER + 2.0 * JITTER * fastrand::f64());
        let span = Span::new(ttl, self.refresh_ahead);
        if self.near.was_forgotten(load.since, name, &labels) {
            return;
        }
        let key = keys::value(&name.owner, name.namespace, &name.key);
        let Some(bytes) = self.seal(&key, value.clone(), &labels, ttl).await else {
            self.counters.errors.add(1);
            return;
        };
        let written = self.write(&key, load, &labels, (&bytes, ttl)).await;
        let away = match written {
            Ok(true) => false,
            Ok(false) => return,
            Err(StoreError::Unreachable { .. }) => true,
            Err(StoreError::Refused { .. } | StoreError::Corrupt { .. }) => {
                self.counters.errors.add(1);
                true
            }
        };
        match self.near.fill((name, load.since), &value, span, &labels) {
            Ok(()) => self.counters.sets.add(1),
            // It may lie in Redis, if what was forgotten was heard only now.
            Err(NotKept::Forgotten) if !away => self.take_back(name).await,
            Err(NotKept::Forgotten) => {}
            Err(NotKept::TooLarge) if away => self.counters.errors.add(1),
            Err(NotKept::TooLarge) => self.counters.sets.add(1),
        }
    }

    async fn seal(
        &self,
        key: &str,
        value: Bytes,
        labels: &Labels,
        ttl: Duration,
    ) -> Option<Vec<u8>> {
        let made_ms = self.server_ms();
        let ttl_ms = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX);
        let long = value.len() > LONG_WORK_BYTES;
        let envelope = Envelope {
            made_ms,
            expires_ms: made_ms.saturating_add(ttl_ms.max(1)),
            notes: keys::write_labels(labels),
            value,
        };
        if !long {
            return codec::seal(key.as_bytes(), &envelope);
        }
        let key = key.to_owned();
        let work = move || codec::seal(key.as_bytes(), &envelope);
        tokio::task::spawn_blocking(work).await.ok().flatten()
    }

    /// Writes a value to Redis, unless it was forgotten on any node since its
    /// load began. The count is looked at before, so that hardly anything that
    /// was forgotten is ever written, and after: whoever forgets from then on
    /// finds it.
    async fn write(
        &self,
        key: &str,
        load: &Load,
        labels: &Labels,
        (bytes, ttl): (&[u8], Duration),
    ) -> Result<bool, StoreError> {
        let name = &load.name;
        let (listed, count) = tokio::join!(self.shelf.list(name, labels, ttl), self.shelf.count());
        listed?;
        let patience = self.shelf.link.timeout();
        let heard = self.ear.has_heard(&count?, patience).await;
        if !heard || self.near.was_forgotten(load.since, name, labels) {
            return Ok(false);
        }
        if let Err(error) = self.shelf.write(key, bytes, ttl).await {
            if matches!(error, StoreError::Unreachable { .. }) {
                // It may lie there, and nobody has looked at the count.
                self.debts.add(demand_for(name));
            }
            return Err(error);
        }
        let heard = match self.shelf.count().await {
            Ok(count) => self.ear.has_heard(&count, patience).await,
            Err(_) => false,
        };
        if !heard || self.near.was_forgotten(load.since, name, labels) {
            self.take_back(name).await;
            return Ok(false);
        }
        Ok(true)
    }

    /// Forgets a value that ought not to have been written; other nodes may
    /// have read it.
    async fn take_back(&self, name: &Name) {
        let demand = demand_for(name);
        if self.shelf.forget(&demand).await.is_err() {
            self.debts.add(demand);
        }
    }

    /// Carries out what is owed, for as long as Redis answers.
    async fn pay(&self) {
        while let Some((number, demand)) = self.debts.first() {
            if self.shelf.forget(&demand).await.is_err() {
                return;
            }
            self.debts.pay(number, &demand);
        }
    }

    /// Takes the lease to load a value; nothing while another node holds it.
    async fn lease(&self, name: &Name) -> Result<Option<Lease>, StoreError> {
        let key = keys::value(&name.owner, name.namespace, &name.key);
        self.leases.try_acquire(&key, LEASE).await
    }

    fn begin(&self, name: &Name, lease: Option<Lease>) -> Load {
        Load {
            name: name.clone(),
            since: self.near.forgotten(),
            _lease: lease,
        }
    }
}

fn demand_for(name: &Name) -> Demand {
    Demand {
        owner: Some(name.owner.clone()),
        what: Selector::Key(name.key.clone()),
    }
}

#[async_trait]
impl Cache for RedisCache {
    async fn get(&self, name: &Name) -> Option<Hit> {
        let counters = &self.inner.counters;
        let Some((hit, tier)) = self.inner.find(name).await else {
            counters.misses.add(1);
            return None;
        };
        counters.hits.add(1);
        counters.shared_hits.add(u64::from(tier == Tier::Far));
        Some(hit)
    }

    async fn begin(&self, name: &Name) -> Load {
        self.inner.begin(name, None)
    }

    async fn turn(&self, name: &Name) -> Turn {
        let inner = &self.inner;
        let mut pause = FIRST_PAUSE;
        loop {
            // Before the lease, so that whoever forgets while it is asked for
            // is heard of.
            let load = inner.begin(name, None);
            match inner.lease(name).await {
                Ok(Some(lease)) => {
                    // Whoever held it before may have put it in.
                    if let Some((hit, _)) = inner.find(name).await {
                        return Turn::Found(hit);
                    }
                    let lease = Some(lease);
                    return Turn::Load(Load {
                        _lease: lease,
                        ..load
                    });
                }
                Ok(None) => {}
                Err(_) => return Turn::Load(load),
            }
            sleep(pause.mul_f64(0.5 + fastrand::f64() / 2.0)).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
            if let Some((hit, _)) = inner.find(name).await {
                return Turn::Found(hit);
            }
        }
    }

    async fn turn_to_refresh(&self, name: &Name) -> Option<Load> {
        let inner = &self.inner;
        let load = inner.begin(name, None);
        let lease = match inner.lease(name).await {
            Ok(lease) => lease?,
            Err(_) => {
                let key = name.in_one();
                let lease = inner.own_leases.try_acquire(&key, LEASE).await;
                lease.ok().flatten()?
            }
        };
        // Another node may have made it anew, and this one then remembers that.
        let due = match inner.find_far(name).await {
            Ok(hit) => hit.is_some_and(|hit| hit.freshness == Freshness::RefreshDue),
            Err(_) => inner.near.is_due(name),
        };
        due.then_some(Load {
            _lease: Some(lease),
            ..load
        })
    }

    async fn put(&self, load: Load, value: Bytes, keep: &Keep) {
        if !load.name.is_fit() || !keep.is_fit() {
            self.inner.counters.errors.add(1);
            return;
        }
        if !keep.ttl.is_zero() {
            self.inner.keep(&load, value, keep).await;
        }
    }

    async fn invalidate(&self, owner: Option<&str>, what: &Selector) -> Result<u64, StoreError> {
        let inner = &self.inner;
        if !what.is_fit() {
            inner.counters.errors.add(1);
            return Ok(0);
        }
        let demand = Demand {
            owner: owner.map(ToOwned::to_owned),
            what: what.clone(),
        };
        // Owed until it is done: whoever leaves in the middle, or finds nobody,
        // must not find here what was to be forgotten.
        let debt = inner.debts.take_on(demand.clone());
        let near = inner.near.forget(demand.clone()).await;
        let far = inner.shelf.forget(&demand).await;
        // What was read from Redis in between.
        inner.near.forget(demand.clone()).await;
        let removed = far.as_ref().map_or(near, |far| near.max(*far));
        inner.counters.invalidations.add(removed);
        if far.is_ok() {
            debt.pay();
        }
        far.map(|_| removed)
    }

    fn resize(&self, max_bytes: u64) {
        self.inner.near.resize(max_bytes);
    }

    fn stats(&self) -> CacheStats {
        let (bytes, entries, evictions) = self.inner.near.held();
        CacheStats {
            evictions,
            bytes,
            entries,
            ..self.inner.counters.stats()
        }
    }

    async fn check(&self) -> CacheHealth {
        let link = &self.inner.shelf.link;
        let key = format!("tidegate:cache:probe:{}", link.node());
        let began = Instant::now();
        let probe = async {
            let mut set = cmd("SET");
            set.arg(&key).arg(link.node()).arg("PX").arg(1_000);
            link.run::<()>(&set).await?;
            let read: Option<String> = link.run(cmd("GET").arg(&key)).await?;
            link.run::<u64>(cmd("DEL").arg(&key)).await?;
            if read.as_deref() == Some(link.node()) {
                return Ok(began.elapsed());
            }
            let what = "the value that was just put in";
            Err(StoreError::Corrupt { what })
        };
        CacheHealth {
            home: "redis",
            latency: probe.await,
        }
    }
}

impl fmt::Debug for RedisCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisCache")
            .field("near", &self.inner.near)
            .field("link", &self.inner.shelf.link)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
