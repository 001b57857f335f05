use proptest::prelude::*;

use super::*;

const MINUTE: Duration = Duration::from_secs(60);
const NANO: Duration = Duration::from_nanos(1);

fn throttled(retry_after: Duration) -> Refused {
    Refused::Throttled { retry_after }
}

#[test]
fn an_entry_leaves_exactly_one_length_after_it_came() {
    let start = Instant::now();
    let mut window = Window::new(10, MINUTE);
    window.reserve(10, start).unwrap();
    assert_eq!(window.used(start + MINUTE - NANO), 10);
    assert_eq!(window.used(start + MINUTE), 0);
}

#[test]
fn a_refused_reservation_takes_nothing() {
    let now = Instant::now();
    let mut window = Window::new(10, MINUTE);
    window.reserve(6, now).unwrap();
    assert_eq!(window.reserve(5, now), Err(throttled(MINUTE)));
    assert_eq!(window.headroom(now), 4);
    window.reserve(4, now).unwrap();
}

#[test]
fn a_cost_above_the_limit_is_too_large_and_takes_nothing() {
    let now = Instant::now();
    let mut window = Window::new(10, MINUTE);
    let refused = window.reserve(11, now).unwrap_err();
    assert_eq!(
        refused,
        Refused::TooLarge {
            cost: 11,
            limit: 10
        }
    );
    assert_eq!(refused.to_string(), "cost 11 exceeds limit 10");
    assert_eq!(window.used(now), 0);
}

#[test]
fn a_check_takes_nothing() {
    let now = Instant::now();
    let mut window = Window::new(10, MINUTE);
    window.check(10, now).unwrap();
    assert_eq!(window.headroom(now), 10);
}

#[test]
fn the_wait_ends_when_just_enough_has_left() {
    let start = Instant::now();
    let mut window = Window::new(10, MINUTE);
    let second = Duration::from_secs(1);
    window.reserve(3, start).unwrap();
    window.reserve(3, start + second).unwrap();
    window.reserve(4, start + second * 2).unwrap();
    let now = start + second * 3;
    assert_eq!(window.check(3, now), Err(throttled(second * 57)));
    assert_eq!(window.check(4, now), Err(throttled(second * 58)));
    assert_eq!(window.check(7, now), Err(throttled(second * 59)));
}

#[test]
fn settling_down_frees_units_at_once() {
    let now = Instant::now();
    let mut window = Window::new(10, MINUTE);
    let stamp = window.reserve(10, now).unwrap();
    window.settle(stamp, 4, now + MINUTE / 2);
    assert_eq!(window.headroom(now + MINUTE / 2), 6);
}

#[test]
fn settling_up_counts_from_the_original_time() {
    let start = Instant::now();
    let later = start + MINUTE / 2;
    let mut window = Window::new(10, MINUTE);
    let stamp = window.reserve(5, start).unwrap();
    window.settle(stamp, 25, later);
    assert_eq!(window.used(later), 25);
    assert_eq!(window.headroom(later), 0);
    assert_eq!(window.check(1, later), Err(throttled(MINUTE / 2)));
    assert_eq!(window.used(start + MINUTE), 0);
}

#[test]
fn settling_after_the_entry_left_changes_nothing() {
    let start = Instant::now();
    let mut window = Window::new(10, MINUTE);
    let stamp = window.reserve(5, start).unwrap();
    window.reserve(1, start + MINUTE).unwrap();
    window.settle(stamp, 10, start + MINUTE);
    assert_eq!(window.used(start + MINUTE), 1);
}

#[test]
fn a_cancelled_reservation_is_given_back_in_full() {
    let now = Instant::now();
    let mut window = Window::new(10, MINUTE);
    window.reserve(3, now).unwrap();
    let stamp = window.reserve(7, now).unwrap();
    window.cancel(stamp, now);
    assert_eq!(window.used(now), 3);
}

#[test]
fn the_largest_costs_do_not_overflow() {
    let now = Instant::now();
    let mut window = Window::new(u64::MAX, MINUTE);
    let first = window.reserve(1, now).unwrap();
    let second = window.reserve(1, now).unwrap();
    window.settle(first, u64::MAX, now);
    window.settle(second, u64::MAX, now);
    assert_eq!(window.used(now), u64::MAX);
    assert_eq!(window.check(u64::MAX, now), Err(throttled(MINUTE)));
}

