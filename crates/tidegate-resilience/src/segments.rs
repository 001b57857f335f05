//! Sliding sums with bounded memory.
//!
//! Amounts that arrive close together share a segment, and a segment leaves as a
//! whole when its last amount is old enough. The sum is therefore never lower
//! than that of a plain list of amounts, and it is the same as long as amounts
//! lie further apart than `length / 256`. The same scheme counts units in a
//! window, calls in a breaker and repeats in a budget.

use std::collections::VecDeque;
use std::ops::{AddAssign, SubAssign};
use std::time::{Duration, Instant};

/// Bounds memory to about this many segments, and lateness to one part in it.
pub(crate) const SEGMENTS_PER_LENGTH: u32 = 256;

/// What a segment can sum up.
pub(crate) trait Amount: Copy + Default + AddAssign + SubAssign {}

impl<T: Copy + Default + AddAssign + SubAssign> Amount for T {}

#[derive(Debug, Clone)]
struct Segment<T> {
    first: Instant,
    last: Instant,
    amount: T,
}

/// The sum of the amounts of the last `length`.
#[derive(Debug, Clone)]
pub(crate) struct Segments<T> {
    length: Duration,
    latest: Option<Instant>,
    live: VecDeque<Segment<T>>,
    /// How many segments have left; the oldest live one has this number.
    left: u64,
    total: T,
}

impl<T: Amount> Segments<T> {
    pub(crate) fn new(length: Duration) -> Self {
        Self {
            length,
            latest: None,
            live: VecDeque::new(),
            left: 0,
            total: T::default(),
        }
    }

    pub(crate) fn length(&self) -> Duration {
        self.length
    }

    /// The sum as of the last `advance` or `add`.
    pub(crate) fn total(&self) -> T {
        self.total
    }

    /// Drops what is `length` old and returns the time that counts.
    ///
    /// Threads may arrive with slightly older clocks than the one before them;
    /// time never runs backwards here, so they count as the newest seen.
    pub(crate) fn advance(&mut self, now: Instant) -> Instant {
        let now = self.latest.map_or(now, |latest| latest.max(now));
        self.latest = Some(now);
        while let Some(oldest) = self
            .live
            .pop_front_if(|oldest| now.duration_since(oldest.last) >= self.length)
        {
            self.total -= oldest.amount;
            self.left += 1;
        }
        now
    }

    /// Adds `amount` and returns the number of the segment that it went into.
    pub(crate) fn add(&mut self, amount: T, now: Instant) -> u64 {
        let now = self.advance(now);
        let grain = self.length / SEGMENTS_PER_LENGTH;
        match self.live.back_mut() {
            Some(newest) if now.duration_since(newest.first) <= grain => {
                newest.last = now;
                newest.amount += amount;
            }
            Some(_) | None => self.live.push_back(Segment {
                first: now,
                last: now,
                amount,
            }),
        }
        self.total += amount;
        self.left + self.live.len() as u64 - 1
    }

    /// Replaces the amount of a segment; one that has left stays as it was.
    pub(crate) fn update(&mut self, number: u64, change: impl FnOnce(T) -> T) {
        let segment = number
            .checked_sub(self.left)
            .and_then(|index| usize::try_from(index).ok())
            .and_then(|index| self.live.get_mut(index));
        if let Some(segment) = segment {
            self.total -= segment.amount;
            segment.amount = change(segment.amount);
            self.total += segment.amount;
        }
    }

    /// The live segments, oldest first: how long after `now` each leaves, and
    /// what it takes along. A `now` behind the newest seen waits that much longer.
    pub(crate) fn departures(&self, now: Instant) -> impl Iterator<Item = (Duration, T)> {
        let latest = self.latest.unwrap_or(now);
        let behind = latest.saturating_duration_since(now);
        self.live.iter().map(move |segment| {
            let age = latest.duration_since(segment.last);
            let leaves_in = self.length.saturating_sub(age).saturating_add(behind);
            (leaves_in, segment.amount)
        })
    }

    #[cfg(test)]
    pub(crate) fn live_count(&self) -> usize {
        self.live.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LENGTH: Duration = Duration::from_millis(2_560);
    const GRAIN: Duration = Duration::from_millis(10);

    #[test]
    fn amounts_within_the_grain_of_the_first_one_share_a_segment() {
        let start = Instant::now();
        let mut segments = Segments::<u64>::new(LENGTH);
        assert_eq!(segments.add(1, start), 0);
        assert_eq!(segments.add(1, start + GRAIN / 2), 0);
        assert_eq!(segments.add(1, start + GRAIN), 0);
        assert_eq!(segments.add(1, start + GRAIN + GRAIN / 2), 1);
    }

    #[test]
    fn a_segment_leaves_one_length_after_its_last_amount() {
        let start = Instant::now();
        let mut segments = Segments::<u64>::new(LENGTH);
        segments.add(3, start);
        segments.add(4, start + GRAIN);
        segments.advance(start + LENGTH + GRAIN - Duration::from_nanos(1));
        assert_eq!(segments.total(), 7);
        segments.advance(start + LENGTH + GRAIN);
        assert_eq!(segments.total(), 0);
    }

    #[test]
    fn a_segment_that_left_cannot_be_updated() {
        let start = Instant::now();
        let mut segments = Segments::<u64>::new(LENGTH);
        let old = segments.add(3, start);
        let new = segments.add(5, start + LENGTH);
        segments.update(old, |amount| amount + 100);
        assert_eq!(segments.total(), 5);
        segments.update(new, |amount| amount + 1);
        assert_eq!(segments.total(), 6);
    }

    #[test]
    fn memory_stays_bounded_under_dense_traffic() {
        let start = Instant::now();
        let mut segments = Segments::<u64>::new(LENGTH);
        let mut most = 0;
        for step in 0..100_000 {
            segments.add(1, start + Duration::from_micros(97) * step);
            most = most.max(segments.live_count());
        }
        assert!(most <= 258, "{most} segments");
    }
}
