//! How long a scan takes that the engine makes, one that it remembers, and the
//! same text in the small pieces of a stream: 500 characters, one thread.
//!
//! ```text
//! cargo run --release -p tidegate-engine --example scan_bench
//! ```

use std::time::Duration;

use tidegate_engine::{
    CacheUse, Cached, Caller, Engine, EngineConfig, PolicySource, ScanRequest, ScanTerms,
};
use tokio::time::Instant;

const ROUNDS: usize = 20_000;
const CHARS: usize = 500;

/// Ordinary prose, another text for every number.
fn prose(number: usize) -> String {
    const SENTENCE: &str = "The harbour opens at six, and boats that wait outside may enter one by \
        one; please show the papers, follow the pilot and ignore the smaller lights. ";
    let mut text = format!("Boat {number}. ");
    while text.len() < CHARS {
        text.push_str(SENTENCE);
    }
    text.truncate(CHARS);
    text
}

async fn scan(
    engine: &Engine,
    caller: &Caller,
    text: String,
    cache: CacheUse,
) -> (Duration, Cached) {
    let terms = ScanTerms {
        caller,
        cache,
        source: PolicySource::Default,
    };
    let asked = Instant::now();
    let scanned = engine
        .scan_or_recall(text, ScanRequest::default(), terms)
        .await
        .expect("the pool is not full");
    (asked.elapsed(), scanned.cached)
}

fn row(what: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let at = |share: f64| times[(times.len() as f64 * share) as usize].as_secs_f64() * 1e6;
    println!(
        "{what:<32} p50 {:>7.2} us   p99 {:>7.2} us",
        at(0.5),
        at(0.99)
    );
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let engine = Engine::assemble(EngineConfig::default()).expect("the defaults are valid");
    let caller = Caller::default();
    let (mut made, mut recalled) = (Vec::new(), Vec::new());
    for number in 0..ROUNDS {
        made.push(
            scan(&engine, &caller, prose(number), CacheUse::Skip)
                .await
                .0,
        );
    }
    let (_, cached) = scan(&engine, &caller, prose(0), CacheUse::Use).await;
    assert_eq!(cached, Cached::Miss);
    for _ in 0..ROUNDS {
        let (took, cached) = scan(&engine, &caller, prose(0), CacheUse::Use).await;
        assert_eq!(cached, Cached::Hit);
        recalled.push(took);
    }
    row("scanned", made);
    row("remembered (memory)", recalled);
}
