//! How many entries a second go through a queue: put, taken and ended in
//! batches. `queue_speed URL [ENTRIES] [BYTES] [wait]`; with `wait` they are put
//! and left, for their memory to be looked at.

use std::time::{Duration, Instant};

use bytes::Bytes;
use tidegate_store::{
    Change, EntryName, Lane, Put, Queue, Store, StoreConfig, Take, To, WELL, When,
};

type Failure = Box<dyn std::error::Error + Send + Sync>;

const PUT_TOGETHER: u64 = 500;
const TAKEN_TOGETHER: usize = 64;
const LANES: &[Lane<'_>] = &[Lane {
    name: "work",
    most_held: Some(1_000),
}];

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let mut args = std::env::args().skip(1);
    let url = args
        .next()
        .ok_or("queue_speed URL [ENTRIES] [BYTES] [wait]")?;
    let entries = args.next().map_or(Ok(100_000), |text| text.parse())?;
    let bytes = args.next().map_or(Ok(100), |text| text.parse())?;
    let config = StoreConfig {
        url: url.parse()?,
        timeout: Duration::from_secs(1),
        ..StoreConfig::default()
    };
    let store = Store::open(&config).await?;
    let queue = &*store.queue;
    let (began, busy) = (Instant::now(), processor_time());
    let mut first = 0;
    while first < entries {
        let next = (first + PUT_TOGETHER).min(entries);
        let put = (first..next).map(|n| entry(n, bytes)).collect();
        queue.put(put, u64::MAX >> 12).await?;
        first = next;
    }
    report("put", entries, began.elapsed(), processor_time() - busy);
    if args.next().is_none() {
        let (began, busy) = (Instant::now(), processor_time());
        let ended = drain(queue).await?;
        report(
            "taken and ended",
            ended,
            began.elapsed(),
            processor_time() - busy,
        );
        let (began, busy) = (Instant::now(), processor_time());
        let mut swept = 0;
        loop {
            let some = queue.sweep(0).await?;
            swept += some;
            if some == 0 {
                break;
            }
        }
        report("swept", swept, began.elapsed(), processor_time() - busy);
    }
    store.close().await;
    Ok(())
}

fn entry(n: u64, bytes: usize) -> Put {
    let mut input = vec![0; bytes];
    fastrand::fill(&mut input);
    Put {
        name: EntryName {
            owner: "tenant".to_owned(),
            id: format!("task-{n:020}"),
        },
        lane: "work".to_owned(),
        rank: 2,
        after: Vec::new(),
        when: When::Now,
        key: None,
        input: input.into(),
        state: Bytes::from_static(b"the state of an entry, some forty bytes"),
        held: None,
    }
}

async fn drain(queue: &dyn Queue) -> Result<u64, Failure> {
    let mut ended = 0;
    loop {
        let take = Take {
            lanes: LANES,
            most: TAKEN_TOGETHER,
            begin: TAKEN_TOGETHER,
            hold: Duration::from_secs(15),
        };
        let taken = queue.take(take).await?.entries;
        if taken.is_empty() {
            return Ok(ended);
        }
        ended += taken.len() as u64;
        let keep = Duration::from_secs(3_600);
        let changes = taken.into_iter().map(|entry| Change {
            version: entry.head.version,
            name: entry.head.name,
            to: To::Ended { how: WELL, keep },
            state: entry.head.state,
            result: Some(Bytes::from_static(b"done")),
        });
        queue.change(changes.collect()).await?;
    }
}

fn report(what: &str, entries: u64, time: Duration, busy: Duration) {
    let each = |time: Duration| time.as_secs_f64() * 1e6 / entries.max(1) as f64;
    println!(
        "{what}: {entries} in {time:.2?}, {:.0}/s, {:.1} us each, {:.1} us of processor",
        entries as f64 / time.as_secs_f64(),
        each(time),
        each(busy),
    );
}

/// What this process has used, in ticks of 10 ms.
fn processor_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let ticks = after_name.split_whitespace().skip(11).take(2);
    let ticks: u64 = ticks.filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 10)
}
