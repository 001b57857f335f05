//! The homes of a queue under test, and the words that the tests are made of.

use std::ops::AsyncFn;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tidegate_store::{
    Begun, Change, Changed, Entry, EntryName, Holding, Lane, MemoryQueue, Placed, Put, PutError,
    Queue, Store, StoreConfig, StoreUrl, Take, Taken, To, When,
};
use tokio::runtime::{Builder, Runtime};

use crate::servers::RedisServer;

/// Longer than any test.
pub(crate) const LONG: Duration = Duration::from_secs(3_600);
/// More than any test puts.
pub(crate) const MANY: u64 = 1_000_000;
pub(crate) const OWNER: &str = "tenant";
pub(crate) const LANE: &str = "work";

/// A home of a queue and its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum QueueHome {
    Memory,
    Sqlite,
    Redis,
}

impl QueueHome {
    pub(crate) const ALL: [Self; 3] = [Self::Memory, Self::Sqlite, Self::Redis];

    /// Whether time stands still unless it is moved.
    fn is_virtual(self) -> bool {
        match self {
            Self::Memory => true,
            Self::Sqlite | Self::Redis => false,
        }
    }

    /// A time that passes in a test.
    pub(crate) fn short(self) -> Duration {
        if self.is_virtual() {
            Duration::from_secs(10)
        } else {
            Duration::from_millis(60)
        }
    }

    /// Lets time pass.
    pub(crate) async fn pass(self, time: Duration) {
        if self.is_virtual() {
            tokio::time::advance(time).await;
        } else {
            tokio::time::sleep(time).await;
        }
    }

    /// Lets a time pass after which nothing of [`Self::short`] is left.
    pub(crate) async fn outlive_short(self) {
        self.pass(self.short() + self.short() / 10).await;
    }

    fn runtime(self) -> Runtime {
        let mut builder = Builder::new_current_thread();
        builder.enable_all().start_paused(self.is_virtual());
        builder.build().expect("a runtime starts")
    }

    /// Runs a test against a new one with nothing in it.
    pub(crate) fn run(self, test: impl AsyncFnOnce(Arc<dyn Queue>)) {
        println!("home: {self:?}");
        self.runtime().block_on(async {
            match self {
                Self::Memory => test(Arc::new(MemoryQueue::default())).await,
                Self::Sqlite => {
                    let folder = Folder::new();
                    let store = open(StoreUrl::Sqlite(folder.0.clone())).await;
                    test(store.queue.clone()).await;
                    store.close().await;
                }
                Self::Redis => {
                    let server = RedisServer::start();
                    let store = open(server.url().parse().expect("it is an address")).await;
                    test(store.queue.clone()).await;
                    store.close().await;
                }
            }
        });
    }
}

async fn open(url: StoreUrl) -> Store {
    let config = StoreConfig {
        url,
        // The machine may be busy with other tests.
        timeout: Duration::from_secs(5),
        ..StoreConfig::default()
    };
    Store::open(&config).await.expect("it opens")
}

/// A folder that is gone when the test is.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("tidegate-queue-{}-{number}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        let _ = std::fs::remove_dir_all(&folder);
        Self(folder)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Runs a test against every home of a queue.
pub(crate) fn each_queue(test: impl AsyncFn(QueueHome, Arc<dyn Queue>)) {
    for home in QueueHome::ALL {
        home.run(async |queue| test(home, queue).await);
    }
}

pub(crate) fn name(id: &str) -> EntryName {
    EntryName {
        owner: OWNER.to_owned(),
        id: id.to_owned(),
    }
}

/// An entry that may be taken at once.
pub(crate) fn entry(id: &str) -> Put {
    Put {
        name: name(id),
        lane: LANE.to_owned(),
        rank: 2,
        after: Vec::new(),
        when: When::Now,
        key: None,
        input: Bytes::from(format!("input of {id}")),
        state: Bytes::from_static(b"put"),
        held: None,
    }
}

pub(crate) fn ranked(id: &str, rank: u8) -> Put {
    Put { rank, ..entry(id) }
}

pub(crate) fn after(id: &str, after: &[&str]) -> Put {
    let after = after.iter().map(|id| (*id).to_owned()).collect();
    Put { after, ..entry(id) }
}

/// Puts what nothing stands in the way of, and returns the versions.
pub(crate) async fn put(queue: &dyn Queue, entries: Vec<Put>) -> Vec<u64> {
    let placed = queue.put(entries, MANY).await.expect("it can be put");
    let version = |placed| match placed {
        Placed::New { version } => version,
        Placed::Known { id } => panic!("{id} was there"),
    };
    placed.into_iter().map(version).collect()
}

pub(crate) async fn refused(queue: &dyn Queue, entries: Vec<Put>, most: u64) -> PutError {
    queue
        .put(entries, most)
        .await
        .expect_err("it cannot be put")
}

/// Takes up to so many of the usual lane, and begins them.
pub(crate) async fn take(queue: &dyn Queue, most: usize, hold: Duration) -> Vec<Entry> {
    take_from(queue, &[LANE], most, hold).await.entries
}

pub(crate) async fn take_from(
    queue: &dyn Queue,
    lanes: &[&str],
    most: usize,
    hold: Duration,
) -> Taken {
    let lanes: Vec<Lane<'_>> = lanes
        .iter()
        .map(|name| Lane {
            name,
            most_held: None,
        })
        .collect();
    take_like(
        queue,
        Take {
            lanes: &lanes,
            most,
            begin: most,
            hold,
        },
    )
    .await
}

pub(crate) async fn take_like(queue: &dyn Queue, take: Take<'_>) -> Taken {
    queue.take(take).await.expect("the home can say")
}

/// Takes the one that there is.
pub(crate) async fn take_one(queue: &dyn Queue, hold: Duration) -> Entry {
    let mut taken = take(queue, 9, hold).await;
    assert_eq!(ids(&taken).len(), 1, "{:?}", ids(&taken));
    taken.remove(0)
}

pub(crate) fn ids(entries: &[Entry]) -> Vec<&str> {
    let ids = entries.iter().map(|entry| &*entry.head.name.id);
    ids.collect()
}

pub(crate) fn holding(entry: &Entry) -> Holding {
    Holding {
        name: entry.head.name.clone(),
        version: entry.head.version,
        begun: Begun::Yes,
    }
}

pub(crate) fn changing(id: &str, version: u64, to: To) -> Change {
    Change {
        name: name(id),
        version,
        to,
        state: Bytes::from_static(b"changed"),
        result: None,
    }
}

pub(crate) async fn change(queue: &dyn Queue, change: Change) -> Changed {
    let changed = queue.change(vec![change]).await;
    changed.expect("the home can say")[0]
}

/// Ends an entry of this version.
pub(crate) async fn end(queue: &dyn Queue, id: &str, version: u64, how: u8) -> u64 {
    let to = To::Ended { how, keep: LONG };
    match change(queue, changing(id, version, to)).await {
        Changed::To(version) => version,
        Changed::Lost => panic!("{id} is not in version {version}"),
    }
}

pub(crate) async fn get(queue: &dyn Queue, id: &str) -> Entry {
    let found = queue.get(&name(id)).await.expect("the home can say");
    found.unwrap_or_else(|| panic!("{id} is not there"))
}

pub(crate) async fn is_there(queue: &dyn Queue, id: &str) -> bool {
    let found = queue.get(&name(id)).await;
    found.expect("the home can say").is_some()
}
