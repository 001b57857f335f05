//! Bytes that are kept for a while.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use crate::error::StoreError;
use crate::leases::Lease;
use crate::memory_cache::Labels;

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

impl Name {
    /// Whether something can be kept under it: its key is not empty, and no
    /// part of it is too long or hides something.
    pub(crate) fn is_fit(&self) -> bool {
        let owner = self.owner.is_empty() || is_fit(&self.owner);
        owner && is_fit(self.namespace) && is_fit(&self.key)
    }

    /// All of it in one text, each part with its length before it.
    pub(crate) fn in_one(&self) -> String {
        let (owner, namespace) = (&self.owner, self.namespace);
        let lengths = (owner.len(), namespace.len());
        format!("{}:{}:{owner}{namespace}{}", lengths.0, lengths.1, self.key)
    }
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

impl Keep {
    pub(crate) fn is_fit(&self) -> bool {
        let mut labels = self.tags.iter().chain(&self.domain);
        self.tags.len() <= MOST_TAGS && labels.all(|label| is_fit(label))
    }

    pub(crate) fn labels(&self) -> Labels {
        Labels {
            tags: self.tags.clone(),
            domain: self.domain.clone(),
        }
    }
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

impl Selector {
    /// Whether anything can be meant by it.
    pub(crate) fn is_fit(&self) -> bool {
        match self {
            Self::Key(text)
            | Self::Tag(text)
            | Self::Domain(text)
            | Self::Namespace(text)
            | Self::Prefix(text) => is_fit(text),
        }
    }
}

fn is_fit(text: &str) -> bool {
    !text.is_empty() && text.len() <= MOST_NAME_BYTES && !text.chars().any(char::is_control)
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
    pub(crate) _lease: Option<Lease>,
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
/// Names, tags and domains are 1 to [`MOST_NAME_BYTES`] bytes without control
/// characters; an owner may be empty. What has others, or more than
/// [`MOST_TAGS`] tags, is not kept, and counts as an error; a selector with
/// others forgets nothing, since nothing is there.
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

    /// Keeps a value, unless it was forgotten since its load began. A value of
    /// no time is not kept, and neither is one that is larger than the cache.
    async fn put(&self, load: Load, value: Bytes, keep: &Keep);

    /// Forgets what an owner keeps, or everybody where no owner is named.
    /// Returns how many values were there. When it returns, this process finds
    /// none of them any more. A home that several share may also forget what
    /// carried the tag or belonged to the domain before it was replaced.
    ///
    /// # Errors
    /// [`StoreError`] when other nodes may still find them.
    async fn invalidate(&self, owner: Option<&str>, what: &Selector) -> Result<u64, StoreError>;

    /// Bounds what is held in this process by another number of bytes; that
    /// part of the cache starts empty.
    fn resize(&self, max_bytes: u64);

    /// What happened so far.
    fn stats(&self) -> CacheStats;

    /// Whether it can be used now.
    async fn check(&self) -> CacheHealth;
}
