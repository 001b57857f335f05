//! What a store is opened from.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::url::RedisUrl;

/// Where a store is, and how long it may take.
#[derive(Debug, Clone, PartialEq)]
pub struct StoreConfig {
    /// Where.
    pub url: StoreUrl,
    /// Number of the database of the cache and of the limits, where Redis has several.
    pub cache_db: Option<u16>,
    /// Number of the database of the records and of their leases.
    pub sessions_db: Option<u16>,
    /// How long one question may take.
    pub timeout: Duration,
    /// What is granted while nobody can be asked.
    pub on_unreachable: OnUnreachable,
    /// How much of the cache is kept in this process.
    pub cache_bytes: u64,
    /// The last share of a value's time, 0 to 1, in which one caller makes it
    /// anew.
    pub refresh_ahead: f64,
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self {
            url: StoreUrl::Memory,
            cache_db: None,
            sessions_db: None,
            timeout: Duration::from_millis(50),
            on_unreachable: OnUnreachable::LocalShare,
            cache_bytes: 256 << 20,
            refresh_ahead: 0.1,
        }
    }
}

/// The homes that there are.
#[derive(Clone, PartialEq, Eq)]
pub enum StoreUrl {
    /// The memory of this process: `memory:`.
    Memory,
    /// A folder with an SQLite database for what must outlive the process;
    /// the rest in memory: `sqlite:DIR`.
    Sqlite(PathBuf),
    /// Everything in Redis: `redis://…`, `rediss://…`, `redis+sentinel://…`,
    /// `redis+cluster://…`.
    Redis(RedisUrl),
}

/// Without passwords.
impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory => f.write_str("memory:"),
            Self::Sqlite(folder) => write!(f, "sqlite:{}", folder.display()),
            Self::Redis(url) => url.fmt(f),
        }
    }
}

impl fmt::Debug for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What is granted while the home of the limits cannot be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnUnreachable {
    /// A share of every limit: 1/N for each of the N nodes that were last seen.
    LocalShare,
    /// Everything: the upstreams' own limits are all there is.
    FailOpen,
    /// Nothing.
    FailClosed,
}

impl OnUnreachable {
    /// All of them, in the order of the configuration's documentation.
    pub const ALL: [Self; 3] = [Self::LocalShare, Self::FailOpen, Self::FailClosed];

    /// The word for it in configuration, logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::LocalShare => "local_share",
            Self::FailOpen => "fail_open",
            Self::FailClosed => "fail_closed",
        }
    }
}
