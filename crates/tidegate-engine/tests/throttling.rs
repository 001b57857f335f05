//! Models that throttle at random, under more demand than they can serve.
//!
//! All in virtual time: five minutes take a second. The figures are printed
//! (`cargo test -p tidegate-engine --test throttling -- --nocapture`).

#![allow(clippy::unwrap_used)]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use tidegate_engine::mock::{Behavior, Mock, Script};
use tidegate_engine::{
    Caller, ChainConfig, ChatRequest, Context, Deadline, Engine, EngineConfig, EngineError,
    EntryConfig, ProviderConfig, ProviderKind, Quota,
};
use tokio::time::{Instant, sleep, sleep_until};

const MINUTE: Duration = Duration::from_secs(60);
const RUN: Duration = Duration::from_secs(300);
const CLIENTS: usize = 64;
const LIMIT: u64 = 30;

/// An engine with one chain, `claude`, over these upstreams.
fn engine(mocks: &[Arc<Mock>], quota: Quota) -> Engine {
    let named = || {
        mocks
            .iter()
            .enumerate()
            .map(|(n, mock)| (format!("p{n}"), mock.clone()))
    };
    let providers = named().map(|(name, mock)| ProviderConfig {
        name,
        kind: ProviderKind::Custom(mock),
    });
    let entries = named().map(|(name, _)| EntryConfig {
        quota,
        ..EntryConfig::new(&name, "m")
    });
    let chain = ChainConfig {
        name: "claude".to_owned(),
        entries: entries.collect(),
    };
    let config = EngineConfig {
        providers: providers.collect(),
        chains: vec![chain],
        ..EngineConfig::default()
    };
    Engine::assemble(config).expect("a valid configuration")
}

fn quota() -> Quota {
    EntryConfig::new("p", "m").quota
}

fn mocks(count: u64, script: impl Fn(u64) -> Script) -> Vec<Arc<Mock>> {
    (0..count)
        .map(|seed| Arc::new(Mock::new(script(seed))))
        .collect()
}

fn throttling(seed: u64) -> Script {
    let pause = Some(Duration::from_secs(2));
    let faults = vec![(Behavior::Throttle { retry_after: pause }, 0.08)];
    Script {
        latency: Duration::from_secs(2),
        faults,
        seed,
        ..Script::default()
    }
}

fn request() -> ChatRequest {
    let body =
        r#"{"model":"claude","max_tokens":64,"messages":[{"role":"user","content":"hello"}]}"#;
    ChatRequest::parse(Bytes::from_static(body.as_bytes())).expect("a valid request")
}

async fn ask(engine: &Engine, patience: Duration) -> Result<Duration, EngineError> {
    let start = Instant::now();
    let answer = engine
        .chat(
            request(),
            &Context::new(Caller::default(), Deadline::after(patience)),
        )
        .await;
    answer.map(|_| start.elapsed())
}

/// Latencies of those that were answered, and what the others got.
#[derive(Default)]
struct Outcomes {
    latencies: Vec<Duration>,
    errors: Vec<EngineError>,
}

impl Outcomes {
    fn percentile(&mut self, share: f64) -> Duration {
        self.latencies.sort_unstable();
        let last = self.latencies.len() - 1;
        self.latencies[(last as f64 * share).round() as usize]
    }

    fn mean(&self) -> Duration {
        self.latencies.iter().sum::<Duration>() / u32::try_from(self.latencies.len()).unwrap()
    }
}

/// Clients that ask again and again until the run is over, `pause` apart.
async fn crowd(engine: &Engine, clients: usize, pause: Duration) -> Outcomes {
    let outcomes = Mutex::new(Outcomes::default());
    let end = Instant::now() + RUN;
    let client = |number: usize| {
        let (outcomes, engine) = (&outcomes, engine);
        async move {
            sleep(pause * u32::try_from(number).unwrap() / u32::try_from(clients).unwrap()).await;
            while Instant::now() < end {
                let next = Instant::now() + pause;
                match ask(engine, 2 * MINUTE).await {
                    Ok(latency) => outcomes.lock().unwrap().latencies.push(latency),
                    Err(error) => outcomes.lock().unwrap().errors.push(error),
                }
                sleep_until(next).await;
            }
        }
    };
    join_all((0..clients).map(client)).await;
    outcomes.into_inner().unwrap()
}

