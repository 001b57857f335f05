use proptest::prelude::*;

use super::*;

const MINUTE: Duration = Duration::from_secs(60);

#[derive(Debug, Clone)]
enum Step {
    Wait(Duration),
    Admit,
    Record(usize, Outcome),
    Abandon(usize),
    Reset,
}

fn outcome() -> impl Strategy<Value = Outcome> {
    let seconds = |seconds: u64| (0..seconds).prop_map(Duration::from_secs);
    prop_oneof![
        4 => seconds(5).prop_map(|latency| Outcome::Success { latency }),
        4 => seconds(5).prop_map(|latency| Outcome::Failure { latency }),
        1 => prop::option::of(seconds(900))
            .prop_map(|retry_after| Outcome::Throttled { retry_after }),
        1 => Just(Outcome::Ignored),
    ]
}

fn breaker_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0_u64..120).prop_map(|seconds| Step::Wait(Duration::from_secs(seconds))),
        20 => Just(Step::Admit),
        16 => (any::<usize>(), outcome()).prop_map(|(which, outcome)| Step::Record(which, outcome)),
        2 => any::<usize>().prop_map(Step::Abandon),
        1 => Just(Step::Reset),
    ]
}

fn config() -> impl Strategy<Value = BreakerConfig> {
    (1_u32..4, 1_u32..4, 1_u32..4, any::<bool>()).prop_map(
        |(failure_threshold, success_threshold, probes, rated)| BreakerConfig {
            failure_threshold,
            success_threshold,
            probes,
            rate: rated.then_some(RateTrip {
                window: MINUTE,
                minimum_calls: 4,
                failure_rate: 0.4,
                slow_call: Some(Duration::from_secs(4)),
                slow_call_rate: 0.5,
            }),
            ..BreakerConfig::default()
        },
    )
}

proptest! {
    #[test]
    fn every_sequence_keeps_passes_counted_probes_capped_and_open_shut(
        config in config(),
        steps in prop::collection::vec(breaker_step(), 1..300),
    ) {
        let mut breaker = Breaker::new(config);
        let mut now = Instant::now();
        // Each pass with the era it was given out in: an opening or a reset ends one.
        let mut passes: Vec<(Pass, u64)> = Vec::new();
        let mut resets = 0;
        for step in steps {
            match step {
                Step::Wait(time) => now += time,
                Step::Admit => {
                    let open = !breaker.cooldown_remaining(now).is_zero();
                    let promised = breaker.would_admit(now);
                    let answer = breaker.admit(now);
                    prop_assert_eq!(promised.is_ok(), answer.is_ok());
                    prop_assert!(!(open && answer.is_ok()));
                    let era = breaker.trips() + breaker.throttles() + resets;
                    passes.extend(answer.map(|pass| (pass, era)));
                }
                Step::Record(which, outcome) if !passes.is_empty() => {
                    let (pass, _) = passes.swap_remove(which % passes.len());
                    breaker.record(pass, outcome, now);
                }
                Step::Abandon(which) if !passes.is_empty() => {
                    let (pass, _) = passes.swap_remove(which % passes.len());
                    breaker.abandon(pass);
                }
                Step::Record(..) | Step::Abandon(_) => {}
                Step::Reset => {
                    breaker.reset(now);
                    resets += 1;
                }
            }
            let era = breaker.trips() + breaker.throttles() + resets;
            let current = passes.iter().filter(|(_, given)| *given == era).count();
            prop_assert_eq!(breaker.in_flight() as usize, passes.len());
            prop_assert_eq!(breaker.in_flight.current as usize, current);
            if breaker.health(now) == Health::HalfOpen {
                prop_assert!(current <= config.probes as usize);
            }
            prop_assert!(breaker.cooldown_remaining(now) <= config.max_cooldown);
        }
    }
}
