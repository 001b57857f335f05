//! What was forgotten lately: a value whose load began before must not come
//! back.

use std::collections::VecDeque;

use crate::cache::{Name, Selector};

/// One demand to forget.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Demand {
    /// Whose, or everybody's.
    pub(crate) owner: Option<String>,
    pub(crate) what: Selector,
}

/// What takes a value away beside its name and its time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Labels {
    pub(crate) tags: Vec<String>,
    pub(crate) domain: Option<String>,
}

impl Demand {
    /// Whether it takes this value.
    pub(crate) fn takes(&self, name: &Name, labels: &Labels) -> bool {
        let owned = self.owner.as_ref().is_none_or(|owner| *owner == name.owner);
        owned
            && match &self.what {
                Selector::Key(key) => name.key == *key,
                Selector::Tag(tag) => labels.tags.contains(tag),
                Selector::Domain(domain) => labels.domain.as_ref() == Some(domain),
                Selector::Namespace(namespace) => name.namespace == namespace,
                Selector::Prefix(prefix) => name.key.starts_with(prefix.as_str()),
            }
    }
}

/// The last demands, in order.
#[derive(Debug, Default)]
pub(crate) struct Forgotten {
    demands: VecDeque<Demand>,
    /// How many there ever were.
    count: u64,
}

/// Demands that are remembered. A load during which more came is not kept.
const MOST_DEMANDS: usize = 4_096;

impl Forgotten {
    /// How much was forgotten so far, as a load remembers it.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// Remembers a demand.
    pub(crate) fn push(&mut self, demand: Demand) {
        if self.demands.len() == MOST_DEMANDS {
            self.demands.pop_front();
        }
        self.demands.push_back(demand);
        self.count += 1;
    }

    /// Nobody knows what was forgotten up to now.
    pub(crate) fn lose_track(&mut self) {
        self.demands.clear();
        self.count += 1;
    }

    /// Whether a value whose load began at this count may have been forgotten
    /// since.
    pub(crate) fn takes(&self, since: u64, name: &Name, labels: &Labels) -> bool {
        let missed = self.count.saturating_sub(since);
        let known = u64::try_from(self.demands.len()).unwrap_or(u64::MAX);
        missed > known
            || self
                .demands
                .iter()
                .rev()
                .take(usize::try_from(missed).unwrap_or(usize::MAX))
                .any(|demand| demand.takes(name, labels))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tag(tag: &str) -> Demand {
        Demand {
            owner: None,
            what: Selector::Tag(tag.into()),
        }
    }

    fn name() -> Name {
        Name {
            owner: "o".into(),
            namespace: "n",
            key: "k".into(),
        }
    }

    #[test]
    fn more_than_is_remembered_takes_everything_that_began_before() {
        let mut forgotten = Forgotten::default();
        for _ in 0..MOST_DEMANDS {
            forgotten.push(tag("other"));
        }
        assert!(!forgotten.takes(0, &name(), &Labels::default()));
        forgotten.push(tag("other"));
        assert!(forgotten.takes(0, &name(), &Labels::default()));
        assert!(!forgotten.takes(1, &name(), &Labels::default()));
    }

    #[test]
    fn what_nobody_knows_takes_everything_that_began_before() {
        let mut forgotten = Forgotten::default();
        forgotten.push(tag("other"));
        forgotten.lose_track();
        assert!(forgotten.takes(1, &name(), &Labels::default()));
        assert!(!forgotten.takes(2, &name(), &Labels::default()));
        forgotten.push(tag("other"));
        assert!(forgotten.takes(1, &name(), &Labels::default()));
        assert!(!forgotten.takes(2, &name(), &Labels::default()));
    }
}
