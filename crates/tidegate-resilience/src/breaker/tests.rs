use std::sync::Barrier;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use super::*;

const MINUTE: Duration = Duration::from_secs(60);
const NANO: Duration = Duration::from_nanos(1);
const SUCCESS: Outcome = Outcome::Success {
    latency: Duration::ZERO,
};
const FAILURE: Outcome = Outcome::Failure {
    latency: Duration::ZERO,
};
const THROTTLED: Outcome = Outcome::Throttled { retry_after: None };

fn breaker() -> (Breaker, Instant) {
    (Breaker::new(BreakerConfig::default()), Instant::now())
}

#[track_caller]
fn call(breaker: &mut Breaker, outcome: Outcome, now: Instant) {
    let pass = breaker.admit(now).unwrap();
    breaker.record(pass, outcome, now);
}

#[track_caller]
fn calls(breaker: &mut Breaker, outcome: Outcome, count: u32, now: Instant) {
    for _ in 0..count {
        call(breaker, outcome, now);
    }
}

/// Fails until the breaker opens, and returns the end of its cooldown.
#[track_caller]
fn trip(breaker: &mut Breaker, now: Instant) -> Instant {
    calls(breaker, FAILURE, 5, now);
    assert_eq!(breaker.health(now), Health::CircuitOpen);
    now + breaker.cooldown_remaining(now)
}

#[track_caller]
fn check_refused(breaker: &mut Breaker, cause: TripCause, retry_after: Duration, now: Instant) {
    let refusal = breaker.admit(now).unwrap_err();
    assert_eq!(refusal, Refusal { retry_after, cause });
}

#[test]
fn another_ones_word_opens_it_and_never_shortens_what_was_known() {
    let (mut breaker, now) = breaker();
    breaker.open_for(TripCause::Throttled, MINUTE, now);
    check_refused(&mut breaker, TripCause::Throttled, MINUTE, now);
    breaker.open_for(TripCause::Failures, MINUTE / 2, now);
    check_refused(&mut breaker, TripCause::Throttled, MINUTE, now);
    breaker.open_for(TripCause::Failures, MINUTE * 100, now);
    check_refused(&mut breaker, TripCause::Failures, MINUTE * 10, now);
    assert_eq!((breaker.trips(), breaker.throttles()), (0, 0));
    let later = now + MINUTE * 10;
    assert_eq!(breaker.health(later), Health::HalfOpen);
    calls(&mut breaker, SUCCESS, 2, later);
    assert_eq!(breaker.health(later), Health::Healthy);
}

#[test]
fn five_failures_in_a_row_open_it_for_a_minute() {
    let (mut breaker, now) = breaker();
    calls(&mut breaker, FAILURE, 4, now);
    assert_eq!(breaker.health(now), Health::Healthy);
    call(&mut breaker, FAILURE, now);
    assert_eq!(breaker.health(now), Health::CircuitOpen);
    check_refused(&mut breaker, TripCause::Failures, MINUTE, now);
    assert_eq!(breaker.trips(), 1);
}

#[test]
fn a_success_ends_the_run_of_failures() {
    let (mut breaker, now) = breaker();
    calls(&mut breaker, FAILURE, 4, now);
    call(&mut breaker, SUCCESS, now);
    calls(&mut breaker, FAILURE, 4, now);
    assert_eq!(breaker.health(now), Health::Healthy);
}

#[test]
fn an_ignored_outcome_neither_ends_nor_lengthens_the_run_of_failures() {
    let (mut breaker, now) = breaker();
    calls(&mut breaker, FAILURE, 4, now);
    calls(&mut breaker, Outcome::Ignored, 10, now);
    assert_eq!(breaker.health(now), Health::Healthy);
    call(&mut breaker, FAILURE, now);
    assert_eq!(breaker.health(now), Health::CircuitOpen);
}

#[test]
fn it_stays_open_until_the_last_nanosecond_of_the_cooldown() {
    let (mut breaker, now) = breaker();
    let until = trip(&mut breaker, now);
    check_refused(&mut breaker, TripCause::Failures, NANO, until - NANO);
    assert_eq!(breaker.health(until), Health::HalfOpen);
    assert_eq!(breaker.would_admit(until), Ok(()));
    let _probe = breaker.admit(until).unwrap();
}

