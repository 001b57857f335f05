//! Limits in the memory of one process.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tidegate_resilience::{Refused as WindowRefused, Stamp, Window};
use tokio::time::Instant;

use crate::held::{Held, HeldOnes};
use crate::limits::{
    Cooling, Dimension, Level, Limits, Quota, Refused, Reservation, Settle, TooManyHeld,
    UnknownReservation, Used,
};

/// The memory home of [`Limits`].
#[derive(Debug, Default)]
pub struct MemoryLimits {
    accounts: Mutex<HashMap<Box<str>, Arc<Mutex<Account>>>>,
    held: Mutex<HeldOnes>,
}

#[derive(Debug)]
struct Account {
    quota: Quota,
    /// Grows when the windows start anew, so that an older stamp is known.
    generation: u64,
    requests: Window,
    tokens: Window,
    concurrent: u64,
    overshot_tokens: u64,
}

/// A request is counted when it is admitted and reaches the upstream a little
/// later; windows that are 1 % longer keep the upstream's own count below the
/// limit as long as that delay varies by less.
fn guarded(window: Duration) -> Duration {
    window + window / 100
}

/// What is not limited is counted all the same; nobody asks this window for
/// room.
fn window(limit: Option<u64>, length: Duration) -> Window {
    Window::new(limit.unwrap_or(u64::MAX), guarded(length))
}

/// Beyond this many, accounts that count nothing any more are forgotten when
/// another is opened: keys may come from callers.
const MOST_IDLE_ACCOUNTS: usize = 1_024;

impl Account {
    /// Whether forgetting it would forget a grant.
    fn is_in_use(&mut self, now: std::time::Instant) -> bool {
        self.concurrent > 0 || self.requests.used(now) > 0 || self.tokens.used(now) > 0
    }

    fn new(quota: Quota) -> Self {
        Self {
            quota,
            generation: 0,
            requests: window(quota.requests, quota.window),
            tokens: window(quota.tokens, quota.window),
            concurrent: 0,
            overshot_tokens: 0,
        }
    }

    /// A changed quota counts what was granted under the old one, unless its
    /// windows have another length: those start empty.
    fn adopt(&mut self, quota: &Quota) {
        if self.quota == *quota {
            return;
        }
        if self.quota.window == quota.window {
            self.requests.set_limit(quota.requests.unwrap_or(u64::MAX));
            self.tokens.set_limit(quota.tokens.unwrap_or(u64::MAX));
        } else {
            self.generation += 1;
            self.requests = window(quota.requests, quota.window);
            self.tokens = window(quota.tokens, quota.window);
        }
        self.quota = *quota;
    }

    fn reserve(&mut self, tokens: u64, now: Instant) -> Result<Stamps, Refused> {
        let now = now.into_std();
        self.check_windows(tokens, now)?;
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
            generation: self.generation,
            requests: self.requests.charge(1, now),
            tokens: self.tokens.charge(tokens, now),
        })
    }

    /// Where both windows are full, the wait is the longer one: whoever waits
    /// that long is admitted, not sent to wait again.
    fn check_windows(&mut self, tokens: u64, now: std::time::Instant) -> Result<(), Refused> {
        let by_tokens = match self.quota.tokens {
            Some(_) => check(&mut self.tokens, Dimension::Tokens, tokens, now),
            None => Ok(()),
        };
        let by_requests = match self.quota.requests {
            Some(_) => check(&mut self.requests, Dimension::Requests, 1, now),
            None => Ok(()),
        };
        match (by_tokens, by_requests) {
            (Err(one), Err(other)) => Err(longer(one, other)),
            (one, other) => one.and(other),
        }
    }

    fn settle(&mut self, stamps: Stamps, reserved: u64, used: Used) {
        self.concurrent = self.concurrent.saturating_sub(1);
        if let Used::Tokens(used) = used {
            let over = used.saturating_sub(reserved);
            self.overshot_tokens = self.overshot_tokens.saturating_add(over);
        }
        // Stamps of windows that are gone would correct somebody else's.
        if stamps.generation != self.generation {
            return;
        }
        let now = Instant::now().into_std();
        match used {
            Used::Unknown => {}
            Used::Nothing => {
                self.requests.cancel(stamps.requests, now);
                self.tokens.cancel(stamps.tokens, now);
            }
            Used::Tokens(used) => self.tokens.settle(stamps.tokens, used, now),
        }
    }
}

/// Where a reservation stands in each window.
#[derive(Debug, Clone, Copy)]
struct Stamps {
    generation: u64,
    requests: Stamp,
    tokens: Stamp,
}

fn check(
    window: &mut Window,
    dimension: Dimension,
    cost: u64,
    now: std::time::Instant,
) -> Result<(), Refused> {
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

/// The refusal that holds for longer; one that waiting does not end is for ever.
fn longer(one: Refused, other: Refused) -> Refused {
    match (&one, &other) {
        (Refused::TooLarge { .. }, _) => one,
        (_, Refused::TooLarge { .. }) => other,
        (
            Refused::Throttled { retry_after, .. },
            Refused::Throttled {
                retry_after: later, ..
            },
        ) if later > retry_after => other,
        _ => one,
    }
}

struct MemoryTicket {
    account: Arc<Mutex<Account>>,
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
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl MemoryLimits {
    fn account(&self, key: &str, quota: &Quota) -> Arc<Mutex<Account>> {
        let mut accounts = lock(&self.accounts);
        if let Some(account) = accounts.get(key) {
            return account.clone();
        }
        if accounts.len() >= MOST_IDLE_ACCOUNTS {
            let now = Instant::now().into_std();
            accounts.retain(|_, account| lock(account).is_in_use(now));
        }
        let account = Arc::new(Mutex::new(Account::new(*quota)));
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
            account.reserve(tokens, Instant::now())?
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
        let id = format!("{:032x}", rand_id());
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
        let now = Instant::now().into_std();
        Level {
            requests: account.requests.used(now),
            tokens: account.tokens.used(now),
            concurrent: account.concurrent,
            overshot_tokens: account.overshot_tokens,
            cooling: None,
        }
    }
}

/// Ids are capabilities: who knows one may settle it, so they cannot be guessed.
fn rand_id() -> u128 {
    use std::hash::{BuildHasher, RandomState};
    // The keys of `RandomState` come from the operating system, once a thread.
    let half = || u128::from(RandomState::new().hash_one(Instant::now()));
    (half() << 64) | half()
}
