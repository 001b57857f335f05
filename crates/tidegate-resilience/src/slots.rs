//! Concurrency slots: how many run at the same time.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

#[derive(Debug)]
struct Count {
    capacity: u32,
    in_use: u32,
}

/// Hands out at most `capacity` slots at a time; clones share them.
///
/// There is no waiting here: a caller that gets no slot queues or gives up on its
/// own terms. One lock guards both numbers, so that a slot is never handed out
/// by a capacity that has just been lowered.
#[derive(Debug, Clone)]
pub struct Slots {
    count: Arc<Mutex<Count>>,
}

impl Slots {
    /// Makes `capacity` free slots; with zero of them, nobody gets one.
    pub fn new(capacity: u32) -> Self {
        let in_use = 0;
        Self {
            count: Arc::new(Mutex::new(Count { capacity, in_use })),
        }
    }

    /// Takes a slot, or `None` when all are in use.
    pub fn try_acquire(&self) -> Option<Slot> {
        let mut count = self.lock();
        if count.in_use >= count.capacity {
            return None;
        }
        count.in_use += 1;
        Some(Slot {
            slots: self.clone(),
        })
    }

    /// Slots that are held; above the capacity for a while after it has shrunk.
    pub fn in_use(&self) -> u32 {
        self.lock().in_use
    }

    /// Slots that may be held at the same time.
    pub fn capacity(&self) -> u32 {
        self.lock().capacity
    }

    /// Changes the capacity. Shrinking lets holders finish: nobody gets a slot
    /// until enough of them have.
    pub fn set_capacity(&self, capacity: u32) {
        self.lock().capacity = capacity;
    }

    fn lock(&self) -> MutexGuard<'_, Count> {
        // Nothing panics under this lock, so poison cannot mean a wrong count.
        self.count.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One slot of [`Slots`], free again when dropped.
#[derive(Debug)]
#[must_use = "a dropped slot is free again at once"]
pub struct Slot {
    slots: Slots,
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.slots.lock().in_use -= 1;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::thread;

    use super::*;

    fn acquire(slots: &Slots, count: usize) -> Vec<Slot> {
        (0..count).map_while(|_| slots.try_acquire()).collect()
    }

    #[test]
    fn no_more_slots_than_the_capacity_are_held() {
        let slots = Slots::new(2);
        let held = acquire(&slots, 3);
        assert_eq!((held.len(), slots.in_use()), (2, 2));
    }

    #[test]
    fn a_dropped_slot_is_free_again() {
        let slots = Slots::new(1);
        drop(slots.try_acquire().unwrap());
        assert_eq!(slots.in_use(), 0);
        assert!(slots.try_acquire().is_some());
    }

    #[test]
    fn a_clone_shares_the_slots() {
        let slots = Slots::new(1);
        let _held = slots.clone().try_acquire().unwrap();
        assert!(slots.try_acquire().is_none());
    }

    #[test]
    fn shrinking_lets_holders_finish() {
        let slots = Slots::new(3);
        let mut held = acquire(&slots, 3);
        slots.set_capacity(1);
        assert_eq!((slots.capacity(), slots.in_use()), (1, 3));
        held.truncate(1);
        assert!(slots.try_acquire().is_none());
        held.clear();
        assert!(slots.try_acquire().is_some());
    }

    #[test]
    fn growing_frees_slots_at_once() {
        let slots = Slots::new(0);
        assert!(slots.try_acquire().is_none());
        slots.set_capacity(2);
        assert_eq!(acquire(&slots, 3).len(), 2);
    }

    #[test]
    fn a_slot_of_a_panicking_holder_is_released() {
        let slots = Slots::new(1);
        let slot = slots.try_acquire().unwrap();
        let holder = thread::spawn(move || {
            let _slot = slot;
            panic!("the holder went wrong");
        });
        assert!(holder.join().is_err());
        assert_eq!(slots.in_use(), 0);
    }

    #[test]
    fn racing_threads_never_hold_more_than_the_capacity() {
        let slots = Slots::new(4);
        let holders = AtomicU32::new(0);
        let most = AtomicU32::new(0);
        thread::scope(|scope| {
            for _ in 0..16 {
                scope.spawn(|| {
                    for _ in 0..2_000 {
                        let Some(_slot) = slots.try_acquire() else {
                            thread::yield_now();
                            continue;
                        };
                        let held = holders.fetch_add(1, Ordering::SeqCst) + 1;
                        most.fetch_max(held, Ordering::SeqCst);
                        assert!(slots.in_use() <= 4);
                        holders.fetch_sub(1, Ordering::SeqCst);
                    }
                });
            }
        });
        assert!((1..=4).contains(&most.into_inner()));
        assert_eq!(slots.in_use(), 0);
    }
}
