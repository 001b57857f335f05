//! How long a hit takes: in memory, and in Redis next to a plain `GET` of as
//! many bytes through the same client.
//!
//! ```text
//! redis-server --port 7777 --save '' &
//! cargo run --release -p tidegate-store --example cache_bench -- redis://127.0.0.1:7777
//! ```

use std::time::Duration;

use bytes::Bytes;
use tidegate_store::{Cache, Keep, Name, Store, StoreConfig};
use tokio::time::Instant;

const ROUNDS: usize = 20_000;
const VALUE_BYTES: usize = 900;

fn name() -> Name {
    Name {
        owner: "bench".to_owned(),
        namespace: "answer",
        key: "7".repeat(64),
    }
}

async fn keep(cache: &dyn Cache) {
    let keep = Keep {
        ttl: Duration::from_secs(600),
        tags: vec!["model:bench".to_owned()],
        domain: None,
    };
    let load = cache.begin(&name()).await;
    let value: Vec<u8> = (0..VALUE_BYTES).map(|_| fastrand::u8(..)).collect();
    cache.put(load, Bytes::from(value), &keep).await;
    assert!(cache.get(&name()).await.is_some(), "it was kept");
}

async fn hit(cache: &dyn Cache) -> Duration {
    let asked = Instant::now();
    let found = cache.get(&name()).await;
    let took = asked.elapsed();
    assert_eq!(found.map(|hit| hit.value.len()), Some(VALUE_BYTES));
    took
}

fn row(what: &str, mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    let at = |share: f64| times[(times.len() as f64 * share) as usize];
    println!(
        "{what:<22} p50 {:>8.2} us   p99 {:>8.2} us",
        at(0.5).as_secs_f64() * 1e6,
        at(0.99).as_secs_f64() * 1e6
    );
    at(0.5)
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let url = std::env::args().nth(1).expect("a redis:// address");
    let memory = Store::memory(1 << 20);
    keep(&*memory.cache).await;
    let mut near = Vec::new();
    for _ in 0..ROUNDS {
        near.push(hit(&*memory.cache).await);
    }
    row("a hit in memory", near);

    let config = StoreConfig {
        url: url.parse().expect("an address"),
        // Nothing is kept here, so that every hit is one in Redis.
        cache_bytes: 0,
        ..StoreConfig::default()
    };
    let shared = Store::open(&config).await.expect("the server lets us in");
    keep(&*shared.cache).await;
    let client = redis::Client::open(url).expect("an address");
    let mut line = client
        .get_multiplexed_async_connection()
        .await
        .expect("it is there");
    let raw = vec![7_u8; VALUE_BYTES];
    let set = redis::cmd("SET")
        .arg("tidegate:bench:value")
        .arg(raw)
        .to_owned();
    let _: () = set.query_async(&mut line).await.expect("it is kept");
    let (mut far, mut gets) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        far.push(hit(&*shared.cache).await);
        let asked = Instant::now();
        let get = redis::cmd("GET").arg("tidegate:bench:value").to_owned();
        let found: Vec<u8> = get.query_async(&mut line).await.expect("it is there");
        gets.push(asked.elapsed());
        assert_eq!(found.len(), VALUE_BYTES);
    }
    let hit = row("a hit in Redis", far);
    let get = row("GET", gets);
    println!("ratio {:.2}", hit.as_secs_f64() / get.as_secs_f64());
    shared.close().await;
}