#[test]
fn a_clock_that_ran_backwards_does_not_shorten_the_cooldown() {
    let (mut breaker, now) = breaker();
    trip(&mut breaker, now + MINUTE);
    check_refused(&mut breaker, TripCause::Failures, MINUTE, now);
}

#[test]
fn half_open_lets_one_probe_out_at_a_time() {
    let (mut breaker, now) = breaker();
    let until = trip(&mut breaker, now);
    let probe = breaker.admit(until).unwrap();
    check_refused(&mut breaker, TripCause::Probing, PLACE_HINT, until);
    breaker.record(probe, SUCCESS, until);
    let _next = breaker.admit(until).unwrap();
}

#[test]
fn two_successful_probes_close_it() {
    let (mut breaker, now) = breaker();
    let until = trip(&mut breaker, now);
    call(&mut breaker, SUCCESS, until);
    assert_eq!(breaker.health(until), Health::HalfOpen);
    call(&mut breaker, SUCCESS, until);
    assert_eq!(breaker.health(until), Health::Healthy);
    assert_eq!(breaker.recoveries(), 1);
}

#[test]
fn each_trip_without_a_recovery_cools_down_longer_up_to_the_maximum() {
    let (mut breaker, now) = breaker();
    let mut until = trip(&mut breaker, now);
    for trips in 2..=12 {
        call(&mut breaker, FAILURE, until);
        let cooldown = MINUTE * trips.min(10);
        check_refused(&mut breaker, TripCause::Failures, cooldown, until);
        until += cooldown;
    }
}

#[test]
fn a_recovery_brings_the_first_cooldown_back() {
    let (mut breaker, now) = breaker();
    let until = trip(&mut breaker, now);
    call(&mut breaker, FAILURE, until);
    let until = until + MINUTE * 2;
    calls(&mut breaker, SUCCESS, 2, until);
    assert_eq!(trip(&mut breaker, until), until + MINUTE);
}

#[test]
fn an_ignored_probe_gives_its_place_back() {
    let (mut breaker, now) = breaker();
    let until = trip(&mut breaker, now);
    calls(&mut breaker, Outcome::Ignored, 10, until);
    assert_eq!(breaker.health(until), Health::HalfOpen);
    calls(&mut breaker, SUCCESS, 2, until);
    assert_eq!(breaker.health(until), Health::Healthy);
}

#[test]
fn a_throttle_opens_it_for_as_long_as_the_upstream_asked() {
    let (mut breaker, now) = breaker();
    let asked = Duration::from_secs(7);
    let retry_after = Some(asked);
    call(&mut breaker, Outcome::Throttled { retry_after }, now);
    check_refused(&mut breaker, TripCause::Throttled, asked, now);
    assert_eq!((breaker.throttles(), breaker.trips()), (1, 0));
}

#[test]
fn no_upstream_closes_its_door_for_longer_than_the_maximum() {
    let (mut breaker, now) = breaker();
    let retry_after = Some(Duration::MAX);
    call(&mut breaker, Outcome::Throttled { retry_after }, now);
    check_refused(&mut breaker, TripCause::Throttled, MINUTE * 10, now);
}

#[test]
fn throttles_in_a_row_cool_down_longer_up_to_the_maximum() {
    let (mut breaker, mut now) = breaker();
    for throttles in 1..=12 {
        call(&mut breaker, THROTTLED, now);
        let cooldown = MINUTE * throttles.min(10);
        check_refused(&mut breaker, TripCause::Throttled, cooldown, now);
        now += cooldown;
    }
}

#[test]
fn a_success_ends_the_run_of_throttles() {
    let (mut breaker, now) = breaker();
    call(&mut breaker, THROTTLED, now);
    call(&mut breaker, SUCCESS, now + MINUTE);
    call(&mut breaker, THROTTLED, now + MINUTE);
    check_refused(&mut breaker, TripCause::Throttled, MINUTE, now + MINUTE);
}

#[test]
fn a_throttle_is_not_a_trip() {
    let (mut breaker, now) = breaker();
    call(&mut breaker, THROTTLED, now);
    call(&mut breaker, FAILURE, now + MINUTE);
    check_refused(&mut breaker, TripCause::Failures, MINUTE, now + MINUTE);
}

#[test]
fn a_huge_maximum_does_not_overflow() {
    let mut breaker = Breaker::new(BreakerConfig {
        cooldown: Duration::MAX,
        max_cooldown: Duration::MAX,
        ..BreakerConfig::default()
    });
    let now = Instant::now();
    calls(&mut breaker, FAILURE, 5, now);
    assert_eq!(breaker.health(now + MINUTE), Health::CircuitOpen);
}

