//! What one node knows of one limit.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::Instant;

use super::Nodes;
use super::limits_share::{Stood, first_share, share};
use super::limits_wire::{AccountKeys, Ask, Note, Reserve, Said, Verdict};
use crate::error::STORE_HINT;
use crate::ledger::{Caps, InUse, Ledger, Stamps, guarded};
use crate::limits::{Cooling, Dimension, Quota, Refused, Used};
use crate::memory_limits::lock;

/// How long a reservation is counted whose node says nothing any more.
pub(super) const LEASE: Duration = Duration::from_secs(2);

/// Notes on one limit that wait to be told. What is lost beyond that costs room
/// and grants nothing: tokens stand, leases run out.
const MOST_NOTES: usize = 4_096;

/// One limit, as this node sees it.
#[derive(Debug)]
pub(super) struct Cell {
    pub(super) key: Box<str>,
    pub(super) keys: AccountKeys,
    state: Mutex<Account>,
    /// Held while leases are renewed: a renewal that comes late must not put a lease
    /// back that has been handed over meanwhile.
    pub(super) renewing: tokio::sync::Mutex<()>,
}

impl Cell {
    pub(super) fn new(key: &str, quota: Quota) -> Self {
        Self {
            key: key.into(),
            keys: AccountKeys::of(key),
            state: Mutex::new(Account::new(quota)),
            renewing: tokio::sync::Mutex::default(),
        }
    }

    pub(super) fn lock(&self) -> std::sync::MutexGuard<'_, Account> {
        lock(&self.state)
    }

    /// Whether somebody is about to use it, or forgetting it would forget
    /// something.
    pub(super) fn is_in_use(self: &Arc<Self>, now: Instant) -> bool {
        Arc::strong_count(self) > 1 || self.lock().is_in_use(now)
    }
}

/// What this node granted, what it was told, and what it has yet to tell.
#[derive(Debug)]
pub(super) struct Account {
    ledger: Ledger,
    notes: Vec<Note>,
    /// Whether it stands in the list of those that have something to tell.
    pub(super) is_listed: bool,
    /// Leases that this node renews.
    leases: HashSet<u64>,
    /// Reservations that are held for calls made elsewhere.
    handed: HashMap<u64, Handed>,
    told: Option<Told>,
    /// Until when shares count as well, as far as is known.
    guarded_until: Option<Instant>,
    /// Until when the key is left alone, as was last told.
    cooling: Option<(Instant, Cooling)>,
    alone: Option<Alone>,
    full: Option<Full>,
    used_at: Instant,
}

/// A reservation whose lease nobody renews.
#[derive(Debug, Clone, Copy)]
struct Handed {
    stamps: Stamps,
    tokens: u64,
    until: Instant,
}

/// What was last told.
#[derive(Debug, Clone, Copy)]
struct Told {
    at: Instant,
    use_of_all: InUse,
    born: u64,
}

/// What this node may have since its own share counts.
#[derive(Debug, Clone, Copy)]
struct Alone {
    since: Instant,
    first: Caps,
}

/// A refusal that holds for whoever wants as much.
#[derive(Debug, Clone, Copy)]
struct Full {
    quota: Quota,
    dimension: Dimension,
    tokens: u64,
    /// When there will be room.
    until: Instant,
    /// Until when it is believed: other nodes give back what they have not used.
    believed_until: Instant,
}

/// Who decides, and who else is there.
#[derive(Debug, Clone, Copy)]
pub(super) struct Situation {
    pub(super) nodes: Nodes,
    pub(super) own_share: OwnShare,
    pub(super) now: Instant,
}

/// When a node keeps to its share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OwnShare {
    /// Never: the policy does not ask for it.
    Never,
    /// While the account says so.
    WhenTold,
    /// Now: the account could not be asked, or not for long enough.
    Now,
}

impl Account {
    fn new(quota: Quota) -> Self {
        Self {
            ledger: Ledger::new(quota),
            notes: Vec::new(),
            is_listed: false,
            leases: HashSet::new(),
            handed: HashMap::new(),
            told: None,
            guarded_until: None,
            cooling: None,
            alone: None,
            full: None,
            used_at: Instant::now(),
        }
    }

    fn is_in_use(&mut self, now: Instant) -> bool {
        let nothing_left =
            self.notes.is_empty() && self.leases.is_empty() && self.handed.is_empty();
        self.ledger.is_in_use(now) || !nothing_left
    }

    /// How long a grant counts.
    pub(super) fn length(&self) -> Duration {
        guarded(self.ledger.quota().window)
    }

    pub(super) fn overshot_tokens(&self) -> u64 {
        self.ledger.overshot_tokens()
    }

    /// Says no where that is known without asking.
    pub(super) fn begin(
        &mut self,
        quota: &Quota,
        tokens: u64,
        now: Instant,
    ) -> Result<(), Refused> {
        self.ledger.adopt(quota);
        self.used_at = now;
        if !self.handed.is_empty() {
            self.drop_expired(now);
        }
        if let Some(limit) = quota.tokens
            && tokens > limit
        {
            return Err(Refused::TooLarge { tokens, limit });
        }
        if quota.requests == Some(0) {
            let (tokens, limit) = (1, 0);
            return Err(Refused::TooLarge { tokens, limit });
        }
        match self.full {
            Some(full) if full.holds(quota, tokens, now) => Err(full.refusal(now)),
            _ => Ok(()),
        }
    }