/// The most calls that an upstream saw in any window of a minute.
fn busiest_minute(mock: &Mock) -> u64 {
    let arrivals: Vec<Instant> = mock.log().into_iter().map(|(at, _)| at).collect();
    let within = |from: usize| {
        arrivals[from..]
            .iter()
            .take_while(|at| **at < arrivals[from] + MINUTE)
            .count()
    };
    (0..arrivals.len()).map(within).max().unwrap_or(0) as u64
}

fn calls_until(mock: &Mock, end: Instant) -> u64 {
    mock.log().iter().filter(|(at, _)| *at < end).count() as u64
}

#[tokio::test(start_paused = true)]
async fn four_throttling_models_are_used_to_their_limits_and_never_beyond() {
    let mocks = mocks(4, throttling);
    let engine = engine(&mocks, quota());
    let end = Instant::now() + RUN;
    let mut outcomes = crowd(&engine, CLIENTS, Duration::ZERO).await;
    assert_eq!(outcomes.errors, [], "nothing is lost");
    for mock in &mocks {
        let busiest = busiest_minute(mock);
        assert!(busiest <= LIMIT, "{busiest} calls in a minute");
        let used = calls_until(mock, end) as f64 / (LIMIT * RUN.as_secs() / 60) as f64;
        println!(
            "entry: {:.1} % of its limit used, {busiest} calls in its busiest minute",
            used * 1e2
        );
        assert!(used >= 0.97, "only {used:.3} of the limit was used");
        assert!(mock.max_in_flight() <= 5);
    }
    let [p50, p95, p99] = [0.5, 0.95, 0.99].map(|share| outcomes.percentile(share).as_secs_f64());
    println!("saturated by {CLIENTS} clients: p50 {p50:.1} s, p95 {p95:.1} s, p99 {p99:.1} s");
}

#[tokio::test(start_paused = true)]
async fn at_the_seeds_own_load_waiting_is_rare() {
    let mocks = mocks(4, throttling);
    let engine = engine(&mocks, quota());
    // 64 clients that together ask 30 times a minute, as the seed's figures do.
    let mut outcomes = crowd(&engine, CLIENTS, Duration::from_secs(128)).await;
    assert_eq!(outcomes.errors, []);
    let [p50, p95, p99] = [0.5, 0.95, 0.99].map(|share| outcomes.percentile(share));
    println!(
        "30 requests a minute: p50 {p50:.1?}, p95 {p95:.1?}, p99 {p99:.1?} (seed: 2.1, 5.2, 12 s)"
    );
    assert!(p50 <= Duration::from_millis(2_100) && p95 <= Duration::from_millis(5_200));
    assert!(p99 <= Duration::from_secs(12));
}

#[tokio::test(start_paused = true)]
async fn twice_the_demand_that_can_be_met_still_gets_what_can_be_met() {
    let slow = |seed| Script {
        latency: Duration::from_secs(2),
        seed,
        ..Script::default()
    };
    let mocks = mocks(1, slow);
    let quota = Quota {
        concurrent: Some(5),
        ..Quota::unlimited()
    };
    let engine = engine(&mocks, quota);
    // Five slots and two seconds a call: two and a half a second, asked for five.
    let arrivals = (0..1_500).map(|number| {
        let engine = &engine;
        async move {
            sleep(Duration::from_millis(200) * number).await;
            ask(engine, Duration::from_secs(20)).await
        }
    });
    let answers = join_all(arrivals).await;
    let good = answers.iter().filter(|answer| answer.is_ok()).count();
    println!("of 750 that can be answered, {good} were");
    assert!(good >= 735, "{good}");
    let cut = |answer: &&Result<_, _>| matches!(answer, Err(EngineError::DeadlineExceeded { .. }));
    assert_eq!(
        answers.iter().filter(cut).count(),
        0,
        "no call is begun in vain"
    );
}

