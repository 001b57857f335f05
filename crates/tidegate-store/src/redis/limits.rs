//! Limits that all nodes share.
//!
//! One script decides, by the server's clock. What this node granted stands in
//! a ledger of its own as well, so that it can go on alone within its share:
//! while Redis cannot be asked, and after that until everything that Redis was
//! not told of has left the window.
//!
//! What is told beside a decision is told once: when reservations end, in the
//! order of their ends, together with the next question about the same limit or
//! a few milliseconds later. If that is lost, tokens stand and the lease runs
//! out; nothing is ever given back twice.

use std::any::Any;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::FutureExt;
use tokio::time::Instant;

use super::limits_account::{Cell, refusal};
use super::limits_asked::Asked;
use super::limits_held::{self as records, HeldPart, HeldRecord, Kept};
use super::limits_home::{Home, Lost};
use super::limits_wire::{Ask, Note, Reserve, Said, Verdict};
use super::{Link, LinkConfig};
use crate::config::{OnUnreachable, StoreConfig, StoreUrl};
use crate::error::{OpenError, STORE_HINT};
use crate::held::{Held, MOST_HELD};
use crate::ledger::{Stamps, guarded};
use crate::limits::{
    Cooling, Level, Limits, Quota, Refused, Reservation, Settle, TooManyHeld, UnknownReservation,
    Used,
};
use crate::memory_limits::{lock, new_id};

/// When a caller may ask again whose question was lost while others may well be
/// answered.
const ASK_AGAIN: Duration = Duration::from_millis(20);

/// The Redis home of [`Limits`]. Cheap to clone.
#[derive(Clone)]
pub struct RedisLimits {
    home: Arc<Home>,
}

impl RedisLimits {
    /// The limits alone, on a connection of their own.
    ///
    /// # Errors
    /// [`OpenError`] when the address is no Redis, or when waiting would not help.
    pub async fn open(config: &StoreConfig) -> Result<Self, OpenError> {
        let StoreUrl::Redis(url) = &config.url else {
            return Err(OpenError::Url(format!("{} is no Redis", config.url)));
        };
        let link = Link::open(LinkConfig {
            url: url.clone(),
            db: config.cache_db.unwrap_or_default(),
            timeout: config.timeout,
        });
        Ok(Self::new(link.await?, config.on_unreachable))
    }

    /// The limits on a link.
    pub(crate) fn new(link: Link, policy: OnUnreachable) -> Self {
        let home = Arc::new(Home::new(link, policy));
        home.link.spawn(home.clone().tell());
        home.link.spawn(home.clone().renew());
        Self { home }
    }

    /// Tells what is still to be told, and ends what runs beside requests.
    pub async fn close(&self) {
        self.home.link.close().await;
    }
}

#[cfg(test)]
impl RedisLimits {
    pub(super) fn is_live(&self) -> bool {
        self.home.link.is_live()
    }

    pub(super) fn seen_nodes(&self) -> u32 {
        self.home.link.nodes().count
    }
}

impl fmt::Debug for RedisLimits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisLimits")
            .field("link", &self.home.link)
            .field("policy", &self.home.policy)
            .finish_non_exhaustive()
    }
}

/// One wish on its way.
struct Wish {
    home: Arc<Home>,
    cell: Arc<Cell>,
    quota: Quota,
    tokens: u64,
    lease: u64,
    /// What was taken from this node's share already.
    stamps: Option<Stamps>,
}

impl Wish {
    /// Looks at what is known here, and says what to ask.
    fn begin(
        home: &Arc<Home>,
        key: &str,
        quota: &Quota,
        tokens: u64,
    ) -> Result<(Self, Option<Ask>), Refused> {
        let cell = home.cell(key, quota);
        let can_ask = home.can_ask();
        let situation = home.situation(guarded(quota.window));
        let mut account = cell.lock();
        account.begin(quota, tokens, situation.now)?;
        if !can_ask && home.policy == OnUnreachable::FailClosed {
            let retry_after = STORE_HINT;
            return Err(Refused::Unreachable { retry_after });
        }
        let stamps = if account.keeps_to_share(situation) {
            Some(account.reserve_here(quota, tokens, situation)?)
        } else {
            None
        };
        let lease = home.new_lease();
        let ask = can_ask.then(|| {
            let reserve = Reserve {
                quota: *quota,
                tokens,
                lease: home.lease_name(lease),
            };
            account.ask(Some(reserve), situation.now)
        });
        drop(account);
        let wish = Self {
            home: home.clone(),
            cell,
            quota: *quota,
            tokens,
            lease,
            stamps,
        };
        Ok((wish, ask))
    }

    async fn decide(self, ask: Option<Ask>) -> Result<Reservation, Refused> {
        let answer = match ask {
            Some(ask) => self.home.ask(&self.cell, ask).await,
            None => Err(Lost::Away),
        };
        match answer {
            Ok(said) => self.conclude(&said),
            Err(lost) => self.without(lost),
        }
    }

