//! What every home of cached values promises.
//!
//! A test is one sentence and runs against every [`cache_home::CacheHome`],
//! each time on a server of its own.

#[path = "contract/cache_home.rs"]
mod cache_home;
#[path = "contract/cache_model.rs"]
mod cache_model;
#[path = "contract/caching.rs"]
mod caching;
mod servers;
