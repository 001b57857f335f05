//! Reservations on behalf of calls that are made elsewhere.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use tokio::time::Instant;

use crate::limits::{Reservation, TooManyHeld, UnknownReservation};

/// A lease is long and costs nothing to ask for; no owner may fill the memory.
pub(crate) const MOST_HELD: usize = 1_024;

/// A reservation that somebody holds.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) owner: Arc<str>,
    pub(crate) key: String,
    pub(crate) reservation: Reservation,
    pub(crate) until: Instant,
}

/// All that are held, found by their id and by their time.
#[derive(Debug, Default)]
pub(crate) struct HeldOnes {
    by_id: HashMap<Arc<str>, Held>,
    by_time: BTreeSet<(Instant, Arc<str>)>,
    /// How many each owner holds; none is zero.
    of_owners: HashMap<Arc<str>, usize>,
}

impl HeldOnes {
    /// Keeps one; a refusal hands it back, to be ended outside of the lock.
    pub(crate) fn put(&mut self, id: &str, mut held: Held) -> Result<(), (Held, TooManyHeld)> {
        if let Some((owner, count)) = self.of_owners.get_key_value(&held.owner) {
            if *count >= MOST_HELD {
                return Err((held, TooManyHeld { limit: MOST_HELD }));
            }
            held.owner = owner.clone();
        }
        let id: Arc<str> = id.into();
        *self.of_owners.entry(held.owner.clone()).or_default() += 1;
        self.by_time.insert((held.until, id.clone()));
        self.by_id.insert(id, held);
        Ok(())
    }

    /// Takes the one of this owner's with this id.
    pub(crate) fn take(&mut self, owner: &str, id: &str) -> Result<Held, UnknownReservation> {
        if self.by_id.get(id).is_none_or(|held| *held.owner != *owner) {
            return Err(UnknownReservation);
        }
        let (id, held) = self.by_id.remove_entry(id).ok_or(UnknownReservation)?;
        self.by_time.remove(&(held.until, id));
        self.count_off(&held.owner);
        Ok(held)
    }

    /// Takes those whose time is over, at the cost of those alone.
    pub(crate) fn take_expired(&mut self, now: Instant) -> Vec<Held> {
        let mut expired = Vec::new();
        while self.by_time.first().is_some_and(|(until, _)| *until <= now) {
            let first = self.by_time.pop_first();
            if let Some(held) = first.and_then(|(_, id)| self.by_id.remove(&id)) {
                self.count_off(&held.owner);
                expired.push(held);
            }
        }
        expired
    }

    fn count_off(&mut self, owner: &str) {
        if let Some(count) = self.of_owners.get_mut(owner) {
            *count -= 1;
            if *count == 0 {
                self.of_owners.remove(owner);
            }
        }
    }
}
