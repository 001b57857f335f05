#![doc = include_str!("../README.md")]

mod cache;
mod codec;
mod config;
mod entries;
mod error;
mod held;
mod leases;
mod ledger;
mod limits;
mod memory_cache;
mod memory_leases;
mod memory_limits;
mod memory_queue;
mod memory_records;
mod queue;
mod records;
mod redis;
mod sealed;
mod single_flight;
mod sqlite;
mod state;
mod store;
mod url;

pub use crate::redis::RedisLimits;
pub use cache::{
    Cache, CacheHealth, CacheStats, Freshness, Hit, Keep, Load, MOST_NAME_BYTES, MOST_TAGS, Name,
    Selector, Turn,
};
pub use config::{OnUnreachable, StoreConfig, StoreUrl};
pub use error::{OpenError, STORE_HINT, StoreError};
pub use leases::{Hold, Lease, LeaseError, Leases};
pub use limits::{
    Cooling, Dimension, Grantor, Level, Limits, Quota, Refused, Reservation, Settle, TooManyHeld,
    UnknownReservation, Used,
};
pub use memory_cache::MemoryCache;
pub use memory_leases::MemoryLeases;
pub use memory_limits::MemoryLimits;
pub use memory_queue::MemoryQueue;
pub use memory_records::MemoryRecords;
pub use queue::{
    Begun, Change, Changed, Count, Counts, ENDS, Entry, EntryName, Head, Held, Holding, Lane,
    MOST_FOLLOWERS, OLDEST_EVERY, Part, Placed, Put, PutError, Queue, RANKS, Shelf, Stamps, Take,
    Taken, To, Tries, WELL, When,
};
pub use records::{Expect, Page, Record, Records, Row, RowKey, WriteError};
pub use single_flight::{LoadPanicked, SingleFlight};
pub use sqlite::{SqliteQueue, SqliteRecords};
pub use state::{Reach, Remark, StoreState, Weight};
pub use store::Store;
pub use url::{Host, RedisUrl, Topology, Transport};

#[cfg(test)]
#[path = "../tests/contract/lasting.rs"]
mod lasting;
#[cfg(test)]
#[path = "../tests/servers/mod.rs"]
mod servers;
