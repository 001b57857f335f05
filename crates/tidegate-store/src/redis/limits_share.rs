//! What one node may grant while Redis's word does not count alone.
//!
//! Every node keeps to its share, and the shares of all nodes sum up to the
//! limit. Before the first of them, some node may have granted more than its
//! share: until that has left the window, another may not fill its own. It
//! grants again what leaves its own window, which is safe whatever the others
//! do, and its part of what was free when it was last told, less a quarter of
//! the limit for what it has not been told since.

use super::Nodes;

/// This node's share; those of all nodes sum up to exactly `limit`.
pub(crate) fn share(limit: u64, nodes: Nodes) -> u64 {
    let count = u64::from(nodes.count.max(1));
    limit / count + u64::from(u64::from(nodes.rank) < limit % count)
}

/// How one dimension stood when this node was left to itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stood {
    /// What this node had granted itself.
    pub(crate) own: u64,
    /// What all nodes together had, as it was last told; `None` when that is
    /// longer ago than anything counts.
    pub(crate) told: Option<u64>,
}

/// The most that this node may have in any window that reaches back to when it
/// was left to itself.
pub(crate) fn first_share(limit: u64, nodes: Nodes, stood: Stood) -> u64 {
    let share_of_all = share(limit, nodes);
    match stood.told {
        Some(told) if nodes.count > 1 => {
            let free = limit.saturating_sub(told).saturating_sub(limit.div_ceil(4));
            share_of_all.min(stood.own.saturating_add(share(free, nodes)))
        }
        Some(_) | None => share_of_all,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;

    fn nodes(count: u32) -> impl Iterator<Item = Nodes> {
        (0..count).map(move |rank| Nodes { count, rank })
    }

    proptest! {
        #[test]
        fn the_shares_of_all_nodes_are_the_limit(limit: u64, count in 1..40_u32) {
            let sum: u128 = nodes(count).map(|one| u128::from(share(limit, one))).sum();
            prop_assert_eq!(sum, u128::from(limit));
        }

        #[test]
        fn a_node_that_is_alone_has_all_of_it(limit: u64, own: u64, told: u64) {
            let one = Nodes { count: 1, rank: 0 };
            let stood = Stood { own, told: Some(told) };
            prop_assert_eq!(first_share(limit, one, stood), limit);
        }

        /// Nodes take from one account until it is lost, then each for itself
        /// as much as it may; what they were told is up to a quarter too old.
        #[test]
        fn no_window_across_the_loss_holds_more_than_the_limit(
            limit in 0..200_u64,
            count in 2..7_u32,
            eager in prop::collection::vec(0..7_usize, 1..400),
            stale in 0..=100_u64,
        ) {
            const WINDOW: usize = 50;
            let mut own: Vec<VecDeque<u64>> = vec![VecDeque::from(vec![0; WINDOW]); count as usize];
            let used = |own: &[VecDeque<u64>]| own.iter().flatten().sum::<u64>();
            let mut step = eager.iter().cycle();
            for _ in 0..WINDOW * 2 {
                own.iter_mut().for_each(|node| { node.pop_front(); node.push_back(0); });
                for _ in 0..3 {
                    let node = step.next().unwrap() % own.len();
                    if used(&own) < limit {
                        *own[node].back_mut().unwrap() += 1;
                    }
                }
            }
            let told = used(&own) - used(&own).min(stale.min(limit / 4));
            let caps: Vec<_> = nodes(count).zip(&own).map(|(one, node)| {
                let stood = Stood { own: node.iter().sum(), told: Some(told) };
                (first_share(limit, one, stood), share(limit, one))
            }).collect();
            for at in 0..WINDOW * 3 {
                for (node, (first, later)) in own.iter_mut().zip(&caps) {
                    node.pop_front();
                    node.push_back(0);
                    let cap = if at < WINDOW { *first } else { *later };
                    let free = cap.saturating_sub(node.iter().sum());
                    *node.back_mut().unwrap() += free;
                }
                prop_assert!(used(&own) <= limit, "{} of {} at {}", used(&own), limit, at);
            }
        }
    }
}
