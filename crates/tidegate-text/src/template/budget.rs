//! What is left out when there is not enough room: the least valuable first.

/// What a budget took from one block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cut {
    /// The block.
    pub block: String,
    /// Whole items that were left out; an object is one.
    pub items: usize,
    /// Characters that were cut from a text, or from the only item left.
    pub characters: usize,
    /// Tokens that the block has less for it.
    pub tokens: u64,
}

/// A block as the budget sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Slot {
    /// What it is worth.
    pub(super) value: u32,
    /// How often it can be cut; at the last level nothing is left of it.
    pub(super) levels: usize,
}

/// The levels that fit, or nothing where not even the last ones do.
///
/// Blocks are cut in the order of their value, of equal ones the later first,
/// and a block is not touched while a less valuable one has anything left. Of a
/// block no more is cut than it takes: a level less does not fit.
pub(super) fn trim<E>(
    slots: &[Slot],
    mut fits: impl FnMut(&[usize]) -> Result<bool, E>,
) -> Result<Option<Vec<usize>>, E> {
    let mut levels = vec![0; slots.len()];
    if fits(&levels)? {
        return Ok(Some(levels));
    }
    let mut order: Vec<usize> = (0..slots.len())
        .filter(|at| slots[*at].levels > 0)
        .collect();
    order.sort_by_key(|at| (slots[*at].value, std::cmp::Reverse(*at)));
    for at in order {
        levels[at] = slots[at].levels;
        if !fits(&levels)? {
            continue;
        }
        // `low` does not fit, `high` does.
        let (mut low, mut high) = (0, slots[at].levels);
        while high - low > 1 {
            let middle = low.midpoint(high);
            levels[at] = middle;
            if fits(&levels)? {
                high = middle;
            } else {
                low = middle;
            }
        }
        levels[at] = high;
        return Ok(Some(levels));
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::convert::Infallible;

    /// Each level of slot `at` that is left costs `costs[at]`.
    fn cost(slots: &[Slot], costs: &[u64], levels: &[usize]) -> u64 {
        let each = slots.iter().zip(costs).zip(levels);
        each.map(|((slot, cost), level)| (slot.levels - level) as u64 * cost)
            .sum()
    }

    proptest! {
        /// Whatever there is, and whatever room there is for it.
        #[test]
        fn the_least_valuable_goes_first_and_no_more_than_it_takes(
            parts in prop::collection::vec((0_u32..4, 0_usize..20, 1_u64..9), 0..6),
            budget in 0_u64..400,
            fixed in 0_u64..50,
        ) {
            let slots: Vec<Slot> =
                parts.iter().map(|(value, levels, _)| Slot { value: *value, levels: *levels }).collect();
            let costs: Vec<u64> = parts.iter().map(|(_, _, cost)| *cost).collect();
            let fits = |levels: &[usize]| Ok::<_, Infallible>(fixed + cost(&slots, &costs, levels) <= budget);
            let trimmed = trim(&slots, fits).unwrap();
            prop_assert_eq!(trimmed.is_some(), fixed <= budget);
            let Some(levels) = trimmed else { return Ok(()) };
            prop_assert!(fixed + cost(&slots, &costs, &levels) <= budget);
            for (one, slot) in slots.iter().enumerate().filter(|(at, _)| levels[*at] > 0) {
                for (other, less) in slots.iter().enumerate() {
                    if less.value < slot.value {
                        prop_assert_eq!(levels[other], less.levels);
                    }
                }
                let mut more = levels.clone();
                more[one] -= 1;
                let is_last = !slots.iter().enumerate().any(|(at, other)| {
                    levels[at] > 0 && (other.value, usize::MAX - at) > (slot.value, usize::MAX - one)
                });
                if is_last {
                    prop_assert!(fixed + cost(&slots, &costs, &more) > budget);
                }
            }
        }
    }
}