#[tokio::test(start_paused = true)]
async fn who_waits_exactly_the_retry_after_is_admitted() {
    let mocks = mocks(2, |seed| Script {
        latency: Duration::from_millis(100),
        seed,
        ..Script::default()
    });
    let engine = engine(&mocks, quota());
    for _ in 0..20 {
        let retry_after = loop {
            match ask(&engine, Duration::from_secs(1)).await {
                Err(EngineError::Throttled { retry_after, .. }) => break retry_after,
                // What waited for room until little time was left.
                Ok(_) | Err(EngineError::DeadlineExceeded { .. }) => {}
                Err(other) => panic!("{other:?}"),
            }
        };
        // On the wire it is rounded up to milliseconds.
        sleep(Duration::from_millis(
            u64::try_from(retry_after.as_millis()).unwrap() + 1,
        ))
        .await;
        ask(&engine, Duration::from_secs(1))
            .await
            .expect("room as promised");
    }
}

#[tokio::test(start_paused = true)]
async fn a_healed_model_serves_again_after_its_cooldown() {
    let down = Script {
        faults: vec![(Behavior::Status(500), 1.0)],
        ..Script::default()
    };
    let mocks = mocks(2, |seed| {
        if seed == 0 {
            down.clone()
        } else {
            Script::default()
        }
    });
    let engine = engine(&mocks, Quota::unlimited());
    for _ in 0..5 {
        ask(&engine, MINUTE).await.expect("the fallback answers");
    }
    assert_eq!(
        (mocks[0].calls(), mocks[1].calls()),
        (5, 5),
        "five failures open the breaker"
    );
    mocks[0].set_script(Script::default());
    sleep(MINUTE - Duration::from_millis(1)).await;
    ask(&engine, MINUTE).await.expect("the fallback answers");
    assert_eq!(
        mocks[0].calls(),
        5,
        "nothing goes through before the cooldown is over"
    );
    sleep(Duration::from_millis(1)).await;
    for calls in 6..=10 {
        ask(&engine, MINUTE).await.expect("the primary answers");
        assert_eq!(
            mocks[0].calls(),
            calls,
            "the first request after the cooldown is the probe"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_primary_that_fails_half_of_its_calls_costs_neither_answers_nor_time() {
    let slow = Behavior::Slow(Duration::from_secs(1));
    let healthy = Script {
        faults: vec![(slow, 1.0)],
        ..Script::default()
    };
    let half = vec![
        (slow, 0.5),
        (Behavior::Status(500), 0.25),
        (Behavior::Throttle { retry_after: None }, 0.25),
    ];
    let failing = Script {
        faults: half,
        ..Script::default()
    };
    let well = mocks(2, |seed| Script {
        seed,
        ..healthy.clone()
    });
    let baseline = crowd(&engine(&well, Quota::unlimited()), CLIENTS, Duration::ZERO).await;
    let ill = mocks(2, |seed| Script {
        seed,
        ..if seed == 0 {
            failing.clone()
        } else {
            healthy.clone()
        }
    });
    let outcomes = crowd(&engine(&ill, Quota::unlimited()), CLIENTS, Duration::ZERO).await;
    let total = outcomes.latencies.len() + outcomes.errors.len();
    let success = outcomes.latencies.len() as f64 / total as f64;
    let ratio = outcomes.mean().as_secs_f64() / baseline.mean().as_secs_f64();
    println!(
        "{:.2} % of {total} succeeded, mean latency {ratio:.3} x that of a healthy run",
        success * 1e2
    );
    assert!(
        success >= 0.999 && ratio <= 1.3,
        "success {success}, ratio {ratio}"
    );
}