    /// Redis has spoken. Where it knows too little, the share counts too.
    fn conclude(self, said: &Said) -> Result<Reservation, Refused> {
        let Verdict::Granted(number) = said.verdict else {
            self.cancel();
            return Err(refusal(said.verdict).unwrap_or(Refused::Unreachable {
                retry_after: STORE_HINT,
            }));
        };
        let situation = self.home.situation(guarded(self.quota.window));
        let mut account = self.cell.lock();
        let stamps = match self.stamps {
            Some(stamps) => Ok(stamps),
            None if account.keeps_to_share(situation) => {
                account.reserve_here(&self.quota, self.tokens, situation)
            }
            None => {
                account.rejoin();
                Ok(account.charge(self.tokens, situation.now))
            }
        };
        if stamps.is_ok() {
            account.lend(self.lease);
        }
        drop(account);
        match stamps {
            Ok(stamps) => Ok(self.reservation(stamps, number)),
            Err(refused) => {
                self.home.note(&self.cell, self.end(number, Used::Nothing));
                Err(refused)
            }
        }
    }

    /// Redis has not.
    fn without(self, lost: Lost) -> Result<Reservation, Refused> {
        let situation = self.home.situation(guarded(self.quota.window));
        let stamps = match (lost, self.home.policy) {
            (Lost::Once | Lost::Away, OnUnreachable::FailOpen) => {
                Ok(self.cell.lock().charge(self.tokens, situation.now))
            }
            (Lost::Once, OnUnreachable::LocalShare | OnUnreachable::FailClosed) => {
                self.cancel();
                let retry_after = ASK_AGAIN;
                Err(Refused::Unreachable { retry_after })
            }
            (Lost::Away, OnUnreachable::FailClosed) => {
                self.cancel();
                let retry_after = STORE_HINT;
                Err(Refused::Unreachable { retry_after })
            }
            (Lost::Away, OnUnreachable::LocalShare) => match self.stamps {
                Some(stamps) => Ok(stamps),
                None => self
                    .cell
                    .lock()
                    .reserve_here(&self.quota, self.tokens, situation),
            },
        };
        let stamps = stamps?;
        self.cell.lock().lend(self.lease);
        Ok(self.reservation(stamps, NO_SEGMENT).granted_here())
    }

    fn cancel(&self) {
        if let Some(stamps) = self.stamps {
            self.cell.lock().cancel(stamps, self.tokens);
        }
    }

    fn end(&self, number: u64, used: Used) -> Note {
        Note::Settled {
            lease: self.home.lease_name(self.lease),
            number,
            cost: self.tokens,
            used,
        }
    }

    fn reservation(self, stamps: Stamps, number: u64) -> Reservation {
        let tokens = self.tokens;
        let wish = self;
        let ticket = Ticket {
            wish,
            stamps,
            number,
        };
        Reservation::new(tokens, Box::new(ticket))
    }
}

/// No segment of an account has this number.
const NO_SEGMENT: u64 = 0;

/// What was granted.
struct Ticket {
    wish: Wish,
    stamps: Stamps,
    number: u64,
}

impl Settle for Ticket {
    fn settle(self: Box<Self>, used: Used) {
        let Wish {
            home, cell, tokens, ..
        } = &self.wish;
        let note = self.wish.end(self.number, used);
        {
            let mut account = cell.lock();
            account.let_go(self.wish.lease);
            account.settle(self.stamps, *tokens, used);
            account.note(note);
        }
        home.list(cell);
    }
}

impl RedisLimits {
    /// Puts what is held where every node finds it; hands it back where nobody
    /// can be asked.
    async fn keep(
        &self,
        (owner, id, key): (&str, &str, &str),
        tickets: Vec<Ticket>,
        lease: Duration,
    ) -> Result<(), (Vec<Ticket>, Option<TooManyHeld>)> {
        let parts = tickets.iter().map(|ticket| HeldPart {
            key: ticket.wish.cell.key.to_string(),
            lease: self.home.lease_name(ticket.wish.lease),
            number: ticket.number,
            cost: ticket.wish.tokens,
        });
        let record = HeldRecord {
            label: key.to_owned(),
            parts: parts.collect(),
        };
        let link = &self.home.link;
        match records::keep(link, (owner, id), &record, lease, MOST_HELD).await {
            Ok(Kept::Yes) => {}
            Ok(Kept::TooMany) => {
                let limit = MOST_HELD;
                return Err((tickets, Some(TooManyHeld { limit })));
            }
            Err(_) => return Err((tickets, None)),
        }
        let until = Instant::now() + lease;
        for ticket in tickets {
            let Ticket { wish, stamps, .. } = ticket;
            let ask = {
                // A renewal that is under way comes before the hand-over, and one that
                // begins after it does not know the lease any more.
                let _none_renews = wish.cell.renewing.lock().await;
                let mut account = wish.cell.lock();
                account.hand_over(wish.lease, stamps, wish.tokens, until);
                account.note(Note::Lent {
                    lease: self.home.lease_name(wish.lease),
                    duration: lease,
                });
                account.ask(None, Instant::now())
            };
            // Lost, the lease runs out early: the record says so to nobody.
            let _: Result<Said, Lost> = self.home.ask(&wish.cell, ask).await;
        }
        Ok(())
    }