#[test]
fn a_charge_counts_beyond_the_limit_and_can_be_settled() {
    let now = Instant::now();
    let mut window = Window::new(10, MINUTE);
    let stamp = window.charge(15, now);
    assert_eq!(window.used(now), 15);
    assert_eq!(window.check(1, now), Err(throttled(MINUTE)));
    window.settle(stamp, 9, now);
    window.reserve(1, now).unwrap();
}

#[test]
fn a_changed_limit_counts_what_was_granted_before() {
    let now = Instant::now();
    let mut window = Window::new(10, MINUTE);
    window.reserve(8, now).unwrap();
    window.set_limit(5);
    assert_eq!(window.check(1, now), Err(throttled(MINUTE)));
    window.set_limit(20);
    window.reserve(12, now).unwrap();
}

#[test]
fn an_older_clock_counts_as_the_newest_one_seen() {
    let newest = Instant::now() + MINUTE;
    let older = newest - Duration::from_secs(1);
    let mut window = Window::new(10, MINUTE);
    window.reserve(5, newest).unwrap();
    window.reserve(5, older).unwrap();
    let wait = MINUTE + Duration::from_secs(1);
    assert_eq!(window.check(1, older), Err(throttled(wait)));
    assert_eq!(window.used(newest + MINUTE - NANO), 10);
    window.reserve(1, older + wait).unwrap();
}

#[test]
fn saturated_callers_use_at_least_99_percent() {
    let start = Instant::now();
    let mut window = Window::new(1_000, MINUTE);
    let step = Duration::from_millis(7);
    let total_time = MINUTE * 20;
    let mut granted = 0;
    let mut elapsed = Duration::ZERO;
    while elapsed < total_time {
        // Three units at most in one step spread the first window over time.
        granted += (0..3)
            .filter(|_| window.reserve(1, start + elapsed).is_ok())
            .count();
        elapsed += step;
    }
    assert!((19_800..=20_000).contains(&granted), "granted {granted}");
}

const LIMIT: u64 = 100;
const LENGTH: u64 = 10_000;

#[derive(Debug, Clone)]
enum Call {
    Reserve { cost: u64 },
    Settle { which: usize, used: u64 },
    Cancel { which: usize },
}

fn call(most_used: u64) -> impl Strategy<Value = Call> {
    prop_oneof![
        4 => (0..=LIMIT + 10).prop_map(|cost| Call::Reserve { cost: cost.pow(2) / LIMIT }),
        2 => (any::<usize>(), 0..=most_used)
            .prop_map(|(which, used)| Call::Settle { which, used }),
        1 => any::<usize>().prop_map(|which| Call::Cancel { which }),
    ]
}

/// Time between two calls: often none, mostly little, sometimes a good part of
/// the window, sometimes backwards.
fn step() -> impl Strategy<Value = i64> {
    prop_oneof![
        2 => Just(0_i64),
        4 => 0..200_i64,
        2 => 0..5_000_i64,
        1 => -30..0_i64,
    ]
}

fn calls(most_used: u64) -> impl Strategy<Value = Vec<(i64, Call)>> {
    prop::collection::vec((step(), call(most_used)), 1..150)
}

struct Entry {
    at: u64,
    value: u64,
}

/// The window next to a plain list of everything that it ever granted.
struct Model {
    start: Instant,
    window: Window,
    clock: u64,
    newest: u64,
    open: Vec<(usize, Stamp)>,
    entries: Vec<Entry>,
}

impl Model {
    fn new() -> Self {
        Self {
            start: Instant::now(),
            window: Window::new(LIMIT, Duration::from_nanos(LENGTH)),
            clock: LENGTH,
            newest: 0,
            open: Vec::new(),
            entries: Vec::new(),
        }
    }

    fn now(&self) -> Instant {
        self.start + Duration::from_nanos(self.clock)
    }

    fn pass_time(&mut self, step: i64) {
        self.clock = self.clock.saturating_add_signed(step);
        self.newest = self.newest.max(self.clock);
    }