#[test]
fn outcomes_of_calls_from_before_it_opened_are_dropped() {
    let (mut breaker, now) = breaker();
    let failing = breaker.admit(now).unwrap();
    let throttled = breaker.admit(now).unwrap();
    let successful = breaker.admit(now).unwrap();
    let until = trip(&mut breaker, now);
    breaker.record(failing, FAILURE, now);
    assert_eq!(breaker.cooldown_remaining(now), MINUTE);
    let probe = breaker.admit(until).unwrap();
    breaker.record(throttled, THROTTLED, until);
    breaker.record(successful, SUCCESS, until);
    assert_eq!(breaker.health(until), Health::HalfOpen);
    assert_eq!(breaker.in_flight(), 1);
    check_refused(&mut breaker, TripCause::Probing, PLACE_HINT, until);
    breaker.record(probe, SUCCESS, until);
    assert_eq!((breaker.throttles(), breaker.recoveries()), (0, 0));
}

#[test]
fn calls_from_before_it_opened_take_no_probe_place() {
    let (mut breaker, now) = breaker();
    let _hanging = breaker.admit(now).unwrap();
    let until = trip(&mut breaker, now);
    let _probe = breaker.admit(until).unwrap();
    assert_eq!(breaker.in_flight(), 2);
}

#[test]
fn a_probe_of_an_earlier_half_open_has_no_say_in_a_later_one() {
    let mut breaker = Breaker::new(BreakerConfig {
        probes: 2,
        ..BreakerConfig::default()
    });
    let until = trip(&mut breaker, Instant::now());
    let old_probe = breaker.admit(until).unwrap();
    call(&mut breaker, FAILURE, until);
    let until = until + MINUTE * 2;
    let _probe = breaker.admit(until).unwrap();
    breaker.record(old_probe, FAILURE, until);
    assert_eq!(breaker.health(until), Health::HalfOpen);
    assert_eq!(breaker.in_flight(), 1);
}

#[test]
fn a_recovered_breaker_ramps_up_by_doubling_until_the_cap_disappears() {
    let (mut breaker, now) = breaker();
    let now = trip(&mut breaker, now);
    calls(&mut breaker, SUCCESS, 2, now);
    let mut passes = Vec::new();
    for cap in [2, 4, 8, 16, 32, 64] {
        while passes.len() < cap {
            passes.push(breaker.admit(now).unwrap());
        }
        check_refused(&mut breaker, TripCause::Ramp, PLACE_HINT, now);
        breaker.record(passes.pop().unwrap(), SUCCESS, now);
    }
    passes.extend((0..1_000).map(|_| breaker.admit(now).unwrap()));
    assert_eq!(breaker.in_flight(), 1_063);
}

#[test]
fn a_hanging_call_from_before_it_opened_takes_no_place_of_the_ramp() {
    let (mut breaker, now) = breaker();
    let hanging: Vec<_> = (0..10).map(|_| breaker.admit(now).unwrap()).collect();
    let until = trip(&mut breaker, now);
    calls(&mut breaker, SUCCESS, 2, until);
    let _first = breaker.admit(until).unwrap();
    let _second = breaker.admit(until).unwrap();
    assert_eq!(breaker.in_flight(), 12);
    for pass in hanging {
        breaker.abandon(pass);
    }
    check_refused(&mut breaker, TripCause::Ramp, PLACE_HINT, until);
}

#[test]
fn a_probe_that_outlives_the_half_open_state_takes_a_place_of_the_ramp() {
    let mut breaker = Breaker::new(BreakerConfig {
        probes: 2,
        success_threshold: 1,
        ..BreakerConfig::default()
    });
    let until = trip(&mut breaker, Instant::now());
    let slow_probe = breaker.admit(until).unwrap();
    call(&mut breaker, SUCCESS, until);
    let _second = breaker.admit(until).unwrap();
    check_refused(&mut breaker, TripCause::Ramp, PLACE_HINT, until);
    breaker.record(slow_probe, Outcome::Ignored, until);
    let _third = breaker.admit(until).unwrap();
}

