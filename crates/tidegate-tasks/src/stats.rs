//! How many tasks there are of everything.

use std::collections::BTreeMap;
use std::time::Duration;

use tidegate_store::Counts;

use crate::priority::Priority;
use crate::state::TaskState;

/// How many tasks there are, of all owners.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Stats {
    /// By state; those of which there are none are missing.
    pub states: BTreeMap<TaskState, u64>,
    /// By priority, of those that have not ended.
    pub priorities: BTreeMap<Priority, u64>,
    /// By kind.
    pub kinds: BTreeMap<String, KindStats>,
    /// For how long the oldest task has waited that might run.
    pub oldest: Option<Duration>,
}

/// The tasks of one kind.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct KindStats {
    /// By state.
    pub states: BTreeMap<TaskState, u64>,
    /// Tasks that ended here in the last minute, a second.
    pub per_second: f64,
}

impl Stats {
    pub(crate) fn of(counts: Counts) -> Self {
        let mut stats = Self {
            oldest: counts.oldest,
            ..Self::default()
        };
        for count in counts.counts {
            let state = TaskState::of_shelf(count.shelf);
            *stats.states.entry(state).or_default() += count.entries;
            let kind = stats.kinds.entry(count.lane).or_default();
            *kind.states.entry(state).or_default() += count.entries;
            if !state.is_final() {
                let priority = Priority::of_rank(count.rank);
                *stats.priorities.entry(priority).or_default() += count.entries;
            }
        }
        stats
    }

    /// Tasks that wait for a worker or for their time.
    pub fn depth(&self) -> u64 {
        let of = |state| self.states.get(&state).copied().unwrap_or(0);
        of(TaskState::Waiting) + of(TaskState::Queued) + of(TaskState::Retrying)
    }
}
