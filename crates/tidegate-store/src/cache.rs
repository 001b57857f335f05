//! Bytes that are kept for a while.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use crate::error::StoreError;
use crate::leases::Lease;

/// What something is kept under. Whose it is and what kind of thing it is are
/// names of their own, so that no text in one of them runs into another.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Name {
    /// Whose it is. What one owner keeps no other finds or removes.
    pub owner: String,
    /// What kind of thing it is: `answer`, `scan`.
    pub namespace: &'static str,
    /// Which one.
    pub key: String,
}

/// For how long something is kept, and what takes it away before.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Keep {
    /// Until it expires. Homes that several share spread it by a tenth, so that
    /// what was kept together does not expire together.
    pub ttl: Duration,
    /// Whatever it was made from; at most [`MOST_TAGS`].
    pub tags: Vec<String>,
    /// The domain that it belongs to, if any.
    pub domain: Option<String>,
}

/// Tags of one value.
pub const MOST_TAGS: usize = 64;
/// Bytes of a key, a tag or a domain.
pub const MOST_NAME_BYTES: usize = 1_024;

/// What is to be forgotten.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selector {
    /// One key, in every namespace.
    Key(String),
    /// All that carry a tag.
    Tag(String),
    /// All of a domain.
    Domain(String),
    /// All of a namespace.
    Namespace(String),
    /// All whose key begins like this, in every namespace.
    Prefix(String),
}

/// Something that was kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hit {
    /// What was put in.
    pub value: Bytes,
    /// Whether it is time for one caller to make it anew: the others go on
    /// with this one.
    pub freshness: Freshness,
}

/// Whether what was found is to be made anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Freshness {
    /// Not yet.
    Fresh,
    /// It expires soon.
    RefreshDue,
}

/// The right to put one value in, taken before the value is made: what was
/// forgotten in between must not come back with it.
///
/// Dropping it lets the next one load.
#[derive(Debug)]
pub struct Load {
    /// What is loaded.
    pub name: Name,
    /// How much had been forgotten when the load began.
    pub(crate) since: u64,
    /// Held while no other node is to load the same.
    pub(crate) lease: Option<Lease>,
}

/// What came of waiting for a turn to load.
#[derive(Debug)]
pub enum Turn {
    /// Nobody else loads it: the caller does.
    Load(Load),
    /// Somebody else has loaded it.
    Found(Hit),
}

/// What a cache has done since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CacheStats {
    /// Look-ups that found something.
    pub hits: u64,
    /// Of those, the ones that the shared tier answered.
    pub shared_hits: u64,
    /// Look-ups that did not.
    pub misses: u64,
    /// Values put in.
    pub sets: u64,
    /// Values that left because there was no room.
    pub evictions: u64,
    /// Values that were forgotten on demand.
    pub invalidations: u64,
    /// Values that could not be read or kept.
    pub errors: u64,
    /// Bytes held in this process now, keys included; settles a moment after a
    /// change.
    pub bytes: u64,
    /// Values held in this process now.
    pub entries: u64,
}

impl CacheStats {
    /// Hits as a share of look-ups, 0 to 1; 0 before the first.
    pub fn hit_rate(&self) -> f64 {
        let looked = self.hits + self.misses;
        if looked == 0 {
            return 0.0;
        }
        self.hits as f64 / looked as f64
    }
}

/// Whether a cache can be used now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheHealth {
    /// The home that answers: `memory` or `redis`.
    pub home: &'static str,
    /// How long writing and reading a value back took, or why it failed.
    pub latency: Result<Duration, StoreError>,
}

/// A home of cached values.
///
/// A cache that cannot be reached finds nothing and keeps nothing; it never
/// fails a request and never makes one wait for longer than the store's own
/// time limit.
#[async_trait]
pub trait Cache: Send + Sync + fmt::Debug {
    /// The value, unless it is absent or has expired.
    async fn get(&self, name: &Name) -> Option<Hit>;

    /// Begins to load a value beside whoever else may.
    async fn begin(&self, name: &Name) -> Load;

    /// Begins to load a value, or waits for another node that does. Waits for
    /// as long as that one loads: callers bound it with their deadline.
    /// Dropping the future leaves the line.
    async fn turn(&self, name: &Name) -> Turn;

    /// The turn to make a value anew that others go on using, for the first
    /// who asks, on whatever node.
    async fn turn_to_refresh(&self, name: &Name) -> Option<Load>;

    /// Keeps a value, unless it was forgotten since its load began.
    async fn put(&self, load: Load, value: Bytes, keep: &Keep);

    /// Forgets what an owner keeps, or everybody where no owner is named.
    /// Returns how many values were there. When it returns, this process finds
    /// none of them any more.
    ///
    /// # Errors
    /// [`StoreError`] when other nodes may still find them.
    async fn invalidate(&self, owner: Option<&str>, what: &Selector) -> Result<u64, StoreError>;

    /// What happened so far.
    fn stats(&self) -> CacheStats;

    /// Whether it can be used now.
    async fn check(&self) -> CacheHealth;
}
