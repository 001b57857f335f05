//! How long a decision of the shared limits takes, next to a plain `INCR`
//! through the same client on the same connection settings.
//!
//! ```text
//! redis-server --port 7777 --save '' &
//! cargo run --release -p tidegate-store --example limits_bench -- redis://127.0.0.1:7777
//! ```

use std::sync::Arc;
use std::time::Duration;

use tidegate_store::{Limits, Quota, RedisLimits, StoreConfig, Used};
use tokio::task::JoinSet;
use tokio::time::Instant;

const ROUNDS: usize = 20_000;
const SPAN: Duration = Duration::from_secs(5);

fn quota() -> Quota {
    Quota {
        requests: Some(u64::MAX / 4),
        tokens: Some(u64::MAX / 4),
        concurrent: Some(1_000_000),
        window: Duration::from_secs(60),
    }
}

async fn incr(connection: &mut redis::aio::MultiplexedConnection) {
    let mut cmd = redis::cmd("INCR");
    let counted: Result<u64, _> = cmd.arg("tidegate:bench").query_async(connection).await;
    counted.expect("redis counts");
}

async fn decide(limits: &RedisLimits, key: &str) {
    let reservation = limits.reserve(key, &quota(), 100).await;
    reservation
        .expect("the limit is far")
        .settle(Used::Tokens(60));
}

fn row(name: &str, mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    let at = |share: f64| times[(times.len() as f64 * share) as usize];
    println!(
        "{name:<22} p50 {:>8.1} us   p99 {:>8.1} us",
        at(0.5).as_secs_f64() * 1e6,
        at(0.99).as_secs_f64() * 1e6
    );
    at(0.5)
}

/// One after the other, taking turns so that both meet the same machine.
async fn round_trips(limits: &RedisLimits, connection: &mut redis::aio::MultiplexedConnection) {
    let (mut incrs, mut decisions) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let asked = Instant::now();
        incr(connection).await;
        let incr_took = asked.elapsed();
        let asked = Instant::now();
        decide(limits, "bench/one").await;
        if round > ROUNDS / 10 {
            incrs.push(incr_took);
            decisions.push(asked.elapsed());
        }
    }
    let one = row("INCR", incrs);
    let other = row("decision", decisions);
    println!(
        "ratio of p50s          {:.2}",
        other.as_secs_f64() / one.as_secs_f64()
    );
}

/// Many at once.
async fn in_all(limits: &RedisLimits, tasks: usize, keys: usize) {
    let began = Instant::now();
    let limits = Arc::new(limits.clone());
    let mut all = JoinSet::new();
    for task in 0..tasks {
        let limits = limits.clone();
        all.spawn(async move {
            let key = format!("bench/{}", task % keys);
            let mut count = 0_u64;
            while began.elapsed() < SPAN {
                decide(&limits, &key).await;
                count += 1;
            }
            count
        });
    }
    let count: u64 = all.join_all().await.into_iter().sum();
    let each_second = count as f64 / began.elapsed().as_secs_f64();
    println!("{tasks:>4} tasks, {keys:>3} keys     {each_second:>8.0} decisions/s");
}

#[tokio::main]
async fn main() {
    let url = std::env::args().nth(1);
    let url = url.expect("give the address of a redis-server of your own");
    let config = StoreConfig {
        url: url.parse().expect("the address is one"),
        timeout: Duration::from_secs(1),
        ..StoreConfig::default()
    };
    let limits = RedisLimits::open(&config).await.expect("redis lets us in");
    let client = redis::Client::open(url).expect("the address is one");
    let connection = client.get_multiplexed_async_connection().await;
    let mut connection = connection.expect("redis answers");
    round_trips(&limits, &mut connection).await;
    for (tasks, keys) in [(1, 1), (16, 1), (64, 1), (64, 16), (256, 16)] {
        in_all(&limits, tasks, keys).await;
    }
    limits.close().await;
}