#[test]
fn a_reset_closes_it_without_a_ramp_and_forgets_earlier_trips() {
    let (mut breaker, now) = breaker();
    let until = trip(&mut breaker, now);
    let probe = breaker.admit(until).unwrap();
    breaker.reset(until);
    assert_eq!(breaker.health(until), Health::Healthy);
    let passes: Vec<_> = (0..100).map(|_| breaker.admit(until).unwrap()).collect();
    breaker.record(probe, THROTTLED, until);
    assert_eq!(breaker.health(until), Health::Healthy);
    assert_eq!(breaker.in_flight() as usize, passes.len());
    assert_eq!(trip(&mut breaker, until), until + MINUTE);
}

#[test]
fn thresholds_of_zero_count_as_one() {
    let mut breaker = Breaker::new(BreakerConfig {
        failure_threshold: 0,
        success_threshold: 0,
        probes: 0,
        ..BreakerConfig::default()
    });
    let now = Instant::now();
    call(&mut breaker, FAILURE, now);
    assert_eq!(breaker.health(now), Health::CircuitOpen);
    call(&mut breaker, SUCCESS, now + MINUTE);
    assert_eq!(breaker.health(now + MINUTE), Health::Healthy);
}

fn rate_breaker() -> (Breaker, Instant) {
    let config = BreakerConfig {
        failure_threshold: u32::MAX,
        rate: Some(RateTrip {
            window: Duration::from_secs(10),
            minimum_calls: 10,
            failure_rate: 0.5,
            slow_call: Some(Duration::from_secs(3)),
            slow_call_rate: 0.8,
        }),
        ..BreakerConfig::default()
    };
    (Breaker::new(config), Instant::now())
}

#[test]
fn half_of_the_calls_failing_opens_it_at_the_minimum_number_of_calls() {
    let (mut breaker, now) = rate_breaker();
    calls(&mut breaker, FAILURE, 5, now);
    calls(&mut breaker, SUCCESS, 4, now);
    assert_eq!(breaker.health(now), Health::Healthy);
    call(&mut breaker, SUCCESS, now);
    check_refused(&mut breaker, TripCause::Failures, MINUTE, now);
}

#[test]
fn less_than_the_failure_rate_does_not_open_it() {
    let (mut breaker, now) = rate_breaker();
    calls(&mut breaker, SUCCESS, 51, now);
    calls(&mut breaker, FAILURE, 50, now);
    assert_eq!(breaker.health(now), Health::Healthy);
    call(&mut breaker, FAILURE, now);
    assert_eq!(breaker.health(now), Health::CircuitOpen);
}

#[test]
fn calls_that_left_the_window_do_not_count_for_the_rate() {
    let (mut breaker, now) = rate_breaker();
    calls(&mut breaker, FAILURE, 9, now);
    let later = now + Duration::from_secs(10);
    calls(&mut breaker, FAILURE, 9, later);
    assert_eq!(breaker.health(later), Health::Healthy);
    call(&mut breaker, FAILURE, later);
    assert_eq!(breaker.health(later), Health::CircuitOpen);
}

#[test]
fn slow_calls_open_it_even_when_they_succeed() {
    let (mut breaker, now) = rate_breaker();
    let latency = Duration::from_secs(3);
    calls(&mut breaker, SUCCESS, 2, now);
    calls(&mut breaker, Outcome::Success { latency }, 7, now);
    assert_eq!(breaker.health(now), Health::Healthy);
    call(&mut breaker, Outcome::Success { latency }, now);
    check_refused(&mut breaker, TripCause::Failures, MINUTE, now);
}

#[test]
fn the_rate_starts_empty_after_a_recovery() {
    let (mut breaker, now) = rate_breaker();
    calls(&mut breaker, FAILURE, 10, now);
    let until = now + MINUTE;
    calls(&mut breaker, SUCCESS, 2, until);
    calls(&mut breaker, FAILURE, 9, until);
    assert_eq!(breaker.health(until), Health::Healthy);
}

#[test]
fn health_has_stable_names() {
    let names = [Health::Healthy, Health::CircuitOpen, Health::HalfOpen].map(Health::as_str);
    assert_eq!(names, ["healthy", "circuit_open", "half_open"]);
}

fn tripped_shared(probes: u32) -> (SharedBreaker, Instant) {
    let breaker = SharedBreaker::new(BreakerConfig {
        probes,
        ..BreakerConfig::default()
    });
    let now = Instant::now();
    for _ in 0..5 {
        breaker.permit(now).unwrap().record(FAILURE, now);
    }
    let until = now + breaker.cooldown_remaining(now);
    (breaker, until)
}