    /// Whether this node's share counts now.
    pub(super) fn keeps_to_share(&self, situation: Situation) -> bool {
        match situation.own_share {
            OwnShare::Never => false,
            OwnShare::WhenTold => self.guarded_until.is_some_and(|end| end > situation.now),
            OwnShare::Now => true,
        }
    }

    /// Takes it from this node's share.
    pub(super) fn reserve_here(
        &mut self,
        quota: &Quota,
        tokens: u64,
        situation: Situation,
    ) -> Result<Stamps, Refused> {
        let now = situation.now;
        let caps = self.share(quota, situation);
        let hint = |dimension| Refused::Throttled {
            dimension,
            retry_after: Some(STORE_HINT),
        };
        // More than the share, and not more than the limit: room comes when
        // the share is not all there is.
        if caps.tokens.is_some_and(|most| tokens > most) {
            return Err(hint(Dimension::Tokens));
        }
        if caps.requests == Some(0) {
            return Err(hint(Dimension::Requests));
        }
        self.ledger.reserve(&caps, tokens, now)
    }

    fn share(&mut self, quota: &Quota, situation: Situation) -> Caps {
        let Situation { nodes, now, .. } = situation;
        let length = guarded(quota.window);
        let shares = each(quota, |limit, _| share(limit, nodes));
        let stood = self.stood(now);
        let alone = *self.alone.get_or_insert_with(|| Alone {
            since: now,
            first: each(quota, |limit, dimension| {
                first_share(limit, nodes, stood(dimension))
            }),
        });
        if now.duration_since(alone.since) >= length {
            return shares;
        }
        let least = |first: Option<u64>, share: Option<u64>| match (first, share) {
            (Some(first), Some(share)) => Some(first.min(share)),
            (_, share) => share,
        };
        Caps {
            requests: least(alone.first.requests, shares.requests),
            tokens: least(alone.first.tokens, shares.tokens),
            concurrent: least(alone.first.concurrent, shares.concurrent),
        }
    }

    fn stood(&mut self, now: Instant) -> impl Fn(Dimension) -> Stood + use<> {
        let length = self.length();
        let own = self.ledger.in_use(now);
        let told = self.told.filter(|told| now - told.at < length);
        let of = |used: InUse, dimension| match dimension {
            Dimension::Requests => used.requests,
            Dimension::Tokens => used.tokens,
            Dimension::Concurrency => used.concurrent,
        };
        move |dimension| Stood {
            own: of(own, dimension),
            told: told.map(|told| of(told.use_of_all, dimension)),
        }
    }

    /// Takes what was granted elsewhere.
    pub(super) fn charge(&mut self, tokens: u64, now: Instant) -> Stamps {
        self.ledger.charge(tokens, now)
    }

    /// Takes back what was taken from the share and not granted elsewhere.
    pub(super) fn cancel(&mut self, stamps: Stamps, tokens: u64) {
        self.ledger.settle(stamps, tokens, Used::Nothing);
    }

    /// Has a lease renewed until it ends.
    pub(super) fn lend(&mut self, lease: u64) {
        self.leases.insert(lease);
    }

    /// A lease is not renewed any more; whether it was.
    pub(super) fn let_go(&mut self, lease: u64) -> bool {
        self.leases.remove(&lease)
    }

    /// Ends a reservation here, and notes it for the account.
    pub(super) fn settle(&mut self, stamps: Stamps, tokens: u64, used: Used) {
        self.ledger.settle(stamps, tokens, used);
        let gives_back = match used {
            Used::Nothing => true,
            Used::Tokens(used) => used < tokens,
            Used::Unknown => false,
        };
        if gives_back {
            self.full = None;
        }
    }

    /// Its lease lasts so long without being renewed, and may be settled by
    /// another node.
    pub(super) fn hand_over(&mut self, lease: u64, stamps: Stamps, tokens: u64, until: Instant) {
        self.leases.remove(&lease);
        let handed = Handed {
            stamps,
            tokens,
            until,
        };
        self.handed.insert(lease, handed);
    }

    /// One that was handed over has ended.
    pub(super) fn settle_handed(&mut self, lease: u64, used: Used) {
        if let Some(Handed { stamps, tokens, .. }) = self.handed.remove(&lease) {
            self.settle(stamps, tokens, used);
        }
    }

    /// Those whose time is over have ended by themselves.
    pub(super) fn drop_expired(&mut self, now: Instant) {
        let expired = self.handed.extract_if(|_, handed| handed.until <= now);
        for (_, Handed { stamps, tokens, .. }) in expired {
            self.ledger.settle(stamps, tokens, Used::Unknown);
        }
    }

    /// Tokens used beyond a reservation of another node.
    pub(super) fn overshoot(&mut self, tokens: u64) {
        self.ledger.overshoot(tokens);
    }

