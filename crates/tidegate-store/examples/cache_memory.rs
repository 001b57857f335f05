//! Fills a cache with a million keys, or as many as are asked for, and says what that costs the process.
//!
//! `cargo run --release -p tidegate-store --example cache_memory [MIB] [VALUE_BYTES] [TAGS] [KEYS]`

use std::env;
use std::fs;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tidegate_store::{Cache, Keep, MemoryCache, Name};

fn resident_bytes() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
    kib.unwrap_or_default() << 10
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let mut args = env::args().skip(1).map(|arg| arg.parse().unwrap_or(0));
    let max_bytes = args.next().unwrap_or(1_024_u64) << 20;
    let value_bytes = args.next().unwrap_or(64);
    let tags = args.next().unwrap_or(0);
    let keys = args.next().unwrap_or(1_000_000);
    let before = resident_bytes();
    let cache: Arc<dyn Cache> = Arc::new(MemoryCache::new(max_bytes, 0.1));
    let value = vec![7; usize::try_from(value_bytes).unwrap_or(64)];
    let began = Instant::now();
    for number in 0..keys {
        let name = Name {
            owner: format!("tenant {}", number % 10),
            namespace: "answer",
            key: format!("{number:064x}"),
        };
        let keep = Keep {
            ttl: Duration::from_secs(3_600),
            tags: (0..tags).map(|tag| format!("tag {number} {tag}")).collect(),
            domain: None,
        };
        let load = cache.begin(&name).await;
        cache.put(load, value.clone().into(), &keep).await;
    }
    let took = began.elapsed();
    let stats = cache.stats();
    let resident = resident_bytes().saturating_sub(before);
    println!(
        "max_bytes={max_bytes} bytes={} entries={} evictions={} resident_bytes={resident} \
         per_entry={} counted_per_entry={} put_ns={}",
        stats.bytes,
        stats.entries,
        stats.evictions,
        resident / stats.entries.max(1),
        stats.bytes / stats.entries.max(1),
        took.as_nanos() / u128::from(keys.max(1)),
    );
    let began = Instant::now();
    let mut found = 0_u64;
    for number in 0..keys {
        let name = Name {
            owner: format!("tenant {}", number % 10),
            namespace: "answer",
            key: format!("{number:064x}"),
        };
        found += u64::from(cache.get(&name).await.is_some());
    }
    println!(
        "get_ns={} found={found}",
        began.elapsed().as_nanos() / u128::from(keys.max(1))
    );
}
