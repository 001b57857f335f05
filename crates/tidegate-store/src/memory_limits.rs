//! Limits in the memory of one process.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;

use crate::held::{Held, HeldOnes};
use crate::ledger::{Caps, InUse, Ledger, Stamps};
use crate::limits::{
    Cooling, Level, Limits, Quota, Refused, Reservation, Settle, TooManyHeld, UnknownReservation,
    Used,
};

/// The memory home of [`Limits`].
#[derive(Debug, Default)]
pub struct MemoryLimits {
    accounts: Mutex<HashMap<Box<str>, Arc<Mutex<Ledger>>>>,
    held: Mutex<HeldOnes>,
}

/// Beyond this many, accounts that count nothing any more are forgotten when
/// another is opened: keys may come from callers.
pub(crate) const MOST_IDLE_ACCOUNTS: usize = 1_024;

struct MemoryTicket {
    account: Arc<Mutex<Ledger>>,
    stamps: Stamps,
    tokens: u64,
}

impl Settle for MemoryTicket {
    fn settle(self: Box<Self>, used: Used) {
        lock(&self.account).settle(self.stamps, self.tokens, used);
    }
}

/// State behind these locks is whole after every statement, so a panic
/// elsewhere does not spoil it.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl MemoryLimits {
    fn account(&self, key: &str, quota: &Quota) -> Arc<Mutex<Ledger>> {
        let mut accounts = lock(&self.accounts);
        if let Some(account) = accounts.get(key) {
            return account.clone();
        }
        if accounts.len() >= MOST_IDLE_ACCOUNTS {
            let now = Instant::now();
            // One that somebody is about to use may not be made twice.
            accounts.retain(|_, account| {
                Arc::strong_count(account) > 1 || lock(account).is_in_use(now)
            });
        }
        let account = Arc::new(Mutex::new(Ledger::new(*quota)));
        accounts.insert(key.into(), account.clone());
        account
    }

    fn take_expired(&self) -> Vec<Held> {
        let now = Instant::now();
        lock(&self.held).take_expired(now)
    }
}

#[async_trait]
impl Limits for MemoryLimits {
    async fn reserve(&self, key: &str, quota: &Quota, tokens: u64) -> Result<Reservation, Refused> {
        drop(self.take_expired());
        let account = self.account(key, quota);
        let stamps = {
            let mut account = lock(&account);
            account.adopt(quota);
            account.reserve(&Caps::from(quota), tokens, Instant::now())?
        };
        let ticket = MemoryTicket {
            account,
            stamps,
            tokens,
        };
        Ok(Reservation::new(tokens, Box::new(ticket)))
    }

    async fn hold(
        &self,
        owner: &str,
        key: &str,
        reservation: Reservation,
        lease: Duration,
    ) -> Result<String, TooManyHeld> {
        drop(self.take_expired());
        let id = new_id();
        let held = Held {
            owner: owner.into(),
            key: key.to_owned(),
            reservation,
            until: Instant::now() + lease,
        };
        let put = lock(&self.held).put(&id, held);
        put.map(|()| id).map_err(|(refused, too_many)| {
            refused.reservation.settle(Used::Nothing);
            too_many
        })
    }

    async fn settle(
        &self,
        owner: &str,
        id: &str,
        used: Used,
    ) -> Result<String, UnknownReservation> {
        drop(self.take_expired());
        let held = lock(&self.held).take(owner, id)?;
        held.reservation.settle(used);
        Ok(held.key)
    }

    // Within one process the breakers of the callers know it already.
    fn cool(&self, _key: &str, _cooldown: Duration, _cooling: Cooling) {}

    fn warm(&self, _key: &str) {}

    async fn level(&self, key: &str) -> Level {
        drop(self.take_expired());
        let Some(account) = lock(&self.accounts).get(key).cloned() else {
            return Level::default();
        };
        let mut account = lock(&account);
        let InUse {
            requests,
            tokens,
            concurrent,
        } = account.in_use(Instant::now());
        Level {
            requests,
            tokens,
            concurrent,
            overshot_tokens: account.overshot_tokens(),
            cooling: None,
        }
    }
}

/// Ids are capabilities: who knows one may settle it, so they cannot be guessed.
pub(crate) fn new_id() -> String {
    use std::hash::{BuildHasher, RandomState};
    // The keys of `RandomState` come from the operating system, once a thread.
    let half = || u128::from(RandomState::new().hash_one(Instant::now()));
    format!("{:032x}", (half() << 64) | half())
}
