//! Leases in Redis: a key with its holder's token, which ends by itself when
//! nobody extends it.
//!
//! One task of a node extends all leases that it holds, a third of their time
//! after they were last extended, and gives back those that were dropped. Only
//! who knows the token can do either. A lease counts as lost when it could not
//! be extended for its time, counted on this node from before it was asked for:
//! earlier than it ends at the server.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use redis::Script;
use tokio::time::Instant;

use super::Link;
use crate::error::StoreError;
use crate::leases::{Hold, Lease, Leases};
use book::{Book, Entry};

mod book;

/// The Redis home of [`Leases`]. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct RedisLeases {
    book: Arc<Book>,
}

impl RedisLeases {
    /// Leases behind a link.
    pub(crate) fn new(link: Link) -> Self {
        let book = Arc::new(Book::new(link));
        Self { book }
    }
}

/// Takes the key where it is free, or this holder's already: a client may send
/// it again because the answer was lost.
const TAKE: &str = "
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1";

const EXTEND: &str = "
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])";

const RELEASE: &str = "
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])";

struct Scripts {
    take: Script,
    extend: Script,
    release: Script,
}

fn scripts() -> &'static Scripts {
    static SCRIPTS: OnceLock<Scripts> = OnceLock::new();
    SCRIPTS.get_or_init(|| Scripts {
        take: Script::new(TAKE),
        extend: Script::new(EXTEND),
        release: Script::new(RELEASE),
    })
}

/// A key, who holds it, and for how long at a time.
#[derive(Debug, Clone)]
struct Claim {
    key: String,
    token: String,
    ttl: Duration,
}

impl Claim {
    fn new(link: &Link, name: &str, ttl: Duration) -> Self {
        let digest = blake3::hash(name.as_bytes());
        Self {
            key: format!("tidegate:lease:{}", &digest.to_hex()[..32]),
            token: format!("{}:{:016x}", link.node(), fastrand::u64(..)),
            // The server knows nothing below, and no sums above.
            ttl: ttl.clamp(Duration::from_millis(1), Duration::from_secs(365 * 86_400)),
        }
    }

    async fn ask(&self, link: &Link, script: &Script) -> Result<bool, StoreError> {
        let mut invocation = script.prepare_invoke();
        invocation.key(&self.key).arg(&self.token);
        invocation.arg(u64::try_from(self.ttl.as_millis()).unwrap_or(u64::MAX));
        link.invoke(&invocation).await
    }
}

/// Until when a lease is surely held, in milliseconds since its book was begun;
/// 0 when it was lost.
#[derive(Debug, Default)]
struct Tenure(AtomicU64);

impl Tenure {
    fn set(&self, until_ms: u64) {
        self.0.store(until_ms, Ordering::Release);
    }

    fn until_ms(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }
}

#[async_trait]
impl Leases for RedisLeases {
    async fn try_acquire(&self, key: &str, ttl: Duration) -> Result<Option<Lease>, StoreError> {
        let claim = Claim::new(self.book.link(), key, ttl);
        let tenure = Arc::new(Tenure::default());
        // It is in the book before it is asked for: whoever leaves while the
        // answer is on its way gives back what may have been taken.
        let asked = Instant::now();
        let entry = Entry::new(claim.clone(), tenure.clone());
        let held = Held {
            id: self.book.add(entry),
            book: self.book.clone(),
            tenure,
        };
        if claim.ask(self.book.link(), &scripts().take).await? {
            self.book.begin(held.id, asked);
            Ok(Some(Lease::new(Box::new(held))))
        } else {
            self.book.forget(held.id);
            Ok(None)
        }
    }
}

struct Held {
    id: u64,
    book: Arc<Book>,
    tenure: Arc<Tenure>,
}

impl Hold for Held {
    fn is_lost(&self) -> bool {
        self.book.now_ms() >= self.tenure.until_ms()
    }

    fn release(self: Box<Self>) {
        drop(self);
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.book.give_back(self.id);
    }
}

#[cfg(test)]
mod tests;