#[test]
fn a_dropped_permit_gives_its_probe_place_back() {
    let (breaker, until) = tripped_shared(1);
    for _ in 0..10 {
        drop(breaker.permit(until).unwrap());
    }
    assert_eq!(breaker.in_flight(), 0);
    assert_eq!(breaker.health(until), Health::HalfOpen);
}

#[test]
fn a_permit_of_a_panicking_caller_is_given_back() {
    let (breaker, until) = tripped_shared(1);
    let permit = breaker.permit(until).unwrap();
    let caller = thread::spawn(move || {
        let _permit = permit;
        panic!("the call went wrong");
    });
    assert!(caller.join().is_err());
    assert_eq!(breaker.would_admit(until), Ok(()));
}

#[test]
fn a_shared_breaker_closes_through_recorded_permits() {
    let (breaker, until) = tripped_shared(1);
    for _ in 0..2 {
        breaker.permit(until).unwrap().record(SUCCESS, until);
    }
    assert_eq!(breaker.health(until), Health::Healthy);
    assert_eq!((breaker.trips(), breaker.recoveries()), (1, 1));
    assert_eq!((breaker.throttles(), breaker.in_flight()), (0, 0));
    breaker.reset(until);
    let _permits: Vec<_> = (0..3).map(|_| breaker.permit(until).unwrap()).collect();
}

#[test]
fn a_thousand_racing_threads_get_exactly_the_configured_probes() {
    let probes = 3;
    let (breaker, until) = tripped_shared(probes);
    let start = Barrier::new(1_000);
    let admitted = AtomicU32::new(0);
    thread::scope(|scope| {
        for _ in 0..1_000 {
            scope.spawn(|| {
                start.wait();
                let permit = breaker.permit(until);
                admitted.fetch_add(u32::from(permit.is_ok()), Ordering::Relaxed);
                // Nobody gives a place back before everybody has asked.
                start.wait();
            });
        }
    });
    assert_eq!(admitted.into_inner(), probes);
    assert_eq!(breaker.in_flight(), 0);
}

#[test]
fn an_open_breaker_stays_open_under_another_configuration() {
    let (mut breaker, now) = breaker();
    let end = trip(&mut breaker, now);
    breaker.adopt(BreakerConfig {
        cooldown: Duration::from_secs(1),
        ..BreakerConfig::default()
    });
    check_refused(&mut breaker, TripCause::Failures, MINUTE, now);
    assert_eq!(breaker.trips(), 1);
    // The next trip is the second in a row, and the first that the new cooldown is for.
    call(&mut breaker, FAILURE, end);
    assert_eq!(breaker.cooldown_remaining(end), Duration::from_secs(2));
}

#[test]
fn a_lower_threshold_counts_the_failures_before_it() {
    let (mut breaker, now) = breaker();
    calls(&mut breaker, FAILURE, 2, now);
    breaker.adopt(BreakerConfig {
        failure_threshold: 3,
        ..BreakerConfig::default()
    });
    assert_eq!(breaker.health(now), Health::Healthy);
    call(&mut breaker, FAILURE, now);
    assert_eq!(breaker.health(now), Health::CircuitOpen);
}

#[test]
fn rates_that_changed_start_with_an_empty_window_and_others_go_on() {
    let rate = RateTrip {
        window: MINUTE,
        minimum_calls: 4,
        failure_rate: 0.5,
        slow_call: None,
        slow_call_rate: 1.0,
    };
    let by_rate = |rate| BreakerConfig {
        failure_threshold: 100,
        rate: Some(rate),
        ..BreakerConfig::default()
    };
    let now = Instant::now();
    let mut breaker = Breaker::new(by_rate(rate));
    calls(&mut breaker, FAILURE, 3, now);
    breaker.adopt(by_rate(RateTrip {
        failure_rate: 0.6,
        ..rate
    }));
    call(&mut breaker, FAILURE, now);
    assert_eq!(breaker.health(now), Health::Healthy);
    calls(&mut breaker, FAILURE, 2, now);
    breaker.adopt(BreakerConfig {
        cooldown: MINUTE * 2,
        ..breaker.config
    });
    call(&mut breaker, FAILURE, now);
    assert_eq!(breaker.health(now), Health::CircuitOpen);
}