    fn keep_here(&self, owner: &str, key: &str, reservation: Reservation, lease: Duration) -> Put {
        let id = new_id();
        let held = Held {
            owner: owner.into(),
            key: key.to_owned(),
            reservation,
            until: Instant::now() + lease,
        };
        let put = lock(&self.home.held).put(&id, held);
        put.map(|()| id).map_err(|(refused, too_many)| {
            refused.reservation.settle(Used::Nothing);
            too_many
        })
    }

    async fn settle_part(&self, part: HeldPart, used: Used) {
        let cell = self.home.cell(&part.key, &Quota::unlimited());
        let ask = {
            let mut account = cell.lock();
            match self.home.own_lease(&part.lease) {
                Some(lease) => account.settle_handed(lease, used),
                None => {
                    if let Used::Tokens(used) = used {
                        account.overshoot(used.saturating_sub(part.cost));
                    }
                }
            }
            account.note(Note::Settled {
                lease: part.lease,
                number: part.number,
                cost: part.cost,
                used,
            });
            let mut ask = account.ask(None, Instant::now());
            // The account knows its own length better than who never used it.
            if ask.known == 0 {
                ask.length = Duration::ZERO;
            }
            ask
        };
        // Lost, tokens stand and the lease runs out.
        let _: Result<Said, Lost> = self.home.ask(&cell, ask).await;
    }
}

type Put = Result<String, TooManyHeld>;

#[async_trait]
impl Limits for RedisLimits {
    async fn reserve(&self, key: &str, quota: &Quota, tokens: u64) -> Result<Reservation, Refused> {
        let (wish, ask) = Wish::begin(&self.home, key, quota, tokens)?;
        let asked = Asked {
            link: self.home.link.clone(),
            answer: Some(wish.decide(ask).boxed()),
        };
        asked.await
    }

    async fn hold(
        &self,
        owner: &str,
        key: &str,
        reservation: Reservation,
        lease: Duration,
    ) -> Result<String, TooManyHeld> {
        let mut tickets = Vec::new();
        for settle in reservation.into_parts() {
            let any: Box<dyn Any> = settle;
            // What another home has granted ends here, and its tokens stand.
            if let Ok(ticket) = any.downcast::<Ticket>() {
                tickets.push(*ticket);
            }
        }
        let id = new_id();
        match self.keep((owner, &id, key), tickets, lease).await {
            Ok(()) => Ok(id),
            Err((tickets, too_many)) => {
                let parts = tickets
                    .into_iter()
                    .map(|ticket| Reservation::new(ticket.wish.tokens, Box::new(ticket)));
                let Some(reservation) = parts.reduce(Reservation::and) else {
                    return Ok(id);
                };
                match too_many {
                    Some(too_many) => {
                        reservation.settle(Used::Nothing);
                        Err(too_many)
                    }
                    None => self.keep_here(owner, key, reservation, lease),
                }
            }
        }
    }

    async fn settle(
        &self,
        owner: &str,
        id: &str,
        used: Used,
    ) -> Result<String, UnknownReservation> {
        drop(lock(&self.home.held).take_expired(Instant::now()));
        let here = lock(&self.home.held).take(owner, id);
        if let Ok(held) = here {
            held.reservation.settle(used);
            return Ok(held.key);
        }
        let taken = records::take(&self.home.link, owner, id).await;
        let record = taken.ok().flatten().ok_or(UnknownReservation)?;
        for part in record.parts {
            self.settle_part(part, used).await;
        }
        Ok(record.label)
    }

    fn cool(&self, key: &str, cooldown: Duration, cooling: Cooling) {
        let cell = self.home.cell(key, &Quota::unlimited());
        let left = cooldown;
        self.home.note(&cell, Note::Cooled { left, cooling });
    }

    fn warm(&self, key: &str) {
        let cell = self.home.cell(key, &Quota::unlimited());
        self.home.note(&cell, Note::Warmed);
    }

    fn is_shared(&self) -> bool {
        true
    }

    async fn level(&self, key: &str) -> Level {
        let known = self.home.known_cell(key);
        let is_known = known.is_some();
        let cell = known.unwrap_or_else(|| Arc::new(Cell::new(key, Quota::unlimited())));
        let mut ask = cell.lock().ask(None, Instant::now());
        if !is_known {
            ask.length = Duration::ZERO;
        }
        let said = if self.home.can_ask() {
            self.home.ask(&cell, ask).await.ok()
        } else {
            None
        };
        let now = Instant::now();
        let mut account = cell.lock();
        let mut known = account.guess(now);
        if let Some(said) = said {
            known.requests = said.requests;
            known.tokens = said.tokens;
            known.concurrent = said.concurrent.unwrap_or(known.concurrent);
        }
        Level {
            requests: known.requests,
            tokens: known.tokens,
            concurrent: known.concurrent,
            overshot_tokens: account.overshot_tokens(),
            cooling: account.cooling(now),
        }
    }
}