    /// What the list holds in `(end - length, end]`.
    fn listed(&self, end: u64, length: u64) -> u64 {
        self.entries
            .iter()
            .filter(|entry| entry.at + length > end && entry.at <= end)
            .map(|entry| entry.value)
            .sum()
    }

    /// Applies the call; a reservation yields its cost and the answer to it.
    fn apply(&mut self, call: &Call) -> Option<(u64, Result<(), Refused>)> {
        let now = self.now();
        match *call {
            Call::Reserve { cost } => {
                let answer = self.window.reserve(cost, now);
                Some((cost, answer.map(|stamp| self.granted(cost, stamp))))
            }
            Call::Settle { which, used } => {
                self.correct(which, |_| used);
                None
            }
            Call::Cancel { which } => {
                self.correct(which, |_| 0);
                None
            }
        }
    }

    fn granted(&mut self, cost: u64, stamp: Stamp) {
        self.open.push((self.entries.len(), stamp));
        self.entries.push(Entry {
            at: self.newest,
            value: cost,
        });
    }

    fn correct(&mut self, which: usize, used: impl Fn(u64) -> u64) {
        if self.open.is_empty() {
            // Both must have seen the same clock.
            self.window.used(self.now());
            return;
        }
        let (index, stamp) = self.open.swap_remove(which % self.open.len());
        let used = used(self.entries[index].value);
        self.window.settle(stamp, used, self.now());
        self.entries[index].value = used;
    }
}

proptest! {
    #[test]
    fn a_grant_never_lifts_the_window_that_ends_with_it_above_the_limit(
        calls in calls(2 * LIMIT),
    ) {
        let mut model = Model::new();
        for (step, call) in &calls {
            model.pass_time(*step);
            if let Some((_, Ok(()))) = model.apply(call) {
                prop_assert!(model.listed(model.newest, LENGTH) <= LIMIT);
            }
        }
    }

    #[test]
    fn no_window_at_all_holds_more_than_the_limit_when_estimates_are_high_enough(
        calls in calls(0),
        shares in prop::collection::vec(0.0..=1.0, 150),
    ) {
        let mut model = Model::new();
        for ((step, call), share) in calls.iter().zip(&shares) {
            model.pass_time(*step);
            match call {
                Call::Settle { which, .. } => {
                    model.correct(*which, |cost| (cost as f64 * share) as u64);
                }
                Call::Reserve { .. } | Call::Cancel { .. } => { model.apply(call); }
            }
        }
        for end in 0..model.entries.len() {
            prop_assert!(model.listed(model.entries[end].at, LENGTH) <= LIMIT);
        }
    }

    #[test]
    fn a_refusal_is_earned_in_a_window_at_most_one_grain_longer(calls in calls(2 * LIMIT)) {
        let mut model = Model::new();
        for (step, call) in &calls {
            model.pass_time(*step);
            if let Some((cost, Err(refused))) = model.apply(call) {
                let listed = model.listed(model.newest, LENGTH + LENGTH / 256);
                match refused {
                    Refused::Throttled { .. } => prop_assert!(listed + cost > LIMIT),
                    Refused::TooLarge { .. } => prop_assert!(cost > LIMIT),
                }
            }
        }
    }

    #[test]
    fn used_is_never_less_than_the_list_says(calls in calls(2 * LIMIT)) {
        let mut model = Model::new();
        for (step, call) in &calls {
            model.pass_time(*step);
            model.apply(call);
            let used = model.window.used(model.now());
            prop_assert!(used >= model.listed(model.newest, LENGTH));
            prop_assert!(used <= model.listed(model.newest, LENGTH + LENGTH / 256));
        }
    }

    #[test]
    fn a_reservation_succeeds_after_retry_after_and_not_a_nanosecond_earlier(
        calls in calls(2 * LIMIT),
    ) {
        let mut model = Model::new();
        for (step, call) in &calls {
            model.pass_time(*step);
            let answer = model.apply(call);
            let Some((cost, Err(Refused::Throttled { retry_after }))) = answer else {
                continue;
            };
            let then = model.now() + retry_after;
            prop_assert!(model.window.clone().reserve(cost, then - NANO).is_err());
            prop_assert!(model.window.clone().reserve(cost, then).is_ok());
        }
    }
}
