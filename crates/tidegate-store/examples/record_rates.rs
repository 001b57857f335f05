//! How many rows a second a home takes, for 1, 16 and 256 writers at once:
//! `record_rates sqlite:DIR [SECONDS] [BYTES]`. The folder's disk is what is
//! measured; a home that is gone with the process is there for comparison.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tidegate_store::{Expect, Records, Row, RowKey, Store, StoreConfig};
use tokio::task::JoinSet;

type Failure = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let mut args = std::env::args().skip(1);
    let url = args
        .next()
        .ok_or("record_rates URL [SECONDS] [BYTES]")?
        .parse()?;
    let seconds = args.next().map_or(Ok(5), |text| text.parse())?;
    let bytes = args.next().map_or(Ok(2_000), |text| text.parse())?;
    let config = StoreConfig {
        url,
        ..StoreConfig::default()
    };
    let store = Store::open(&config).await?;
    for writers in [1, 16, 256] {
        let time = Duration::from_secs(seconds);
        measure(&store.records, writers, time, bytes).await?;
    }
    store.close().await;
    Ok(())
}

async fn measure(
    records: &Arc<dyn Records>,
    writers: u64,
    time: Duration,
    bytes: usize,
) -> Result<(), Failure> {
    let written = Arc::new(AtomicU64::new(0));
    let mut all = JoinSet::new();
    let began = Instant::now();
    for writer in 0..writers {
        let (records, written) = (records.clone(), written.clone());
        all.spawn(async move {
            let mut waits = Vec::new();
            while began.elapsed() < time {
                let asked = Instant::now();
                write(&*records, writer, bytes).await?;
                waits.push(asked.elapsed());
                written.fetch_add(1, Ordering::Relaxed);
            }
            Ok::<_, Failure>(waits)
        });
    }
    let mut waits = Vec::new();
    while let Some(done) = all.join_next().await {
        waits.extend(done??);
    }
    waits.sort_unstable();
    let rate = written.load(Ordering::Relaxed) as f64 / began.elapsed().as_secs_f64();
    let at = |share: usize| waits[(waits.len() - 1) * share / 100];
    println!(
        "{writers:>4} writers: {rate:>8.0} rows/s, p50 {:.2?}, p99 {:.2?}",
        at(50),
        at(99)
    );
    Ok(())
}

/// A row that cannot be compressed much, as real ones are not.
async fn write(records: &dyn Records, writer: u64, bytes: usize) -> Result<(), Failure> {
    let mut value = vec![0; bytes];
    fastrand::fill(&mut value);
    let id = &format!("{writer}-{}", fastrand::u64(..100));
    let (table, owner, group) = ("bench", "tenant", "user");
    let ttl = Some(Duration::from_secs(600));
    let row = Row {
        value: &value,
        group,
        ttl,
    };
    let key = RowKey { table, owner, id };
    records.put(key, row, Expect::Anything).await?;
    Ok(())
}
