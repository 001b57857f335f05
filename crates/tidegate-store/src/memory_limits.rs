//! Limits in the memory of one process.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tidegate_resilience::{Refused as WindowRefused, Stamp, Window};
use tokio::time::Instant;

use crate::limits::{
    Dimension, Level, Limits, Quota, Refused, Reservation, Settle, UnknownReservation, Used,
};

/// The memory home of [`Limits`].
#[derive(Debug, Default)]
pub struct MemoryLimits {
    accounts: Mutex<HashMap<Box<str>, Arc<Mutex<Account>>>>,
    held: Mutex<HashMap<String, Held>>,
}

/// A reservation on behalf of a call that is made elsewhere.
#[derive(Debug)]
struct Held {
    key: String,
    reservation: Reservation,
    until: Instant,
}

#[derive(Debug)]
struct Account {
    quota: Quota,
    requests: Option<Window>,
    tokens: Option<Window>,
    concurrent: u64,
    overshot_tokens: u64,
}

/// A request is counted when it is admitted and reaches the upstream a little
/// later; windows that are 1 % longer keep the upstream's own count below the
/// limit as long as that delay varies by less.
fn guarded(window: Duration) -> Duration {
    window + window / 100
}

impl Account {
    fn new(quota: Quota) -> Self {
        let window =
            |limit: Option<u64>| limit.map(|limit| Window::new(limit, guarded(quota.window)));
        Self {
            quota,
            requests: window(quota.requests),
            tokens: window(quota.tokens),
            concurrent: 0,
            overshot_tokens: 0,
        }
    }

    /// A changed quota starts with empty windows and keeps the leases.
    fn adopt(&mut self, quota: &Quota) {
        if self.quota != *quota {
            *self = Self {
                concurrent: self.concurrent,
                overshot_tokens: self.overshot_tokens,
                ..Self::new(*quota)
            };
        }
    }

    fn reserve(&mut self, tokens: u64, now: Instant) -> Result<Stamps, Refused> {
        let now = now.into_std();
        check(&mut self.tokens, Dimension::Tokens, tokens, now)?;
        check(&mut self.requests, Dimension::Requests, 1, now)?;
        if self
            .quota
            .concurrent
            .is_some_and(|most| self.concurrent >= most)
        {
            return Err(Refused::Throttled {
                dimension: Dimension::Concurrency,
                retry_after: None,
            });
        }
        self.concurrent += 1;
        Ok(Stamps {
            requests: take(&mut self.requests, 1, now),
            tokens: take(&mut self.tokens, tokens, now),
        })
    }

    fn settle(&mut self, stamps: Stamps, reserved: u64, used: Used) {
        self.concurrent = self.concurrent.saturating_sub(1);
        let now = Instant::now().into_std();
        match used {
            Used::Unknown => {}
            Used::Nothing => {
                cancel(&mut self.requests, stamps.requests, now);
                cancel(&mut self.tokens, stamps.tokens, now);
            }
            Used::Tokens(used) => {
                self.overshot_tokens += used.saturating_sub(reserved);
                if let (Some(window), Some(stamp)) = (&mut self.tokens, stamps.tokens) {
                    window.settle(stamp, used, now);
                }
            }
        }
    }
}

/// Where a reservation stands in each window.
#[derive(Debug, Clone, Copy)]
struct Stamps {
    requests: Option<Stamp>,
    tokens: Option<Stamp>,
}

fn check(
    window: &mut Option<Window>,
    dimension: Dimension,
    cost: u64,
    now: std::time::Instant,
) -> Result<(), Refused> {
    let Some(window) = window else { return Ok(()) };
    window.check(cost, now).map_err(|refused| match refused {
        WindowRefused::Throttled { retry_after } => Refused::Throttled {
            dimension,
            retry_after: Some(retry_after),
        },
        WindowRefused::TooLarge { cost, limit } => Refused::TooLarge {
            tokens: cost,
            limit,
        },
    })
}

fn take(window: &mut Option<Window>, cost: u64, now: std::time::Instant) -> Option<Stamp> {
    window
        .as_mut()
        .and_then(|window| window.reserve(cost, now).ok())
}

fn cancel(window: &mut Option<Window>, stamp: Option<Stamp>, now: std::time::Instant) {
    if let (Some(window), Some(stamp)) = (window, stamp) {
        window.cancel(stamp, now);
    }
}

struct MemoryTicket {
    account: Arc<Mutex<Account>>,
    stamps: Stamps,
    quota: Quota,
    tokens: u64,
}

impl Settle for MemoryTicket {
    fn settle(self: Box<Self>, used: Used) {
        let mut account = lock(&self.account);
        // Stamps of a quota that has changed meanwhile name nothing any more.
        let used = if account.quota == self.quota {
            used
        } else {
            Used::Unknown
        };
        account.settle(self.stamps, self.tokens, used);
    }
}

/// State behind these locks is whole after every statement, so a panic
/// elsewhere does not spoil it.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl MemoryLimits {
    fn account(&self, key: &str, quota: &Quota) -> Arc<Mutex<Account>> {
        let mut accounts = lock(&self.accounts);
        if let Some(account) = accounts.get(key) {
            return account.clone();
        }
        let account = Arc::new(Mutex::new(Account::new(*quota)));
        accounts.insert(key.into(), account.clone());
        account
    }

    fn take_expired(&self) -> Vec<Held> {
        let now = Instant::now();
        lock(&self.held)
            .extract_if(|_, held| held.until <= now)
            .map(|(_, held)| held)
            .collect()
    }
}

#[async_trait]
impl Limits for MemoryLimits {
    async fn reserve(&self, key: &str, quota: &Quota, tokens: u64) -> Result<Reservation, Refused> {
        if !lock(&self.held).is_empty() {
            drop(self.take_expired());
        }
        let account = self.account(key, quota);
        let stamps = {
            let mut account = lock(&account);
            account.adopt(quota);
            account.reserve(tokens, Instant::now())?
        };
        let ticket = MemoryTicket {
            account,
            stamps,
            quota: *quota,
            tokens,
        };
        Ok(Reservation::new(tokens, Box::new(ticket)))
    }

    async fn hold(&self, key: &str, reservation: Reservation, lease: Duration) -> String {
        let id = format!("{:032x}", rand_id());
        let held = Held {
            key: key.to_owned(),
            reservation,
            until: Instant::now() + lease,
        };
        lock(&self.held).insert(id.clone(), held);
        id
    }

    async fn settle(&self, id: &str, used: Used) -> Result<String, UnknownReservation> {
        drop(self.take_expired());
        let held = lock(&self.held).remove(id).ok_or(UnknownReservation)?;
        held.reservation.settle(used);
        Ok(held.key)
    }

    async fn level(&self, key: &str) -> Level {
        drop(self.take_expired());
        let Some(account) = lock(&self.accounts).get(key).cloned() else {
            return Level::default();
        };
        let mut account = lock(&account);
        let now = Instant::now().into_std();
        Level {
            requests: account
                .requests
                .as_mut()
                .map_or(0, |window| window.used(now)),
            tokens: account.tokens.as_mut().map_or(0, |window| window.used(now)),
            concurrent: account.concurrent,
            overshot_tokens: account.overshot_tokens,
        }
    }
}

/// Ids are capabilities: who knows one may settle it, so they cannot be guessed.
fn rand_id() -> u128 {
    use std::hash::{BuildHasher, RandomState};
    // Each `RandomState` is keyed by the operating system's entropy.
    let half = || u128::from(RandomState::new().hash_one(Instant::now()));
    (half() << 64) | half()
}
