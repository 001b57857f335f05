//! Demands to forget that could not be carried out.

use std::collections::BTreeMap;
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
    next: u64,
}

/// Beyond this many, everything is to be forgotten.
const MOST_DEBTS: usize = 1_024;

impl Debts {
    /// Remembers a demand until it is paid by its number.
    pub(super) fn add(&self, demand: Demand) -> u64 {
        let mut owed = self.lock();
        let number = owed.next;
        owed.next += 1;
        let demand = if owed.demands.len() >= MOST_DEBTS {
            owed.demands.clear();
            Demand {
                owner: None,
                what: Selector::Prefix(String::new()),
            }
        } else {
            demand
        };
        owed.demands.insert(number, demand);
        number
    }

    /// Whether a value that lies in Redis is to be forgotten there.
    pub(super) fn take(&self, name: &Name, labels: &Labels) -> bool {
        let owed = self.lock();
        let mut demands = owed.demands.values();
        demands.any(|demand| demand.takes(name, labels))
    }

    /// The one that was owed first.
    pub(super) fn first(&self) -> Option<(u64, Demand)> {
        let owed = self.lock();
        let (number, demand) = owed.demands.first_key_value()?;
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
