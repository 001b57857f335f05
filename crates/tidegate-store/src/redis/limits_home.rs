//! How this node stands with Redis, and what it tells it beside requests.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::StreamExt;
use tokio::sync::Notify;
use tokio::time::{Instant, MissedTickBehavior};

use super::limits_account::{Cell, OwnShare, Situation};
use super::limits_wire::{Ask, Note, Said};
use super::{Link, Nodes};
use crate::config::OnUnreachable;
use crate::error::StoreError;
use crate::held::HeldOnes;
use crate::limits::Quota;
use crate::memory_limits::{MOST_IDLE_ACCOUNTS, lock};

/// How often leases are renewed.
const BEAT: Duration = Duration::from_millis(500);
/// How long notes wait for a question that takes them along.
const LINGER: Duration = Duration::from_millis(5);
/// Questions under way at the same time, of those that nobody waits for.
const AT_ONCE: usize = 32;
/// How long a node counts that is not seen any more: nodes that all lose Redis
/// see each other go.
const REMEMBER: Duration = Duration::from_secs(60);

/// Everything that the limits of one node are made of.
#[derive(Debug)]
pub(super) struct Home {
    pub(super) link: Link,
    pub(super) policy: OnUnreachable,
    cells: Mutex<HashMap<Box<str>, Arc<Cell>>>,
    /// Those that have something to tell.
    listed: Mutex<Vec<Arc<Cell>>>,
    bell: Notify,
    outage: Mutex<Outage>,
    peers: Mutex<Peers>,
    next_lease: AtomicU64,
    /// Reservations held while nobody could be asked.
    pub(super) held: Mutex<HeldOnes>,
}

/// What is known of times without Redis.
#[derive(Debug, Clone, Copy)]
enum Outage {
    Never,
    /// Redis cannot be asked.
    Now,
    /// It can again, since then.
    Until(Instant),
}

/// The most nodes that were there of late.
#[derive(Debug, Clone, Copy)]
struct Peers {
    most: u32,
    at: Instant,
}

/// Why a question has no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lost {
    /// This one was lost, and others may well be answered: to grant something
    /// without would be to grant it twice.
    Once,
    /// Nobody is answered.
    Away,
}

impl Home {
    pub(super) fn new(link: Link, policy: OnUnreachable) -> Self {
        let now = Instant::now();
        Self {
            link,
            policy,
            cells: Mutex::default(),
            listed: Mutex::default(),
            bell: Notify::new(),
            outage: Mutex::new(Outage::Never),
            peers: Mutex::new(Peers { most: 1, at: now }),
            next_lease: AtomicU64::new(0),
            held: Mutex::default(),
        }
    }

    /// What is known of a limit; `quota` is for one that is new.
    pub(super) fn cell(&self, key: &str, quota: &Quota) -> Arc<Cell> {
        let mut cells = lock(&self.cells);
        if let Some(cell) = cells.get(key) {
            return cell.clone();
        }
        if cells.len() >= MOST_IDLE_ACCOUNTS {
            let now = Instant::now();
            cells.retain(|_, cell| cell.is_in_use(now));
        }
        let cell = Arc::new(Cell::new(key, *quota));
        cells.insert(key.into(), cell.clone());
        cell
    }

    /// The same, of one that is known.
    pub(super) fn known_cell(&self, key: &str) -> Option<Arc<Cell>> {
        lock(&self.cells).get(key).cloned()
    }

    pub(super) fn new_lease(&self) -> u64 {
        self.next_lease.fetch_add(1, Ordering::Relaxed)
    }

    /// Under which name a lease of this node is known to all.
    pub(super) fn lease_name(&self, lease: u64) -> String {
        format!("{}.{lease:x}", self.link.node())
    }

    /// The lease of this node's with this name.
    pub(super) fn own_lease(&self, name: &str) -> Option<u64> {
        let number = name.strip_prefix(self.link.node())?.strip_prefix('.')?;
        u64::from_str_radix(number, 16).ok()
    }

    /// Who decides now about a limit whose grants count for `length`.
    pub(super) fn situation(&self, length: Duration) -> Situation {
        let now = Instant::now();
        let own_share = match self.policy {
            OnUnreachable::FailOpen => OwnShare::Never,
            OnUnreachable::LocalShare | OnUnreachable::FailClosed => {
                if self.guard_left(length).is_zero() {
                    OwnShare::WhenTold
                } else {
                    OwnShare::Now
                }
            }
        };
        Situation {
            nodes: self.nodes(now),
            own_share,
            now,
        }
    }

    /// How much longer Redis's word does not count alone: what was granted
    /// without it has to leave the window first.
    fn guard_left(&self, length: Duration) -> Duration {
        match *lock(&self.outage) {
            Outage::Never => Duration::ZERO,
            Outage::Now => length,
            Outage::Until(at) => length.saturating_sub(at.elapsed()),
        }
    }

    fn nodes(&self, now: Instant) -> Nodes {
        let nodes = self.link.nodes();
        let mut peers = lock(&self.peers);
        if nodes.count >= peers.most || now.duration_since(peers.at) > REMEMBER {
            let most = nodes.count;
            *peers = Peers { most, at: now };
            return nodes;
        }
        // Their ranks are not known any more: nobody gets what is left over.
        let (count, rank) = (peers.most, u32::MAX);
        Nodes { count, rank }
    }