    /// Notes something for the account; nothing more while too much waits.
    pub(super) fn note(&mut self, note: Note) {
        if self.notes.len() < MOST_NOTES {
            self.notes.push(note);
        }
    }

    pub(super) fn has_notes(&self) -> bool {
        !self.notes.is_empty()
    }

    /// Those that are not renewed any more though they were just now.
    pub(super) fn ended(&self, leases: &[u64]) -> Vec<u64> {
        let goes_on = |lease: &u64| self.leases.contains(lease) || self.handed.contains_key(lease);
        let ended = leases.iter().filter(|lease| !goes_on(lease));
        ended.copied().collect()
    }

    /// Whether it is worth being told how it stands.
    pub(super) fn is_busy(&self, now: Instant) -> bool {
        now.duration_since(self.used_at) < LEASE || !self.leases.is_empty()
    }

    pub(super) fn leases(&self) -> Vec<u64> {
        self.leases.iter().copied().collect()
    }

    /// What to ask, with everything that has to be told.
    pub(super) fn ask(&mut self, reserve: Option<Reserve>, now: Instant) -> Ask {
        let own = self.ledger.in_use(now);
        let granted = own.requests > 0 || own.tokens > 0;
        let known = self.told.filter(|_| granted).map_or(0, |told| told.born);
        Ask {
            reserve,
            length: self.length(),
            known,
            notes: std::mem::take(&mut self.notes),
            ..Ask::default()
        }
    }

    /// Remembers what was said.
    pub(super) fn hear(&mut self, said: &Said, wanted: Option<(&Quota, u64)>, now: Instant) {
        let before = self.told.map_or(0, |told| told.use_of_all.concurrent);
        self.told = Some(Told {
            at: now,
            use_of_all: InUse {
                requests: said.requests,
                tokens: said.tokens,
                concurrent: said.concurrent.unwrap_or(before),
            },
            born: said.born,
        });
        self.cooling = said.cooling.map(|(left, cooling)| (now + left, cooling));
        if !said.guard.is_zero() {
            self.guarded_until = self.guarded_until.max(Some(now + said.guard));
        }
        if let (Verdict::Refused(dimension, Some(wait)), Some((quota, tokens))) =
            (said.verdict, wanted)
        {
            // What other nodes have not used comes back at any time; requests
            // come back only where they were not sent.
            let believed = match dimension {
                Dimension::Requests => wait,
                Dimension::Tokens | Dimension::Concurrency => wait.min(quota.window / 64),
            };
            self.full = Some(Full {
                quota: *quota,
                dimension,
                tokens,
                until: now + wait,
                believed_until: now + believed,
            });
        }
    }

    /// Redis's word counts alone again.
    pub(super) fn rejoin(&mut self) {
        self.alone = None;
    }

    /// How much longer the key is left alone, as was last told.
    pub(super) fn cooling(&self, now: Instant) -> Option<(Duration, Cooling)> {
        let (until, cooling) = self.cooling?;
        let left = until.saturating_duration_since(now);
        (!left.is_zero()).then_some((left, cooling))
    }

    /// How much is in use by everybody, as far as this node knows.
    pub(super) fn guess(&mut self, now: Instant) -> InUse {
        let (length, own) = (self.length(), self.ledger.in_use(now));
        let told = self.told.filter(|told| now - told.at < length);
        let told = told.map(|told| told.use_of_all).unwrap_or_default();
        InUse {
            requests: own.requests.max(told.requests),
            tokens: own.tokens.max(told.tokens),
            concurrent: own.concurrent.max(told.concurrent),
        }
    }
}

fn each(quota: &Quota, cap: impl Fn(u64, Dimension) -> u64) -> Caps {
    let of = |limit: Option<u64>, dimension| limit.map(|limit| cap(limit, dimension));
    Caps {
        requests: of(quota.requests, Dimension::Requests),
        tokens: of(quota.tokens, Dimension::Tokens),
        concurrent: of(quota.concurrent, Dimension::Concurrency),
    }
}

impl Full {
    fn holds(&self, quota: &Quota, tokens: u64, now: Instant) -> bool {
        let as_much = match self.dimension {
            Dimension::Requests => true,
            Dimension::Tokens | Dimension::Concurrency => tokens >= self.tokens,
        };
        as_much && now < self.believed_until && *quota == self.quota
    }

    fn refusal(&self, now: Instant) -> Refused {
        Refused::Throttled {
            dimension: self.dimension,
            retry_after: Some(self.until.saturating_duration_since(now)),
        }
    }
}

/// What a verdict is to a caller who got nothing.
pub(super) fn refusal(verdict: Verdict) -> Option<Refused> {
    match verdict {
        Verdict::NothingWanted | Verdict::Granted(_) => None,
        Verdict::Refused(dimension, retry_after) => Some(Refused::Throttled {
            dimension,
            retry_after,
        }),
        Verdict::Cooling(retry_after, cooling) => Some(Refused::Cooling {
            retry_after,
            cooling,
        }),
    }
}
