//! Demands to forget that could not be carried out.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::cache::{Name, Selector};
use crate::memory_cache::{Demand, Labels};

/// What is still to be forgotten in Redis. Until then nothing of it is found
/// there.
#[derive(Debug, Default)]
pub(super) struct Debts {
    owed: Mutex<Owed>,
}

#[derive(Debug, Default)]
struct Owed {
    demands: BTreeMap<u64, Demand>,
    /// Those that somebody is just carrying out.
    in_hand: BTreeSet<u64>,
    next: u64,
}

/// A demand that somebody carries out. Dropping it leaves it to others.
pub(super) struct InHand<'a> {
    debts: &'a Debts,
    number: u64,
    demand: Demand,
}

impl InHand<'_> {
    /// It was carried out.
    pub(super) fn pay(self) {
        self.debts.pay(self.number, &self.demand);
    }
}

impl Drop for InHand<'_> {
    fn drop(&mut self) {
        self.debts.lock().in_hand.remove(&self.number);
    }
}

/// Beyond this many, everything is to be forgotten.
const MOST_DEBTS: usize = 1_024;

impl Owed {
    fn add(&mut self, demand: Demand) -> u64 {
        let number = self.next;
        self.next += 1;
        let demand = if self.demands.len() >= MOST_DEBTS {
            self.demands.clear();
            Demand {
                owner: None,
                what: Selector::Prefix(String::new()),
            }
        } else {
            demand
        };
        self.demands.insert(number, demand);
        number
    }
}

impl Debts {
    /// Remembers a demand that others are to carry out.
    pub(super) fn add(&self, demand: Demand) -> u64 {
        self.lock().add(demand)
    }

    /// Remembers a demand that the caller carries out.
    pub(super) fn take_on(&self, demand: Demand) -> InHand<'_> {
        let mut owed = self.lock();
        let number = owed.add(demand.clone());
        owed.in_hand.insert(number);
        InHand {
            debts: self,
            number,
            demand,
        }
    }

    /// Whether a value that lies in Redis is to be forgotten there.
    pub(super) fn take(&self, name: &Name, labels: &Labels) -> bool {
        let owed = self.lock();
        let mut demands = owed.demands.values();
        demands.any(|demand| demand.takes(name, labels))
    }

    /// The one that was owed first and nobody carries out.
    pub(super) fn first(&self) -> Option<(u64, Demand)> {
        let owed = self.lock();
        let mut demands = owed.demands.iter();
        let (number, demand) = demands.find(|(number, _)| !owed.in_hand.contains(number))?;
        Some((*number, demand.clone()))
    }

    /// This demand was carried out: not the one that stands for all by now.
    pub(super) fn pay(&self, number: u64, demand: &Demand) {
        let mut owed = self.lock();
        if owed.demands.get(&number) == Some(demand) {
            owed.demands.remove(&number);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Owed> {
        self.owed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(key: &str) -> Name {
        Name {
            owner: "o".into(),
            namespace: "n",
            key: key.into(),
        }
    }

    fn demand(key: &str) -> Demand {
        Demand {
            owner: Some("o".into()),
            what: Selector::Key(key.into()),
        }
    }

    #[test]
    fn a_debt_stands_until_it_is_paid_itself() {
        let (debts, none) = (Debts::default(), Labels::default());
        let first = debts.add(demand("k"));
        let second = debts.add(demand("k"));
        debts.pay(first, &demand("k"));
        assert!(debts.take(&name("k"), &none));
        assert!(!debts.take(&name("other"), &none));
        debts.pay(second, &demand("k"));
        assert!(!debts.take(&name("k"), &none));
    }

    #[test]
    fn what_one_carries_out_is_left_to_others_only_when_that_one_is_gone() {
        let debts = Debts::default();
        let in_hand = debts.take_on(demand("k"));
        assert!(debts.take(&name("k"), &Labels::default()));
        assert_eq!(debts.first(), None);
        drop(in_hand);
        assert_eq!(debts.first(), Some((0, demand("k"))));
        debts.take_on(demand("l")).pay();
        debts.pay(0, &demand("k"));
        assert_eq!(debts.first(), None);
    }

    #[test]
    fn too_many_debts_are_one_for_everything() {
        let (debts, none) = (Debts::default(), Labels::default());
        for _ in 0..=MOST_DEBTS {
            debts.add(demand("k"));
        }
        assert!(debts.take(&name("other"), &none));
        let (number, all) = debts.first().expect("it is owed");
        debts.pay(number, &demand("k"));
        assert!(debts.take(&name("other"), &none));
        debts.pay(number, &all);
        assert_eq!(debts.first(), None);
    }
}