    /// Whether it is worth asking.
    pub(super) fn can_ask(&self) -> bool {
        let can = self.link.is_live();
        if !can {
            self.went_away();
        }
        can
    }

    fn went_away(&self) {
        *lock(&self.outage) = Outage::Now;
    }

    fn came_back(&self) {
        let mut outage = lock(&self.outage);
        if matches!(*outage, Outage::Now) {
            *outage = Outage::Until(Instant::now());
        }
    }

    fn is_away(&self) -> bool {
        matches!(*lock(&self.outage), Outage::Now)
    }

    /// Asks the account of a limit, and remembers what it says.
    pub(super) async fn ask(&self, cell: &Cell, mut ask: Ask) -> Result<Said, Lost> {
        ask.guard = match self.policy {
            OnUnreachable::FailOpen => Duration::ZERO,
            OnUnreachable::LocalShare | OnUnreachable::FailClosed => self.guard_left(ask.length),
        };
        let question = ask.invocation(&cell.keys);
        let answer: Result<Vec<i64>, StoreError> = self.link.invoke(&question).await;
        match answer.and_then(|answer| Said::read(&answer)) {
            Ok(said) => {
                self.came_back();
                let wanted = ask.reserve.as_ref();
                let wanted = wanted.map(|reserve| (&reserve.quota, reserve.tokens));
                cell.lock().hear(&said, wanted, Instant::now());
                Ok(said)
            }
            Err(StoreError::Unreachable { .. }) if self.link.is_live() && !self.is_away() => {
                Err(Lost::Once)
            }
            Err(_) => {
                self.went_away();
                Err(Lost::Away)
            }
        }
    }

    /// Has the notes of a limit told soon.
    pub(super) fn list(&self, cell: &Arc<Cell>) {
        let mut account = cell.lock();
        if !account.has_notes() || std::mem::replace(&mut account.is_listed, true) {
            return;
        }
        drop(account);
        lock(&self.listed).push(cell.clone());
        self.bell.notify_one();
    }

    /// Notes something on a limit.
    pub(super) fn note(&self, cell: &Arc<Cell>, note: Note) {
        cell.lock().note(note);
        self.list(cell);
    }

    /// Tells what is noted, until the link is closed, and then the rest.
    pub(super) async fn tell(self: Arc<Self>) {
        let mut closing = std::pin::pin!(self.link.closing());
        loop {
            let wake = async {
                self.bell.notified().await;
                tokio::time::sleep(LINGER).await;
            };
            let last = tokio::select! {
                () = wake => false,
                () = &mut closing => true,
            };
            let listed = std::mem::take(&mut *lock(&self.listed));
            let telling = futures_util::stream::iter(listed);
            telling
                .for_each_concurrent(AT_ONCE, async |cell| self.tell_one(&cell).await)
                .await;
            if last {
                return;
            }
        }
    }

    async fn tell_one(&self, cell: &Cell) {
        let ask = {
            let mut account = cell.lock();
            account.is_listed = false;
            if !account.has_notes() {
                return;
            }
            account.ask(None, Instant::now())
        };
        if self.can_ask() {
            // What is lost here costs room and grants nothing.
            let _: Result<Said, Lost> = self.ask(cell, ask).await;
        }
    }

    /// Renews what this node holds, until the link is closed.
    pub(super) async fn renew(self: Arc<Self>) {
        let mut closing = std::pin::pin!(self.link.closing());
        let mut beat = tokio::time::interval(BEAT);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = beat.tick() => {}
                () = &mut closing => return,
            }
            let now = Instant::now();
            drop(lock(&self.held).take_expired(now));
            let _ = self.nodes(now);
            let cells: Vec<_> = lock(&self.cells).values().cloned().collect();
            let can_ask = self.can_ask();
            if can_ask {
                self.came_back();
            }
            let busy = cells.into_iter().filter(|cell| {
                let mut account = cell.lock();
                account.drop_expired(now);
                can_ask && account.is_busy(now)
            });
            let busy: Vec<_> = busy.collect();
            let renewing = futures_util::stream::iter(busy);
            renewing
                .for_each_concurrent(AT_ONCE, async |cell| self.renew_one(&cell).await)
                .await;
        }
    }

    async fn renew_one(&self, cell: &Arc<Cell>) {
        let _renewing = cell.renewing.lock().await;
        let (ask, leases) = {
            let mut account = cell.lock();
            let leases = account.leases();
            let mut ask = account.ask(None, Instant::now());
            ask.renewals = leases.iter().map(|lease| self.lease_name(*lease)).collect();
            (ask, leases)
        };
        let _: Result<Said, Lost> = self.ask(cell, ask).await;
        // One that ended meanwhile may just have been put back.
        let ended = cell.lock().ended(&leases);
        for lease in ended {
            let note = Note::Settled {
                lease: self.lease_name(lease),
                number: 0,
                cost: 0,
                used: crate::limits::Used::Unknown,
            };
            self.note(cell, note);
        }
    }
}
